//! What the two documents that the provider is made after send, letter for
//! letter, with their old names and slips of the pen.

use arm::Location;
use resource_provider::ports::FhirService;
use serde_json::{Value, json};

use super::provider::{FIRST, GEN1, GROUP};
use super::site;
use super::site::Site;

/// The group of the documents' examples, in which their FHIR service is.
const EXAMPLES: &str =
    "/subscriptions/d1ccd58b-15d5-40f0-a533-f996d447ee57/resourceGroups/myrg/providers/Microsoft.HealthcareApis";

/// A resource of a document's template.
fn seed(name: &str) -> Value {
    let file = format!("{}/tests/templates/seeds/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// What Azure Resource Manager makes of a resource: a path, and the body as it
/// stands. Names that are expressions are given.
fn request(group: &str, resource: &Value, names: &str) -> String {
    let kind = resource["type"].as_str().unwrap().strip_prefix("Microsoft.HealthcareApis/").unwrap();
    let segments: Vec<&str> = kind.split('/').collect();
    let names: Vec<&str> = names.split('/').collect();
    assert_eq!(segments.len(), names.len(), "{kind} {names:?}");
    let path: String = segments.iter().zip(&names).map(|(kind, name)| format!("/{kind}/{name}")).collect();
    format!("{group}{path}")
}

struct Documents {
    site: Site,
}

impl Documents {
    async fn start() -> Documents {
        let site = site().await;
        let subscription = EXAMPLES.split("/resourceGroups").next().unwrap();
        let body = json!({ "state": "Registered" });
        site.provider.put(subscription, "2.0", &body).await.is(200);
        let service = format!("{EXAMPLES}/workspaces/myworkspace/fhirservices/myfhirservice");
        site.provider.fhir_services.put(
            &service,
            FhirService {
                location: Location::new("westus2"),
                is_ready: true,
                url: "https://fhir.example".to_owned(),
                audience: None,
            },
        );
        Documents { site }
    }

    /// Sends a resource and carries it out; what is shown then.
    async fn deploy(&self, group: &str, resource: &Value, names: &str) -> Value {
        let (path, version) = (request(group, resource, names), resource["apiVersion"].as_str().unwrap());
        let made = self.site.provider.put(&path, version, resource).await.is(201);
        if made.header("azure-asyncoperation").is_some() {
            assert_eq!(self.site.done(made).await["status"], "Succeeded", "{path}");
        }
        let shown = self.site.provider.get(&path, version).await.is(200);
        assert_eq!(shown.state(), "Succeeded");
        shown.body
    }
}

/// The newest part of the document of the second generation.
#[tokio::test]
async fn the_newest_definitions_are_taken_as_they_stand() {
    let documents = Documents::start().await;
    documents.deploy(EXAMPLES, &workspace("US West 2"), "myworkspace").await;
    let written = seed("001-iotconnectors");
    let connector = documents.deploy(EXAMPLES, &written, written["name"].as_str().unwrap()).await;
    assert_eq!(connector["location"], "US West 2");
    assert_eq!(
        connector["properties"]["ingestionEndpointConfiguration"],
        written["properties"]["ingestionEndpointConfiguration"]
    );
    assert_eq!(connector["properties"]["deviceMapping"], written["properties"]["deviceMapping"]);
    assert!(connector["identity"]["principalId"].is_string());
    let written = seed("001-destinations");
    let destination = documents.deploy(EXAMPLES, &written, written["name"].as_str().unwrap()).await;
    for (name, value) in written["properties"].as_object().unwrap() {
        assert_eq!(&destination["properties"][name], value, "{name}");
    }
    assert_eq!(destination["type"], "Microsoft.HealthcareApis/workspaces/iotconnectors/destinations");
}

/// A workspace as the older part writes it, where that is no expression.
fn workspace(location: &str) -> Value {
    let mut workspace = seed("001-workspace");
    workspace["location"] = json!(location);
    workspace
}

/// The older part: singular types, mappings of their own, the wrapper.
#[tokio::test]
async fn the_older_definitions_are_read_too() {
    let documents = Documents::start().await;
    let shown = documents.deploy(GROUP, &workspace("westus2"), "ws1").await;
    assert_eq!((&shown["kind"], &shown["type"]), (&json!("fhir-R4"), &json!("Microsoft.HealthcareApis/workspaces")));

    // Without a mapping, which is required since.
    let older = seed("001-older-iotconnectors");
    let path = request(GROUP, &older, "ws1/iomt1");
    let mut body = older.clone();
    body["location"] = json!("westus2");
    let provider = &documents.site.provider;
    provider.put(&path, FIRST, &body).await.is_error(400, "InvalidMapping");
    body["properties"]["deviceMapping"] = seed("001-iotconnectors")["properties"]["deviceMapping"].clone();
    documents.deploy(GROUP, &body, "ws1/iomt1").await;

    // The document leaves the template of the mapping out.
    let mut mapping = seed("001-older-mappings");
    mapping["location"] = json!("westus2");
    mapping["properties"]["content"]["template"] =
        seed("001-destinations")["properties"]["fhirMapping"]["content"]["template"].clone();
    documents.deploy(GROUP, &mapping, "ws1/iomt1/fhir").await;

    let mut destination = seed("001-older-destination");
    destination["location"] = json!("westus2");
    let wrapper = &mut destination["properties"]["outputEndpointConfiguration"];
    wrapper["fhirServerUrl"] = json!("https://fhir.example");
    wrapper["fhirMappingResourceId"] = json!(format!("{GROUP}/workspace/ws1/IotConnectors/iomt1/mappings/fhir"));
    let path = request(GROUP, &destination, "ws1/iomt1/output1");
    // A URL is for where the platform allows one.
    provider.put(&path, FIRST, &destination).await.is_error(400, "InvalidPropertyValue");
}

/// The document of the first generation.
#[tokio::test]
async fn the_first_generation_is_taken_as_it_stands() {
    let documents = Documents::start().await;
    let connector = documents.deploy(GROUP, &seed("002-iomtconnector"), "fhir1/c12").await;
    assert_eq!(connector["properties"]["serviceConfiguration"]["resourceIdentityResolutionType"], "Lookup");
    assert_eq!(connector["type"], "Microsoft.HealthcareApis/services/iomtconnectors");
    // What stands in it of another resource is passed over.
    let connection = documents.deploy(GROUP, &seed("002-connections"), "fhir1/c12/conn1").await;
    assert_eq!(connection["properties"], json!({ "provisioningState": "Succeeded" }));
    let mapping = seed("002-mappings");
    let path = request(GROUP, &mapping, "fhir1/c12/device");
    // A mapping has to have its text, which the document forgets.
    documents.site.provider.put(&path, GEN1, &mapping).await.is_error(400, "InvalidMapping");
    let listed = documents.site.provider.get("services/FHIR1/IoMTConnectors/c12/connections", GEN1).await.is(200);
    assert_eq!(listed.body["value"][0]["name"], "fhir1/c12/conn1");
}
