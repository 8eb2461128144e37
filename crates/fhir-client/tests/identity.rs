//! The three ways to resolve identities, against a FHIR server over HTTP.

#![allow(clippy::unwrap_used)] // A test may fail by it.

mod support;

use delivery::{Away, Fence, Unfenced};
use fhir_client::identity::{Identity, IdentityOptions, Mode, PatientCheck, ResolveError, Resolver, Subject};
use futures::future::{BoxFuture, FutureExt, ready};
use serde_json::{Value, json};
use support::{AZURE, HAPI, Habits, SEKMET, Server, UUID, outcome, soon, start};

const PATIENT: &str = "Patient/bf7c741785b9bbaa3e63dd3637c0acb9caa211351ff2ca17d9474c20c1cdb683";
const DEVICE: &str = "Device/96b1d91b8c1066c6093f8699cbd01fd2e9e8956cbad873307dcbd44449aafd13";

fn subject<'s>(device_id: &'s str, patient_id: Option<&'s str>, encounter_id: Option<&'s str>) -> Subject<'s> {
    Subject { device_id, patient_id, encounter_id }
}

fn resolver(server: &Server, mode: Mode, change: impl FnOnce(&mut IdentityOptions)) -> Resolver {
    let mut options = IdentityOptions::new(mode);
    change(&mut options);
    Resolver::new(server.client(), options)
}

fn device(id: &str, value: &str, patient: &str) -> Value {
    json!({ "resourceType": "Device", "id": id, "identifier": [{ "system": "s", "value": value }], "patient": { "reference": patient } })
}

/// `device patient encounter` or the error's code.
fn summary(result: Result<Identity, ResolveError>) -> String {
    match result {
        Ok(identity) => {
            let ids = identity.ids;
            let encounter = ids.encounter.map(|id| format!(" {id}")).unwrap_or_default();
            let differs = if identity.patient_differs { " differs" } else { "" };
            format!("{} {}{encounter}{differs}", ids.device, ids.patient)
        }
        Err(ResolveError::Unresolved(unresolved)) => unresolved.code().to_owned(),
        Err(ResolveError::Away(_)) => "away".to_owned(),
    }
}

async fn ward() -> Server {
    let server = start(HAPI).await;
    server.put(device("1", "d1", "Patient/123"));
    server.put(device("2", "d2", "https://elsewhere.example/Patient/9"));
    server.put(device("3", "twin", "Patient/1"));
    server.put(device("4", "twin", "Patient/2"));
    server.put(device("5", "a,b|c$d&e#f+g%h i", "Patient/5"));
    server.put(json!({ "resourceType": "Patient", "id": "123", "identifier": [{ "value": "p1" }] }));
    server.put(json!({ "resourceType": "Encounter", "id": "abc", "identifier": [{ "value": "e1" }] }));
    server
}

#[tokio::test]
async fn looks_up_devices_and_encounters() {
    let server = ward().await;
    let resolver = resolver(&server, Mode::Lookup, |_| {});
    let cases = [
        (subject("d1", None, None), "1 123"),
        (subject("d1", Some(" "), Some("")), "1 123"),
        (subject("d1", None, Some("e1")), "1 123 abc"),
        (subject("d1", None, Some("e2")), "EncounterNotFound"),
        (subject("D1", None, None), "DeviceNotFound"),
        (subject("d2", None, None), "PatientNotFound"),
        (subject("d3", None, None), "DeviceNotFound"),
        (subject("twin", None, None), "MultipleDeviceFound"),
        (subject("a,b|c$d&e#f+g%h i", None, None), "5 5"),
        (subject("", None, None), "DeviceIdentityNotDefined"),
    ];
    for (subject, expected) in cases {
        assert_eq!(
            summary(resolver.resolve(subject, soon()).await),
            expected,
            "{} {:?} {:?}",
            subject.device_id,
            subject.patient_id,
            subject.encounter_id
        );
    }
}

#[tokio::test]
async fn the_system_is_for_devices_only() {
    let server = ward().await;
    for (system, expected) in [("s", "1 123 abc"), ("t", "DeviceNotFound")] {
        let resolver = resolver(&server, Mode::Lookup, |options| options.device_system = Some(system.to_owned()));
        assert_eq!(summary(resolver.resolve(subject("d1", None, Some("e1")), soon()).await), expected);
    }
}

