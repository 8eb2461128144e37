//! An API on a port of loopback.

use std::sync::Arc;

use arm::Location;
use arm::operation::{OperationKind, OperationStatus};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use resource_provider::api::{Api, ApiSettings};
use resource_provider::local::{LocalIdentities, LocalKeys, NamedFhirServices};
use resource_provider::ports::{FhirService, FhirServices, Keys};
use resource_provider::store::{Claim, Store, Work};
use serde_json::{Value, json};

use super::places::Place;

pub const SUBSCRIPTION: &str = "0b1f6471-1bf0-4dda-aec3-111122223333";
pub const GROUP: &str =
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/Microsoft.HealthcareApis";
pub const NEWEST: &str = "2024-03-31";
pub const FIRST: &str = "2020-11-01-preview";
pub const GEN1: &str = "2020-05-01-preview";

pub struct Provider {
    pub store: Store,
    pub fhir_services: Arc<NamedFhirServices>,
    client: reqwest::Client,
    url: String,
    api: Api,
    place: Option<Place>,
}

/// What is outside for the API, where it is not in memory.
pub struct Outside {
    pub fhir_services: Arc<dyn FhirServices>,
    pub keys: Arc<dyn Keys>,
}

/// What came back.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answered {
    async fn of(response: Response) -> Answered {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
        Answered { status, headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub fn state(&self) -> &str {
        self.body["properties"]["provisioningState"].as_str().unwrap_or_default()
    }

    /// Checks that it is an error, whole as errors are.
    #[track_caller]
    pub fn is_error(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.body["error"]["code"].as_str()), (status, Some(code)), "{self:?}");
        assert!(self.body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        assert!(self.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
    }

    /// Checks a status.
    #[track_caller]
    pub fn is(self, status: u16) -> Answered {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

impl Provider {
    /// Starts one whose subscription is registered, with a FHIR service of each
    /// generation.
    pub async fn start() -> Provider {
        let provider = Provider::start_with(ApiSettings { retry_after_seconds: 1, ..ApiSettings::default() }).await;
        provider.subscription_is("Registered").await;
        provider
    }

    pub async fn start_with(settings: ApiSettings) -> Provider {
        let place = Place::new().await;
        let store = Store::open(&place.url).await.expect("a store");
        Provider::over(store, settings, Some(place)).await
    }

    /// One whose subscription is registered, with its store at a URL.
    pub async fn on(url: &str) -> Provider {
        let settings = ApiSettings { retry_after_seconds: 1, ..ApiSettings::default() };
        let provider = Provider::over(Store::open(url).await.expect("a store"), settings, None).await;
        provider.subscription_is("Registered").await;
        provider
    }

    /// Where its store is, when that is its own.
    pub fn url_of_store(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.url.as_str())
    }

    /// The API, to be asked without a network.
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// Another API over the same store, which lasts as long as this one.
    pub async fn beside(&self, settings: ApiSettings) -> Provider {
        Provider::over(self.store.clone(), settings, None).await
    }

    /// One over what is outside.
    pub async fn start_over(settings: ApiSettings, outside: Outside) -> Provider {
        let place = Place::new().await;
        let store = Store::open(&place.url).await.expect("a store");
        Provider::between(store, settings, Some(place), Some(outside)).await
    }

    async fn over(store: Store, settings: ApiSettings, place: Option<Place>) -> Provider {
        Provider::between(store, settings, place, None).await
    }

    async fn between(store: Store, settings: ApiSettings, place: Option<Place>, outside: Option<Outside>) -> Provider {
        let fhir_services = Arc::new(NamedFhirServices::default());
        let service = |is_ready| FhirService {
            location: Location::new("westus2"),
            is_ready,
            url: "https://fhir.example".to_owned(),
            audience: None,
        };
        fhir_services.put(&format!("{GROUP}/services/fhir1"), service(true));
        fhir_services.put(&format!("{GROUP}/services/fhir2"), service(true));
        fhir_services.put(&format!("{GROUP}/services/fhir3"), service(false));
        let outside = outside.unwrap_or_else(|| Outside {
            fhir_services: fhir_services.clone(),
            keys: Arc::new(LocalKeys::of_host("devices.example")),
        });
        let api = Api {
            store: store.clone(),
            settings: Arc::new(settings),
            fhir_services: outside.fhir_services,
            identities: Some(Arc::new(LocalIdentities)),
            keys: outside.keys,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let served = api.clone();
        tokio::spawn(async move { axum::serve(listener, api.router()).await });
        Provider { store, fhir_services, client: reqwest::Client::new(), url, api: served, place }
    }

    pub async fn subscription_is(&self, state: &str) -> Answered {
        let path = format!("/subscriptions/{SUBSCRIPTION}");
        let body = json!({ "state": state, "registrationDate": "today", "properties": { "tenantId": "t" } });
        self.send(Method::PUT, &path, "2.0", &body.to_string(), &[]).await
    }

    /// A request by hand.
    pub fn request(&self, method: Method, path_and_query: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path_and_query}", self.url))
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        version: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answered {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{GROUP}/{path}") };
        let mut request = self.request(method, &format!("{path}?api-version={version}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        Answered::of(request.send().await.expect("an answer")).await
    }

    pub async fn get(&self, path: &str, version: &str) -> Answered {
        self.send(Method::GET, path, version, "", &[]).await
    }

    /// A GET of a URL that an answer gave, whose host may be anybody's.
    pub async fn follow(&self, url: &str) -> Answered {
        let rest = url.splitn(4, '/').nth(3).expect("a path");
        Answered::of(self.request(Method::GET, &format!("/{rest}")).send().await.expect("an answer")).await
    }

    pub async fn put(&self, path: &str, version: &str, body: &Value) -> Answered {
        self.send(Method::PUT, path, version, &body.to_string(), &[]).await
    }

    pub async fn patch(&self, path: &str, version: &str, body: &Value) -> Answered {
        self.send(Method::PATCH, path, version, &body.to_string(), &[]).await
    }

    pub async fn delete(&self, path: &str, version: &str) -> Answered {
        self.send(Method::DELETE, path, version, "", &[]).await
    }

    /// Carries out all operations that are queued.
    pub async fn work(&self) {
        self.work_with(None).await;
    }

    /// The same, or lets them fail.
    pub async fn work_with(&self, error: Option<arm::ArmError>) {
        loop {
            let now = Timestamp::now();
            let claim = Claim { worker: "test", now, until: now + SignedDuration::from_secs(60) };
            let Some(claimed) = self.store.claim(claim, Work::All).await.expect("a store") else { return };
            let mut operation = claimed.document;
            let mut transaction = self.store.begin().await.expect("a transaction");
            let resource = transaction.resource_by_id(&operation.resource_id).await.expect("a store");
            let mut resource = resource.expect("the resource");
            operation.provisioning_status = OperationStatus::Succeeded;
            match (&error, operation.provisioning_operation) {
                (Some(error), _) => {
                    operation.provisioning_status = OperationStatus::Failed;
                    operation.error = Some(error.clone());
                    resource.revert();
                    resource.state = arm::state::ResourceState::Failed;
                    transaction.update_resource(&mut resource).await.expect("it is written");
                }
                (None, OperationKind::Deprovision) => {
                    for child in transaction.descendants(&resource.resource_id()).await.expect("a store") {
                        transaction.delete_resource(&child.id).await.expect("it is removed");
                    }
                    transaction.delete_resource(&resource.id).await.expect("it is removed");
                }
                (None, _) => {
                    resource.mark_good();
                    transaction.update_resource(&mut resource).await.expect("it is written");
                }
            }
            operation.time_ended = Some(now.to_string());
            transaction.end_operation(&operation, now + SignedDuration::from_hours(1)).await.expect("it is ended");
            transaction.commit().await.expect("it takes effect");
        }
    }

    /// A workspace, a connector and their state: ready.
    pub async fn with_connector(&self) {
        self.put("workspaces/ws1", NEWEST, &super::bodies::workspace()).await.is(201);
        self.work().await;
        self.put(super::bodies::CONNECTOR, NEWEST, &super::bodies::connector()).await.is(201);
        self.work().await;
    }
}
