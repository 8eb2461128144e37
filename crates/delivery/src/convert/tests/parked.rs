//! Parking, over a server and places that are maps (design.md D7).

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::stored_letter::StoredDeadLetter;

/// What is parked, by key.
#[derive(Default)]
struct Lot {
    parked: Mutex<BTreeMap<String, StoredDeadLetter>>,
    /// Removing fails, as when the process ends before it.
    keeps: AtomicBool,
}

/// The key of a letter that cannot be read.
const TORN: &str = "torn";

const HOUR: Duration = Duration::from_secs(3600);

/// The hours of the tests.
fn at(hours: i64) -> UtcTime {
    UtcTime::from_unix_milliseconds(1_700_000_000_000 + hours * 3_600_000).expect("a time")
}

impl Parking for &Lot {
    async fn park(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        let mut parked = self.parked.lock().expect("one thread");
        for letter in letters {
            parked.entry(letter.key()).or_insert_with(|| StoredDeadLetter::new(letter, at(0)));
        }
        Ok(())
    }

    async fn parked(&self) -> Result<Vec<String>, Away> {
        Ok(self.parked.lock().expect("one thread").keys().cloned().collect())
    }

    async fn read_parked(&self, key: &str) -> Result<Option<StoredDeadLetter>, Away> {
        if key == TORN {
            return Err(Away::new("the parking", "the letter ends too early"));
        }
        Ok(self.parked.lock().expect("one thread").get(key).cloned())
    }

    async fn remove_parked(&self, key: &str) -> Result<(), Away> {
        if self.keeps.load(Ordering::Relaxed) {
            return Err(Away::new("the parking", "the process ended"));
        }
        self.parked.lock().expect("one thread").remove(key);
        Ok(())
    }
}

#[derive(Default)]
struct World {
    server: Server,
    letters: Letters,
    lot: Lot,
}

impl World {
    fn converter(&self) -> Converter<&Server, &Letters, &Lot> {
        Converter::new(&self.server, &self.letters, Compatibility::default()).with_parking(&self.lot)
    }

    fn mapping(&self) -> Compiled<FhirMapping> {
        compiled(FhirMapping::load(MAPPING.as_bytes(), &Compatibility::default()).expect("a good mapping"))
    }

    /// The fates of a batch.
    fn give(&self, batch: &Batch<'_>) -> String {
        let conversion = now(self.converter().convert(&self.mapping(), batch, at(0), Turn::UNFENCED));
        let fates = |conversion: Conversion| conversion.fates().map(ToString::to_string).collect::<Vec<_>>().join(",");
        conversion.map_or_else(|away| away.to_string(), fates)
    }

    fn give_bodies(&self, bodies: &[String]) -> String {
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        self.give(&batch(&Source::default(), &bodies))
    }

    /// Looks again; what ended how, and how many wait.
    fn look_again(&self, hours: i64) -> String {
        let unparked = now(self.converter().replay_parked(&self.mapping(), at(hours), HOUR));
        let show = |Unparked { ended, waiting, unreadable }: Unparked| {
            let counts = [
                ("created", ended.created),
                ("merged", ended.merged),
                ("superseded", ended.superseded),
                ("rejected", ended.rejected),
                ("waiting", waiting),
                ("unreadable", unreadable),
            ];
            let some: Vec<_> =
                counts.iter().filter(|count| count.1 > 0).map(|(name, n)| format!("{n} {name}")).collect();
            some.join(", ")
        };
        unparked.map_or_else(|away| away.to_string(), show)
    }

    fn appear(&self) {
        self.server.appeared.store(true, Ordering::Relaxed);
    }

    fn parked(&self) -> usize {
        self.lot.parked.lock().expect("one thread").len()
    }

    fn letters(&self) -> Vec<String> {
        self.letters.lines.lock().expect("one thread").clone()
    }

