//! Workers that are killed, and a cloud that says no.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arm::ErrorCode;
use async_trait::async_trait;
use resource_provider::local::{Gate, Moment};
use resource_provider::ports::{ErrorClass, PortError};
use serde_json::json;
use tokio::sync::Notify;

use super::bodies::{CONNECTOR, connector, destination};
use super::provider::{GEN1, NEWEST};
use super::site::{DESTINATION, GEN1_CONNECTOR, Site};

/// What happens at the call that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Whoever calls is killed there.
    Kill,
    /// It fails for good, each time.
    Refuse,
    /// The same, of what removes.
    RefuseRemoval,
    /// From there on everything fails for good, what removes as well.
    RefuseAll,
    /// It fails once, and can be tried again.
    Busy,
    /// Azure takes the id of a role assignment for colliding.
    HashConflict,
}

/// Lets calls through but one, counted from when it is armed.
#[derive(Debug)]
pub struct Trap {
    fault: Fault,
    /// The call that is meant, both moments counted; none before it is armed.
    at: AtomicUsize,
    seen: AtomicUsize,
    is_armed: AtomicBool,
    pub sprung: Notify,
}

impl Trap {
    pub fn new(fault: Fault) -> Arc<Trap> {
        Arc::new(Trap {
            fault,
            at: AtomicUsize::new(usize::MAX),
            seen: AtomicUsize::new(0),
            is_armed: AtomicBool::new(false),
            sprung: Notify::new(),
        })
    }

    pub fn arm(&self, at: usize) {
        self.at.store(at, Ordering::SeqCst);
        self.seen.store(0, Ordering::SeqCst);
        self.is_armed.store(true, Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.is_armed.store(false, Ordering::SeqCst);
    }
}

fn refused(code: ErrorCode, class: ErrorClass) -> Result<(), PortError> {
    Err(PortError { code, class, message: "the test says no".to_owned() })
}

#[async_trait]
impl Gate for Trap {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        if !self.is_armed.load(Ordering::SeqCst) {
            return Ok(());
        }
        if self.fault == Fault::HashConflict {
            let is_first =
                call.starts_with("role ") && moment == Moment::Before && self.seen.fetch_add(1, Ordering::SeqCst) < 2;
            return match is_first {
                true => refused(ErrorCode::HashConflictOnDifferentRoleAssignmentIds, ErrorClass::Permanent),
                false => Ok(()),
            };
        }
        // What undoes is let through: it is the fault that is tried, not a second
        // one; and what has happened cannot be refused.
        if self.fault == Fault::RefuseRemoval && call.starts_with("no ") && moment == Moment::Before {
            return refused(ErrorCode::EventHubProvisioningFailed, ErrorClass::Permanent);
        }
        let is_let_through = match self.fault {
            Fault::Refuse => call.starts_with("no ") || moment == Moment::After,
            Fault::RefuseAll => moment == Moment::After,
            _ => false,
        };
        if is_let_through {
            return Ok(());
        }
        let at = self.at.load(Ordering::SeqCst);
        let seen = self.seen.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Kill if seen == at => {
                self.sprung.notify_one();
                std::future::pending().await
            }
            Fault::Refuse | Fault::RefuseAll if seen >= at => {
                refused(ErrorCode::EventHubProvisioningFailed, ErrorClass::Permanent)
            }
            Fault::Busy if seen == at => {
                refused(ErrorCode::EventHubProvisioningFailed, ErrorClass::Transient { retry_after_seconds: None })
            }
            _ => Ok(()),
        }
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
enum Command {
    CreateConnector,
    CreateDestination,
    ChangeConnector,
    DeleteConnector,
    CreateGen1,
    DeleteGen1,
}

impl Command {
    /// Prepares, and sends the request.
    async fn send(self, site: &Site) -> super::provider::Answered {
        match self {
            Command::CreateConnector => {
                site.with_workspace().await;
                site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201)
            }
            Command::CreateDestination => {
                site.with_connector().await;
                site.provider.put(DESTINATION, NEWEST, &destination()).await.is(201)
            }
            Command::ChangeConnector => {
                site.with_destination().await;
                let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
                site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202)
            }
            Command::DeleteConnector => {
                site.with_destination().await;
                site.provider.delete(CONNECTOR, NEWEST).await.is(202)
            }
            Command::CreateGen1 => site.provider.put(GEN1_CONNECTOR, GEN1, &json!({})).await.is(201),
            Command::DeleteGen1 => {
                site.with_gen1().await;
                site.provider.delete(GEN1_CONNECTOR, GEN1).await.is(202)
            }
        }
    }
}

