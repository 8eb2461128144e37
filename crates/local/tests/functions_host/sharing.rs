//! Partitions that several hosts share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use local::functions_host::{FunctionsHost, FunctionsHostConfig, PartitionKey, Sharing};
use serde_json::json;
use tokio::sync::watch;

use crate::app::{App, function_json};

/// The partitions that the test gives to a host.
#[derive(Debug)]
struct Given {
    terms: watch::Sender<HashMap<String, usize>>,
    /// What was given out for each, to take it away again.
    lost: Mutex<HashMap<String, watch::Sender<bool>>>,
}

impl Given {
    fn new() -> Arc<Given> {
        Arc::new(Given { terms: watch::channel(HashMap::new()).0, lost: Mutex::default() })
    }

    fn give(&self, partition: &str) {
        self.terms.send_modify(|terms| *terms.entry(partition.to_owned()).or_default() += 1);
    }

    fn take(&self, partition: &str) {
        let lost = self.lost.lock().expect("no panic").remove(partition).expect("it is the host's");
        lost.send_replace(true);
    }
}

impl Sharing for Given {
    fn own(&self, key: &PartitionKey) -> BoxFuture<'_, watch::Receiver<bool>> {
        let partition = key.partition.clone();
        let mut terms = self.terms.subscribe();
        let owning = async move {
            let given = |terms: &HashMap<String, usize>| terms.get(&partition).is_some_and(|left| *left > 0);
            terms.wait_for(given).await.expect("the test holds the sender");
            self.terms.send_modify(|terms| *terms.entry(partition.clone()).or_default() -= 1);
            let (lose, lost) = watch::channel(false);
            self.lost.lock().expect("no panic").insert(partition.clone(), lose);
            lost
        };
        owning.boxed()
    }
}

#[tokio::test]
async fn a_partition_is_read_while_it_is_the_hosts_and_goes_on_at_the_stored_checkpoint() {
    let mut app = App::new(function_json(json!(null))).await;
    let given = Given::new();
    let config = FunctionsHostConfig { sharing: Some(given.clone()), ..app.config() };
    app.source.add(0, &["a"]);
    app.source.add(1, &["b"]);
    let host = FunctionsHost::start_with_source(config, Arc::new(app.source.clone())).await.unwrap();
    app.control.started().await;
    given.give("1");
    // Of the two partitions only the one that is ours.
    let call = app.control.call().await;
    assert_eq!(call.events(), ["b"]);
    call.succeed();
    assert_eq!(app.checkpoint().await, ("1".to_owned(), 0));

    // Lost in the middle of an invocation: no checkpoint, and the next owner gets it again.
    app.source.add(1, &["c"]);
    let call = app.control.call().await;
    assert_eq!(call.events(), ["c"]);
    given.take("1");
    call.succeed();
    given.give("1");
    let again = app.control.call().await;
    assert_eq!((again.events(), app.has_checkpoint()), (vec!["c".to_owned()], false));
    again.succeed();
    assert_eq!(app.checkpoint().await, ("1".to_owned(), 1));
    host.stop().await;
}
