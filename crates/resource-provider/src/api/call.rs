//! A request, read (resource-provider.md 2.1, 2.3, 2.5).

use arm::etag::Conditions;
use arm::identity::SystemAssigned;
use arm::system_data::SystemData;
use arm::{ApiVersion, ArmError, ErrorCode, Route};
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri, header};
use jiff::Timestamp;

use crate::enqueue::Request;

/// What is asked, and by whom.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub route: Route,
    pub version: ApiVersion,
    pub body: Bytes,
    /// The path as it was written.
    pub path: String,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// Scheme, host and port that the client used: URLs that are given back
    /// begin so.
    pub base: String,
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub system_data: SystemData,
    /// The identity that ARM made for the resource.
    pub identity: SystemAssigned,
    pub correlation_id: Option<String>,
    pub client_request_id: Option<String>,
}

impl Call {
    /// Reads a request.
    pub fn read(method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Result<Call, ArmError> {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let route = Route::of_path(uri.path()).map_err(|error| unless_unversioned(&query, error))?;
        let version = version(&route, &query)?;
        check_content_type(method, headers, &body)?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Call {
            method: method.clone(),
            version,
            body,
            path: uri.path().to_owned(),
            query,
            base: base(headers),
            if_match: text("if-match"),
            if_none_match: text("if-none-match"),
            system_data: SystemData::of_header(text("x-ms-arm-resource-system-data").as_deref()),
            identity: SystemAssigned {
                principal_id: text("x-ms-identity-principal-id"),
                tenant_id: text("x-ms-home-tenant-id"),
                credential_url: text("x-ms-identity-url"),
            },
            correlation_id: text("x-ms-correlation-request-id"),
            client_request_id: text("x-ms-client-request-id"),
            route,
        })
    }

    /// The request, as its operation remembers it.
    pub fn request(&self, at: Timestamp) -> Request {
        Request {
            at,
            version: self.version,
            correlation_id: self.correlation_id.clone(),
            client_request_id: self.client_request_id.clone(),
        }
    }

    /// The conditions of the request.
    pub fn conditions(&self) -> Conditions<'_> {
        Conditions { if_match: self.if_match.as_deref(), if_none_match: self.if_none_match.as_deref() }
    }

    /// A parameter of the query, its name without letter case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.query, name)
    }

    /// Refuses a method that the resource does not have.
    pub fn check_method(&self) -> Result<(), ArmError> {
        let methods = self.route.methods();
        if methods.contains(&self.method.as_str()) {
            return Ok(());
        }
        let message = format!("The method {} is not supported here; allowed: {}.", self.method, methods.join(", "));
        Err(ArmError::at(ErrorCode::MethodNotAllowed, methods.join(", "), message))
    }
}

fn parameter<'q>(query: &'q [(String, String)], name: &str) -> Option<&'q str> {
    query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What is wrong with a path, unless the version is none: that is told first
/// (resource-provider.md 3.3).
fn unless_unversioned(query: &[(String, String)], error: ArmError) -> ArmError {
    let version = ApiVersion::read(parameter(query, "api-version"), &ApiVersion::all(), "");
    match version {
        Err(none) if none.code != ErrorCode::NoRegisteredProviderFound => none,
        _ => error,
    }
}

/// The version by which ARM says what has become of a subscription
/// (resource-provider.md 2.14).
pub const OF_SUBSCRIPTIONS: &str = "2.0";