/// What is there in the end, with nothing random in it.
async fn picture(site: &Site) -> Vec<String> {
    // What a thing is, without the ids in its name, which are random.
    let kind = |name: &String| {
        let name = name.split(['(', '{', '-']).next().unwrap_or_default();
        let words: Vec<&str> = name.split(' ').collect();
        let end = if words[0] == "role" { words.len() } else { 1 };
        words[..end].join(" ")
    };
    let mut lines: Vec<String> = site.cloud.things().keys().map(kind).collect();
    for path in ["workspaces/ws1", CONNECTOR, DESTINATION, GEN1_CONNECTOR] {
        let version = if path == GEN1_CONNECTOR { GEN1 } else { NEWEST };
        let answer = site.provider.get(path, version).await;
        let hub = &answer.body["properties"]["ingestionEndpointConfiguration"]["eventHubName"];
        lines.push(format!("{path}: {} {} {hub}", answer.status.as_u16(), answer.state()));
    }
    lines.push(format!("{} connectors", site.cloud.connector_count()));
    lines
}

/// A test for each command, so that they wait side by side.
macro_rules! each {
    ($check:ident: $($name:ident = $command:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                $check(Command::$command).await;
            }
        )*
    };
}

each!(check_killed:
    a_create_of_a_connector_survives_its_worker = CreateConnector,
    a_create_of_a_destination_survives_its_worker = CreateDestination,
    a_change_of_a_connector_survives_its_worker = ChangeConnector,
    a_delete_of_a_connector_survives_its_worker = DeleteConnector,
    a_create_of_gen1_survives_its_worker = CreateGen1,
    a_delete_of_gen1_survives_its_worker = DeleteGen1,
);

each!(check_refused:
    a_create_of_a_connector_that_fails_is_undone = CreateConnector,
    a_create_of_a_destination_that_fails_is_undone = CreateDestination,
    a_change_of_a_connector_that_fails_is_brought_back = ChangeConnector,
    a_create_of_gen1_that_fails_is_undone = CreateGen1,
);

/// Lets a worker begin, and kills it at a call. Whether it got there.
async fn kill_worker(site: &Site, trap: &Trap, at: usize) -> bool {
    trap.arm(at);
    let worker = site.worker();
    let was_killed = tokio::select! {
        done = worker.work_once() => !done.unwrap(),
        () = trap.sprung.notified() => true,
    };
    trap.disarm();
    was_killed
}

/// The worker is killed before and after every call of a command: another one
/// ends it, and nothing is there twice or left over.
async fn check_killed(command: Command) {
    let site = Site::behind(Trap::new(Fault::Kill)).await;
    let answer = command.send(&site).await;
    assert_eq!(site.done(answer).await["status"], "Succeeded", "{command:?}");
    let expected = picture(&site).await;
    let mut at = 0;
    loop {
        let trap = Trap::new(Fault::Kill);
        let site = Site::behind(trap.clone()).await;
        let answer = command.send(&site).await;
        let was_killed = kill_worker(&site, &trap, at).await;
        let status = site.done_by_another(&answer).await;
        assert_eq!(status["status"], "Succeeded", "{command:?}, call {at}");
        assert_eq!(picture(&site).await, expected, "{command:?}, call {at}");
        if !was_killed {
            break;
        }
        at += 1;
    }
    assert!(at > 3, "{command:?} made {at} calls");
}

/// A call that fails for good: a create leaves nothing but the failed resource, a
/// change leaves what was there before.
async fn check_refused(command: Command) {
    let mut at = 0;
    loop {
        let trap = Trap::new(Fault::Refuse);
        let site = Site::behind(trap.clone()).await;
        let answer = command.send(&site).await;
        let before = picture(&site).await;
        trap.arm(at);
        let worker = site.worker();
        worker.work_once().await.unwrap();
        let is_over = trap.seen.load(Ordering::SeqCst) <= at;
        trap.disarm();
        let status = site.status(&answer).await;
        if is_over {
            assert_eq!(status["status"], "Succeeded", "{command:?}, call {at}");
            break;
        }
        assert_eq!(status["status"], "Failed", "{command:?}, call {at}");
        assert_eq!(status["error"]["code"], "EventHubProvisioningFailed", "{command:?}, call {at}");
        let (path, version, body) = match command {
            Command::CreateDestination => (DESTINATION, NEWEST, destination()),
            Command::CreateGen1 => (GEN1_CONNECTOR, GEN1, json!({})),
            _ => (CONNECTOR, NEWEST, connector()),
        };
        let shown = site.provider.get(path, version).await.is(200);
        assert_eq!(shown.state(), "Failed");
        // What happened is for us, and for no client.
        for told in [&status, &shown.body] {
            let told = told.to_string();
            assert!(!told.contains("the test says no") && !told.contains("internal"), "{told}");
        }
        if matches!(command, Command::ChangeConnector) {
            assert_eq!(shown.body["properties"]["ingestionEndpointConfiguration"]["eventHubName"], "telemetry");
        }
        let things = |picture: &[String]| {
            picture.iter().filter(|line| !line.contains('/') && *line != "place").cloned().collect::<Vec<_>>()
        };
        assert_eq!(things(&picture(&site).await), things(&before), "{command:?}, call {at}");
        // And it works when it is asked for again.
        let again = site.provider.put(path, version, &body).await;
        assert_eq!(site.done(again.is(200)).await["status"], "Succeeded", "{command:?}, call {at}");
        at += 1;
    }
    assert!(at > 2, "{command:?} made {at} calls");
}

