//! Waiting for what a control plane says.

use std::fmt::Debug;
use std::time::Duration;

use end_to_end::poll::try_until;
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::control_plane::ControlPlane;

impl ControlPlane {
    /// Looks at an object until it is there and `is` says so, and gives it.
    ///
    /// # Panics
    /// When that does not come within `limit`; the text shows the object as it
    /// was last.
    #[track_caller]
    pub fn wait<K>(&self, namespace: &str, name: &str, what: &str, limit: Duration, is: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + serde::Serialize,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(namespace);
        let mut last = String::from("nothing");
        let found = try_until(limit, || match self.block_on(api.get_opt(name)) {
            Ok(Some(object)) => {
                last = serde_json::to_string_pretty(&object).unwrap_or_default();
                is(&object).then_some(object)
            }
            Ok(None) => {
                last = String::from("nothing");
                None
            }
            Err(error) => {
                last = error.to_string();
                None
            }
        });
        found.unwrap_or_else(|| panic!("{namespace}/{name}: not within {limit:?}: {what}\nlast seen: {last}"))
    }

    /// Waits until an object has gone.
    ///
    /// # Panics
    /// When it is still there after `limit`.
    #[track_caller]
    pub fn wait_gone<K>(&self, namespace: &str, name: &str, limit: Duration)
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(namespace);
        let gone = try_until(limit, || matches!(self.block_on(api.get_opt(name)), Ok(None)).then_some(()));
        assert!(gone.is_some(), "{namespace}/{name} is still there after {limit:?}");
    }

    /// Looks at the objects of a label selector until `find` finds something in
    /// them, and gives it.
    ///
    /// # Panics
    /// When that does not come within `limit`.
    #[track_caller]
    pub fn wait_list<K, T>(
        &self,
        namespace: &str,
        selector: &str,
        what: &str,
        limit: Duration,
        find: impl Fn(&[K]) -> Option<T>,
    ) -> T
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + serde::Serialize,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(namespace);
        let parameters = ListParams::default().labels(selector);
        let mut last = String::from("nothing");
        let found = try_until(limit, || match self.block_on(api.list(&parameters)) {
            Ok(list) => {
                last = serde_json::to_string_pretty(&list.items).unwrap_or_default();
                find(&list.items)
            }
            Err(error) => {
                last = error.to_string();
                None
            }
        });
        found.unwrap_or_else(|| panic!("{namespace} {selector}: not within {limit:?}: {what}\nlast seen: {last}"))
    }
}
