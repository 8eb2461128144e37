//! `iotc fhir`: makes, shows and removes FHIR servers of a cluster by hand,
//! over the resource `Fhir`; the operator does the rest.

mod cluster;
mod specification;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use custom_resources::{Fhir, Status};
use serde_json::json;

use self::cluster::{Cluster, ClusterArguments};
use self::specification::SpecificationArguments;
use crate::output;

/// What `iotc fhir` does.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a FHIR server, or change it, and wait until it runs.
    Apply(ApplyArguments),
    /// Say how a FHIR server is.
    Status(StatusArguments),
    /// Remove a FHIR server and all that was made for it.
    Delete(DeleteArguments),
}

/// Arguments of `iotc fhir apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArguments {
    #[command(flatten)]
    specification: SpecificationArguments,
    /// Do not wait until it runs.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Arguments of `iotc fhir status`.
#[derive(Debug, clap::Args)]
pub struct StatusArguments {
    /// Its name.
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Arguments of `iotc fhir delete`.
#[derive(Debug, clap::Args)]
pub struct DeleteArguments {
    /// Its name.
    name: String,
    /// Do not wait until all of it is gone.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Runs one of them. The code is 1 when the server does not run.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Apply(arguments) => apply(arguments).await,
        Command::Status(arguments) => status(arguments).await,
        Command::Delete(arguments) => delete(arguments).await,
    }
}

async fn apply(arguments: ApplyArguments) -> anyhow::Result<ExitCode> {
    let mut fhir = arguments.specification.read()?;
    let cluster = Cluster::connect(&arguments.cluster, fhir.metadata.namespace.take()).await?;
    let applied = cluster.apply(&fhir).await?;
    let name = applied.metadata.name.clone().unwrap_or_default();
    if arguments.no_wait {
        output::print(&format!("fhir `{name}` applied"))?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("waits until `{name}` runs …");
    let limit = Duration::from_secs(arguments.timeout);
    match cluster.wait_until_ready(&applied, limit).await? {
        Ok(fhir) => {
            output::print(&summary(&fhir))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(fhir) => {
            output::print(&summary(&fhir))?;
            if cluster::is_refused(&fhir) {
                bail!("what `{name}` is to be is refused");
            }
            bail!("`{name}` does not run after {} s", arguments.timeout)
        }
    }
}

async fn status(arguments: StatusArguments) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::connect(&arguments.cluster, None).await?;
    let fhir = cluster.get(&arguments.name).await?;
    let fhir = fhir.with_context(|| format!("there is no fhir `{}`", arguments.name))?;
    let is_ready = cluster::is_ready(&fhir);
    if arguments.json {
        let text = json!({
            "name": fhir.metadata.name,
            "namespace": fhir.metadata.namespace,
            "fhirVersion": fhir.spec.fhir_version,
            "ready": is_ready,
            "status": fhir.status,
        });
        output::print(&format!("{text:#}"))?;
    } else {
        output::print(&summary(&fhir))?;
    }
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn delete(arguments: DeleteArguments) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::connect(&arguments.cluster, None).await?;
    let name = &arguments.name;
    let limit = (!arguments.no_wait).then(|| Duration::from_secs(arguments.timeout));
    cluster.delete(name, limit).await?;
    output::print(&format!("fhir `{name}` deleted"))?;
    Ok(ExitCode::SUCCESS)
}

/// Conditions and workloads, a line each.
fn summary(fhir: &Fhir) -> String {
    let mut lines = vec![format!("fhir `{}`", fhir.metadata.name.as_deref().unwrap_or_default())];
    let none = Status::default();
    let status = fhir.status.as_ref().unwrap_or(&none);
    if status.conditions.is_empty() {
        lines.push("  no operator has looked at it yet".to_owned());
    }
    for condition in &status.conditions {
        let mut line = format!("  {:<9} {:<8} {}", condition.type_, condition.status, condition.reason);
        if !condition.message.is_empty() {
            line = format!("{line}: {}", condition.message.replace('\n', " "));
        }
        lines.push(line);
    }
    for workload in &status.workloads {
        let (name, available, replicas) = (&workload.name, workload.available_replicas, workload.replicas);
        lines.push(format!("  deployment `{name}`: {available} of {replicas} available"));
    }
    if let Some(domain) = fhir.spec.ingress.as_ref().filter(|ingress| ingress.enabled).and_then(|i| i.domain.as_ref()) {
        lines.push(format!("  https://{domain}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use custom_resources::FhirSpec;

    use super::*;

    #[test]
    fn sums_up_what_is_known() {
        let mut fhir = Fhir::new("f1", FhirSpec::default());
        assert_eq!(summary(&fhir), "fhir `f1`\n  no operator has looked at it yet");
        let status = json!({
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "WorkloadNotReady", "message": "Deployment `f1`: it waits", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ],
            "workloads": [{"kind": "fhir-server", "name": "f1", "ready": false, "replicas": 2, "availableReplicas": 1}],
        });
        fhir.status = Some(serde_json::from_value(status).unwrap());
        let expected = "fhir `f1`\n  Ready     False    WorkloadNotReady: Deployment `f1`: it waits\n  deployment `f1`: 1 of 2 available";
        assert_eq!(summary(&fhir), expected);
    }
}