/// A create that fails, and what undoes it fails too: that is kept, and the DELETE, or
/// another PUT, does what was left.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_undone_goes_with_the_delete() {
    let nothing = Site::behind(Trap::new(Fault::RefuseAll)).await;
    nothing.with_workspace().await;
    let nothing = nothing.cloud.things().len();
    let (mut at, mut left) = (0, 0);
    loop {
        let trap = Trap::new(Fault::RefuseAll);
        let site = Site::behind(trap.clone()).await;
        let answer = Command::CreateConnector.send(&site).await;
        trap.arm(at);
        site.worker().work_once().await.unwrap();
        let is_over = trap.seen.load(Ordering::SeqCst) <= at;
        trap.disarm();
        if is_over {
            break;
        }
        assert_eq!(site.status(&answer).await["status"], "Failed", "call {at}");
        assert_eq!(site.provider.get(CONNECTOR, NEWEST).await.state(), "Failed", "call {at}");
        left += usize::from(site.cloud.things().len() > nothing);
        if at % 2 == 1 {
            let again = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(200);
            assert_eq!(site.done(again).await["status"], "Succeeded", "call {at}");
        }
        let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
        assert_eq!(site.done(deleted).await["status"], "Succeeded", "call {at}");
        let things = site.cloud.things();
        assert_eq!((things.len(), site.cloud.connector_count()), (nothing, 0), "call {at}: {things:?}");
        at += 1;
    }
    assert!(at > 3 && left > 2, "{at} calls, {left} of which left something");
}

#[tokio::test]
async fn what_is_busy_is_tried_again() {
    let trap = Trap::new(Fault::Busy);
    let site = Site::behind(trap.clone()).await;
    let answer = Command::CreateConnector.send(&site).await;
    trap.arm(2);
    assert_eq!(site.done(answer).await["status"], "Succeeded");
}

#[tokio::test]
async fn a_role_assignment_that_collides_gets_another_id() {
    let trap = Trap::new(Fault::HashConflict);
    let site = Site::behind(trap.clone()).await;
    let answer = Command::CreateConnector.send(&site).await;
    trap.arm(0);
    assert_eq!(site.done(answer).await["status"], "Succeeded");
    trap.arm(0);
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    trap.disarm();
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    let things = site.cloud.things();
    assert_eq!(things.keys().filter(|name| name.starts_with("role EventHubs")).count(), 0, "{things:?}");
}

/// A delete that comes while a create is at any of its calls: the create is
/// stopped, and in the end nothing is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_stops_a_create_wherever_it_is() {
    let mut at = 0;
    loop {
        let trap = Trap::new(Fault::Kill);
        let site = Site::behind(trap.clone()).await;
        let created = Command::CreateConnector.send(&site).await;
        let was_killed = kill_worker(&site, &trap, at).await;
        let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
        assert_eq!(site.done_by_another(&deleted).await["status"], "Succeeded", "call {at}");
        let status = site.status(&created).await;
        let expected = if was_killed { "Canceled" } else { "Succeeded" };
        assert_eq!(status["status"], expected, "call {at}: {status}");
        site.provider.get(CONNECTOR, NEWEST).await.is_error(404, "ResourceNotFound");
        let things = site.cloud.things();
        assert!(!things.keys().any(|name| name.starts_with("hub ") || name.starts_with("namespace ")), "{things:?}");
        assert_eq!(site.cloud.connector_count(), 0);
        if !was_killed {
            break;
        }
        at += 1;
    }
    assert!(at > 3);
}
