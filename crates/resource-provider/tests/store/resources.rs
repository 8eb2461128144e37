use arm::ResourceType;
use arm::state::{ResourceState, SubscriptionState};
use resource_provider::documents::{ResourceDocument, SubscriptionDocument};
use resource_provider::store::{Listed, Store, StoreError};

use super::each_store;
use super::samples::{SUBSCRIPTION, id, in_group, resource};

const CONNECTOR: &str = "workspaces/ws1/iotconnectors/iot1";

/// Stores resources, parents first.
async fn insert(store: &Store, paths: &[&str]) {
    let mut transaction = store.begin().await.expect("a transaction");
    for path in paths {
        transaction.insert_resource(&mut resource(path, None)).await.expect("it is written");
    }
    transaction.commit().await.expect("it takes effect");
}

#[test]
fn a_document_comes_back_as_it_was_in_any_spelling_of_its_id() {
    each_store(|store| async move {
        let mut document = resource(CONNECTOR, None);
        let mut transaction = store.begin().await.unwrap();
        transaction.insert_resource(&mut document).await.unwrap();
        transaction.commit().await.unwrap();
        let found = store.resource(&id("Workspaces/WS1/IotConnectors/IOT1")).await.unwrap();
        assert_eq!(found, Some(document));
        assert_eq!(store.resource(&id("workspaces/ws1/iotconnectors/iot2")).await.unwrap(), None);
    });
}

#[test]
fn a_second_resource_of_one_id_is_a_conflict() {
    each_store(|store| async move {
        insert(&store, &[CONNECTOR]).await;
        let mut transaction = store.begin().await.unwrap();
        let again = transaction.insert_resource(&mut resource("workspaces/WS1/iotconnectors/iot1", None)).await;
        assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    });
}

#[test]
fn what_was_changed_meanwhile_is_not_written_over() {
    each_store(|store| async move {
        insert(&store, &[CONNECTOR]).await;
        let read = || async { store.resource(&id(CONNECTOR)).await.unwrap().unwrap() };
        let (mut mine, mut other) = (read().await, read().await);
        for (document, expected) in [(&mut other, true), (&mut mine, false)] {
            document.state = ResourceState::Provisioned;
            let mut transaction = store.begin().await.unwrap();
            let updated = transaction.update_resource(document).await;
            transaction.commit().await.unwrap();
            assert_eq!(updated.is_ok(), expected, "{updated:?}");
        }
        assert_eq!(read().await, other);
    });
}

#[test]
fn what_is_not_committed_never_was() {
    each_store(|store| async move {
        let mut transaction = store.begin().await.unwrap();
        transaction.insert_resource(&mut resource(CONNECTOR, None)).await.unwrap();
        drop(transaction);
        assert_eq!(store.resource(&id(CONNECTOR)).await.unwrap(), None);
    });
}

#[test]
fn lists_have_pages_and_no_strangers() {
    each_store(|store| async move {
        let mut paths = vec!["workspaces/ws1".to_owned(), "workspaces/ws12".to_owned()];
        paths.push("workspaces/ws12/iotconnectors/other".to_owned());
        paths.extend((0..7).map(|number| format!("workspaces/ws1/iotconnectors/iot{number}")));
        insert(&store, &paths.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let collection = id("workspaces/ws1").collection_key(ResourceType::IotConnector);
        let (mut names, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = store.list(Listed::Collection(&collection), &after, (3, usize::MAX)).await.unwrap();
            names.extend(page.documents.iter().map(|document| document.display_name.clone()));
            pages += 1;
            match page.documents.last().filter(|_| page.has_more) {
                Some(last) => after = Listed::Collection(&collection).position(last),
                None => break,
            }
        }
        assert_eq!(pages, 3);
        assert_eq!(names, (0..7).map(|number| format!("ws1/iot{number}")).collect::<Vec<_>>());
        let all = store
            .list(Listed::Subscription(SUBSCRIPTION, ResourceType::Workspace), "", (10, usize::MAX))
            .await
            .unwrap();
        assert_eq!((all.documents.len(), all.has_more), (2, false));
    });
}

#[test]
fn a_list_ends_early_where_its_documents_are_large() {
    each_store(|store| async move {
        insert(&store, &["workspaces/ws1", "workspaces/ws2", "workspaces/ws3"]).await;
        let listed = Listed::Subscription(SUBSCRIPTION, ResourceType::Workspace);
        let length = serde_json::to_string(&resource("workspaces/ws1", None)).unwrap().len();
        for (bytes_max, expected) in [(0, 1), (length, 1), (length + 1, 2), (usize::MAX, 3)] {
            let page = store.list(listed, "", (10, bytes_max)).await.unwrap();
            assert_eq!((page.documents.len(), page.has_more), (expected, expected < 3), "{bytes_max}");
        }
    });
}

/// The order of bytes; that of English has `_` before `-`.
#[test]
fn a_list_of_many_groups_is_in_the_order_of_names() {
    each_store(|store| async move {
        for (group, name) in [("b", "Bbb"), ("a_b", "aaa"), ("a-b", "aaa"), ("a", "ccc")] {
            insert(&store, &[&in_group(group, &format!("services/s/iomtconnectors/{name}"))]).await;
        }
        let listed = Listed::Subscription(SUBSCRIPTION, ResourceType::IomtConnector);
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = store.list(listed, &after, (2, usize::MAX)).await.unwrap();
            let named = |it: &ResourceDocument| format!("{} {}", it.resource_group_name, it.display_name);
            found.extend(page.documents.iter().map(named));
            match page.documents.last().filter(|_| page.has_more) {
                Some(last) => after = listed.position(last),
                None => break,
            }
        }
        assert_eq!(found, ["a-b s/aaa", "a_b s/aaa", "b s/Bbb", "a s/ccc"]);
    });
}

