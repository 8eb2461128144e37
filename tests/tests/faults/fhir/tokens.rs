//! The token that the connector shows is not taken any more.

use std::time::Duration;

use end_to_end::proxy::{Fault, Of, Rule};
use local::fhir_server::{FhirServer, FhirServerConfig, Personality, TokenClient};

use super::case::{Case, LIMIT};
use super::servers::{Kind, OWN_AZURE, on};
use crate::selection::report;

fn check(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    // Our own server, of which only the token endpoint is used.
    let client = TokenClient { id: "c1".to_owned(), secret: "s1".to_owned(), lifetime: Duration::from_secs(3600) };
    let config = FhirServerConfig { token_client: Some(client), ..FhirServerConfig::new(Personality::Uuid) };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let issuer = runtime.block_on(FhirServer::start(config)).expect("an issuer");
    // Without a token nothing goes at all.
    case.proxy.expire_tokens();
    let convert = case.convert_with(
        "c",
        &[
            ("FhirService__AuthenticationType", "ClientCredentials"),
            ("FhirService__Authority", &issuer.token_url()),
            ("FhirService__ClientId", "c1"),
            ("FhirService__ClientSecret", "s1"),
        ],
    );
    for round in 1..=3 {
        let on_their_way = case.proxy.inject(Rule::new(Fault::HoldRequest, Of::Writes).skip(2));
        on_their_way.wait(1, LIMIT);
        case.proxy.expire_tokens();
        on_their_way.release();
        case.wait("the old token is shown", &[&convert], || (case.proxy.refused_tokens() >= round).then_some(()));
    }
    let seen = case.check(&[&convert]);
    let seen = format!("{} requests refused with 401; {seen}", case.proxy.refused_tokens());
    report("expired token", kind.name(), 3, seen);
}

#[test]
fn a_token_expires() {
    on(OWN_AZURE, check);
}