/// Quirk 37, the other way of its switches.
#[tokio::test]
async fn patients_and_encounters_can_have_systems() {
    let server = ward().await;
    let of = |system: &str, value: &str| json!([{ "system": system, "value": value }]);
    server.put(json!({ "resourceType": "Encounter", "id": "e", "identifier": of("urn:e", "e1") }));
    server.put(json!({ "resourceType": "Patient", "id": "other", "identifier": of("urn:other", "p7") }));
    let any = resolver(&server, Mode::Lookup, |_| {});
    assert_eq!(summary(any.resolve(subject("d1", None, Some("e1")), soon()).await), "MultipleEncounterFound");

    let with_systems = resolver(&server, Mode::Create, |options| {
        options.patient_system = Some("urn:p".to_owned());
        options.encounter_system = Some("urn:e".to_owned());
    });
    assert_eq!(summary(with_systems.resolve(subject("d1", None, Some("e1")), soon()).await), "1 123 e");
    let created = with_systems.resolve(subject("d7", Some("p7"), None), soon()).await.unwrap();
    let patient = server.get(&format!("Patient/{}", created.ids.patient)).unwrap();
    assert_eq!(patient["identifier"], of("urn:p", "p7"));
    // The one that we would create is known without a question.
    let again = resolver(&server, Mode::Lookup, |options| options.patient_system = Some("urn:p".to_owned()));
    assert!(!again.resolve(subject("d7", Some("p7"), None), soon()).await.unwrap().patient_differs);
}

#[tokio::test]
async fn encounters_can_be_required() {
    let server = ward().await;
    let resolver = resolver(&server, Mode::LookupWithEncounter, |_| {});
    assert_eq!(summary(resolver.resolve(subject("d1", None, Some("e1")), soon()).await), "1 123 abc");
    assert_eq!(summary(resolver.resolve(subject("d1", None, None), soon()).await), "EncounterIdentityNotDefined");
    assert_eq!(summary(resolver.resolve(subject("d9", None, None), soon()).await), "DeviceNotFound");
}

#[tokio::test]
async fn says_when_the_message_names_another_patient() {
    let server = ward().await;
    server.put(json!({ "resourceType": "Patient", "id": "124", "identifier": [{ "value": "p2" }] }));
    let cases = [
        (PatientCheck::Report, "p1", "1 123"),
        (PatientCheck::Report, "p2", "1 123 differs"),
        (PatientCheck::Reject, "p2", "PatientDeviceMismatch"),
        (PatientCheck::Off, "p2", "1 123"),
    ];
    for (check, patient, expected) in cases {
        let resolver = resolver(&server, Mode::Lookup, |options| options.patient_check = check);
        assert_eq!(summary(resolver.resolve(subject("d1", Some(patient), None), soon()).await), expected);
    }
}

#[tokio::test]
async fn remembers_answers_under_everything_that_decides_them() {
    let server = ward().await;
    let resolver = resolver(&server, Mode::Lookup, |_| {});
    for _ in 0..3 {
        resolver.resolve(subject("d1", None, None), soon()).await.unwrap();
        resolver.resolve(subject("d9", None, None), soon()).await.unwrap_err();
    }
    assert_eq!(server.requests(), ["GET Device?identifier=d1", "GET Device?identifier=d9"]);
    resolver.resolve(subject("d1", None, Some("e1")), soon()).await.unwrap();
    assert_eq!(server.requests().len(), 4, "another encounter is another question");
}

