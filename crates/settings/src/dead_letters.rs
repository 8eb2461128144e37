//! Where dead letters go: a folder, a blob container or a hub (docs/dead-letters.md).

use std::fmt;
use std::path::PathBuf;

use azure::{CredentialSettings, DeadLetterBlobs, DeadLetterHub, HubConfig};
use delivery::{Away, DeadLetter, DeadLetters};
use folder::DeadLetterFolder;
use serde::Deserialize;
use url::Url;

use crate::function::credential;
use crate::hub::{HubTexts, producer};
use crate::{Checks, NamedHub, non_blank};

const FOLDER: &str = "DeadLetters__Folder";
const CONTAINER: &str = "DeadLetters__BlobStorageContainerUri";
const HUB: &str = "DeadLetters__EventHubName";

/// The settings as they are; flatten this into a binary's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct DeadLetterSettings {
    #[serde(rename = "deadletters__folder")]
    folder: Option<String>,
    #[serde(rename = "deadletters__blobstoragecontaineruri")]
    container: Option<String>,
    #[serde(rename = "deadletters__authenticationtype")]
    authentication: Option<String>,
    #[serde(rename = "deadletters__eventhubnamespacefqdn")]
    namespace: Option<String>,
    #[serde(rename = "deadletters__eventhubname")]
    hub: Option<String>,
    #[serde(rename = "deadletters__customendpoint")]
    custom_endpoint: Option<String>,
}

/// The one place where dead letters go.
#[derive(Debug)]
pub enum EitherDeadLetters {
    /// A folder of the machine.
    Folder(DeadLetterFolder),
    /// A blob container.
    Blobs(DeadLetterBlobs),
    /// A hub.
    Hub(Box<DeadLetterHub>),
}

impl DeadLetters for EitherDeadLetters {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        match self {
            EitherDeadLetters::Folder(folder) => folder.record(letters).await,
            EitherDeadLetters::Blobs(blobs) => blobs.record(letters).await,
            EitherDeadLetters::Hub(hub) => hub.record(letters).await,
        }
    }
}

/// The one place that the settings name, not opened yet.
#[derive(Clone)]
pub enum DeadLetterPlace {
    /// A folder of the machine.
    Folder(PathBuf),
    /// A blob container.
    Container(Url, CredentialSettings),
    /// A hub.
    Hub(Box<HubConfig>, CredentialSettings),
}

/// Without the address of the container: it may carry a SAS.
impl fmt::Debug for DeadLetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeadLetterPlace::Folder(_) => "Folder",
            DeadLetterPlace::Container(..) => "Container",
            DeadLetterPlace::Hub(..) => "Hub",
        })
    }
}

impl DeadLetterSettings {
    /// The name of the hub, when they go to one.
    pub fn named(&self) -> Option<NamedHub> {
        NamedHub::new("DeadLetters", self.namespace.clone(), self.hub.clone())
    }

    /// The one place that is given, to be written to; none when a problem was
    /// found.
    pub fn check(self, client_id: &Option<String>, checks: &mut Checks) -> Option<EitherDeadLetters> {
        match self.place(client_id, checks)? {
            DeadLetterPlace::Folder(folder) => Some(EitherDeadLetters::Folder(DeadLetterFolder::new(folder))),
            DeadLetterPlace::Container(container, credential) => {
                let blobs = DeadLetterBlobs::new(&container, &credential);
                if let Err(error) = &blobs {
                    checks.problem(format!("`{CONTAINER}` cannot be used: {error}"));
                }
                blobs.ok().map(EitherDeadLetters::Blobs)
            }
            DeadLetterPlace::Hub(config, credential) => {
                let producer = producer("DeadLetters", *config, &credential, checks);
                producer.map(|producer| EitherDeadLetters::Hub(Box::new(DeadLetterHub::new(producer))))
            }
        }
    }