#[test]
fn what_is_below_a_resource_is_found_at_any_depth() {
    each_store(|store| async move {
        insert(
            &store,
            &[
                "workspaces/ws1",
                CONNECTOR,
                "workspaces/ws1/iotconnectors/iot12",
                "workspaces/ws1-2",
                "workspaces/ws1-2/iotconnectors/iot1",
            ],
        )
        .await;
        let mut transaction = store.begin().await.unwrap();
        let below = transaction.descendants(&id("workspaces/ws1")).await.unwrap();
        let names: Vec<_> = below.iter().map(|document| document.name.as_str()).collect();
        assert_eq!(names, ["ws1/iot1", "ws1/iot12"]);
        assert_eq!(transaction.descendants(&id(CONNECTOR)).await.unwrap(), []);
        transaction.delete_resource(&below[0].id).await.unwrap();
        let count = transaction.count_children(&id("workspaces/ws1"), ResourceType::IotConnector).await.unwrap();
        assert_eq!(count, 1);
    });
}

/// Who counts under the lock of the parent never lets in one too many, however
/// many come at once.
#[test]
fn a_limit_holds_when_all_come_at_once() {
    each_store(|store| async move {
        insert(&store, &["workspaces/ws1"]).await;
        let workspace = id("workspaces/ws1");
        let tasks = (0..11).map(|number| {
            let (store, workspace) = (store.clone(), workspace.clone());
            tokio::spawn(async move {
                let mut transaction = store.begin().await.unwrap();
                transaction.lock(&workspace).await.unwrap();
                let count = transaction.count_children(&workspace, ResourceType::IotConnector).await.unwrap();
                if count >= 10 {
                    return false;
                }
                let path = format!("workspaces/ws1/iotconnectors/iot{number}");
                transaction.insert_resource(&mut resource(&path, None)).await.unwrap();
                transaction.commit().await.unwrap();
                true
            })
        });
        let mut taken = 0;
        for task in tasks.collect::<Vec<_>>() {
            taken += usize::from(task.await.unwrap());
        }
        assert_eq!(taken, 10);
    });
}

#[test]
fn a_subscription_is_what_was_said_of_it_last() {
    each_store(|store| async move {
        assert_eq!(store.subscription_state(SUBSCRIPTION).await.unwrap(), SubscriptionState::Unregistered);
        for state in ["Registered", "Suspended"] {
            let text = format!(r#"{{"state":"{state}","registrationDate":"x","properties":{{"tenantId":"t"}}}}"#);
            let document: SubscriptionDocument = serde_json::from_str(&text).unwrap();
            let mut transaction = store.begin().await.unwrap();
            transaction.put_subscription(&SUBSCRIPTION.to_uppercase(), &document).await.unwrap();
            transaction.commit().await.unwrap();
            assert_eq!(store.subscription(SUBSCRIPTION).await.unwrap(), Some(document));
        }
        assert_eq!(store.subscription_state(SUBSCRIPTION).await.unwrap(), SubscriptionState::Suspended);
    });
}

#[test]
fn a_name_is_whose_it_was_first() {
    each_store(|store| async move {
        let mut transaction = store.begin().await.unwrap();
        assert!(transaction.reserve_name("Ws1", SUBSCRIPTION).await.unwrap());
        assert!(transaction.reserve_name("ws1", SUBSCRIPTION).await.unwrap());
        assert!(!transaction.reserve_name("WS1", "another").await.unwrap());
        transaction.commit().await.unwrap();
        assert_eq!(store.name_owner("wS1").await.unwrap().as_deref(), Some(SUBSCRIPTION));
        assert_eq!(store.name_owner("ws2").await.unwrap(), None);
    });
}