#[tokio::test]
async fn asks_once_for_what_many_want_to_know() {
    let server = ward().await;
    let resolver = resolver(&server, Mode::Lookup, |_| {});
    let many = (0..20).map(|_| resolver.resolve(subject("d1", None, None), soon()));
    assert!(futures::future::join_all(many).await.iter().all(Result::is_ok));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn looks_many_devices_up_in_few_round_trips() {
    for habits in [HAPI, SEKMET, UUID, Habits { batch: false, ..HAPI }] {
        let server = start(habits).await;
        let ids: Vec<String> = (0..250).map(|n| format!("d{n}")).collect();
        for id in &ids[..249] {
            server.put(device(&format!("i{id}"), id, "Patient/123"));
        }
        server.put(json!({ "resourceType": "Encounter", "id": "abc", "identifier": [{ "value": "e1" }] }));
        let client = server.client();
        let resolver = Resolver::new(client.clone(), IdentityOptions::new(Mode::Lookup));
        let subjects: Vec<_> = ids.iter().map(|id| subject(id, None, Some("e1"))).collect();
        for _ in 0..2 {
            let answers = resolver.resolve_all(&subjects, soon(), &Unfenced).await.unwrap();
            let words: Vec<String> = answers.into_iter().map(|answer| summary(answer.map_err(Into::into))).collect();
            assert_eq!((words[0].as_str(), words[249].as_str()), ("id0 123 abc", "DeviceNotFound"));
            assert!(words[..249].iter().all(|word| word.ends_with(" 123 abc")));
        }
        if habits.batch {
            assert_eq!(client.round_trips(), 3);
        }
    }
}

#[tokio::test]
async fn forgets_that_a_device_is_missing() {
    let server = ward().await;
    let resolver = resolver(&server, Mode::Lookup, |options| options.keep_unresolved = std::time::Duration::ZERO);
    assert_eq!(summary(resolver.resolve(subject("d9", None, None), soon()).await), "DeviceNotFound");
    server.put(device("9", "d9", "Patient/123"));
    assert_eq!(summary(resolver.resolve(subject("d9", None, None), soon()).await), "9 123");
}

/// The device was given to another patient.
#[tokio::test]
async fn forgets_whose_a_device_is() {
    for (keep_found, expected) in [(0, "1 124"), (600, "1 123")] {
        let server = ward().await;
        let keep_found = std::time::Duration::from_secs(keep_found);
        let resolver = resolver(&server, Mode::Lookup, |options| options.keep_found = keep_found);
        assert_eq!(summary(resolver.resolve(subject("d1", None, None), soon()).await), "1 123");
        server.put(device("1", "d1", "Patient/124"));
        assert_eq!(summary(resolver.resolve(subject("d1", None, None), soon()).await), expected);
    }
}

#[tokio::test]
async fn does_not_remember_that_the_server_was_away() {
    let server = ward().await;
    server.before(|_, _| Some((503, vec![], outcome())));
    let resolver = resolver(&server, Mode::Lookup, |_| {});
    assert_eq!(summary(resolver.resolve(subject("d1", None, None), soon()).await), "away");
    server.before(|_, _| None);
    assert_eq!(summary(resolver.resolve(subject("d1", None, None), soon()).await), "1 123");
}

async fn create_on(habits: Habits) -> (Server, Resolver) {
    let server = start(habits).await;
    let resolver = resolver(&server, Mode::Create, |_| {});
    (server, resolver)
}

fn created() -> String {
    format!("{} {}", DEVICE.trim_start_matches("Device/"), PATIENT.trim_start_matches("Patient/"))
}

#[tokio::test]
async fn creates_patient_and_device_under_computed_ids() {
    for habits in [HAPI, SEKMET, AZURE, UUID, Habits { batch: false, ..HAPI }] {
        let (server, resolver) = create_on(habits).await;
        let found = summary(resolver.resolve(subject("deviceId", Some("patientId"), None), soon()).await);
        assert_eq!(found, created());
        let patient = json!({ "resourceType": "Patient", "id": PATIENT.trim_start_matches("Patient/"), "identifier": [{ "value": "patientId" }] });
        assert_eq!(server.get(PATIENT), Some(patient));
        let stored = server.get(DEVICE).unwrap();
        assert_eq!(stored["identifier"], json!([{ "value": "deviceId" }]));
        assert_eq!(stored["patient"], json!({ "reference": PATIENT }));
        if habits.batch {
            assert_eq!(server.requests().len(), 4, "{:?}", server.requests());
        }
    }
}

/// A partition that was lost.
struct Lost;

impl Fence for Lost {
    fn holds(&self) -> bool {
        false
    }

    fn confirm(&self) -> BoxFuture<'_, Result<bool, Away>> {
        ready(Ok(false)).boxed()
    }
}

/// Design.md D13: no PUT once the fence does not hold.
#[tokio::test]
async fn creates_nothing_once_the_partition_may_be_another_s() {
    let (server, resolver) = create_on(HAPI).await;
    server.put(device("1", "d1", "Patient/123"));
    let subjects = [subject("deviceId", Some("patientId"), None)];
    assert!(resolver.resolve_all(&subjects, soon(), &Lost).await.is_err());
    let writes = server.requests().into_iter().filter(|request| !request.starts_with("GET"));
    let writes: Vec<_> = writes.filter(|request| request.contains("PUT")).collect();
    assert_eq!(writes, [""; 0]);
    // What is there is found all the same.
    let found = resolver.resolve_all(&[subject("d1", None, None)], soon(), &Lost).await;
    assert_eq!(summary(found.unwrap().remove(0).map_err(Into::into)), "1 123");
}

