//! Who wrote what, and how that ended (resource-provider.md 6.6): a JSON object a
//! line, without bodies, keys and `systemData`.
//!
//! It is not part of the log: who asked belongs into no telemetry
//! (resource-provider.md 2.5).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use super::callers::Caller;

/// How much of a path is written: those of resources have less than half.
const PATH_MAX: usize = 2048;

/// Where it is written.
#[derive(Debug)]
pub struct Audit(Place);

#[derive(Debug)]
enum Place {
    StandardOutput,
    File(Mutex<File>),
}

/// A write.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    method: String,
    /// Without the query.
    path: String,
    /// None for one that was not admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'e> {
    /// Tells these lines from those of the log.
    audit: bool,
    time: String,
    #[serde(flatten)]
    entry: &'e Entry,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'e str>,
    /// Which will say how it went on.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'e str>,
}

impl Entry {
    /// Of a request that is not admitted yet.
    pub fn of(request: &Parts) -> Entry {
        let headers = &request.headers;
        Entry {
            method: request.method.to_string(),
            path: request.uri.path().chars().take(PATH_MAX).collect(),
            caller: None,
            tenant_id: None,
            object_id: None,
            app_id: None,
            principal_name: None,
            correlation_id: text(headers, "x-ms-correlation-request-id"),
            client_request_id: text(headers, "x-ms-client-request-id"),
        }
    }

    /// Of one that is: of the headers only those are left that are believed.
    pub fn by(self, caller: Caller, headers: &HeaderMap) -> Entry {
        let caller = match caller {
            Caller::FrontDoor => "frontDoor".to_owned(),
            Caller::Application(id) => id,
        };
        Entry {
            caller: Some(caller),
            tenant_id: text(headers, "x-ms-client-tenant-id"),
            object_id: text(headers, "x-ms-client-object-id"),
            app_id: text(headers, "x-ms-client-app-id"),
            principal_name: text(headers, "x-ms-client-principal-name"),
            ..self
        }
    }
}

impl Audit {
    /// Writes to a file, at its end; without one to standard output.
    ///
    /// # Errors
    ///
    /// A file that cannot be opened.
    pub fn open(file: Option<&Path>) -> anyhow::Result<Audit> {
        let Some(path) = file else { return Ok(Audit(Place::StandardOutput)) };
        // It has names of people.
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("cannot open the audit log {}", path.display()))?;
        Ok(Audit(Place::File(Mutex::new(file))))
    }

    /// Writes down how a write was answered.
    pub fn write(&self, entry: &Entry, response: &Response) {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let operation = header("azure-asyncoperation").and_then(|url| {
            let path = url.split('?').next().unwrap_or_default();
            path.rsplit('/').next()
        });
        let line = Line {
            audit: true,
            time: Timestamp::now().to_string(),
            entry,
            status: response.status().as_u16(),
            request_id: header("x-ms-request-id"),
            operation,
        };
        let written = serde_json::to_string(&line).map_err(std::io::Error::other).and_then(|line| self.put(&line));
        if let Err(error) = written {
            tracing::error!(%error, "A line of the audit log could not be written");
        }
    }

    fn put(&self, line: &str) -> std::io::Result<()> {
        match &self.0 {
            Place::StandardOutput => writeln!(std::io::stdout().lock(), "{line}"),
            Place::File(file) => writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{line}"),
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