    /// The samples of the one series.
    fn data(&self) -> String {
        let observations = self.server.observations.lock().expect("one thread");
        let observation = observations.values().next().map(|one| String::from_utf8_lossy(&one.to_json()).into_owned());
        let text = observation.unwrap_or_default();
        let data = text.split("\"data\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        data.split(' ').take(3).collect::<Vec<_>>().join(" ")
    }
}

fn heart_rate(device: &str, minute: u32, value: &str) -> String {
    reading("heartrate", device, 0, value).replace("T12:00:", &format!("T12:{minute:02}:"))
}

#[test]
fn what_is_unknown_waits_and_is_saved_when_it_appears() {
    let world = World::default();
    let bodies = [heart_rate("unknown", 0, "70"), heart_rate("d1", 0, "71"), heart_rate("", 0, "72")];
    assert_eq!(world.give_bodies(&bodies), "parked,created,rejected");
    assert_eq!((world.parked(), world.letters().len()), (1, 1), "each is in one place");
    assert_eq!(world.look_again(0), "1 waiting");
    world.appear();
    assert_eq!(world.look_again(0), "1 created");
    assert_eq!(world.look_again(0), "");
    assert_eq!((world.parked(), world.letters().len()), (0, 1));
}

#[test]
fn what_is_unknown_for_too_long_is_rejected_with_its_reason() {
    let world = World::default();
    let body = heart_rate("unknown", 0, "70");
    assert_eq!(world.give_bodies(std::slice::from_ref(&body)), "parked");
    assert_eq!(world.look_again(0), "1 waiting");
    assert_eq!(world.look_again(1), "1 rejected");
    assert_eq!(world.letters(), [format!("group-convert 40 0 DeviceNotFound {body}")]);
    assert_eq!(world.parked(), 0);
}

/// It is looked for once more before it is given up.
#[test]
fn what_appeared_in_time_is_saved_however_late_it_is_looked_for() {
    let world = World::default();
    assert_eq!(world.give_bodies(&[heart_rate("unknown", 0, "70")]), "parked");
    world.appear();
    assert_eq!(world.look_again(100), "1 created");
}

#[test]
fn what_was_parked_overwrites_nothing_that_came_since() {
    let world = World::default();
    let parked = [heart_rate("unknown", 0, "70"), heart_rate("unknown", 1, "71")];
    assert_eq!(world.give_bodies(&parked), "parked,parked");
    world.appear();
    let newer = [heart_rate("unknown", 1, "99"), heart_rate("unknown", 2, "72")];
    assert_eq!(world.give_bodies(&newer), "created,created");
    assert_eq!(world.look_again(0), "2 merged");
    assert_eq!(world.data(), "70 99 72");
}

#[test]
fn a_crash_at_any_point_repeats_what_changes_nothing() {
    let world = World::default();
    let bodies = [heart_rate("unknown", 0, "70")];
    assert_eq!(world.give_bodies(&bodies), "parked");
    // Before the checkpoint: the batch is given again.
    assert_eq!(world.give_bodies(&bodies), "parked");
    assert_eq!(world.parked(), 1, "and waits since it came first");
    // Between the save and the removal.
    world.appear();
    world.lot.keeps.store(true, Ordering::Relaxed);
    assert_eq!(world.look_again(0), "the parking is away");
    world.lot.keeps.store(false, Ordering::Relaxed);
    assert_eq!(world.look_again(0), "1 superseded");
    assert_eq!(world.data(), "70 E E");
    // Between all that and the checkpoint.
    assert_eq!(world.give_bodies(&bodies), "unchanged");
    let begun = world.server.begun_before.lock().expect("one thread").clone();
    assert!(begun[0].is_some() && begun[1].is_some(), "what was half done is looked at: {begun:?}");
}

#[test]
fn what_cannot_be_recorded_as_rejected_stays_parked() {
    let mut world = World::default();
    assert_eq!(world.give_bodies(&[heart_rate("unknown", 0, "70")]), "parked");
    world.letters.away = true;
    assert_eq!(world.look_again(1), "the dead letters is away");
    assert_eq!(world.parked(), 1);
}

/// Of a list each measurement has its own fate, and only those that were parked
/// come again.
#[test]
fn of_a_list_only_what_was_parked_comes_again() {
    let world = World::default();
    let list =
        format!("[{},{},{}]", heart_rate("unknown", 0, "70"), heart_rate("d1", 0, "1"), heart_rate("unknown", 1, "71"));
    let source = Source::default();
    let bodies = [list.as_str()];
    let mut batch = batch(&source, &bodies);
    batch.events[0].properties = expressions::Properties::Json { text: r#"{"IsMeasurementGroup":true}"#, dates: &[] };
    assert_eq!(world.give(&batch), "parked,created,parked");
    assert_eq!(world.parked(), 2);
    world.appear();
    assert_eq!(world.look_again(0), "2 created");
    assert_eq!(world.server.observations.lock().expect("one thread").len(), 2);
}

/// The later reading of an instant wins, and the other goes with it.
#[test]
fn a_reading_that_gave_way_to_a_parked_one_is_parked_too() {
    let world = World::default();
    assert_eq!(world.give_bodies(&[heart_rate("unknown", 0, "70"), heart_rate("unknown", 0, "71")]), "parked,parked");
    world.appear();
    assert_eq!(world.look_again(0), "1 created, 1 superseded");
}

/// A list is unpacked once, however many of it are parked: the limit for bombs
/// is not met by what came through as one event.
#[test]
fn a_large_list_of_which_all_is_parked_comes_again_whole() {
    use std::io::Write;

    let world = World::default();
    let blanks = " ".repeat(20_000);
    let list = (0..60).map(|minute| heart_rate("unknown", minute, "70") + &blanks).collect::<Vec<_>>().join(",");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(format!("[{list}]").as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    let source = Source::default();
    let mut batch = batch(&source, &["" as &str]);
    batch.events[0].body = &packed;
    batch.events[0].properties = expressions::Properties::Json { text: r#"{"IsMeasurementGroup":true}"#, dates: &[] };
    batch.events[0].system_properties =
        expressions::Properties::Json { text: r#"{"content-type":"application/gzip"}"#, dates: &[] };
    assert_eq!(world.give(&batch), vec!["parked"; 60].join(","));
    world.appear();
    assert_eq!(world.look_again(0), "60 created");
}

/// The patient was unknown first, and the device later: two letters, one end.
#[test]
fn a_measurement_parked_for_two_reasons_ends_once_for_both() {
    let world = World::default();
    assert_eq!(world.give_bodies(&[heart_rate("unknown", 0, "70")]), "parked");
    {
        let mut parked = world.lot.parked.lock().expect("one thread");
        let (key, letter) = parked.iter().next().map(|(key, letter)| (key.clone(), letter.clone())).expect("a letter");
        parked.insert(key + "-again", letter);
    }
    world.appear();
    assert_eq!(world.look_again(0), "2 created");
    assert_eq!((world.parked(), world.letters().len()), (0, 0));
}

#[test]
fn a_letter_that_cannot_be_read_holds_nothing_up_and_stays() {
    let world = World::default();
    assert_eq!(world.give_bodies(&[heart_rate("unknown", 0, "70")]), "parked");
    {
        let mut parked = world.lot.parked.lock().expect("one thread");
        let letter = parked.values().next().cloned().expect("a letter");
        parked.insert(TORN.to_owned(), letter);
    }
    world.appear();
    assert_eq!(world.look_again(0), "1 created, 1 unreadable");
    assert_eq!(world.parked(), 1);
}

/// Found by the simulator: what came in windows of its own was rejected, or gave
/// way, only because it was looked for together.
#[test]
fn what_would_not_get_on_in_one_window_is_saved_one_after_the_other() {
    let world = World::default();
    let weight = |second: u32, value: &str| reading("weight", "unknown", second, value);
    let bodies = [weight(0, "80"), weight(0, "81"), reading("heartrate", "unknown", 0, "71"), weight(5, "eighty")];
    let each = bodies.iter().map(|body| world.give_bodies(std::slice::from_ref(body)));
    assert_eq!(each.collect::<Vec<_>>(), ["parked", "parked", "parked", "parked"]);
    world.server.appeared.store(true, Ordering::Relaxed);
    assert_eq!(world.look_again(0), "2 created, 1 superseded, 1 rejected");
}
