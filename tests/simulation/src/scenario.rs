//! What a seed means: who sends what when, who runs, and what goes wrong.

use std::time::Duration;

use local::fhir_server::Personality;
use simulator::Chance;

use crate::record::Side;
use crate::world::{Fault, Rates};

/// How many devices there are at the most.
pub const DEVICES: u64 = 4;

/// How long things go wrong.
const STORM: Duration = Duration::from_secs(600);

/// A run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Which server's habits the FHIR server has.
    pub personality: Personality,
    /// Whether unknown devices and patients are made, or looked up only.
    pub creates: bool,
    /// Whether devices appear only in the course of time, and what they sent
    /// before is parked.
    pub parks: bool,
    /// Partitions of the customer's hub.
    pub event_partitions: u64,
    /// Partitions of the internal hub.
    pub measurement_partitions: u64,
    /// Events of a window of group-convert.
    pub max_events: usize,
    /// How long a window is open.
    pub span: Duration,
    /// Replicas of normalize, and of group-convert, at the beginning.
    pub replicas: [u64; 2],
    /// What happens when, in order.
    pub steps: Vec<(Duration, Step)>,
    /// What goes wrong by itself, and how often.
    pub rates: Rates,
    /// When everything is well again.
    pub calm: Duration,
}

/// What happens at one moment.
#[derive(Clone, Debug)]
pub enum Step {
    /// A device sends.
    Event {
        /// Partition of the customer's hub.
        partition: u64,
        /// What it sends.
        body: String,
    },
    /// The process of a side that is `pick`ed is killed; the next one starts
    /// after a while, under the same name or another.
    Kill {
        /// Which side.
        side: Side,
        /// Which of its processes.
        pick: u64,
        /// How long until another takes its place.
        after: Duration,
        /// Whether that has its name.
        same_name: bool,
    },
    /// It stands still for so long.
    Freeze {
        /// Which side.
        side: Side,
        /// Which of its processes.
        pick: u64,
        /// How long.
        duration: Duration,
    },
    /// Another replica comes.
    Join(Side),
    /// One is told to stop.
    Leave {
        /// Which side.
        side: Side,
        /// Which of its processes.
        pick: u64,
    },
    /// The ownership of a partition becomes somebody's who is not there, or is
    /// deleted.
    Steal {
        /// Which side.
        side: Side,
        /// Which of its partitions.
        partition: u64,
        /// Whether somebody has it then.
        by_somebody: bool,
    },
    /// The FHIR server goes down: nobody connects to it, or it answers this
    /// status to everything.
    Down {
        /// How long.
        duration: Duration,
        /// What it answers.
        status: Option<u16>,
    },
    /// A device is registered on the FHIR server.
    Appear(u64),
    /// Somebody writes a note into the Observation that is picked.
    Note(u64),
    /// A clinician deletes the Observation that is picked.
    Delete(u64),
}

impl Scenario {
    /// What `seed` means.
    pub fn new(seed: u64) -> Scenario {
        let mut chance = Chance::new(seed);
        let personality = chance.pick(&[Personality::Hapi, Personality::Azure, Personality::Uuid]);
        // One partition goes to and fro between two processes, while one device
        // measures one instant again and again.
        let seesaw = chance.in_thousand(100);
        let most = if seesaw { 2 } else { 4 };
        let event_partitions = chance.of(1..most);
        let measurement_partitions = chance.of(1..most);
        let rates = rates(&mut chance);
        let creates = chance.in_thousand(400);
        let parks = !creates && chance.in_thousand(400);
        let mut steps = events(&mut chance, event_partitions, creates, seesaw);
        steps.extend(troubles(&mut chance, [event_partitions, measurement_partitions]));
        if parks {
            // Several processes make what was parked: one may make it, and a clinician
            // delete it, while the create of another is on its way.
            steps.retain(|(_, step)| !matches!(step, Step::Delete(_)));
            steps.extend(
                (0..DEVICES).map(|device| (chance.milliseconds(0..STORM.as_millis() as u64), Step::Appear(device))),
            );
        }
        if seesaw {
            let taken = || Step::Steal { side: Side::Measurements, partition: 0, by_somebody: false };
            steps.extend((1..15).map(|number| (Duration::from_secs(number * 40), taken())));
        }
        steps.sort_by_key(|(at, _)| *at);
        Scenario {
            personality,
            creates,
            parks,
            event_partitions,
            measurement_partitions,
            max_events: chance.of(2..10) as usize,
            span: Duration::from_secs(chance.pick(&[2, 5, 20, 60])),
            replicas: if seesaw { [1, 2] } else { [chance.of(1..3), chance.of(1..4)] },
            steps,
            rates,
            calm: STORM + Duration::from_secs(30),
        }
    }
}

