//! Who is let in, and what of them is believed.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::issuer::{AUDIENCE, ISSUER, Issuer};
use super::process::{Pair, Program, client_certificate};

const SUBSCRIPTION: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333";
const WORKSPACE: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/\
                         Microsoft.HealthcareApis/workspaces/ws1?api-version=2024-03-31";

fn thumbprint(pair: &Pair) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pair.certificate.der());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn register(program: &Program, client: &Client) -> (StatusCode, Value) {
    let request = program.request(client, Method::PUT, &format!("{SUBSCRIPTION}?api-version=2.0"));
    let answer = request.json(&json!({ "state": "Registered", "registrationDate": "today" })).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn the_front_door_is_known_by_its_certificate() {
    let (ours, strangers) = (client_certificate(), client_certificate());
    let program = Program::start(&["--dry-run", "--client-certificate-thumbprints", &thumbprint(&ours)]).await;
    let (status, error) = register(&program, &program.client(None)).await;
    assert_eq!((status.as_u16(), &error["error"]["code"]), (401, &json!("AuthenticationFailed")));
    let (status, error) = register(&program, &program.client(Some(&strangers))).await;
    assert_eq!((status.as_u16(), &error["error"]["code"]), (403, &json!("Forbidden")));
    let front_door = program.client(Some(&ours));
    assert_eq!(register(&program, &front_door).await.0, 200);
    let made = program
        .request(&front_door, Method::PUT, WORKSPACE)
        .header("x-ms-client-object-id", "object of somebody")
        .header("x-ms-client-principal-name", "somebody@contoso.example")
        .header("x-ms-correlation-request-id", "correlation 1")
        .header("x-ms-arm-resource-system-data", r#"{"createdBy":"somebody@contoso.example","createdByType":"User"}"#)
        .json(&json!({ "location": "westus2", "tags": { "secret-looking": "value" } }))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    assert_eq!(made["systemData"]["createdBy"], "somebody@contoso.example");

    let audit = program.audit();
    let statuses: Vec<u64> = audit.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [401, 403, 200, 201]);
    assert!(audit[0].get("caller").is_none(), "{}", audit[0]);
    let last = &audit[3];
    assert_eq!((&last["caller"], &last["objectId"]), (&json!("frontDoor"), &json!("object of somebody")));
    assert_eq!((&last["method"], &last["correlationId"]), (&json!("PUT"), &json!("correlation 1")));
    assert!(last["path"].as_str().unwrap().ends_with("/workspaces/ws1") && last["requestId"].is_string(), "{last}");
    assert!(!last.to_string().contains("secret-looking") && !last.to_string().contains("createdBy"), "{last}");
    let (printed, went_well) = program.stop();
    assert!(went_well, "{printed}");
    assert!(!printed.contains("somebody") && !printed.contains("secret-looking"), "who asked is in no log: {printed}");
}

#[tokio::test]
async fn an_application_is_not_believed_for_whom_it_asks() {
    let issuer = Issuer::start().await;
    let program = Program::start(&[
        "--dry-run",
        "--token-issuers",
        ISSUER,
        "--token-audiences",
        AUDIENCE,
        "--token-keys-url",
        &issuer.keys,
        "--front-door-app-ids",
        "arm",
        "--application-ids",
        "tool",
    ])
    .await;
    let client = program.client(None);
    let send = |method: Method, path: &str, application: &str, body: Value| {
        let request = program.request(&client, method, path).bearer_auth(issuer.token(&json!({ "azp": application })));
        request.header("x-ms-arm-resource-system-data", r#"{"createdBy":"forged"}"#).json(&body).send()
    };
    let subscription = format!("{SUBSCRIPTION}?api-version=2.0");
    let registered = json!({ "state": "Registered", "registrationDate": "today" });
    let refused = send(Method::PUT, &subscription, "tool", registered.clone()).await.unwrap();
    assert_eq!(refused.status(), 403, "only the front door tells what becomes of a subscription");
    assert_eq!(send(Method::PUT, &subscription, "arm", registered).await.unwrap().status(), 200);
    assert_eq!(send(Method::PUT, WORKSPACE, "stranger", json!({})).await.unwrap().status(), 403);
    let made = send(Method::PUT, WORKSPACE, "tool", json!({ "location": "westus2" })).await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    assert!(!made.to_string().contains("forged"), "{made}");
    let wrong = program.request(&client, Method::GET, WORKSPACE).bearer_auth("a.b.c").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert_eq!(wrong.headers()["www-authenticate"], "Bearer");
    assert_eq!(wrong.headers()["connection"], "close");
    assert_eq!(program.audit().last().unwrap()["caller"], "tool");
}

#[tokio::test]
async fn whoever_writes_too_often_waits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("platform.yaml");
    std::fs::write(&file, "throttle: { writesPerSecond: 1, burst: 2 }").unwrap();
    let program = Program::start(&["--dry-run", "--no-authentication", "--platform", file.to_str().unwrap()]).await;
    let client = program.client(None);
    let write = || async {
        let request = program.request(&client, Method::PUT, WORKSPACE).json(&json!({ "location": "westus2" }));
        request.send().await.unwrap().status().as_u16()
    };
    let mut statuses = Vec::new();
    // More often than once a second, however slow this machine is now and then.
    while statuses.last() != Some(&429) && statuses.len() < 100 {
        statuses.push(write().await);
    }
    assert!(statuses.len() > 2 && statuses.last() == Some(&429), "{statuses:?}");
    assert_eq!(register(&program, &client).await.0, 200, "a customer does not hold up Azure Resource Manager");
}

/// What was made is written down, whether or not somebody is there for the answer.
#[tokio::test]
async fn who_goes_away_before_the_answer_is_written_down() {
    let program = Program::start(&["--dry-run", "--no-authentication", "--register-on-first-use"]).await;
    let client = program.client(None);
    let put = |number: usize| {
        let path =
            WORKSPACE.replace("ws1", &format!("ws{number}")).replace("-111122223333/", &format!("-{number:012}/"));
        program.request(&client, Method::PUT, &path).json(&json!({ "location": "westus2" }))
    };
    for number in 0..40 {
        let wait = std::time::Duration::from_millis(number as u64 / 2);
        // Whether an answer came is left to chance.
        let _ = tokio::time::timeout(wait, put(number).send()).await;
    }
    for number in 0..40 {
        assert!(put(number).send().await.unwrap().status().is_success(), "{number}");
    }
    let made = program.audit().iter().filter(|line| line["status"] == 201).count();
    assert_eq!(made, 40, "each was made once, by a request that is written down");
}
