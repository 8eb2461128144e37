//! What stands between a Service and its pods on every node: a listener on each
//! cluster IP, and names, since there is no DNS.
//!
//! ```text
//! Services, EndpointSlices --> listeners on cluster IPs --> a ready pod
//!                         \--> NAME.NAMESPACE.svc in /etc/hosts
//! ```
//!
//! TCP only. A Service without a cluster IP has its pods' addresses under its
//! name.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::run::lock;

/// The label by which a slice belongs to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// When a port can't be listened on, or a connection can't be taken.
const RETRY: Duration = Duration::from_millis(200);

/// Namespace and name.
type Key = (String, String);

/// Where connections to an address go. Empty: nobody is ready.
type Targets = Arc<Mutex<BTreeMap<SocketAddr, Vec<SocketAddr>>>>;

/// What was seen.
#[derive(Default)]
struct Seen {
    services: BTreeMap<Key, Service>,
    slices: BTreeMap<Key, EndpointSlice>,
}

/// Follows Services and slices, and writes the names of Services. Never ends by
/// itself.
pub(crate) async fn run(client: Client, api_server: SocketAddr, names: watch::Sender<String>) {
    let services = watcher(Api::<Service>::all(client.clone()), watcher::Config::default());
    let slices = watcher(Api::<EndpointSlice>::all(client), watcher::Config::default());
    let mut services = std::pin::pin!(services.default_backoff());
    let mut slices = std::pin::pin!(slices.default_backoff());
    let mut seen = Seen::default();
    let targets = Targets::default();
    let mut listeners: BTreeMap<SocketAddr, JoinSet<()>> = BTreeMap::new();
    loop {
        tokio::select! {
            event = services.next() => keep(&mut seen.services, event),
            event = slices.next() => keep(&mut seen.slices, event),
        }
        let table = seen.table(api_server);
        listeners.retain(|address, _| table.contains_key(address));
        for address in table.keys() {
            listeners.entry(*address).or_insert_with(|| {
                let mut task = JoinSet::new();
                task.spawn(listen(*address, targets.clone()));
                task
            });
        }
        *lock(&targets) = table;
        let lines = seen.names();
        names.send_if_modified(|names| {
            let new = *names != lines;
            *names = lines;
            new
        });
    }
}

/// Passes over an error: the watcher tries again by itself.
fn keep<K: Resource>(objects: &mut BTreeMap<Key, K>, event: Option<watcher::Result<watcher::Event<K>>>) {
    let Some(Ok(event)) = event else { return };
    let key = |object: &K| (object.namespace().unwrap_or_default(), object.name_any());
    match event {
        watcher::Event::Init => objects.clear(),
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => drop(objects.insert(key(&object), object)),
        watcher::Event::Delete(object) => drop(objects.remove(&key(&object))),
        watcher::Event::InitDone => {}
    }
}

async fn listen(address: SocketAddr, targets: Targets) {
    let next = AtomicUsize::new(0);
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => sleep(RETRY).await,
        }
    };
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut connection, _)) = listener.accept().await else {
            sleep(RETRY).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let ready = lock(&targets).get(&address).cloned().unwrap_or_default();
        // Nobody is ready: the connection ends, as it does without us.
        let Some(target) = ready.get(next.fetch_add(1, Ordering::Relaxed) % ready.len().max(1)).copied() else {
            continue;
        };
        connections.spawn(async move {
            if let Ok(mut pod) = TcpStream::connect(target).await {
                // A connection that breaks off ends both halves.
                let _ = tokio::io::copy_bidirectional(&mut connection, &mut pod).await;
            }
        });
    }
}

impl Seen {
    fn table(&self, api_server: SocketAddr) -> BTreeMap<SocketAddr, Vec<SocketAddr>> {
        let mut table = BTreeMap::new();
        for (key, service) in &self.services {
            let Some(spec) = &service.spec else { continue };
            let Some(ip) = cluster_ip(service) else { continue };
            for port in spec.ports.iter().flatten() {
                let Ok(number) = u16::try_from(port.port) else { continue };
                let targets = if key.0 == "default" && key.1 == "kubernetes" {
                    vec![api_server]
                } else {
                    self.ready(key, port.name.as_deref().unwrap_or_default())
                };
                table.insert(SocketAddr::new(ip, number), targets);
            }
        }
        table
    }

    /// The ready pods of a Service, at the port of this name.
    fn ready(&self, service: &Key, port_name: &str) -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for slice in self.slices_of(service) {
            let ports = slice.ports.iter().flatten();
            let mut ports = ports.filter(|port| port.name.as_deref().unwrap_or_default() == port_name);
            let Some(port) = ports.next().and_then(|port| u16::try_from(port.port?).ok()) else { continue };
            all.extend(addresses(slice).map(|ip| SocketAddr::new(ip, port)));
        }
        all
    }

    fn slices_of<'s>(&'s self, service: &'s Key) -> impl Iterator<Item = &'s EndpointSlice> {
        let belongs = |key: &Key, slice: &EndpointSlice| {
            key.0 == service.0 && slice.labels().get(SERVICE_NAME) == Some(&service.1)
        };
        self.slices.iter().filter(move |(key, slice)| belongs(key, slice)).map(|(_, slice)| slice)
    }

    /// Lines for `/etc/hosts`.
    fn names(&self) -> String {
        let mut lines = String::new();
        for (key, service) in &self.services {
            let (namespace, name) = key;
            let ips: Vec<IpAddr> = match cluster_ip(service) {
                Some(ip) => vec![ip],
                None => self.slices_of(key).flat_map(addresses).collect(),
            };
            for ip in ips {
                // Writing to a string does not fail.
                let _ = writeln!(
                    lines,
                    "{ip}\t{name}.{namespace}.svc.cluster.local {name}.{namespace}.svc {name}.{namespace}"
                );
            }
        }
        lines
    }
}

fn cluster_ip(service: &Service) -> Option<IpAddr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}

fn addresses(slice: &EndpointSlice) -> impl Iterator<Item = IpAddr> {
    let ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
    };
    slice
        .endpoints
        .iter()
        .flatten()
        .filter(ready)
        .flat_map(|endpoint| endpoint.addresses.iter().filter_map(|ip| ip.parse().ok()))
}
