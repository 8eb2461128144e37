//! A blob container, opened with a SAS or a credential.

use std::future::Future;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, StatusCode, Transport, Url};
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};

use crate::credentials::CredentialSettings;

/// How often the SDK tries again, with growing pauses, some seconds in all: a
/// batch is tried again anyway, and a person at a terminal waits no minute.
const TRIES_AGAIN: u32 = 4;

/// Opens a container. A container with a SAS in its URL needs no credential,
/// and must not be given one. Nothing is asked of the storage yet.
pub fn open_container(url: &Url, credential: &CredentialSettings) -> azure_core::Result<BlobContainerClient> {
    open_container_over(url, credential, None)
}

/// The same over a transport of the caller's.
pub(crate) fn open_container_over(
    url: &Url,
    credential: &CredentialSettings,
    transport: Option<Transport>,
) -> azure_core::Result<BlobContainerClient> {
    let credential = match url.query() {
        Some(_) => None,
        None => Some(credential.credential()?),
    };
    let retry = ExponentialRetryOptions { max_retries: TRIES_AGAIN, ..ExponentialRetryOptions::default() };
    let client_options =
        ClientOptions { retry: RetryOptions::exponential(retry), transport, ..ClientOptions::default() };
    let options = BlobContainerClientOptions { client_options, ..BlobContainerClientOptions::default() };
    BlobContainerClient::new(url.clone(), credential, Some(options))
}

/// Does what needs the container, which is made when it turns out not to be
/// there.
pub(crate) async fn in_container<T, F>(
    container: &BlobContainerClient,
    mut attempt: impl FnMut() -> F,
) -> azure_core::Result<T>
where
    F: Future<Output = azure_core::Result<T>>,
{
    match attempt().await {
        Err(error) if is_code(&error, "ContainerNotFound") => {
            make(container).await?;
            attempt().await
        }
        done => done,
    }
}

/// Makes a container; that it is there already is fine, for another may be
/// faster.
pub(crate) async fn make(container: &BlobContainerClient) -> azure_core::Result<()> {
    match container.create(None).await {
        Err(error) if is_code(&error, "ContainerAlreadyExists") => Ok(()),
        made => made.map(|_| ()),
    }
}

/// Whether the storage said no with this code.
fn is_code(error: &azure_core::Error, code: &str) -> bool {
    matches!(error.kind(), ErrorKind::HttpResponse { error_code: Some(said), .. } if said == code)
}

/// How long one request may take, the SDK's tries included.
const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(60);

/// Waits for one request, no longer than [`REQUEST_TIME_LIMIT`].
pub(crate) async fn within<T>(request: impl Future<Output = azure_core::Result<T>>) -> Result<T, StorageError> {
    match tokio::time::timeout(REQUEST_TIME_LIMIT, request).await {
        Ok(done) => done.map_err(StorageError::from),
        Err(_) => Err(StorageError {
            status: None,
            code: None,
            text: format!("no answer within {} s", REQUEST_TIME_LIMIT.as_secs()),
        }),
    }
}

/// What the storage or the way to it said no with. Its text holds no SAS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct StorageError {
    /// The status of the answer, if there was one.
    pub status: Option<StatusCode>,
    /// The storage's code, such as `BlobNotFound`.
    pub code: Option<String>,
    text: String,
}

impl From<azure_core::Error> for StorageError {
    fn from(error: azure_core::Error) -> StorageError {
        let (status, code) = match error.kind() {
            ErrorKind::HttpResponse { status, error_code, .. } => (Some(*status), error_code.clone()),
            _ => (None, None),
        };
        let text = match (status, &code) {
            // The answer's text repeats what was asked for, in several lines.
            (Some(status), Some(code)) => format!("status {}, {code}", u16::from(status)),
            (Some(status), None) => format!("status {}", u16::from(status)),
            // Of what failed on the way, an address can be part.
            _ => match error.kind() {
                ErrorKind::Credential => "no token for the storage could be got".to_owned(),
                ErrorKind::Connection | ErrorKind::Io => "the storage cannot be reached".to_owned(),
                ErrorKind::DataConversion => "the storage gave an answer that cannot be read".to_owned(),
                _ => "the storage cannot be asked".to_owned(),
            },
        };
        StorageError { status, code, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_no_address() {
        let error = azure_core::Error::with_message(ErrorKind::Io, "http://h/c?sig=s3cret");
        assert_eq!(StorageError::from(error).to_string(), "the storage cannot be reached");
    }

    #[test]
    fn a_sas_needs_no_credential_and_gets_none() {
        let credential = CredentialSettings::Development;
        let open = |url: &str| open_container(&Url::parse(url).expect("an address"), &credential).is_ok();
        // The SDK lets a token only go over https.
        assert!(open("http://127.0.0.1:1/c?sig=1") && open("https://h/c") && !open("http://127.0.0.1:1/c"));
    }
}