    /// The one place that is given; none when a problem was found.
    pub fn place(self, client_id: &Option<String>, checks: &mut Checks) -> Option<DeadLetterPlace> {
        let hub = HubTexts {
            namespace: self.namespace,
            hub: self.hub,
            authentication: self.authentication.clone(),
            custom_endpoint: self.custom_endpoint,
        };
        let (folder, container) = (non_blank(self.folder), non_blank(self.container));
        let given = [(FOLDER, folder.is_some()), (CONTAINER, container.is_some()), (HUB, hub.is_given())];
        let given: Vec<_> =
            given.into_iter().filter(|(_, given)| *given).map(|(name, _)| format!("`{name}`")).collect();
        if given.is_empty() {
            checks.problem(format!(
                "none of the app settings `{FOLDER}`, `{CONTAINER}` and `{HUB}` is set; expected one"
            ));
            return None;
        }
        if given.len() > 1 {
            checks.problem(format!("the app settings {} are set; expected only one of them", given.join(" and ")));
            return None;
        }
        if let Some(folder) = folder {
            return Some(DeadLetterPlace::Folder(folder.into()));
        }
        if container.is_some() {
            let container = checks.url(CONTAINER, container);
            let credential = credential("DeadLetters__AuthenticationType", self.authentication, client_id, checks);
            return container.map(|container| DeadLetterPlace::Container(container, credential));
        }
        let (config, credential) = hub.check("DeadLetters", "the name of a hub for dead letters", client_id, checks);
        Some(DeadLetterPlace::Hub(Box::new(config), credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<String, String> {
        let raw = crate::read(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let raw: DeadLetterSettings = raw.expect("texts");
        let mut checks = Checks::default();
        let place = raw.check(&None, &mut checks);
        let place = checks.finish(place).map_err(|error| error.to_string())?;
        Ok(match place {
            EitherDeadLetters::Folder(_) => "folder",
            EitherDeadLetters::Blobs(_) => "blobs",
            EitherDeadLetters::Hub(_) => "hub",
        }
        .to_owned())
    }

    const FQDN: (&str, &str) = ("DeadLetters__EventHubNamespaceFQDN", "ns1.servicebus.windows.net");

    #[test]
    fn takes_each_place() {
        assert_eq!(check(&[(FOLDER, "letters"), (CONTAINER, " ")]).as_deref(), Ok("folder"));
        assert_eq!(check(&[(CONTAINER, "http://127.0.0.1:1/a/c?sig=1")]).as_deref(), Ok("blobs"));
        let identity = ("DeadLetters__AuthenticationType", "ManagedIdentity");
        assert_eq!(check(&[(CONTAINER, "https://a.example/c"), identity]).as_deref(), Ok("blobs"));
        assert_eq!(check(&[FQDN, (HUB, "letters")]).as_deref(), Ok("hub"));
    }

    #[test]
    fn takes_exactly_one_place() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (
                &[],
                "none of the app settings `DeadLetters__Folder`, `DeadLetters__BlobStorageContainerUri` and \
                 `DeadLetters__EventHubName` is set; expected one",
            ),
            (
                &[(FOLDER, "letters"), FQDN],
                "the app settings `DeadLetters__Folder` and `DeadLetters__EventHubName` are set; \
                 expected only one of them",
            ),
            (
                &[FQDN],
                "app setting `DeadLetters__EventHubName` is not set; expected the name of a hub for dead letters\n\
                 the settings `DeadLetters__…` cannot be used: the namespace or the hub has no name",
            ),
            (
                &[(CONTAINER, "letters")],
                "app setting `DeadLetters__BlobStorageContainerUri` is `letters`; \
                 expected an absolute URL with http or https",
            ),
            (
                &[(CONTAINER, "https://a.example/c"), ("DeadLetters__AuthenticationType", "Key")],
                "app setting `DeadLetters__AuthenticationType` is `Key`; expected one of \
                 `ManagedIdentity`, `WorkloadIdentity`, `DeveloperTools`, `Development`",
            ),
        ];
        for (pairs, expected) in cases {
            assert_eq!(check(pairs), Err(expected.to_owned()));
        }
    }
}
