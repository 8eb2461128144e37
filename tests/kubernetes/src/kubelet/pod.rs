//! A pod on this node, from when the scheduler has placed it here until its
//! object has gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::container::{self, Restart, Stop, told};
use super::environment::Sources;
use super::objects::Objects;
use super::run::PodRun;
use super::sandbox::Sandbox;
use super::volumes::{self, Files, Owner, Tokens};

/// How often what is not there yet, or an API server that is away, is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// How often ConfigMaps and Secrets in volumes are looked at again.
const REFRESH: Duration = Duration::from_secs(2);

/// How long before an hour's end a token is asked for anew; a kubelet does it at
/// 80 % of its life.
const TOKEN_REFRESHES: u64 = 1200;

/// Runs a pod to its end.
pub(crate) async fn run(run: Arc<PodRun>) {
    let (stop, stopped) = watch::channel(None);
    let mut beside = JoinSet::new();
    beside.spawn(tell(run.clone(), stop));
    beside.spawn(publish(run.clone()));
    beside.spawn(follow_names(run.clone()));
    Box::pin(work(&run, &mut beside, stopped.clone())).await;
    // Pods that end by themselves stay until somebody deletes them.
    told(&mut stopped.clone()).await;
    beside.shutdown().await;
    delete(&run).await;
}

/// Makes the volumes, runs the containers, returns when all have ended.
async fn work(run: &Arc<PodRun>, beside: &mut JoinSet<()>, mut stop: Stop) {
    let spec = run.spec();
    let restart = Restart::of(spec.restart_policy.as_deref());
    let Some(tokens) = until_volumes(run, &mut stop).await else { return };
    beside.spawn(refresh(run.clone(), tokens));
    // Sidecars outlive the others.
    let (stop_sidecars, sidecars_stopped) = watch::channel(None);
    let mut sidecars = JoinSet::new();
    for container in spec.init_containers.into_iter().flatten() {
        let name = container.name.clone();
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.spawn(container::run(run.clone(), container, Restart::Always, sidecars_stopped.clone()));
            let mut model = run.model.subscribe();
            let started = model.wait_for(|model| model.init_containers.iter().any(|c| c.name == name && c.started));
            tokio::select! {
                _ = started => {}
                () = told(&mut stop) => break,
            }
            continue;
        }
        container::run(run.clone(), container, restart.for_init(), stop.clone()).await;
        if stop.borrow().is_some() || !run.succeeded(&name) {
            break;
        }
    }
    if stop.borrow().is_none() && run.all_init_through() {
        run.model.send_modify(|model| model.initialized = true);
        let mut containers = JoinSet::new();
        for container in spec.containers {
            containers.spawn(container::run(run.clone(), container, restart, stop.clone()));
        }
        while containers.join_next().await.is_some() {}
    }
    let left = stop.borrow().unwrap_or_else(|| run.grace());
    stop_sidecars.send_replace(Some(left));
    while sidecars.join_next().await.is_some() {}
}

/// Waits for the object to be deleted, and tells the containers.
async fn tell(run: Arc<PodRun>, stop: watch::Sender<Option<Duration>>) {
    let mut pods = run.pod.subscribe();
    loop {
        let grace = {
            let pod = pods.borrow_and_update();
            let deleted = pod.metadata.deletion_timestamp.is_some();
            let seconds = pod.metadata.deletion_grace_period_seconds;
            deleted.then(|| Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30)))
        };
        if grace.is_some() && *stop.borrow() != grace {
            run.event("Normal", "Killing", "Stopping the containers");
            stop.send_replace(grace);
        }
        if pods.changed().await.is_err() {
            return;
        }
    }
}

/// Makes the volumes as soon as all that they are made of is there; none when
/// the pod is deleted before that.
async fn until_volumes(run: &Arc<PodRun>, stop: &mut Stop) -> Option<Tokens> {
    let mut said = String::new();
    loop {
        let error = match make_volumes(run).await {
            Ok(tokens) => return Some(tokens),
            Err(error) => error,
        };
        if error != said {
            run.event("Warning", "FailedMount", &error);
            said = error;
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            () = told(stop) => return None,
        }
    }
}

async fn make_volumes(run: &Arc<PodRun>) -> Result<Tokens, String> {
    let client = &run.context.client;
    let pod = run.pod.borrow().clone();
    let tokens = volumes::request_tokens(client, &pod).await.map_err(|error| format!("token: {error}"))?;
    for (name, files) in render(run, &tokens).await? {
        let (folder, owner) = (run.volume(&name), run.owner());
        let made = match files {
            Some(files) => volumes::write(&folder, &files, owner, next_generation()),
            None => volumes::make_empty(&folder, owner),
        };
        made.map_err(|error| format!("volume `{name}`: {error}"))?;
    }
    Ok(tokens)
}

async fn render(run: &Arc<PodRun>, tokens: &Tokens) -> Result<Vec<(String, Option<Files>)>, String> {
    let context = &run.context;
    let pod = run.pod.borrow().clone();
    let objects = Objects::gather(&context.client, &pod).await.map_err(|error| error.to_string())?;
    let api_server = (context.api_server.0.as_str(), context.api_server.1.as_str());
    let sources = Sources { pod: &pod, place: &run.place, objects: &objects, api_server };
    let volumes = run.spec().volumes.unwrap_or_default();
    let files = volumes.iter().map(|volume| {
        let files = sources.volume(volume, tokens, &context.drivers);
        files.map(|files| (volume.name.clone(), files)).map_err(|error| format!("volume `{}`: {error}", volume.name))
    });
    files.collect()
}

