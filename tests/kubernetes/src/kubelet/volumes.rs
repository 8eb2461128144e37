//! The volumes of a pod, as folders of this machine.
//!
//! Files lie as a kubelet puts them, behind a link `..data` that is replaced as
//! a whole, so that a changed ConfigMap reaches a running program at once or
//! not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    CSIVolumeSource, DownwardAPIVolumeFile, KeyToPath, Pod, ServiceAccount, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::RenderError;
use super::environment::Sources;
use super::fields::{field, resource};
use super::objects::Content;

/// The mode of files when the pod does not say one.
const MODE: i32 = 0o644;

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    bytes: Vec<u8>,
    mode: u32,
    /// Read by nobody but the pod's user.
    private: bool,
}

/// The files of a volume by their path in it.
pub(crate) type Files = BTreeMap<String, File>;

/// Gives the files of a CSI volume.
pub(crate) type Driver = Arc<dyn Fn(&CSIVolumeSource) -> Result<Content, String> + Send + Sync>;

/// Tokens of the pod's service account, by audience.
pub(crate) type Tokens = BTreeMap<Option<String>, String>;

/// Whom the files of a pod belong to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
}

/// Asks for the tokens that the pod's volumes hold, bound to the pod.
pub(crate) async fn request_tokens(client: &Client, pod: &Pod) -> Result<Tokens, kube::Error> {
    let mut tokens = Tokens::new();
    let Some(spec) = &pod.spec else { return Ok(tokens) };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let account = spec.service_account_name.as_deref().unwrap_or("default");
    let sources = spec.volumes.iter().flatten().flat_map(|volume| volume.projected.iter());
    let sources = sources.flat_map(|projected| projected.sources.iter().flatten());
    for wanted in sources.filter_map(|source| source.service_account_token.as_ref()) {
        let request = token_request(pod, wanted);
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        let token = answer.status.and_then(|status| status.token).unwrap_or_default();
        tokens.insert(wanted.audience.clone(), token);
    }
    Ok(tokens)
}

fn token_request(pod: &Pod, wanted: &ServiceAccountTokenProjection) -> TokenRequest {
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    let spec = TokenRequestSpec {
        audiences: Some(wanted.audience.iter().cloned().collect()),
        bound_object_ref: Some(bound),
        expiration_seconds: wanted.expiration_seconds,
        ..TokenRequestSpec::default()
    };
    TokenRequest { spec: Some(spec), ..TokenRequest::default() }
}

impl Sources<'_> {
    /// What a volume holds; none for one that begins empty and is written.
    pub(crate) fn volume(
        &self,
        volume: &Volume,
        tokens: &Tokens,
        drivers: &BTreeMap<String, Driver>,
    ) -> Result<Option<Files>, RenderError> {
        if volume.empty_dir.is_some() {
            return Ok(None);
        }
        let mut files = Files::new();
        if let Some(map) = &volume.config_map {
            let content = self.objects.config_map(&map.name, map.optional)?;
            add(&mut files, content, map.items.as_deref(), map.default_mode, map.optional, &map.name)?;
        } else if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            let content = self.objects.secret(name, secret.optional)?;
            add(&mut files, content, secret.items.as_deref(), secret.default_mode, secret.optional, name)?;
        } else if let Some(downward) = &volume.downward_api {
            self.downward(&mut files, downward.items.as_deref().unwrap_or_default(), downward.default_mode)?;
        } else if let Some(projected) = &volume.projected {
            for source in projected.sources.iter().flatten() {
                self.projection(&mut files, source, projected.default_mode, tokens)?;
            }
        } else if let Some(csi) = &volume.csi {
            let driver = drivers.get(&csi.driver);
            let driver = driver.ok_or_else(|| RenderError::Unsupported(format!("the CSI driver `{}`", csi.driver)))?;
            let content = driver(csi).map_err(RenderError::Driver)?;
            add(&mut files, content, None, None, None, &csi.driver)?;
        } else {
            return Err(RenderError::Unsupported(format!("the kind of the volume `{}`", volume.name)));
        }
        Ok(Some(files))
    }

    fn projection(
        &self,
        files: &mut Files,
        source: &VolumeProjection,
        mode: Option<i32>,
        tokens: &Tokens,
    ) -> Result<(), RenderError> {
        if let Some(map) = &source.config_map {
            let content = self.objects.config_map(&map.name, map.optional)?;
            add(files, content, map.items.as_deref(), mode, map.optional, &map.name)
        } else if let Some(secret) = &source.secret {
            let content = self.objects.secret(&secret.name, secret.optional)?;
            add(files, content, secret.items.as_deref(), mode, secret.optional, &secret.name)
        } else if let Some(downward) = &source.downward_api {
            self.downward(files, downward.items.as_deref().unwrap_or_default(), mode)
        } else if let Some(token) = &source.service_account_token {
            let text = tokens.get(&token.audience).cloned().unwrap_or_default();
            let file = File { bytes: text.into_bytes(), mode: 0o600, private: true };
            files.insert(token.path.clone(), file);
            Ok(())
        } else {
            Err(RenderError::Unsupported("this kind of projection".to_owned()))
        }
    }

    fn downward(
        &self,
        files: &mut Files,
        items: &[DownwardAPIVolumeFile],
        mode: Option<i32>,
    ) -> Result<(), RenderError> {
        let containers = self.pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        for item in items {
            let text = match (&item.field_ref, &item.resource_field_ref) {
                (Some(reference), _) => field(self.pod, self.place, &reference.field_path)?,
                (None, Some(reference)) => resource(containers, None, self.place, reference)?,
                (None, None) => return Err(RenderError::Unsupported("an item without a source".to_owned())),
            };
            files.insert(item.path.clone(), file(text.into_bytes(), item.mode.or(mode)));
        }
        Ok(())
    }
}

