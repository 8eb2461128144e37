//! Talks to the cluster, found as kubectl finds it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use custom_resources::Fhir;
use custom_resources::error_text::error_text;
use futures::{StreamExt, TryStreamExt};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Config, ResourceExt};
use tokio::time::timeout;

/// Who writes the fields of the spec.
const FIELD_MANAGER: &str = "iotc";
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(20);

/// Which cluster.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which cluster (without these, as kubectl would)")]
pub struct ClusterArguments {
    /// The namespace.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The kubeconfig.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// The FHIR servers of a namespace.
pub struct Cluster {
    servers: Api<Fhir>,
}

impl Cluster {
    /// Reads the kubeconfig. `namespace` is what a file says.
    pub async fn connect(arguments: &ClusterArguments, namespace: Option<String>) -> anyhow::Result<Cluster> {
        let config = config(arguments).await.context("there is no cluster to talk to")?;
        if let (Some(one), Some(other)) = (&arguments.namespace, &namespace)
            && one != other
        {
            bail!("the file is for the namespace `{other}`, and --namespace says `{one}`");
        }
        let namespace = arguments.namespace.clone().or(namespace).unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("there is no cluster to talk to")?;
        Ok(Cluster { servers: Api::namespaced(client, &namespace) })
    }

    /// Makes a FHIR server be as said. What somebody else set in its spec and
    /// this does not mention stays.
    pub async fn apply(&self, fhir: &Fhir) -> anyhow::Result<Fhir> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let name = fhir.name_any();
        in_time(self.servers.patch(&name, &parameters, &Patch::Apply(fhir))).await
    }

    /// The FHIR server of that name.
    pub async fn get(&self, name: &str) -> anyhow::Result<Option<Fhir>> {
        in_time(self.servers.get_opt(name)).await
    }

    /// Waits until what was applied runs. After `limit`, or as soon as the chart
    /// refuses it, gives it as it is instead.
    pub async fn wait_until_ready(&self, applied: &Fhir, limit: Duration) -> anyhow::Result<Result<Fhir, Fhir>> {
        let (name, generation) = (applied.name_any(), applied.metadata.generation);
        let ended = async {
            let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let mut changes = watcher(self.servers.clone(), config).default_backoff().applied_objects().boxed();
            loop {
                // Interrupted watches begin anew.
                let Ok(Some(fhir)) = changes.try_next().await else { continue };
                let is_seen = fhir.status.as_ref().is_some_and(|status| status.observed_generation >= generation);
                if is_seen && (is_ready(&fhir) || is_refused(&fhir)) {
                    return fhir;
                }
            }
        };
        match timeout(limit, ended).await {
            Ok(fhir) if is_ready(&fhir) => Ok(Ok(fhir)),
            Ok(fhir) => Ok(Err(fhir)),
            Err(_) => Ok(Err(self.get(&name).await?.with_context(|| format!("fhir `{name}` was deleted"))?)),
        }
    }

    /// Deletes a FHIR server. With a limit waits until what was made for it is
    /// gone too.
    pub async fn delete(&self, name: &str, limit: Option<Duration>) -> anyhow::Result<()> {
        let Some(fhir) = self.get(name).await? else { bail!("there is no fhir `{name}`") };
        // Foreground: it stays until its objects have gone.
        let parameters = DeleteParams::foreground();
        in_time(self.servers.delete(name, &parameters)).await?;
        let Some(limit) = limit else { return Ok(()) };
        let uid = fhir.uid().unwrap_or_default();
        let gone = kube::runtime::wait::await_condition(
            self.servers.clone(),
            name,
            kube::runtime::conditions::is_deleted(&uid),
        );
        match timeout(limit, gone).await {
            Ok(done) => done.map(|_| ()).context("cannot see whether it is gone"),
            Err(_) => bail!("`{name}` is still there after {} s", limit.as_secs()),
        }
    }
}

async fn config(arguments: &ClusterArguments) -> anyhow::Result<Config> {
    if arguments.kubeconfig.is_none() && arguments.context.is_none() {
        return Ok(Config::infer().await?);
    }
    let kubeconfig = match &arguments.kubeconfig {
        Some(file) => Kubeconfig::read_from(file)?,
        None => Kubeconfig::read()?,
    };
    let options = KubeConfigOptions { context: arguments.context.clone(), ..KubeConfigOptions::default() };
    Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?)
}

/// Whether the operator says that it runs, of what it is now.
pub fn is_ready(fhir: &Fhir) -> bool {
    let Some(status) = &fhir.status else { return false };
    let is_current = status.observed_generation >= fhir.metadata.generation;
    is_current && has(fhir, "Ready", "True")
}

/// Whether waiting is in vain: only another spec would help.
pub fn is_refused(fhir: &Fhir) -> bool {
    has(fhir, "Rendered", "False")
}

fn has(fhir: &Fhir, kind: &str, value: &str) -> bool {
    let conditions = fhir.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == kind && condition.status == value)
}

/// The API server's own words, or that it did not answer.
async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
    match timeout(REQUEST, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 && status.details.is_none() => {
            bail!("the cluster does not know the resource Fhir: install helm/platform first")
        }
        Ok(Err(error)) => bail!("{}", error_text(&error)),
        Err(_) => bail!("the API server did not answer within {} s", REQUEST.as_secs()),
    }
}