#[tokio::test]
async fn creates_only_what_is_missing() {
    let (server, resolver) = create_on(HAPI).await;
    server.put(device("1", "d1", "Patient/123"));
    server.put(json!({ "resourceType": "Device", "id": "2", "identifier": [{ "value": "d2" }] }));
    server.put(device("3", "d3", "Group/abc"));
    server.put(json!({ "resourceType": "Patient", "id": "p9", "identifier": [{ "value": "p" }] }));
    server.put(json!({ "resourceType": "Encounter", "id": "abc", "identifier": [{ "value": "e1" }] }));
    let cases = [
        (subject("d1", None, None), "1 123"),
        (subject("d2", Some("p"), Some("e1")), "2 p9 abc"),
        (subject("d2", None, None), "2 p9"),
        (subject("d3", Some("p"), None), "PatientDeviceMismatch"),
        (subject("d4", None, None), "PatientIdentityNotDefined"),
        (subject("d4", Some(" "), None), "PatientIdentityNotDefined"),
        (subject("d1", None, Some("e2")), "EncounterNotFound"),
    ];
    for (subject, expected) in cases {
        assert_eq!(
            summary(resolver.resolve(subject, soon()).await),
            expected,
            "{} {:?} {:?}",
            subject.device_id,
            subject.patient_id,
            subject.encounter_id
        );
    }
    let writes = server.requests().iter().filter(|request| request.starts_with("PUT")).count();
    assert_eq!(writes, 1, "the Patient of d2");
}

#[tokio::test]
async fn does_not_overwrite_what_a_search_does_not_show_yet() {
    let (server, resolver) = create_on(HAPI).await;
    let enriched = json!({
        "resourceType": "Patient", "id": PATIENT.trim_start_matches("Patient/"),
        "identifier": [{ "value": "patientId" }], "birthDate": "1970-01-01",
    });
    server.put(enriched.clone());
    server.before(|_, seen| {
        let empty = json!({ "resourceType": "Bundle", "type": "searchset" });
        seen.path.contains('?').then_some((200, vec![], empty))
    });
    assert_eq!(summary(resolver.resolve(subject("deviceId", Some("patientId"), None), soon()).await), created());
    assert_eq!(server.get(PATIENT), Some(enriched));
}

#[tokio::test]
async fn puts_back_what_a_create_replaced() {
    for habits in [HAPI, SEKMET, AZURE, UUID, Habits { keeps_if_none_match: false, ..UUID }] {
        let (server, resolver) = create_on(habits).await;
        let mut written = false;
        // Somebody else creates a richer Patient between our read and our write.
        server.before(move |state, seen| {
            if seen.method == "PUT" && seen.path == PATIENT && !written {
                written = true;
                let mut richer = seen.body.clone();
                richer["birthDate"] = json!("1970-01-01");
                state.write(richer);
            }
            None
        });
        assert_eq!(summary(resolver.resolve(subject("deviceId", Some("patientId"), None), soon()).await), created());
        assert_eq!(server.get(PATIENT).unwrap()["birthDate"], "1970-01-01", "{habits:?}");
    }
}

#[tokio::test]
async fn links_a_device_that_somebody_else_writes_at_the_same_time() {
    let (server, resolver) = create_on(SEKMET).await;
    server.put(json!({ "resourceType": "Device", "id": "2", "identifier": [{ "value": "d2" }] }));
    let mut written = false;
    server.before(move |state, seen| {
        if seen.method == "PUT" && seen.path == "Device/2" && !written {
            written = true;
            state.write(
                json!({ "resourceType": "Device", "id": "2", "identifier": [{ "value": "d2" }], "lotNumber": "7" }),
            );
        }
        None
    });
    resolver.resolve(subject("d2", Some("patientId"), None), soon()).await.unwrap();
    let stored = server.get("Device/2").unwrap();
    assert_eq!((&stored["lotNumber"], &stored["patient"]["reference"]), (&json!("7"), &json!(PATIENT)));
}

#[tokio::test]
async fn what_answers_the_same_to_everything_rejects_nothing() {
    for status in [400, 404, 422] {
        let server = start(HAPI).await;
        server.before(move |_, _| Some((status, vec![], json!({}))));
        for mode in [Mode::Lookup, Mode::Create] {
            let resolver = resolver(&server, mode, |_| {});
            assert_eq!(summary(resolver.resolve(subject("d1", Some("p1"), None), soon()).await), "away");
        }
    }
}
