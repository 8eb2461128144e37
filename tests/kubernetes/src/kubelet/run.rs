//! What the tasks of one pod share: its object, its model, its folder, and how
//! a container's surroundings are made of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::Api;
use serde_json::json;
use tokio::sync::watch;

use super::environment::{Environment, Sources, with_image};
use super::expansion::expand;
use super::fields::Place;
use super::image::Image;
use super::model::{ContainerModel, Ended, Model, State};
use super::objects::Objects;
use super::rights::rights;
use super::sandbox::{Mount, Sandbox};
use super::{Context, RenderError};

/// A pod on this node, also one that has gone.
pub(crate) struct PodRun {
    pub(crate) context: Arc<Context>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) folder: PathBuf,
    pub(crate) place: Place,
    /// The object as it was seen last.
    pub(crate) pod: watch::Sender<Pod>,
    pub(crate) model: watch::Sender<Model>,
    /// What each container's program was started with.
    pub(crate) environments: Mutex<BTreeMap<String, Environment>>,
    /// What the pod refers to, as it was seen last.
    pub(crate) objects: Mutex<Option<Objects>>,
}

impl PodRun {
    pub(crate) fn spec(&self) -> PodSpec {
        self.pod.borrow().spec.clone().unwrap_or_default()
    }

    pub(crate) fn grace(&self) -> Duration {
        let seconds = self.pod.borrow().spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30))
    }

    pub(crate) fn log(&self, container: &str) -> PathBuf {
        self.folder.join(format!("{container}.log"))
    }

    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.folder.join("volumes").join(name)
    }

    /// The surroundings of a container, or why they can't be made yet: reason
    /// and message as a kubelet gives them.
    pub(crate) async fn sandbox(&self, container: &Container) -> Result<Sandbox, (&'static str, String)> {
        let reference = container.image.as_deref().unwrap_or_default();
        let image = self.context.images.find(reference);
        let image = image.ok_or_else(|| ("ImagePullBackOff", format!("Back-off pulling image \"{reference}\"")))?;
        let pod = self.pod.borrow().clone();
        let objects = match Objects::gather(&self.context.client, &pod).await {
            Ok(objects) => lock(&self.objects).insert(objects).clone(),
            // Without the API server, what was there the last time counts.
            Err(error) => lock(&self.objects).clone().ok_or(("CreateContainerConfigError", error.to_string()))?,
        };
        self.render(container, image, &pod, &objects).map_err(|error| ("CreateContainerConfigError", error.to_string()))
    }

    fn render(
        &self,
        container: &Container,
        image: &Image,
        pod: &Pod,
        objects: &Objects,
    ) -> Result<Sandbox, RenderError> {
        let (host, port) = (&self.context.api_server.0, &self.context.api_server.1);
        let sources = Sources { pod, place: &self.place, objects, api_server: (host, port) };
        let given = sources.environment(container)?;
        let rights = rights(&self.spec(), container, image)?;
        let folder = self.folder.join("containers").join(&container.name);
        let variable = |name: &str| given.get(name).map(String::as_str);
        let mut sandbox = Sandbox {
            folder,
            hostname: self.spec().hostname.unwrap_or_else(|| self.name.clone()),
            hosts: self.hosts(),
            mounts: Vec::new(),
            working_dir: container.working_dir.clone().or(image.working_dir.clone()).unwrap_or_else(|| "/".to_owned()),
            environment: Environment::new(),
            command: command(container, image, variable),
            rights,
        };
        if sandbox.command.is_empty() {
            return Err(RenderError::Unsupported("a container without a command whose image has none".to_owned()));
        }
        let home = match sandbox.rights.user {
            0 => "/root",
            65532 => "/home/nonroot",
            _ => "/",
        };
        sandbox.environment = with_image(&given, image, &sandbox.hostname, home);
        let image_files = image.files.iter();
        sandbox.mounts.extend(image_files.map(|(place, source)| Mount {
            source: source.clone(),
            place: place.clone(),
            read_only: true,
        }));
        let message = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
        sandbox.mounts.push(Mount { source: sandbox.termination_message(), place: message.into(), read_only: false });
        for mount in container.volume_mounts.iter().flatten() {
            let mut source = self.volume(&mount.name);
            let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
                (Some(path), _) => path.clone(),
                (None, Some(path)) => expand(path, variable),
                (None, None) => String::new(),
            };
            if !sub_path.is_empty() {
                source.push(sub_path);
                self.make_sub_path(&source)?;
            }
            let read_only = mount.read_only == Some(true) || !self.is_empty_dir(&mount.name);
            sandbox.mounts.push(Mount { source, place: mount.mount_path.clone().into(), read_only });
        }
        Ok(sandbox)
    }

    /// ConfigMaps and the like are mounted read-only whatever the pod says.
    fn is_empty_dir(&self, name: &str) -> bool {
        let spec = self.spec();
        spec.volumes.iter().flatten().any(|volume| volume.name == name && volume.empty_dir.is_some())
    }

    /// A sub-path that is not there becomes a folder.
    fn make_sub_path(&self, path: &std::path::Path) -> Result<(), RenderError> {
        if path.exists() {
            return Ok(());
        }
        std::fs::create_dir_all(path).map_err(|error| RenderError::Unsupported(format!("the sub-path: {error}")))
    }

    /// What its containers find in `/etc/hosts`.
    pub(crate) fn hosts(&self) -> String {
        let mut hosts = format!("127.0.0.1\tlocalhost\n{}\t{}\n", self.place.pod_ip, self.name);
        for alias in self.spec().host_aliases.iter().flatten() {
            let names = alias.hostnames.clone().unwrap_or_default().join("\t");
            hosts.push_str(&format!("{}\t{names}\n", alias.ip));
        }
        for (address, name) in &self.context.hosts {
            hosts.push_str(&format!("{address}\t{name}\n"));
        }
        hosts.push_str(&self.context.names.borrow());
        hosts
    }

    /// True when that is new.
    pub(crate) fn waiting(&self, container: &str, reason: &str, message: &str) -> bool {
        self.change(container, |model| {
            let same = matches!(&model.state, State::Waiting { reason: r, message: m } if r == reason && m == message);
            model.state = State::Waiting { reason: reason.to_owned(), message: message.to_owned() };
            !same
        })
    }

    pub(crate) fn running(&self, container: &Container, sandbox: &Sandbox, pid: u32, since: Timestamp) {
        lock(&self.environments).insert(container.name.clone(), sandbox.environment.clone());
        self.change(&container.name, |model| {
            model.state = State::Running { since };
            model.pid = Some(pid).filter(|pid| *pid > 0);
            true
        });
    }

    /// The start-up probe has passed, or there is none.
    pub(crate) fn started(&self, container: &str, ready: bool) {
        self.change(container, |model| {
            (model.started, model.ready) = (true, ready);
            true
        });
    }

    /// True when that is new.
    pub(crate) fn ready(&self, container: &str, ready: bool) -> bool {
        self.change(container, |model| std::mem::replace(&mut model.ready, ready) != ready)
    }

    pub(crate) fn ended(&self, container: &str, ended: Ended) {
        self.change(container, |model| {
            (model.started, model.ready, model.pid) = (model.sidecar && model.started, false, None);
            model.state = State::Ended(ended);
            true
        });
    }

    /// Waits before it is started again; what ended is the last state then.
    pub(crate) fn back_off(&self, container: &str, message: &str) {
        self.change(container, |model| {
            if let State::Ended(ended) = &model.state {
                model.last = Some(ended.clone());
                model.state = State::Waiting { reason: "CrashLoopBackOff".to_owned(), message: message.to_owned() };
            }
            true
        });
        self.event("Warning", "BackOff", message);
    }

    pub(crate) fn count_restart(&self, container: &str) {
        self.change(container, |model| {
            if model.last.is_some() {
                model.restarts += 1;
            }
            false
        });
    }

    /// Changes a container's model; whoever watches it wakes if that says so.
    fn change(&self, container: &str, change: impl FnOnce(&mut ContainerModel) -> bool) -> bool {
        let mut changed = false;
        self.model.send_if_modified(|model| {
            changed = model.container(container).is_some_and(change);
            changed
        });
        changed
    }

    /// Writes an Event about the pod. That is for whoever looks at it: nothing
    /// waits for it, and one that can't be written is lost.
    pub(crate) fn event(&self, kind: &str, reason: &str, message: &str) {
        let events: Api<k8s_openapi::api::core::v1::Event> =
            Api::namespaced(self.context.client.clone(), &self.namespace);
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let event = serde_json::from_value(json!({
            "metadata": {"generateName": format!("{}.", self.name)},
            "involvedObject": {"kind": "Pod", "apiVersion": "v1", "namespace": self.namespace, "name": self.name, "uid": self.uid},
            "type": kind, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": "kubelet", "host": self.context.node},
        }));
        if let Ok(event) = event {
            tokio::spawn(async move { events.create(&kube::api::PostParams::default(), &event).await.map(drop) });
        }
    }
}

