//! The server over a real port, as a client sees it.

use std::fs;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::*;

struct Fhir {
    server: FhirServer,
    client: Client,
}

async fn start(config: FhirServerConfig) -> Fhir {
    Fhir { server: FhirServer::start(config).await.unwrap(), client: Client::new() }
}

async fn of(personality: &str) -> Fhir {
    start(FhirServerConfig::new(personality.parse().unwrap())).await
}

impl Fhir {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let slash = if path.is_empty() { "" } else { "/" };
        self.client.request(method, format!("{}{slash}{path}", self.server.url()))
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Response {
        let mut request = self.request(method, path).header("content-type", "application/fhir+json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match body {
            Some(body) => request.body(body.to_string()).send().await.unwrap(),
            None => request.send().await.unwrap(),
        }
    }

    async fn put(&self, id: &str, value: u32, headers: &[(&str, &str)]) -> Response {
        self.send(Method::PUT, &format!("Observation/{id}"), headers, Some(observation(id, value))).await
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[], None).await
    }

    async fn get_json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    async fn bundle(&self, kind: &str, entries: Value) -> Response {
        let bundle = json!({ "resourceType": "Bundle", "type": kind, "entry": entries });
        self.send(Method::POST, "", &[], Some(bundle)).await
    }

    /// Status and etag of each entry of a bundle's answer, or its own status.
    async fn entries(&self, kind: &str, entries: Value) -> String {
        let response = self.bundle(kind, entries).await;
        if response.status() != 200 {
            return response.status().as_u16().to_string();
        }
        let answer: Value = response.json().await.unwrap();
        let lines = answer["entry"].as_array().unwrap().iter().map(|entry| {
            let response = &entry["response"];
            format!("{} {}", response["status"].as_str().unwrap(), response["etag"].as_str().unwrap_or("-"))
        });
        lines.collect::<Vec<_>>().join(", ")
    }
}

fn observation(id: &str, value: u32) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "x" },
        "identifier": [{ "system": "urn:o", "value": id }], "valueQuantity": { "value": value },
    })
}

fn entry(url: &str, more: Value, resource: Value) -> Value {
    let mut request = json!({ "method": "PUT", "url": url });
    if let (Value::Object(request), Value::Object(more)) = (&mut request, more) {
        request.extend(more);
    }
    json!({ "request": request, "resource": resource })
}

/// Status and etag; opaque etags are not shown.
fn outcome(response: &Response) -> String {
    let etag = response.headers().get("etag").map_or("-", |etag| etag.to_str().unwrap());
    let etag = if etag.len() > 8 { "W/\"?\"" } else { etag };
    format!("{} {etag}", response.status().as_u16())
}

#[tokio::test]
async fn conditional_writes_go_as_measured() {
    // Rows of the table in crates-and-components.md 6.
    let rows =
        ["create", "If-None-Match: *", "stale If-Match", "absent If-Match", "identical", "revived", "numeric id"];
    let columns = [
        ("hapi", ["201 W/\"1\"", "200 W/\"2\"", "409 -", "201 W/\"1\"", "200 W/\"2\"", "201 W/\"4\"", "400 -"]),
        ("azure", ["201 W/\"1\"", "200 W/\"2\"", "412 -", "404 -", "200 W/\"2\"", "200 W/\"4\"", "201 W/\"1\""]),
        ("uuid", ["201 W/\"?\"", "412 -", "412 -", "412 -", "200 W/\"?\"", "201 W/\"?\"", "201 W/\"?\""]),
    ];
    for (personality, expected) in columns {
        let fhir = of(personality).await;
        let mut answers = vec![
            fhir.put("a", 1, &[]).await,
            fhir.put("a", 2, &[("if-none-match", "*")]).await,
            fhir.put("a", 3, &[("if-match", "W/\"0\"")]).await,
            fhir.put("b", 1, &[("if-match", "W/\"1\"")]).await,
            fhir.put("a", if personality == "uuid" { 1 } else { 2 }, &[]).await,
        ];
        fhir.send(Method::DELETE, "Observation/a", &[], None).await;
        answers.push(fhir.put("a", 4, &[]).await);
        answers.push(fhir.put("123", 1, &[]).await);
        for ((row, answer), expected) in rows.iter().zip(&answers).zip(expected) {
            assert_eq!(outcome(answer), expected, "{personality}: {row}");
        }
    }
}

#[tokio::test]
async fn current_version_matches_in_every_spelling() {
    let fhir = of("azure").await;
    fhir.put("a", 1, &[]).await;
    for (position, etag) in ["W/\"1\"", "\"2\"", "3"].into_iter().enumerate() {
        let answer = fhir.put("a", 10 + u32::try_from(position).unwrap(), &[("if-match", etag)]).await;
        assert_eq!(outcome(&answer), format!("200 W/\"{}\"", position + 2));
    }
}

