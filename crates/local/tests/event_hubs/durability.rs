//! What was accepted is there after `kill -9`, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use local::event_hubs::client::{Client, NewEvent};

use crate::stand_in::{StandIn, receive_from_start, text};

/// Sends numbered events one by one until the stand-in is gone; counts those accepted.
async fn send_until_killed(address: String, from: usize, accepted: Arc<AtomicUsize>) {
    let mut client = Client::connect(&address, "one").await.unwrap();
    let mut sender = client.sender(None).await.unwrap();
    for number in from.. {
        let event = NewEvent::new(number.to_string());
        match sender.send(&[event], None).await {
            Ok(()) => accepted.store(number + 1, Ordering::SeqCst),
            Err(error) => {
                assert!(error.is_away(), "{error}");
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_and_doubles_nothing_that_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut stand_in = StandIn::start(folder.path());
    let accepted = Arc::new(AtomicUsize::new(0));
    let mut stored = 0;
    for round in 1..=4 {
        let sending = tokio::spawn(send_until_killed(stand_in.address.clone(), stored, accepted.clone()));
        while accepted.load(Ordering::SeqCst) < stored + 10 * round {
            tokio::task::yield_now().await;
        }
        stand_in.kill_and_restart(folder.path());
        sending.await.unwrap();

        let mut client = stand_in.client("one").await;
        stored = client.event_count().await.unwrap() as usize;
        let accepted = accepted.load(Ordering::SeqCst);
        // The one that was on its way may be stored without having been accepted.
        assert!(stored == accepted || stored == accepted + 1, "{accepted} accepted, {stored} stored");
        let events = receive_from_start(&mut client, "0", stored).await;
        let texts: Vec<String> = events.iter().map(text).collect();
        assert_eq!(texts, (0..stored).map(|number| number.to_string()).collect::<Vec<_>>());
        let numbers: Vec<i64> = events.iter().map(|event| event.sequence_number).collect();
        assert_eq!(numbers, (0..stored as i64).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_write_that_a_crash_cut_short_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut stand_in = StandIn::start(folder.path());
    let mut client = stand_in.client("one").await;
    let mut sender = client.sender(None).await.unwrap();
    sender.send(&[NewEvent::new("kept"), NewEvent::new("torn")], None).await.unwrap();
    let before = receive_from_start(&mut client, "0", 2).await;

    // The file ends in the middle of the second record, as a power cut leaves it.
    let path = folder.path().join("one/0.log");
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
    stand_in.kill_and_restart(folder.path());

    let mut client = stand_in.client("one").await;
    assert_eq!(client.event_count().await.unwrap(), 1);
    client.sender(None).await.unwrap().send(&[NewEvent::new("next")], None).await.unwrap();
    let after = receive_from_start(&mut client, "0", 2).await;
    assert_eq!(after[0], before[0]);
    assert_eq!((text(&after[1]), after[1].sequence_number), ("next".to_owned(), 1));
}

#[tokio::test]
async fn a_state_folder_serves_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let _stand_in = StandIn::start(folder.path());
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_event-hubs"))
        .args(["127.0.0.1:0", folder.path().to_str().unwrap(), "one:1"])
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("another process uses the state folder"), "{said}");
}