/// Command and arguments of a container over those of its image.
fn command<'v>(container: &Container, image: &Image, value: impl Fn(&str) -> Option<&'v str>) -> Vec<String> {
    let expanded = |words: &[String]| words.iter().map(|word| expand(word, &value)).collect::<Vec<_>>();
    let given = |words: &Option<Vec<String>>| words.as_deref().filter(|words| !words.is_empty()).map(expanded);
    let arguments = given(&container.args);
    match given(&container.command) {
        // A command of its own leaves nothing of the image's arguments.
        Some(command) => command.into_iter().chain(arguments.unwrap_or_default()).collect(),
        None => image.entrypoint.iter().cloned().chain(arguments.unwrap_or_else(|| image.arguments.clone())).collect(),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_arguments_take_the_place_of_the_images() {
        let image = Image::default().entrypoint(["image"]).arguments(["default"]);
        let words = |list: &[&str]| Some(list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let cases = [
            (None, None, "image default"),
            (None, words(&["$(A)"]), "image a"),
            (words(&["own"]), None, "own"),
            (words(&["own"]), words(&["x", "$(B)"]), "own x $(B)"),
        ];
        for (own, args, expected) in cases {
            let container = Container { command: own, args, ..Container::default() };
            let value = |name: &str| (name == "A").then_some("a");
            assert_eq!(command(&container, &image, value).join(" "), expected);
        }
    }
}