/// Every kind of fault is there in some runs and not in others, so that none
/// hides another.
fn rates(chance: &mut Chance) -> Rates {
    let kinds: [(Fault, &[u64]); 16] = [
        (Fault::PositionsAway, &[5, 30, 150]),
        (Fault::PositionsAnswerLost, &[5, 30, 150]),
        (Fault::HubAway, &[10, 100]),
        (Fault::HubDetached, &[10, 100]),
        (Fault::SendRefused, &[20, 200]),
        (Fault::SendAnswerLost, &[20, 200]),
        (Fault::LettersAway, &[50, 300]),
        (Fault::ParkingAway, &[20, 200]),
        (Fault::Slow, &[10, 60, 250]),
        (Fault::FhirRefused, &[20, 150]),
        (Fault::FhirThrottled, &[20, 150]),
        (Fault::FhirUnavailable, &[20, 150]),
        (Fault::FhirGateway, &[20, 150]),
        (Fault::FhirAnswerLost, &[20, 150]),
        (Fault::FhirHalfBundle, &[50, 300]),
        (Fault::FhirRival, &[100, 400]),
    ];
    let mut rates = Rates::new();
    for (fault, often) in kinds {
        if chance.in_thousand(350) {
            rates.insert(fault, chance.pick(often));
        }
    }
    rates
}

