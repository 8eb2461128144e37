//! Observations of an hour, six samples each, to be saved.

use std::sync::Arc;

use delivery::{Reason, SaveOutcome};
use fhir_client::client::ServerAway;
use fhir_client::save::Draft;
use mapping::group::{ObservationGroup, PropertyValues, TimedValue};
use mapping::identifier::{observation_id, observation_identifier};
use mapping::observation::{MergePolicy, Merged, Observation};
use mapping::{Compatibility, ConvertError, FhirMapping, ResourceIds};
use serde_json::Value;

/// One sample for each ten minutes of an hour.
pub const MAPPING: &str = r#"{"templateType":"CollectionFhirTemplate","template":[{"templateType":"CodeValueFhir","template":{
    "typeName":"hr","periodInterval":60,"codes":[],
    "value":{"valueName":"hr","valueType":"SampledData","defaultPeriod":600000,"unit":"bpm"}}}]}"#;

/// Samples of one device in one hour.
pub struct Samples {
    mapping: Arc<FhirMapping>,
    ids: ResourceIds,
    pub identifier: String,
    pub id: String,
    group: ObservationGroup<'static>,
}

fn fhir_mapping() -> Arc<FhirMapping> {
    Arc::new(FhirMapping::load(MAPPING.as_bytes(), &Compatibility::default()).unwrap())
}

/// `steps` are ten minutes each, with the values there.
pub fn samples(device: &str, steps: &[(i64, &str)]) -> Samples {
    samples_of(ResourceIds { device: device.to_owned(), patient: "p1".to_owned(), encounter: None }, steps)
}

/// The same, for what is on a server that looks at references.
pub fn samples_of(ids: ResourceIds, steps: &[(i64, &str)]) -> Samples {
    let start = expressions::UtcTime::from_parts((2023, 10, 9), (19, 0, 0), 0).unwrap();
    let ticks = |seconds: i64| seconds * expressions::time::TICKS_PER_SECOND;
    let values = steps.iter().map(|(step, value)| TimedValue {
        time: start.saturating_add(ticks(600 * step + 7)),
        value: Some((*value).to_owned().into()),
    });
    let segment = "20231009190000Z.20231009195959Z";
    let identifier = observation_identifier(&ids, "hr", segment);
    Samples {
        mapping: fhir_mapping(),
        ids,
        id: observation_id(&identifier),
        identifier,
        group: ObservationGroup {
            r#type: "hr".into(),
            start,
            end: start.saturating_add(ticks(3600) - 1),
            id_segment: segment.into(),
            values: vec![PropertyValues { name: "hr".into(), values: values.collect() }],
            measurements: Vec::new(),
            superseded: Vec::new(),
        },
    }
}

fn reason(error: ConvertError) -> Reason {
    Reason::new(error.code(), error.to_string())
}

impl Draft for Samples {
    fn id(&self) -> &str {
        &self.id
    }

    fn identifier(&self) -> &str {
        &self.identifier
    }

    fn create(&self) -> Result<Observation, Reason> {
        self.mapping.create(&self.group, &self.ids, self.group.end).map_err(reason)
    }

    fn merge(&self, existing: &Observation) -> Result<Option<Observation>, Reason> {
        let merged = self.mapping.merge(existing, &self.group, MergePolicy::NewWins);
        merged.map(Merged::amended).map_err(reason)
    }

    fn absorb(&self, existing: &Observation, lost: &Observation) -> Result<Option<Observation>, Reason> {
        self.mapping.absorb(existing, lost, "hr").map(Merged::amended).map_err(reason)
    }
}

impl Samples {
    /// The same under another identifier.
    pub fn named(mut self, name: &str) -> Samples {
        self.group.id_segment = name.to_owned().into();
        self.identifier = observation_identifier(&self.ids, "hr", name);
        self.id = observation_id(&self.identifier);
        self
    }

    pub fn path(&self) -> String {
        format!("Observation/{}", self.id)
    }

    /// What another writer makes of its samples alone.
    pub fn alone(&self) -> Value {
        serde_json::from_slice(&self.create().unwrap().to_json()).unwrap()
    }

    /// What another writer makes of what is there.
    pub fn merged_into(&self, stored: &Value) -> Value {
        let stored = Observation::read(stored.to_string().as_bytes()).unwrap();
        serde_json::from_slice(&self.merge(&stored).unwrap().unwrap().to_json()).unwrap()
    }
}

/// The outcomes as words, `;` between them.
pub fn words(result: Result<Vec<SaveOutcome>, ServerAway>) -> String {
    let word = |outcome: &SaveOutcome| match outcome {
        SaveOutcome::Created => "created".to_owned(),
        SaveOutcome::Merged => "merged".to_owned(),
        SaveOutcome::Unchanged => "unchanged".to_owned(),
        SaveOutcome::Rejected(reason) => reason.code.to_string(),
    };
    match result {
        Ok(outcomes) => outcomes.iter().map(word).collect::<Vec<_>>().join(";"),
        Err(away) => format!("away: {away}"),
    }
}
