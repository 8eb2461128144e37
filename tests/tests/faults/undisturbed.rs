//! What comes of device events when nothing happens, worked out in this process:
//! no hub, no server, no other process has a part in it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use delivery::current_mapping::Compiled;
use delivery::{
    Away, Batch, BatchEvent, EventFate, Fence, MeasurementOutput, Normalizer, OutgoingMeasurements, Source, Unfenced,
};
use end_to_end::fhir::Observations;
use end_to_end::oracle::{Forgotten, Window, Windows, expected};
use expressions::{Properties, UtcTime};
use hub_client::Event;
use mapping::{Compatibility, DeviceMapping};

/// What is expected of a mapping pair.
#[derive(Debug)]
pub struct Undisturbed {
    /// For each event its fate, with the reason of a rejection.
    pub fates: Vec<String>,
    /// How many measurements there are.
    pub measurements: usize,
    /// What is on the FHIR server.
    pub observations: Observations,
}

/// Works events out in their order, all in one window. For events of which each
/// has a time of its own the windows make no difference.
pub fn undisturbed(device_mapping: &str, fhir_mapping: &str, events: &[String]) -> Undisturbed {
    let mapping = DeviceMapping::load(device_mapping.as_bytes(), &Compatibility::default());
    let mapping = mapping.unwrap_or_else(|findings| panic!("the device mapping: {findings}"));
    let mapping = Compiled { version: String::new(), mapping };
    let source = Source::default();
    let batch = Batch { source: &source, events: (0..).zip(events).map(batch_event).collect() };
    let sent = Sent::default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let done = runtime.block_on(Normalizer::new(&sent, Forgotten).normalize(&mapping, &batch, &Unfenced));
    let done = done.expect("nothing is away");
    let measurements = sent.0.into_inner().expect("one thread");
    let event = |(number, body): (i64, Vec<u8>)| Event {
        sequence_number: number,
        offset: number.to_string(),
        enqueued_ms: 0,
        partition_key: None,
        body,
        is_body_unusable: false,
        application_properties: Vec::new(),
        properties: None,
        annotations: Vec::new(),
    };
    let count = measurements.len();
    let numbers: Vec<i64> = (0..).take(count).collect();
    let internal = BTreeMap::from([(String::new(), (0..).zip(measurements).map(event).collect())]);
    let windows = Windows::from([((String::new(), 0), Window { numbers, fates: Vec::new() })]);
    let observations = expected(fhir_mapping, &internal, &windows, &[]).observations;
    Undisturbed { fates: done.events.iter().map(name).collect(), measurements: count, observations }
}

fn batch_event((number, event): (i64, &String)) -> BatchEvent<'_> {
    BatchEvent {
        body: event.as_bytes(),
        properties: Properties::NONE,
        system_properties: Properties::NONE,
        sequence_number: Some(number),
        enqueued_time: UtcTime::default(),
    }
}

/// A fate, with its reason if it has one.
pub fn name(fate: &EventFate) -> String {
    fate.reason().map_or_else(|| fate.to_string(), |reason| format!("{fate}({})", reason.code))
}

/// The internal hub, as a list.
#[derive(Default)]
struct Sent(Mutex<Vec<Vec<u8>>>);

impl MeasurementOutput for &Sent {
    async fn send(&self, measurements: &OutgoingMeasurements, _: &dyn Fence) -> Result<Vec<usize>, Away> {
        let all = (0..measurements.len()).map(|index| measurements.json(index).to_vec());
        self.0.lock().expect("one thread").extend(all);
        Ok(Vec::new())
    }
}