/// Brings changes of ConfigMaps, Secrets and labels into the volumes, and new
/// tokens.
async fn refresh(run: Arc<PodRun>, mut tokens: Tokens) {
    // What is there was rendered a moment ago; what differs is written.
    let Ok(mut written) = render(&run, &tokens).await else { return };
    if written.iter().all(|(_, files)| files.is_none()) {
        return;
    }
    for round in 1_u64.. {
        sleep(REFRESH).await;
        if round.is_multiple_of(TOKEN_REFRESHES) {
            let pod = run.pod.borrow().clone();
            tokens = volumes::request_tokens(&run.context.client, &pod).await.unwrap_or(tokens);
        }
        // What can't be read now stays as it is, as with a kubelet.
        let Ok(now) = render(&run, &tokens).await else { continue };
        for ((name, files), (_, before)) in now.iter().zip(&written) {
            if let Some(files) = files.as_ref().filter(|_| files != before)
                && let Err(error) = volumes::write(&run.volume(name), files, run.owner(), next_generation())
            {
                run.event("Warning", "FailedMount", &format!("volume `{name}`: {error}"));
            }
        }
        written = now;
    }
}

/// Tells running programs of Services that come and go.
async fn follow_names(run: Arc<PodRun>) {
    let mut names = run.context.names.clone();
    while names.changed().await.is_ok() {
        names.borrow_and_update();
        let hosts = run.hosts();
        let model = run.model.borrow().clone();
        for container in model.init_containers.iter().chain(&model.containers) {
            let file = Sandbox::hosts_of(&run.folder.join("containers").join(&container.name));
            // One that has not been started finds them then.
            if file.exists()
                && let Err(error) = std::fs::write(&file, &hosts)
            {
                run.event("Warning", "FailedHosts", &error.to_string());
            }
        }
    }
}

fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Writes the status whenever the model changes.
async fn publish(run: Arc<PodRun>) {
    let mut model = run.model.subscribe();
    model.mark_changed();
    while model.changed().await.is_ok() {
        model.borrow_and_update();
        while write_status(&run).await.is_err() {
            sleep(RETRY).await;
        }
    }
}

/// Gives no error for a pod that has gone.
async fn write_status(run: &PodRun) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(run.context.client.clone(), &run.namespace);
    let mut status = run.model.borrow().status(&run.pod.borrow(), &run.place);
    // Never that of another pod of this name.
    status["metadata"] = serde_json::json!({"uid": run.uid});
    match pods.patch_status(&run.name, &PatchParams::default(), &Patch::Strategic(status)).await {
        Ok(pod) => {
            run.pod.send_if_modified(|seen| {
                // Its conditions are what the next patch compares with.
                if seen.uid() == pod.uid() {
                    seen.status = pod.status;
                }
                false
            });
            Ok(())
        }
        Err(kube::Error::Api(error)) if error.code == 404 || error.code == 409 || error.code == 422 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Says how all ended, and takes the object away.
async fn delete(run: &PodRun) {
    let pods: Api<Pod> = Api::namespaced(run.context.client.clone(), &run.namespace);
    let parameters = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(run.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    loop {
        if write_status(run).await.is_ok() {
            match pods.delete(&run.name, &parameters).await {
                Err(kube::Error::Api(error)) if error.code == 404 || error.code == 409 => return,
                Ok(_) => return,
                Err(_) => {}
            }
        }
        sleep(RETRY).await;
    }
}

impl PodRun {
    /// Whom its files belong to: a user only when all containers run as the same.
    fn owner(&self) -> Owner {
        let spec = self.spec();
        let pod = spec.security_context.clone().unwrap_or_default();
        let id = |id: Option<i64>| id.and_then(|id| u32::try_from(id).ok());
        let users = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let users = users.map(|c| id(c.security_context.as_ref().and_then(|own| own.run_as_user).or(pod.run_as_user)));
        let users: Vec<Option<u32>> = users.collect();
        let same = users.iter().all(|user| user == &users[0]);
        Owner { user: users.first().copied().flatten().filter(|_| same), group: id(pod.fs_group) }
    }

    fn succeeded(&self, container: &str) -> bool {
        let mut model = self.model.borrow().clone();
        model
            .container(container)
            .is_some_and(|c| matches!(&c.state, super::model::State::Ended(ended) if ended.code == 0))
    }

    fn all_init_through(&self) -> bool {
        let model = self.model.borrow().clone();
        model.init_containers.iter().all(|c| if c.sidecar { c.started } else { self.succeeded(&c.name) })
    }
}

/// A folder that only we may enter.
pub(crate) fn make_folder(run: &PodRun) -> io::Result<()> {
    std::fs::create_dir_all(run.folder.join("containers"))?;
    for container in &run.model.borrow().init_containers {
        std::fs::create_dir_all(run.folder.join("containers").join(&container.name))?;
    }
    for container in &run.model.borrow().containers {
        std::fs::create_dir_all(run.folder.join("containers").join(&container.name))?;
    }
    Ok(())
}