#[tokio::test]
async fn a_version_of_identical_content_is_new_only_with_uuid() {
    for (personality, expected) in [("hapi", 1), ("azure", 1), ("uuid", 2)] {
        let fhir = of(personality).await;
        fhir.put("a", 1, &[]).await;
        fhir.put("a", 1, &[]).await;
        let history = fhir.get_json("Observation/a/_history").await;
        assert_eq!(history["total"], expected, "{personality}");
    }
}

#[tokio::test]
async fn batch_entries_stand_alone() {
    let cases = [
        ("hapi", "409 Conflict -, 201 Created 1, 201 Created 1, 400 Bad Request -"),
        ("azure", "412 -, 201 W/\"1\", 400 -, 201 W/\"1\""),
        ("uuid", "412 Precondition Failed -, 201 Created W/\"1\", 400 Bad Request -, 201 Created W/\"1\""),
    ];
    for (personality, expected) in cases {
        let fhir = of(personality).await;
        fhir.put("a", 1, &[]).await;
        let mut dangling = observation("d", 1);
        dangling["subject"] = json!({ "reference": "Patient/nope" });
        let entries = json!([
            entry("Observation/a", json!({ "ifMatch": "W/\"7\"" }), observation("a", 2)),
            entry("Observation/b", json!({ "ifNoneMatch": "*" }), observation("b", 1)),
            entry("Observation/c", json!({}), json!({ "resourceType": "Observation", "id": "c", "status": "final" })),
            entry("Observation/d", json!({}), dangling),
        ]);
        let answer = fhir.entries("batch", entries).await;
        let shown = answer.split(", ").map(|entry| match entry.rsplit_once(' ') {
            Some((status, etag)) if etag.len() > 8 => format!("{status} W/\"1\""),
            _ => entry.to_owned(),
        });
        assert_eq!(shown.collect::<Vec<_>>().join(", "), expected, "{personality}");
    }
}

#[tokio::test]
async fn an_unknown_element_fails_the_whole_bundle_where_it_is_parsed_as_one() {
    for (personality, expected) in [("hapi", "400"), ("azure", "400"), ("uuid", "400 Bad Request -, 201 Created")] {
        let fhir = of(personality).await;
        let mut unknown = observation("a", 1);
        unknown["bogus"] = json!(1);
        let entries =
            json!(
                [entry("Observation/a", json!({}), unknown), entry("Observation/b", json!({}), observation("b", 1)),]
            );
        let answer = fhir.entries("batch", entries).await;
        assert!(answer.starts_with(expected), "{personality}: {answer}");
        let stored = if personality == "uuid" { 200 } else { 404 };
        assert_eq!(fhir.get("Observation/b").await.status(), stored, "{personality}");
    }
}

#[tokio::test]
async fn a_transaction_resolves_references_or_leaves_nothing() {
    for personality in ["hapi", "azure", "uuid"] {
        let fhir = of(personality).await;
        let mut reading = observation("o", 1);
        reading["subject"] = json!({ "reference": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a" });
        let patient = json!({
            "fullUrl": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a",
            "resource": { "resourceType": "Patient", "identifier": [{ "value": "p" }] },
            "request": { "method": "POST", "url": "Patient", "ifNoneExist": "identifier=p" },
        });
        let both = json!([entry("Observation/o", json!({}), reading.clone()), patient]);
        assert_eq!(fhir.bundle("transaction", both).await.status(), 200, "{personality}");
        let found = fhir.get_json("Patient?identifier=p").await;
        let reference = format!("Patient/{}", found["entry"][0]["resource"]["id"].as_str().unwrap());
        assert_eq!(fhir.get_json("Observation/o").await["subject"]["reference"], reference.as_str());

        let failing = json!([
            entry("Observation/new", json!({}), observation("new", 1)),
            entry("Observation/o", json!({ "ifMatch": "W/\"99\"" }), observation("o", 2)),
        ]);
        let expected = if personality == "hapi" { "409" } else { "412" };
        assert_eq!(fhir.entries("transaction", failing).await, expected, "{personality}");
        assert_eq!(fhir.get("Observation/new").await.status(), 404, "{personality}");
    }
}

#[tokio::test]
async fn bundles_above_the_limit_are_refused() {
    let fhir = start(FhirServerConfig { bundle_entries_max: 1, ..FhirServerConfig::new(Personality::Azure) }).await;
    let one = |id: &str| entry(&format!("Observation/{id}"), json!({}), observation(id, 1));
    assert_eq!(fhir.entries("batch", json!([one("a"), one("b")])).await, "413");
    assert_eq!(fhir.entries("batch", json!([one("a")])).await, "201 W/\"1\"");
}

#[tokio::test]
async fn bundle_answers_hold_resources_when_asked() {
    let entries = || json!([entry("Observation/a", json!({}), observation("a", 1))]);
    for (personality, by_default) in [("hapi", false), ("azure", true)] {
        for (prefer, expected) in
            [("handling=lenient", by_default), ("return=representation", true), ("return=minimal", false)]
        {
            let fhir = of(personality).await;
            let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries() });
            let answer = fhir.send(Method::POST, "", &[("prefer", prefer)], Some(bundle)).await;
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["entry"][0]["resource"].is_object(), expected, "{personality} {prefer}");
            assert!(answer["entry"][0]["response"]["location"].as_str().unwrap().ends_with("Observation/a/_history/1"));
        }
    }
}

