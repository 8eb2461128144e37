//! The token that the connector shows is not taken any more, or there is none.

use std::net::SocketAddr;
use std::time::Duration;

use end_to_end::process::{Running, free_port};
use end_to_end::proxy::{Fault, Of, Rule};
use local::fhir_server::{FhirServer, FhirServerConfig, Personality, TokenClient};
use tokio::runtime::Runtime;

use super::case::{Case, LIMIT};
use super::servers::{Kind, OWN_AZURE, OWN_UUID, on};
use crate::selection::report;

/// Our own server, of which only the token endpoint is used.
fn issuer(runtime: &Runtime, port: u16) -> FhirServer {
    let client = TokenClient { id: "c1".to_owned(), secret: "s1".to_owned(), lifetime: Duration::from_secs(3600) };
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let config = FhirServerConfig { listen, token_client: Some(client), ..FhirServerConfig::new(Personality::Uuid) };
    runtime.block_on(FhirServer::start(config)).expect("an issuer")
}

fn convert(case: &Case, token_url: &str) -> Running {
    let settings = [
        ("FhirService__AuthenticationType", "ClientCredentials"),
        ("FhirService__Authority", token_url),
        ("FhirService__ClientId", "c1"),
        ("FhirService__ClientSecret", "s1"),
    ];
    case.convert_with("c", &settings)
}

fn check(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let runtime = Runtime::new().expect("a runtime");
    let issuer = issuer(&runtime, 0);
    // Without a token nothing goes at all.
    case.proxy.expire_tokens();
    let convert = convert(&case, &issuer.token_url());
    let hold = || case.proxy.inject(Rule::new(Fault::HoldRequest, Of::Writes).skip(2));
    let mut on_their_way = hold();
    for round in 1..=3 {
        on_their_way.wait(1, LIMIT);
        case.proxy.expire_tokens();
        // Before the work goes on, or there may be none left for it.
        let next = hold();
        on_their_way.release();
        on_their_way = next;
        case.wait("the old token is shown", &[&convert], || (case.proxy.refused_tokens() >= round).then_some(()));
    }
    on_their_way.release();
    let seen = case.check(&[&convert]);
    let seen = format!("{} requests refused with 401; {seen}", case.proxy.refused_tokens());
    report("expired token", kind.name(), 3, seen);
}

#[test]
fn a_token_expires() {
    on(OWN_AZURE, check);
}

fn check_away(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    case.proxy.expire_tokens();
    let port = free_port();
    let convert = convert(&case, &format!("http://127.0.0.1:{port}/oauth2/token"));
    let complained = || convert.stdout().iter().filter(|line| line.contains("no access token")).count();
    case.wait("there is no token, again and again", &[&convert], || (complained() >= 6).then_some(()));
    let runtime = Runtime::new().expect("a runtime");
    let _issuer = issuer(&runtime, port);
    let seen = case.check(&[&convert]);
    let seen = format!("{} requests without a token; {seen}", case.proxy.refused_tokens());
    assert_eq!(case.proxy.refused_tokens(), 0);
    report("issuer of tokens away", kind.name(), complained(), seen);
}

#[test]
fn the_issuer_of_tokens_is_away() {
    on(OWN_UUID, check_away);
}