/// The version of the request. What belongs to no type takes that of any; a
/// subscription's is ARM's own, which says nothing to us.
fn version(route: &Route, query: &[(String, String)]) -> Result<ApiVersion, ArmError> {
    let text = parameter(query, "api-version").filter(|text| !text.is_empty());
    let all = ApiVersion::all();
    let newest = || all.last().copied().ok_or_else(|| ArmError::new(ErrorCode::InternalServerError, "No versions."));
    match route {
        Route::Resource(id) | Route::Action(id, _) => {
            ApiVersion::read(text, id.kind.versions(), &id.kind.canonical_path())
        }
        Route::Collection(scope) => ApiVersion::read(text, scope.kind.versions(), &scope.kind.canonical_path()),
        Route::Operations => ApiVersion::read(text, &all, "operations"),
        Route::OperationResult { .. } => ApiVersion::read(text, &all, "operationresults"),
        Route::CheckNameAvailability { .. } => ApiVersion::read(text, &all, "checkNameAvailability"),
        Route::Subscription { .. } if text.is_some_and(|text| text != OF_SUBSCRIPTIONS) => {
            let message = format!("The api-version of subscriptions is {OF_SUBSCRIPTIONS}.");
            Err(ArmError::new(ErrorCode::NoRegisteredProviderFound, message))
        }
        Route::Subscription { .. } | Route::Provider { .. } | Route::Register { .. } | Route::MoveResources { .. } => {
            match text {
                Some(_) => newest(),
                None => ApiVersion::read(None, &all, "subscriptions"),
            }
        }
    }
}

/// Bodies are JSON; one without a content type is taken for it.
fn check_content_type(method: &Method, headers: &HeaderMap, body: &Bytes) -> Result<(), ArmError> {
    let Some(value) = headers.get(header::CONTENT_TYPE).filter(|_| !body.is_empty()) else { return Ok(()) };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let merge_patch = *method == Method::PATCH && kind == "application/merge-patch+json";
    if merge_patch || kind == "application/json" {
        return Ok(());
    }
    Err(ArmError::new(ErrorCode::UnsupportedMediaType, "The content type has to be application/json."))
}

/// Where the client thinks it is: ARM says so in `Referer`.
fn base(headers: &HeaderMap) -> String {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let other = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let referer = text(header::REFERER).and_then(|text| url::Url::parse(text).ok());
    if let Some(origin) = referer.map(|url| url.origin()).filter(url::Origin::is_tuple) {
        return origin.ascii_serialization();
    }
    // Of several proxies the one before the client; and nothing that is no origin.
    let first = |name: &str| other(name).and_then(|list| list.split(',').next()).map(str::trim);
    let scheme = first("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https")).unwrap_or("http");
    let hosts = [first("x-forwarded-host"), text(header::HOST)];
    let origins = hosts.into_iter().flatten().filter_map(|host| {
        let url = url::Url::parse(&format!("{scheme}://{host}")).ok()?;
        let is_host =
            url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        is_host.then(|| url.origin().ascii_serialization())
    });
    origins.into_iter().next().unwrap_or_else(|| format!("{scheme}://localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_of(headers: &[(&'static str, &str)]) -> String {
        let headers = headers.iter().map(|(name, value)| {
            (axum::http::HeaderName::from_static(name), axum::http::HeaderValue::from_str(value).unwrap())
        });
        base(&headers.collect())
    }

    #[test]
    fn urls_begin_where_the_client_is() {
        let referer = ("referer", "https://management.example:8443/subscriptions/x?api-version=y");
        assert_eq!(base_of(&[referer, ("host", "rp:1")]), "https://management.example:8443");
        assert_eq!(
            base_of(&[("x-forwarded-proto", "https"), ("x-forwarded-host", "a.b"), ("host", "rp")]),
            "https://a.b"
        );
        let behind =
            |proto, host| base_of(&[("x-forwarded-proto", proto), ("x-forwarded-host", host), ("host", "rp:1")]);
        assert_eq!(behind("https,http", "a.example, b.example"), "https://a.example");
        assert_eq!(behind("foo", "evil.example/x?y="), "http://rp:1");
        assert_eq!(behind("https", "a b"), "https://rp:1");
        assert_eq!(base_of(&[("host", "127.0.0.1:9")]), "http://127.0.0.1:9");
        assert_eq!(base_of(&[("referer", "about:blank"), ("host", "rp")]), "http://rp");
    }
}