#[tokio::test]
async fn conditional_create_and_update_find_by_identifier() {
    let fhir = of("azure").await;
    let device =
        |value: &str| json!({ "resourceType": "Device", "identifier": [{ "system": "urn:d", "value": value }] });
    let create = |value: &'static str| {
        let condition = format!("identifier=urn:d|{value}");
        let fhir = &fhir;
        async move { fhir.send(Method::POST, "Device", &[("if-none-exist", &condition)], Some(device(value))).await }
    };
    assert_eq!(create("1").await.status(), 201);
    assert_eq!(create("1").await.status(), 200);
    let update = |body| fhir.send(Method::PUT, "Device?identifier=urn:d%7C2", &[], Some(body));
    assert_eq!(update(device("2")).await.status(), 201);
    assert_eq!(update(device("2")).await.status(), 200);
    fhir.send(Method::POST, "Device", &[], Some(device("2"))).await;
    assert_eq!(update(device("2")).await.status(), 412);
    assert_eq!(fhir.server.counts()["Device"], 3);
}

#[tokio::test]
async fn searches_page_by_next_links() {
    let fhir = of("uuid").await;
    for id in ["a", "b", "c", "d", "e"] {
        fhir.put(id, 1, &[]).await;
    }
    let mut page = fhir.get_json("Observation?_count=2").await;
    let mut seen = Vec::new();
    loop {
        seen.extend(page["entry"].as_array().unwrap().iter().map(|entry| entry["resource"]["id"].clone()));
        let next = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next");
        let Some(next) = next.and_then(|link| link["url"].as_str()) else { break };
        page = fhir.client.get(next).send().await.unwrap().json().await.unwrap();
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn hapi_answers_a_search_from_its_cache() {
    let fhir = of("hapi").await;
    let hits = |headers: &'static [(&'static str, &'static str)]| {
        let fhir = &fhir;
        async move {
            let answer = fhir.send(Method::GET, "Observation?identifier=urn:o%7Ca", headers, None).await;
            answer.json::<Value>().await.unwrap()["total"].clone()
        }
    };
    assert_eq!(hits(&[]).await, 0);
    fhir.put("a", 1, &[]).await;
    assert_eq!(hits(&[]).await, 0);
    assert_eq!(hits(&[("cache-control", "no-cache")]).await, 1);
}

#[tokio::test]
async fn reads_of_versions_deletions_and_what_is_not_there() {
    let fhir = of("azure").await;
    fhir.put("a", 1, &[]).await;
    fhir.put("a", 2, &[]).await;
    let read = |path: &'static str, headers: &'static [(&'static str, &'static str)]| {
        fhir.send(Method::GET, path, headers, None)
    };
    assert_eq!(read("Observation/a", &[("if-none-match", "W/\"2\"")]).await.status(), 304);
    assert_eq!(fhir.get_json("Observation/a/_history/1").await["valueQuantity"]["value"], 1);
    assert_eq!(read("Observation/a/_history/9", &[]).await.status(), 404);
    assert_eq!(fhir.send(Method::DELETE, "Observation/a", &[], None).await.status(), 204);
    assert_eq!(read("Observation/a", &[]).await.status(), 410);
    assert_eq!(read("Observation/b", &[]).await.status(), 404);
    let history = fhir.get_json("Observation/a/_history?_count=2").await;
    let methods: Vec<_> = history["entry"].as_array().unwrap().iter().map(|e| e["request"]["method"].clone()).collect();
    assert_eq!((methods, &history["total"]), (vec![json!("DELETE"), json!("PUT")], &json!(3)));
    assert_eq!(fhir.get_json("Observation/_history?_since=2999-01-01").await["total"], 0);
    assert_eq!(fhir.server.counts(), BTreeMap::new());
}

#[tokio::test]
async fn what_a_client_prefers_comes_back() {
    let fhir = of("azure").await;
    let minimal = fhir.put("a", 1, &[("prefer", "return=minimal")]).await;
    assert!(minimal.headers()["location"].to_str().unwrap().ends_with("/fhir/Observation/a/_history/1"));
    assert_eq!(minimal.text().await.unwrap(), "");
    let whole: Value = fhir.put("a", 2, &[]).await.json().await.unwrap();
    assert_eq!(whole["meta"]["versionId"], "2");
}

#[tokio::test]
async fn refuses_other_formats_and_addresses() {
    let fhir = of("uuid").await;
    let device = || Some(json!({ "resourceType": "Device", "id": "d" }));
    let xml = fhir.send(Method::GET, "Device/d", &[("accept", "application/fhir+xml")], None).await;
    assert_eq!(xml.status(), 406);
    let cases = [
        (Method::PUT, "Patient/d", device(), 400),
        (Method::PUT, "Device/e", device(), 400),
        (Method::PUT, "Device/d", Some(json!({ "resourceType": "Device" })), 400),
        (Method::GET, "health/check", None, 404),
        (Method::PATCH, "Device/d", device(), 405),
        (Method::PUT, "Device", device(), 412),
    ];
    for (method, path, body, expected) in cases {
        let answer = fhir.send(method.clone(), path, &[], body).await;
        assert_eq!(answer.status(), expected, "{method} {path}");
        assert_eq!(answer.json::<Value>().await.unwrap()["resourceType"], "OperationOutcome", "{method} {path}");
    }
}

#[tokio::test]
async fn parallel_hapi_writes_conflict_and_lose_no_version() {
    let config =
        FhirServerConfig { commit_time: Duration::from_millis(20), ..FhirServerConfig::new(Personality::Hapi) };
    let fhir = start(config).await;
    let answers = futures::future::join_all((0..8).map(|value| fhir.put("a", value, &[]))).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(201), count(201) + count(200) + count(409)), (1, 8));
    assert!(count(409) > 0);
    let versions = fhir.get_json("Observation/a/_history").await["total"].as_u64().unwrap();
    assert_eq!(versions, (count(201) + count(200)) as u64);
}

