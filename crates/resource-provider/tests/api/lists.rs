//! Lists (resource-provider.md 2.12).

use reqwest::Method;

use super::bodies::{CONNECTOR, connector, destination, workspace};
use super::provider::{GROUP, NEWEST, Provider, SUBSCRIPTION};

#[tokio::test]
async fn a_list_goes_on_until_its_end() {
    let provider = Provider::start().await;
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    provider.work().await;
    for number in 0..5 {
        provider.put(&format!("workspaces/ws1/iotconnectors/iot{number}"), NEWEST, &connector()).await.is(201);
    }
    let first = format!("{GROUP}/workspaces/WS1/iotconnectors?api-version={NEWEST}&$top=2");
    let (mut next, mut names, mut pages) = (Some(format!("http://host{first}")), Vec::new(), 0);
    while let Some(url) = next {
        let page = provider.follow(&url).await.is(200).body;
        names.extend(page["value"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        next = page["nextLink"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert_eq!((pages, names), (3, (0..5).map(|number| format!("ws1/iot{number}")).collect()));
}

/// Nineteen destinations may have mappings of half a megabyte each, and ARM takes
/// answers of 8 MB.
#[tokio::test]
async fn a_page_is_no_larger_than_arm_takes() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let mut large = destination();
    large["properties"]["fhirMapping"]["content"]["note"] = "x".repeat(500 * 1024).into();
    for number in 0..17 {
        provider.put(&format!("{CONNECTOR}/fhirdestinations/dest{number:02}"), NEWEST, &large).await.is(201);
    }
    let all = format!("http://host{GROUP}/{CONNECTOR}/fhirdestinations?api-version={NEWEST}");
    let (mut next, mut counts) = (Some(all), Vec::new());
    while let Some(url) = next {
        let page = provider.follow(&url).await.is(200).body;
        assert!(page.to_string().len() < 8_000_000);
        counts.push(page["value"].as_array().unwrap().len());
        next = page["nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(counts, [13, 4]);
}

#[tokio::test]
async fn parameters_of_a_list_are_checked() {
    let provider = Provider::start().await;
    for query in ["$top=0", "$top=x", "$skipToken=%25", "$skipToken=AA"] {
        let path = format!("{GROUP}/workspaces?api-version={NEWEST}&{query}");
        assert_eq!(provider.request(Method::GET, &path).send().await.unwrap().status(), 400, "{query}");
    }
}

#[tokio::test]
async fn workspaces_are_listed_by_group_and_by_subscription() {
    let provider = Provider::start().await;
    let other = GROUP.replace("rg1", "rg2");
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    provider.put(&format!("{other}/workspaces/ws2"), NEWEST, &workspace()).await.is(201);
    let names = |answer: super::provider::Answered| {
        let items = answer.body["value"].as_array().unwrap().clone();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(provider.get("workspaces", NEWEST).await), ["ws1"]);
    let all = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.HealthcareApis/workspaces");
    assert_eq!(names(provider.get(&all, NEWEST).await), ["ws1", "ws2"]);
    assert_eq!(names(provider.get(&all.replace("0b1f", "0b1e"), NEWEST).await), [""; 0]);
    provider.work().await;
    assert_eq!(names(provider.get(CONNECTOR.trim_end_matches("/iot1"), NEWEST).await), [""; 0]);
}