/// Readings of a few devices: many of one instant, some late, some bad.
fn events(chance: &mut Chance, partitions: u64, creates: bool, seesaw: bool) -> Vec<(Duration, Step)> {
    let devices = if seesaw { 1 } else { chance.of(1..4) };
    let count = chance.of(10..70);
    let habits = Habits {
        late: chance.pick(&[0, 100, 400]),
        bad: chance.pick(&[0, 0, 80]),
        pace: if seesaw { STORM.as_secs() } else { chance.pick(&[25, 100]) },
        values: chance.pick(&[2, 3]),
        series_only: seesaw,
    };
    // Some send at once and some over all the time.
    let spread = if seesaw { 540 } else { chance.pick(&[20, 120, 540]) };
    let mut sent = Vec::new();
    for number in 0..count {
        let at = Duration::from_millis(chance.of(0..spread * 1000));
        sent.push((at, number));
    }
    sent.sort();
    let mut steps = Vec::new();
    for (at, number) in sent {
        let device = chance.of(0..devices);
        let mut body = body(chance, (device, number), at, habits);
        if creates {
            // Otherwise the server knows whose a device is. Nobody shares one.
            let patient = if body.contains("stranger") { "px".to_owned() } else { format!("p{device}") };
            body = body.replacen('{', &format!(r#"{{"patient":"{patient}","#), 1);
        }
        let step = (at, Step::Event { partition: device % partitions, body });
        // A producer that did not hear of its success sends again.
        if chance.in_thousand(40) {
            steps.push((at + chance.milliseconds(10..30_000), step.1.clone()));
        }
        steps.push(step);
    }
    steps
}

/// How readings are, in a run.
#[derive(Clone, Copy, Debug)]
struct Habits {
    /// So many in a thousand are late.
    late: u64,
    /// So many are bad.
    bad: u64,
    /// So many seconds pass while a device measures one instant.
    pace: u64,
    /// How many values there are.
    values: u64,
    /// All are of one series.
    series_only: bool,
}

fn body(chance: &mut Chance, (device, number): (u64, u64), at: Duration, habits: Habits) -> String {
    let Habits { late, bad, pace, values, series_only } = habits;
    if chance.in_thousand(bad) {
        let bodies = [
            format!("{number} is no JSON"),
            format!(r#"{{"device":"d{device}","hr":60,"tag":{number}}}"#),
            format!(r#"{{"device":"stranger","at":"2020-11-01T12:00:00Z","hr":60,"tag":{number}}}"#),
            format!(r#"{{"device":"d{device}","at":"2020-11-01T12:00:00Z","steps":60,"tag":{number}}}"#),
            format!(r#"{{"device":"d{device}","at":"2020-11-01T12:00:00Z","weight":"eighty","tag":{number}}}"#),
            format!(r#"{{"device":"d{device}","nothing":{number}}}"#),
        ];
        return bodies[chance.of(0..bodies.len() as u64) as usize].clone();
    }
    let back = if chance.in_thousand(late) { chance.of(0..40) } else { 0 };
    // Steps of ten seconds that pass slowly, so that many readings meet in one.
    let step = (at.as_secs() / pace).saturating_sub(back) + 350;
    let (minute, second) = (step / 6 % 60, step % 6 * 10);
    let time = format!("2020-11-01T{:02}:{minute:02}:{second:02}Z", 12 + step / 360);
    let value = chance.of(60..60 + values);
    let reading = match chance.of(0..10) {
        _ if series_only => format!(r#""hr":{value}"#),
        0..=4 => format!(r#""hr":{value}"#),
        5 => format!(r#""systolic":{value}"#),
        6 => format!(r#""diastolic":{value}"#),
        7 | 8 => format!(r#""weight":{value}"#),
        _ => format!(r#""ecg":{value},"session":"s{}""#, chance.of(0..2)),
    };
    format!(r#"{{"device":"d{device}","at":"{time}",{reading},"tag":{number}}}"#)
}

/// What people and machines do beside.
fn troubles(chance: &mut Chance, partitions: [u64; 2]) -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    let mut some = |chance: &mut Chance, often: u64, most: u64, make: &mut dyn FnMut(&mut Chance) -> Step| {
        if !chance.in_thousand(often) {
            return;
        }
        for _ in 0..chance.of(1..most) {
            let at = Duration::from_millis(chance.of(0..STORM.as_millis() as u64));
            steps.push((at, make(chance)));
        }
    };
    let side = |chance: &mut Chance| chance.pick(&[Side::Events, Side::Measurements, Side::Measurements]);
    some(chance, 400, 8, &mut |chance| Step::Kill {
        side: side(chance),
        pick: chance.of(0..8),
        after: chance.milliseconds(100..60_000),
        same_name: chance.in_thousand(600),
    });
    some(chance, 400, 8, &mut |chance| Step::Freeze {
        side: side(chance),
        pick: chance.of(0..8),
        duration: chance.milliseconds(500..240_000),
    });
    some(chance, 300, 4, &mut |chance| Step::Join(side(chance)));
    some(chance, 300, 4, &mut |chance| Step::Leave { side: side(chance), pick: chance.of(0..8) });
    some(chance, 500, 16, &mut |chance| {
        let side = side(chance);
        let partition = chance.of(0..partitions[usize::from(side == Side::Measurements)]);
        Step::Steal { side, partition, by_somebody: chance.in_thousand(250) }
    });
    some(chance, 250, 4, &mut |chance| Step::Down {
        duration: chance.milliseconds(1000..240_000),
        status: chance.pick(&[None, Some(500), Some(502), Some(503), Some(504), Some(401)]),
    });
    some(chance, 300, 30, &mut |chance| Step::Note(chance.of(0..1000)));
    some(chance, 200, 4, &mut |chance| Step::Delete(chance.of(0..1000)));
    steps
}
