//! What every store of positions and every parking has to do, for the tests of
//! each.

use std::time::Duration;

use delivery::{
    Checkpoint, DeadLetter, KeptProperties, Parking, Position, Positions, Reason, Source, Stage, Version, WindowMark,
};
use expressions::UtcTime;

/// Checks a store that is empty.
///
/// # Panics
///
/// When the store does not do what it has to.
pub async fn check_positions(positions: &impl Positions) {
    check_ownership(positions).await;
    check_checkpoints(positions).await;
    check_windows(positions).await;
}

async fn check_ownership(positions: &impl Positions) {
    assert_eq!(positions.ownerships().await.expect("read"), [], "nothing is owned");
    let first = positions.claim("0", Some("a"), None).await.expect("written").expect("nobody had it");
    assert_eq!(positions.claim("0", Some("b"), None).await.expect("read"), None, "somebody has it");
    let owned = positions.ownerships().await.expect("read");
    assert_eq!((owned.len(), owned[0].partition.as_str(), owned[0].owner.as_deref()), (1, "0", Some("a")));
    assert!(owned[0].age.as_secs() < 60, "{:?}", owned[0].age);
    let renewed = positions.claim("0", Some("a"), Some(&first)).await.expect("written").expect("it was as expected");
    assert_eq!(positions.claim("0", Some("b"), Some(&first)).await.expect("read"), None, "it was renewed");
    let seen = positions.ownerships().await.expect("read").remove(0).version;
    assert_eq!(seen, renewed, "a listing gives the version that a claim needs");
    let taken = positions.claim("0", Some("b"), Some(&seen)).await.expect("written").expect("it was as expected");
    assert_eq!(positions.claim("0", Some("a"), Some(&renewed)).await.expect("read"), None, "it was taken");
    positions.claim("0", None, Some(&taken)).await.expect("written").expect("it was as expected");
    assert_eq!(positions.ownerships().await.expect("read")[0].owner, None, "it was released");
}

async fn check_checkpoints(positions: &impl Positions) {
    let at = |sequence_number: i64| Checkpoint { sequence_number, offset: (sequence_number * 7).to_string() };
    assert_eq!(positions.checkpoint("0").await.expect("read"), None, "there is none");
    let none = Checkpoint { sequence_number: -1, offset: String::new() };
    let first = positions.write_checkpoint("0", &none, None).await.expect("written").expect("there was none");
    assert_eq!(positions.checkpoint("0").await.expect("read"), Some((none, first.clone())));
    assert_eq!(positions.write_checkpoint("0", &at(5), None).await.expect("read"), None, "there is one");
    let second = positions.write_checkpoint("0", &at(5), Some(&first)).await.expect("written").expect("as expected");
    assert_eq!(positions.write_checkpoint("0", &at(4), Some(&first)).await.expect("read"), None, "it was changed");
    assert_eq!(positions.checkpoint("0").await.expect("read"), Some((at(5), second)));
    assert_eq!(positions.checkpoint("1").await.expect("read"), None, "of the other there is none");
}

async fn check_windows(positions: &impl Positions) {
    assert_eq!(positions.window("0").await.expect("read"), None);
    let begun = UtcTime::from_unix_milliseconds(1_604_232_000_123).expect("a time");
    let mut before: Option<Version> = None;
    for window in [WindowMark { first: 0, last: 9, begun }, WindowMark { first: 10, last: 10, begun }] {
        let written = positions.write_window("0", &window, before.as_ref()).await.expect("written");
        let version = written.expect("it was as expected");
        assert_eq!(positions.window("0").await.expect("read"), Some((window, version.clone())));
        let late = positions.write_window("0", &WindowMark { first: 5, ..window }, before.as_ref()).await;
        assert_eq!(late.expect("read"), None, "another was begun since");
        before = Some(version);
    }
    assert_eq!(positions.window("1").await.expect("read"), None);
}

