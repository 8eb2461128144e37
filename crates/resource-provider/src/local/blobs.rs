//! The storage accounts of this machine: folders.
//!
//! ```text
//! ACCOUNTS/<account>/mappings/<blob>          what the functions read, with each batch
//! ACCOUNTS/<account>/positions/<container>/   what they keep
//! ACCOUNTS/<account>/dead-letters/<workload>/ what they have rejected
//! ```
//!
//! Dead letters stay until the account goes: whoever removes a connector may
//! still want to know what it could not use.

use std::path::{Component, Path, PathBuf};

use arm::ErrorCode;
use async_trait::async_trait;

use super::files;
use crate::ports::{Blobs, PortError};

/// The folder of all accounts.
#[derive(Clone, Debug)]
pub struct Accounts(pub PathBuf);

impl Accounts {
    /// The file of a mapping.
    pub fn mapping(&self, account: &str, blob: &str) -> PathBuf {
        self.0.join(account).join("mappings").join(blob)
    }

    /// The folder of a container of positions.
    pub fn positions(&self, account: &str, container: &str) -> PathBuf {
        self.0.join(account).join("positions").join(container)
    }

    /// The folder of what a workload rejects.
    pub fn dead_letters(&self, account: &str, workload: &str) -> PathBuf {
        self.0.join(account).join("dead-letters").join(workload)
    }

    /// Removes an account with all that is in it.
    pub fn remove(&self, account: &str) -> Result<(), PortError> {
        let path = self.0.join(account);
        inside(Path::new(account))?;
        files::remove_folder(&path).map_err(|error| files::failed(&path, &error))
    }
}

/// Names are made here and have no way out of the folder; if one had, files of
/// somebody else would be removed.
fn inside(path: &Path) -> Result<(), PortError> {
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if is_inside && path.components().next().is_some() {
        return Ok(());
    }
    let message = format!("`{}` is not a name in a storage account", path.display());
    Err(PortError::permanent(ErrorCode::StorageProvisioningFailed, message))
}

#[async_trait]
impl Blobs for Accounts {
    async fn put_mapping(&self, account: &str, blob: &str, text: &str) -> Result<(), PortError> {
        inside(&Path::new(account).join(blob))?;
        let path = self.mapping(account, blob);
        files::write_text(&path, text.as_bytes()).map_err(|error| files::failed(&path, &error))
    }

    async fn delete_mapping(&self, account: &str, blob: &str) -> Result<(), PortError> {
        inside(&Path::new(account).join(blob))?;
        let path = self.mapping(account, blob);
        files::remove(&path).map_err(|error| files::failed(&path, &error))?;
        // The folder of a connector goes with its last mapping; what is in it keeps it.
        if let Some(folder) = path.parent().filter(|_| blob.contains('/')) {
            let _ = std::fs::remove_dir(folder);
        }
        Ok(())
    }

    async fn delete_positions(&self, account: &str, container: &str) -> Result<(), PortError> {
        inside(&Path::new(account).join(container))?;
        let path = self.positions(account, container);
        files::remove_folder(&path).map_err(|error| files::failed(&path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mapping_is_a_file_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts(folder.path().to_owned());
        for text in ["one", "two"] {
            accounts.put_mapping("a", "iotn-1/devicemapping.json", text).await.unwrap();
            assert_eq!(std::fs::read_to_string(accounts.mapping("a", "iotn-1/devicemapping.json")).unwrap(), text);
        }
        std::fs::create_dir_all(accounts.positions("a", "iotn-1-e1").join("hub")).unwrap();
        for _ in 0..2 {
            accounts.delete_mapping("a", "iotn-1/devicemapping.json").await.unwrap();
            accounts.delete_positions("a", "iotn-1-e1").await.unwrap();
        }
        for folder in ["a/mappings", "a/positions"] {
            assert_eq!(std::fs::read_dir(accounts.0.join(folder)).unwrap().count(), 0, "{folder}");
        }
        accounts.remove("a").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn no_name_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts(folder.path().join("accounts"));
        assert!(accounts.remove("").is_err() && accounts.remove("..").is_err());
        assert!(accounts.delete_positions("a", "../../x").await.is_err());
        assert!(accounts.put_mapping("a", "/etc/x", "").await.is_err());
    }
}