fn file(bytes: Vec<u8>, mode: Option<i32>) -> File {
    // The API server has checked that it is between 0 and 0777.
    File { bytes, mode: u32::try_from(mode.unwrap_or(MODE)).unwrap_or(0o644), private: false }
}

fn add(
    files: &mut Files,
    mut content: Content,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: Option<bool>,
    name: &str,
) -> Result<(), RenderError> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        files.extend(content.into_iter().map(|(key, bytes)| (key, file(bytes, mode))));
        return Ok(());
    };
    for item in items {
        match content.remove(&item.key) {
            Some(bytes) => drop(files.insert(item.path.clone(), file(bytes, item.mode.or(mode)))),
            None if optional == Some(true) => {}
            None => return Err(RenderError::Key(item.key.clone(), name.to_owned())),
        }
    }
    Ok(())
}

/// Makes the folder of a volume that the pod writes.
pub(crate) fn make_empty(folder: &Path, owner: Owner) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    chown(folder, None, owner.group)?;
    // What is made in it belongs to the pod's group too.
    let mode = if owner.group.is_some() { 0o2777 } else { 0o777 };
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
}

/// Puts files into the folder of a volume, in the place of those that are there.
pub(crate) fn write(folder: &Path, files: &Files, owner: Owner, generation: u64) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let version = folder.join(format!("..{generation}"));
    for (path, file) in files {
        let place = version.join(path);
        fs::create_dir_all(place.parent().unwrap_or(&version))?;
        fs::write(&place, &file.bytes)?;
        let mut mode = file.mode;
        if owner.group.is_some() {
            // What a kubelet gives to the group: what the owner may read.
            mode |= (mode & 0o400) >> 3;
        }
        if file.private && owner.group.is_none() {
            match owner.user {
                Some(user) => chown(&place, Some(user), None)?,
                // Several users share it.
                None => mode |= 0o044,
            }
        }
        chown(&place, None, owner.group)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
    }
    fs::create_dir_all(&version)?;
    let (link, fresh) = (folder.join("..data"), folder.join("..data_tmp"));
    let before = fs::read_link(&link).ok();
    symlink(version.file_name().unwrap_or_default(), &fresh)?;
    fs::rename(&fresh, &link)?;
    link_names(folder, files)?;
    match before {
        Some(before) => fs::remove_dir_all(folder.join(before)),
        None => Ok(()),
    }
}

/// A link for each name at the top, and none for what has gone.
fn link_names(folder: &Path, files: &Files) -> io::Result<()> {
    let names: Vec<&str> = files.keys().map(|path| path.split('/').next().unwrap_or(path)).collect();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !names.contains(&name.as_str()) {
            fs::remove_file(folder.join(name))?;
        }
    }
    for name in names {
        let link = folder.join(name);
        if link.symlink_metadata().is_err() {
            symlink(PathBuf::from("..data").join(name), link)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(path, text)| ((*path).to_owned(), file(text.as_bytes().to_vec(), None))).collect()
    }

    #[test]
    fn a_change_replaces_all_files_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &str| fs::read_to_string(folder.path().join(path)).ok();
        write(folder.path(), &files(&[("a", "1"), ("b/c", "2")]), Owner::default(), 1).unwrap();
        assert_eq!((read("a").as_deref(), read("b/c").as_deref()), (Some("1"), Some("2")));
        let old = fs::canonicalize(folder.path().join("a")).unwrap();
        write(folder.path(), &files(&[("a", "3"), ("d", "4")]), Owner::default(), 2).unwrap();
        assert_eq!((read("a").as_deref(), read("b/c"), read("d").as_deref()), (Some("3"), None, Some("4")));
        assert!(!old.exists());
    }
}
