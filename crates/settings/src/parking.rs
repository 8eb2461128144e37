//! Where measurements wait whose Device, Patient or Encounter is not on the
//! FHIR server yet (docs/fhir-servers.md).

use std::time::Duration;

use azure::DeadLetterBlobs;
use delivery::{Away, DeadLetter, Parking, StoredDeadLetter};
use folder::DeadLetterFolder;
use serde::Deserialize;

use crate::dead_letters::EitherDeadLetters;
use crate::function::credential;
use crate::{Checks, non_blank};

const FOLDER: &str = "Parking__Folder";
const CONTAINER: &str = "Parking__BlobStorageContainerUri";

/// A year: whoever wants more does not want to reject at all.
const SECONDS_MAX: u64 = 366 * 86_400;

/// The settings as they are; flatten this into a binary's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ParkingSettings {
    #[serde(rename = "parking__folder")]
    folder: Option<String>,
    #[serde(rename = "parking__blobstoragecontaineruri")]
    container: Option<String>,
    #[serde(rename = "parking__authenticationtype")]
    authentication: Option<String>,
    #[serde(rename = "parking__keepforseconds")]
    keep_for: Option<String>,
    #[serde(rename = "parking__lookagainseconds")]
    look_again: Option<String>,
}

/// Where, and how long.
#[derive(Debug)]
pub struct ParkingOptions {
    /// `Parking__Folder` or `Parking__BlobStorageContainerUri`; none: what is
    /// unknown is rejected at once.
    pub place: Option<EitherParking>,
    /// `Parking__KeepForSeconds`: how long something may be unknown.
    pub keep_for: Duration,
    /// `Parking__LookAgainSeconds`: how often it is looked for.
    pub look_again: Duration,
}

/// The one place where measurements wait.
#[derive(Clone, Debug)]
pub enum EitherParking {
    /// A folder of the machine.
    Folder(DeadLetterFolder),
    /// A blob container.
    Blobs(DeadLetterBlobs),
}

impl Parking for EitherParking {
    async fn park(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        match self {
            EitherParking::Folder(folder) => folder.park(letters).await,
            EitherParking::Blobs(blobs) => blobs.park(letters).await,
        }
    }

    async fn parked(&self) -> Result<Vec<String>, Away> {
        match self {
            EitherParking::Folder(folder) => folder.parked().await,
            EitherParking::Blobs(blobs) => blobs.parked().await,
        }
    }

    async fn read_parked(&self, key: &str) -> Result<Option<StoredDeadLetter>, Away> {
        match self {
            EitherParking::Folder(folder) => folder.read_parked(key).await,
            EitherParking::Blobs(blobs) => blobs.read_parked(key).await,
        }
    }

    async fn remove_parked(&self, key: &str) -> Result<(), Away> {
        match self {
            EitherParking::Folder(folder) => folder.remove_parked(key).await,
            EitherParking::Blobs(blobs) => blobs.remove_parked(key).await,
        }
    }
}

impl ParkingOptions {
    /// What waits must not lie where dead letters lie: those would be looked for
    /// again, and removed.
    pub fn check_apart(&self, dead_letters: &EitherDeadLetters, checks: &mut Checks) {
        let (setting, is_same) = match (&self.place, dead_letters) {
            (Some(EitherParking::Folder(parking)), EitherDeadLetters::Folder(letters)) => {
                (FOLDER, parking.is_same_place(letters))
            }
            (Some(EitherParking::Blobs(parking)), EitherDeadLetters::Blobs(letters)) => {
                (CONTAINER, parking.is_same_place(letters))
            }
            _ => return,
        };
        if is_same {
            checks.problem(format!(
                "app setting `{setting}` is the place of the dead letters; expected one of its own: what is parked is \
                 looked for again and removed"
            ));
        }
    }
}

impl ParkingSettings {
    /// What is given, checked; every problem goes to `checks`.
    pub fn check(self, client_id: &Option<String>, checks: &mut Checks) -> ParkingOptions {
        let keep_for = checks.number("Parking__KeepForSeconds", self.keep_for, 1..=SECONDS_MAX, 86_400);
        let look_again = checks.number("Parking__LookAgainSeconds", self.look_again, 1..=86_400, 60);
        let (folder, container) = (non_blank(self.folder), non_blank(self.container));
        let place = match (folder, container) {
            (Some(_), Some(_)) => {
                checks.problem(format!(
                    "the app settings `{FOLDER}` and `{CONTAINER}` are set; expected only one of them"
                ));
                None
            }
            (Some(folder), None) => Some(EitherParking::Folder(DeadLetterFolder::new(folder))),
            (None, Some(container)) => blobs(container, self.authentication, client_id, checks),
            (None, None) => None,
        };
        ParkingOptions { place, keep_for: Duration::from_secs(keep_for), look_again: Duration::from_secs(look_again) }
    }
}

fn blobs(
    container: String,
    authentication: Option<String>,
    client_id: &Option<String>,
    checks: &mut Checks,
) -> Option<EitherParking> {
    let container = checks.url(CONTAINER, Some(container));
    let credential = credential("Parking__AuthenticationType", authentication, client_id, checks);
    let blobs = DeadLetterBlobs::new(&container?, &credential);
    if let Err(error) = &blobs {
        checks.problem(format!("`{CONTAINER}` cannot be used: {error}"));
    }
    blobs.ok().map(EitherParking::Blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<String, String> {
        let raw = crate::read(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let raw: ParkingSettings = raw.expect("texts");
        let mut checks = Checks::default();
        let options = raw.check(&None, &mut checks);
        let ParkingOptions { place, keep_for, look_again } =
            checks.finish(Some(options)).map_err(|error| error.to_string())?;
        let place = match place {
            None => "nowhere",
            Some(EitherParking::Folder(_)) => "folder",
            Some(EitherParking::Blobs(_)) => "blobs",
        };
        Ok(format!("{place} {} {}", keep_for.as_secs(), look_again.as_secs()))
    }

    #[test]
    fn parks_only_where_it_is_told_to() {
        assert_eq!(check(&[]).as_deref(), Ok("nowhere 86400 60"));
        let times = [("Parking__KeepForSeconds", "7200"), ("Parking__LookAgainSeconds", "5")];
        assert_eq!(check(&[(FOLDER, "parked"), times[0], times[1]]).as_deref(), Ok("folder 7200 5"));
        assert_eq!(check(&[(CONTAINER, "http://127.0.0.1:1/a/c?sig=1")]).as_deref(), Ok("blobs 86400 60"));
    }

    #[test]
    fn says_what_is_wrong() {
        let problems = check(&[(FOLDER, "parked"), (CONTAINER, "http://h/c?sig=1"), ("Parking__KeepForSeconds", "0")]);
        let expected = "app setting `Parking__KeepForSeconds` is `0`; expected a whole number from 1 to 31622400\n\
                        the app settings `Parking__Folder` and `Parking__BlobStorageContainerUri` are set; \
                        expected only one of them";
        assert_eq!(problems, Err(expected.to_owned()));
    }
}
