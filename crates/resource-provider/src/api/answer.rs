//! A response (resource-provider.md 2.6, 2.7, 2.8).

use arm::error::ErrorBody;
use arm::operation::{result_url, status_url};
use arm::{ApiVersion, ArmError, ErrorCode};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::documents::OperationDocument;

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    body: Option<String>,
    headers: Vec<(HeaderName, String)>,
}

const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");

impl Answer {
    fn new(status: StatusCode, body: Option<String>) -> Answer {
        Answer { status, body, headers: Vec::new() }
    }

    /// 200 with a body of JSON.
    pub fn ok(body: String) -> Answer {
        Answer::new(StatusCode::OK, Some(body))
    }

    /// 201 with a body of JSON.
    pub fn created(body: String) -> Answer {
        Answer::new(StatusCode::CREATED, Some(body))
    }

    /// 202 with or without one.
    pub fn accepted(body: Option<String>) -> Answer {
        Answer::new(StatusCode::ACCEPTED, body)
    }

    /// 200 without one.
    pub fn empty() -> Answer {
        Answer::new(StatusCode::OK, None)
    }

    /// 204.
    pub fn no_content() -> Answer {
        Answer::new(StatusCode::NO_CONTENT, None)
    }

    /// An error. What it tells a client to try again says when.
    pub fn error(error: &ArmError, retry_after_seconds: u64) -> Answer {
        let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut error = error.clone();
        let mut headers = Vec::new();
        if error.code == ErrorCode::MethodNotAllowed {
            headers.push((header::ALLOW, error.target.take().unwrap_or_default()));
        }
        let retry = error.can_be_retried();
        let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
        let answer = Answer { status, body: Some(body), headers };
        if retry { answer.retry_after(retry_after_seconds) } else { answer }
    }

    /// With the ETag of a resource.
    pub fn etag(self, etag: &str) -> Answer {
        self.header(header::ETAG, etag.to_owned())
    }

    /// With a header.
    pub fn header(mut self, name: HeaderName, value: String) -> Answer {
        self.headers.push((name, value));
        self
    }

    /// With the time to wait, whole seconds.
    pub fn retry_after(self, seconds: u64) -> Answer {
        self.header(header::RETRY_AFTER, seconds.to_string())
    }

    /// With where to ask how an operation goes; of PATCH and DELETE also where
    /// its result will be. No `Location` on PUT: clients go back to the resource.
    pub fn operation(
        self,
        operation: &OperationDocument,
        base: &str,
        version: ApiVersion,
        with_location: bool,
    ) -> Answer {
        let path = arm::operation::path(&operation.subscription_id, &operation.location, &operation.id);
        let answer = self.header(ASYNC_OPERATION, status_url(base, &path, version));
        if with_location { answer.header(header::LOCATION, result_url(base, &path, version)) } else { answer }
    }

    /// The status, for the log.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// As HTTP, with the headers that every answer has.
    pub fn into_response(self, request: &HeaderMap, request_id: &str) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        if let Ok(value) = HeaderValue::try_from(request_id) {
            headers.insert("x-ms-request-id", value);
        }
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
        let mut echo = |name: &'static str| {
            if let Some(value) = request.get(name) {
                headers.insert(name, value.clone());
            }
        };
        echo("x-ms-correlation-request-id");
        let wants = request
            .get("x-ms-return-client-request-id")
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        if wants {
            echo("x-ms-client-request-id");
        }
        if let Some(body) = self.body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
            // The server keeps that of HEAD back, and says how long it is.
            *response.body_mut() = Body::from(body);
        }
        response
    }
}