#[tokio::test]
async fn what_was_answered_is_already_on_disk() {
    let (state, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let with_state = |folder: &tempfile::TempDir| FhirServerConfig {
        state: Some(folder.path().to_owned()),
        ..FhirServerConfig::new(Personality::Hapi)
    };
    let fhir = start(with_state(&state)).await;
    fhir.put("a", 1, &[]).await;
    fhir.put("a", 2, &[]).await;
    fhir.send(Method::POST, "Device", &[], Some(json!({ "resourceType": "Device" }))).await;
    fhir.bundle("batch", json!([entry("Observation/b", json!({}), observation("b", 1))])).await;
    // The server still runs: this is what a kill -9 would leave.
    fs::copy(state.path().join("resources.jsonl"), copy.path().join("resources.jsonl")).unwrap();
    assert!(matches!(FhirServer::start(with_state(&state)).await, Err(FhirServerError::State { .. })));

    let again = start(with_state(&copy)).await;
    assert_eq!(again.get_json("Observation/a").await, fhir.get_json("Observation/a").await);
    assert_eq!(again.get_json("Observation/b").await["meta"]["versionId"], "1");
    let created = again.send(Method::POST, "Device", &[], Some(json!({ "resourceType": "Device" }))).await;
    assert_eq!(created.json::<Value>().await.unwrap()["id"], "2");
}

#[tokio::test]
async fn tokens_are_asked_for_and_given() {
    let client = TokenClient { id: "iot".into(), secret: "s".into(), lifetime: Duration::from_secs(60) };
    let config = FhirServerConfig { token_client: Some(client), ..FhirServerConfig::new(Personality::Azure) };
    let fhir = start(config).await;
    assert_eq!(fhir.get("metadata").await.status(), 200);
    assert_eq!(fhir.get("Device/d").await.status(), 401);
    assert_eq!(fhir.send(Method::GET, "Device/d", &[("authorization", "Bearer x")], None).await.status(), 401);

    let ask = |secret: &'static str| {
        let form = [("grant_type", "client_credentials"), ("client_id", "iot"), ("client_secret", secret)];
        fhir.client.post(fhir.server.token_url()).form(&form).send()
    };
    assert_eq!(ask("wrong").await.unwrap().status(), 401);
    let token: Value = ask("s").await.unwrap().json().await.unwrap();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    assert_eq!(fhir.send(Method::GET, "Device/d", &[("authorization", &bearer)], None).await.status(), 404);
    assert_eq!(token["expires_in"], 60);
}

#[tokio::test]
async fn listens_on_loopback_only_and_stops() {
    let everywhere =
        FhirServerConfig { listen: "0.0.0.0:0".parse().unwrap(), ..FhirServerConfig::new(Personality::Uuid) };
    assert!(matches!(FhirServer::start(everywhere).await, Err(FhirServerError::NotLoopback(_))));
    let fhir = of("uuid").await;
    let url = fhir.server.url().to_owned();
    fhir.server.stop().await.unwrap();
    assert!(fhir.client.get(url).send().await.is_err());
}