/// Checks that measurements are parked once, since they were parked first, until
/// they are removed. Nothing is parked yet.
///
/// # Panics
///
/// When the place does not do what it has to.
pub async fn check_parking(parking: &impl Parking) {
    let both = [letter("0", 2, b"a"), letter("0", 1, b"b")];
    assert_eq!(parking.parked().await.expect("what is not there has nothing parked"), Vec::<String>::new());
    assert_eq!(parking.read_parked(&both[0].key()).await.expect("nothing"), None);
    parking.park(&both).await.expect("parked");
    let first = parking.read_parked(&both[0].key()).await.expect("read");
    parking.park(&both).await.expect("parked again");
    assert_eq!(parking.parked().await.expect("keys"), [both[1].key(), both[0].key()]);
    assert_eq!(parking.read_parked(&both[0].key()).await.expect("read"), first, "since it was parked first");
    for _ in 0..2 {
        parking.remove_parked(&both[0].key()).await.expect("removed, or gone already");
    }
    assert_eq!(parking.read_parked(&both[0].key()).await.expect("nothing"), None);
    assert_eq!(parking.parked().await.expect("keys"), [both[1].key()]);
}

/// A dead letter of an event in a partition of `devicedata`.
pub fn letter<'b>(partition: &str, sequence_number: i64, body: &'b [u8]) -> DeadLetter<'b> {
    let source = Source { hub: "devicedata".to_owned(), partition: partition.to_owned(), ..Source::default() };
    DeadLetter {
        stage: Stage::Normalize,
        reason: Reason::new("InvalidDataFormat", "not JSON"),
        mapping_version: "v1".to_owned(),
        position: Position { source, sequence_number: Some(sequence_number), index: 0, enqueued_time: UtcTime::MIN },
        measurement: 0,
        body,
        properties: KeptProperties::default(),
        system_properties: KeptProperties::default(),
    }
}

/// Checks that what two sources store in one store is kept apart, and that the
/// positions of the one are forgotten when the other begins. `a` and `b` are
/// the same store, for two hubs of one reader; `other` is the same store for a
/// third hub of another reader with the same consumer group.
///
/// # Panics
///
/// When the store does not do what it has to.
pub async fn check_forgetting(a: &impl Positions, b: &impl Positions, other: &impl Positions) {
    let checkpoint = Checkpoint { sequence_number: 3, offset: "300".to_owned() };
    let window = WindowMark { first: 1, last: 3, begun: UtcTime::MIN };
    for partition in ["0", "31"] {
        a.write_checkpoint(partition, &checkpoint, None).await.expect("written").expect("there was none");
        a.claim(partition, Some("a"), None).await.expect("written").expect("nobody had it");
        a.write_window(partition, &window, None).await.expect("written").expect("there was none");
    }
    b.write_checkpoint("0", &checkpoint, None).await.expect("written").expect("there was none");
    other.write_checkpoint("0", &checkpoint, None).await.expect("written").expect("there was none");
    assert_eq!(b.forget_others(Duration::MAX).await.expect("read"), [""; 0], "somebody reads it");
    assert!(a.checkpoint("0").await.expect("read").is_some());
    let mut forgotten = b.forget_others(Duration::ZERO).await.expect("written");
    forgotten.sort();
    assert_eq!(forgotten.len(), 2, "{forgotten:?}");
    assert!(forgotten[0].ends_with("/0") && forgotten[1].ends_with("/31"), "{forgotten:?}");
    assert_eq!(a.checkpoint("0").await.expect("read"), None);
    assert_eq!(a.window("31").await.expect("read"), None);
    assert_eq!(a.ownerships().await.expect("read"), []);
    assert!(b.checkpoint("0").await.expect("read").is_some(), "its own stays");
    assert!(other.checkpoint("0").await.expect("read").is_some(), "another reader's stays");
    assert_eq!(b.forget_others(Duration::ZERO).await.expect("read"), [""; 0]);
}
