//! What every request and answer has (resource-provider.md 2.1 to 2.6).

use reqwest::Method;
use serde_json::{Value, json};

use super::bodies::{CONNECTOR, connector, workspace};
use super::provider::{GEN1, GROUP, NEWEST, Provider};

#[tokio::test]
async fn a_version_is_required_known_and_of_the_type() {
    let provider = Provider::start().await;
    for (query, code) in [
        ("", "MissingApiVersionParameter"),
        ("?api-version=", "MissingApiVersionParameter"),
        ("?api-version=latest", "InvalidApiVersionParameter"),
        ("?api-version=2019-09-16", "NoRegisteredProviderFound"),
    ] {
        let response = provider.request(Method::GET, &format!("{GROUP}/workspaces/ws1{query}")).send().await.unwrap();
        assert_eq!(response.status(), 400, "{query}");
        assert!(response.text().await.unwrap().contains(code), "{query}");
    }
    let path = format!("{GROUP}/workspaces/ws1?API-Version={NEWEST}&other=1");
    assert_eq!(provider.request(Method::GET, &path).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_words_of_arm() {
    let provider = Provider::start().await;
    provider.get("workspaces/ws1", NEWEST).await.is_error(404, "ResourceNotFound");
    provider.get("workspaces/ws1/iotconnectors", NEWEST).await.is_error(404, "ParentResourceNotFound");
    provider.get("workspaces/ws1/other/x12", NEWEST).await.is_error(404, "InvalidResourceType");
    provider
        .send(Method::POST, &format!("{CONNECTOR}/listKeys"), NEWEST, "", &[])
        .await
        .is_error(404, "InvalidResourceType");
    provider.put(CONNECTOR, NEWEST, &connector()).await.is_error(404, "ParentResourceNotFound");
    provider.patch("workspaces/ws1", NEWEST, &workspace()).await.is_error(404, "ResourceNotFound");
    provider.delete("workspaces/ws1", NEWEST).await.is(204);
}

#[tokio::test]
async fn a_method_that_is_not_there_names_those_that_are() {
    let provider = Provider::start().await;
    let answer = provider.send(Method::POST, "workspaces/ws1", NEWEST, "{}", &[]).await;
    answer.is_error(405, "MethodNotAllowed");
    assert_eq!(answer.header("allow"), Some("GET, PUT, PATCH, DELETE, HEAD"));
    assert!(answer.body["error"].get("target").is_none());
}

#[tokio::test]
async fn every_answer_has_an_id_and_echoes_what_it_was_sent() {
    let provider = Provider::start().await;
    let headers = [
        ("x-ms-correlation-request-id", "c-1"),
        ("x-ms-client-request-id", "r-1"),
        ("x-ms-return-client-request-id", "true"),
    ];
    let mut ids = Vec::new();
    for path in ["workspaces/ws1", "workspaces"] {
        let answer = provider.send(Method::GET, path, NEWEST, "", &headers).await;
        assert_eq!(answer.header("x-ms-correlation-request-id"), Some("c-1"));
        assert_eq!(answer.header("x-ms-client-request-id"), Some("r-1"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert!(answer.header("date").is_some());
        ids.push(answer.header("x-ms-request-id").expect("an id").to_owned());
    }
    assert_ne!(ids[0], ids[1]);
    let silent = provider.send(Method::GET, "workspaces", NEWEST, "", &headers[..2]).await;
    assert_eq!(silent.header("x-ms-client-request-id"), None);
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let answer = provider.send(Method::HEAD, CONNECTOR, NEWEST, "", &[]).await.is(200);
    assert!(answer.header("etag").is_some() && answer.body.is_null());
    let whole = provider.get(CONNECTOR, NEWEST).await.is(200);
    assert_eq!(answer.header("content-length"), whole.header("content-length"));
}

#[tokio::test]
async fn bodies_have_a_form_a_kind_and_a_size() {
    let provider = Provider::start().await;
    for body in ["", "[]", "{", "3"] {
        provider.send(Method::PUT, "workspaces/ws1", NEWEST, body, &[]).await.is_error(400, "InvalidRequestContent");
    }
    let path = format!("{GROUP}/workspaces/ws1?api-version={NEWEST}");
    let send = |kind: &'static str, body: String| {
        let request = provider.request(Method::PUT, &path).header("content-type", kind).body(body);
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(send("text/plain", "{}".to_owned()).await, 415);
    assert_eq!(send("application/merge-patch+json", "{}".to_owned()).await, 415);
    assert_eq!(send("application/json", " ".repeat(1024 * 1024 + 1)).await, 413);
    assert_eq!(send("application/json; charset=utf-8", workspace().to_string()).await, 201);
}

#[tokio::test]
async fn urls_are_those_of_the_client() {
    let provider = Provider::start().await;
    let referer = [("referer", "https://management.example/subscriptions/x?api-version=1")];
    let answer = provider.send(Method::PUT, "workspaces/ws1", NEWEST, &workspace().to_string(), &referer).await.is(201);
    let url = answer.header("azure-asyncoperation").unwrap();
    assert!(url.starts_with("https://management.example/subscriptions/"), "{url}");
    assert!(url.ends_with(&format!("?api-version={NEWEST}")), "{url}");
}

#[tokio::test]
async fn casing_is_that_of_the_last_write() {
    let provider = Provider::start().await;
    provider.put("workspaces/WS1", NEWEST, &workspace()).await.is(201);
    provider.work().await;
    let path = GROUP.replace("rg1", "RG1") + "/workspaces/ws1";
    let answer = provider.get(&path.to_uppercase(), NEWEST).await.is(200);
    assert_eq!((answer.body["name"].as_str(), answer.state()), (Some("WS1"), "Succeeded"));
    provider.put(&path, NEWEST, &workspace()).await.is(200);
    let answer = provider.get("workspaces/WS1", NEWEST).await.is(200);
    assert_eq!(answer.body["name"], "ws1");
    assert_eq!(answer.body["id"], path);
}

/// The members of an object are not taken without their names, and what is told names no
/// type of ours.
#[tokio::test]
async fn what_is_of_another_type_is_refused() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let with = |member: &str, value: Value| {
        let mut body = connector();
        body[member] = value;
        body
    };
    let configured = |value: Value| {
        let mut body = connector();
        body["properties"]["ingestionEndpointConfiguration"] = value;
        body
    };
    let mapped = |value: Value| {
        let mut body = connector();
        body["properties"]["deviceMapping"] = value;
        body
    };
    let gen1 = "services/fhir1/iomtconnectors/c12";
    for (path, version, body, target) in [
        ("workspaces/ws9", NEWEST, json!({ "location": "westus2", "sku": ["Dedicated"] }), "sku"),
        ("workspaces/ws9", NEWEST, json!({ "location": "westus2", "sku": "Dedicated" }), "sku"),
        ("workspaces/ws9", NEWEST, json!({ "location": "westus2", "properties": ["Disabled"] }), "properties"),
        (CONNECTOR, NEWEST, with("identity", json!(["SystemAssigned"])), "identity"),
        (CONNECTOR, NEWEST, with("properties", json!("x")), "properties"),
        (
            CONNECTOR,
            NEWEST,
            configured(json!(["telemetry", "$Default", "a.b"])),
            "properties.ingestionEndpointConfiguration",
        ),
        (CONNECTOR, NEWEST, mapped(json!(7)), "properties.deviceMapping"),
        (
            gen1,
            GEN1,
            json!({ "location": "westus2", "properties": { "serviceConfiguration": ["Create"] } }),
            "properties.serviceConfiguration",
        ),
    ] {
        let answer = provider.put(path, version, &body).await;
        answer.is_error(400, "InvalidRequestContent");
        let error = &answer.body["error"];
        assert_eq!(error["target"], target, "{body}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("expected an object") && !message.contains("struct"), "{message}");
    }
}
