use super::*;

/// An event: its number, and when it was enqueued, in seconds.
#[derive(Clone, Copy, Debug)]
struct At(i64, f64);

impl Queued for At {
    fn sequence_number(&self) -> i64 {
        self.0
    }

    fn enqueued_time(&self) -> UtcTime {
        seconds(self.1)
    }

    fn size(&self) -> usize {
        10
    }
}

fn seconds(seconds: f64) -> UtcTime {
    UtcTime::from_unix_milliseconds((seconds * 1000.0) as i64).expect("a time")
}

const RULES: WindowRules =
    WindowRules { max_events: 5, max_events_all_partitions: None, max_bytes: 1000, span: Duration::from_secs(300) };

fn show(closed: impl IntoIterator<Item = Closed<At>>) -> String {
    let show = |closed: Closed<At>| {
        let numbers: Vec<_> = closed.events.iter().map(|event| event.0.to_string()).collect();
        format!("{:?} [{}]", closed.why, numbers.join(" "))
    };
    closed.into_iter().map(show).collect::<Vec<_>>().join(", ")
}

/// What events, enqueued at these seconds and numbered from 0, close.
fn push(window: &mut Window<At>, times: &[f64], limit: usize) -> String {
    let first = window.len() as i64;
    let events = times.iter().enumerate().map(|(index, time)| At(first + index as i64, *time));
    show(events.flat_map(|event| window.push(event, Duration::ZERO, limit)).collect::<Vec<_>>())
}

/// fhir-conversion.md 13.4.
#[test]
fn closes_by_the_time_of_enqueuing_as_the_reference_connector_does() {
    let cases: [(&[f64], &str, f64); 6] = [
        (&[0.0], "", 300.0),
        (&[0.0, 300.0], "", 300.0),
        (&[0.0, 300.001], "Time [0]", 600.0),
        (&[0.0, 901.0], "Time [0]", 1200.0),
        (&[0.0, 600.0], "Time [0]", 900.0),
        (&[0.0, 1.0, 2.0, 3.0, 4.0], "Count [0 1 2 3 4]", 300.0),
    ];
    for (times, closed, end) in cases {
        let mut window = Window::new(RULES, None);
        assert_eq!(push(&mut window, times, 5), closed, "{times:?}");
        assert_eq!(window.end(), Some(seconds(end)), "{times:?}");
    }
}

#[test]
fn an_idle_window_closes_five_seconds_after_its_end_and_stays() {
    let mut window = Window::new(RULES, None);
    assert_eq!(show(window.idle(seconds(1e9))), "", "nothing was there yet");
    push(&mut window, &[0.0], 5);
    assert_eq!(show(window.idle(seconds(305.0))), "");
    assert_eq!(show(window.idle(seconds(305.1))), "Wait [0]");
    assert_eq!(show(window.idle(seconds(305.1))), "Wait []");
    assert_eq!(window.end(), Some(seconds(300.0)));
    assert_eq!(push(&mut window, &[400.0], 5), "Time []");
    assert_eq!(window.end(), Some(seconds(600.0)));
}

#[test]
fn a_timer_closes_it_a_span_after_its_first_event_arrived() {
    let at = Duration::from_secs;
    let mut window = Window::new(RULES, None);
    assert_eq!(show(window.due(at(1_000_000))), "");
    assert_eq!(show(window.push(At(0, 0.0), at(50), 5)), "");
    assert_eq!(show(window.push(At(1, 1.0), at(90), 5)), "");
    assert_eq!(show(window.due(at(349))), "");
    assert_eq!(show(window.due(at(350))), "Wait [0 1]");
    assert_eq!(show(window.due(at(351))), "");
}

#[test]
fn never_holds_more_bytes_than_it_may() {
    let mut window = Window::new(WindowRules { max_bytes: 25, ..RULES }, None);
    assert_eq!(push(&mut window, &[0.0, 1.0, 2.0], 5), "Bytes [0 1]");
    assert_eq!(window.bytes(), 10);
    // One that is too large by itself is a window by itself.
    let mut window = Window::new(WindowRules { max_bytes: 5, ..RULES }, None);
    assert_eq!(push(&mut window, &[0.0, 1.0], 5), "Bytes [0]");
}

#[test]
fn a_smaller_limit_leaves_the_rest() {
    let mut window = Window::new(RULES, None);
    push(&mut window, &[0.0, 1.0, 2.0], 10);
    assert_eq!(show(window.push(At(3, 3.0), Duration::ZERO, 2)), "Count [0 1]");
    assert_eq!((window.len(), window.bytes()), (2, 20));
    assert_eq!(show(window.stop(Why::Stop)), "Stop [2 3]");
}

/// fhir-conversion.md 13.5.
#[test]
fn shares_a_limit_over_all_partitions_out() {
    let rules = WindowRules { max_events: 300, max_events_all_partitions: Some(1000), ..RULES };
    let limits: Vec<_> = [0, 1, 2, 3, 4, 32].iter().map(|partitions| rules.limit(*partitions)).collect();
    assert_eq!(limits, [1000, 1000, 500, 333, 300, 300]);
    assert_eq!(RULES.limit(1), 5);
}

/// design.md D4: the same windows after a restart.
#[test]
fn a_window_that_was_begun_before_is_cut_where_it_was_cut_then() {
    let times = [0.0, 400.0, 401.0, 402.0, 403.0, 404.0, 405.0, 406.0];
    let mut window = Window::new(RULES, Some(6));
    assert_eq!(push(&mut window, &times[..6], 5), "", "neither time nor count closes it");
    assert_eq!(show(window.idle(seconds(1e9))), "");
    assert_eq!(show(window.due(Duration::from_secs(1_000_000))), "");
    assert_eq!(push(&mut window, &times[6..7], 5), "Resumed [0 1 2 3 4 5 6]");
    assert_eq!(window.end(), Some(seconds(600.0)));
    assert_eq!(show(window.push(At(7, 601.0), Duration::ZERO, 5)), "Time []");
    // Events that the hub lost meanwhile do not keep it open.
    let mut window = Window::new(RULES, Some(6));
    assert_eq!(push(&mut window, &times[..2], 5), "");
    assert_eq!(show(window.push(At(9, 500.0), Duration::ZERO, 5)), "Resumed [0 1]");
    assert_eq!(window.len(), 1);
}
