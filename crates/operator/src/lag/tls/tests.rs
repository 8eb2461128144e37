use std::time::SystemTime;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::lag::authority::{Authority, Issued};

/// Above what any step takes, and far below what would be let go by itself.
const LIMIT: Duration = Duration::from_secs(30);

fn issue(authority: &Authority) -> Issued {
    authority.issue("localhost", SystemTime::now()).unwrap()
}

#[test]
fn takes_a_renewed_certificate_and_no_other_authority() {
    let folder = tempfile::tempdir().unwrap();
    let write = |issued: &Issued, ca: &str| {
        let (chain, key) = &issued.server;
        for (name, text) in [("tls.crt", chain.as_str()), ("tls.key", key), ("ca.crt", ca)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
    };
    let authority = Authority::make().unwrap();
    let issued = issue(&authority);
    write(&issued, &issued.authority);
    let first = read(folder.path()).unwrap();
    let (sender, mut served) = watch::channel(acceptor(&first.0.0, &first.0.1).unwrap());
    let mut kept = Kept::new(folder.path(), first, sender);
    kept.look().unwrap();
    assert!(!served.has_changed().unwrap(), "it is the same");
    write(&issue(&authority), &issued.authority);
    kept.look().unwrap();
    assert!(served.has_changed().unwrap(), "it was renewed");
    served.mark_unchanged();
    std::fs::write(folder.path().join("tls.crt"), "half").unwrap();
    kept.look().unwrap();
    assert!(!served.has_changed().unwrap(), "it cannot be used");
    let other = issue(&Authority::make().unwrap());
    write(&other, &other.authority);
    assert!(kept.look().is_err());
}

/// A server with these limits, and how to speak to it.
async fn served(limits: Limits) -> (std::net::SocketAddr, TlsConnector) {
    let issued = issue(&Authority::make().unwrap());
    let (_sender, accepting) = watch::channel(acceptor(&issued.server.0, &issued.server.1).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/", get(|| async { "well" }));
    tokio::spawn(async move { serve(listener, accepting, routes, limits).await });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(issued.authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (address, TlsConnector::from(Arc::new(config)))
}

/// What the server answers a client that asks at once.
async fn ask(address: std::net::SocketAddr, connector: &TlsConnector) -> String {
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut tls = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Waits for the other side to close.
async fn is_let_go(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = Vec::new();
    // An end without TLS's own farewell is an end too.
    let ended = timeout(LIMIT, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it is still there");
}

#[tokio::test]
async fn lets_go_whoever_says_nothing() {
    let limits = Limits { handshake_wait: Duration::from_millis(50), headers_wait: LIMIT * 10, connections: 1 };
    let (address, connector) = served(limits).await;
    let silent = TcpStream::connect(address).await.unwrap();
    // It has the only place, which is free again when it is let go.
    let answer = timeout(LIMIT, ask(address, &connector)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"), "{answer}");
    is_let_go(silent).await;
}

#[tokio::test]
async fn lets_go_whoever_does_not_ask_to_the_end() {
    let limits = Limits { handshake_wait: LIMIT * 10, headers_wait: Duration::from_millis(50), connections: 1 };
    let (address, connector) = served(limits).await;
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut slow = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    let answer = timeout(LIMIT, ask(address, &connector)).await.unwrap();
    assert!(answer.ends_with("well"), "{answer}");
    is_let_go(slow).await;
}

#[tokio::test]
async fn more_than_there_are_places_for_wait() {
    let limits = Limits { handshake_wait: LIMIT * 10, headers_wait: LIMIT * 10, connections: 2 };
    let (address, connector) = served(limits).await;
    let open = |name: &'static str| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(address).await.unwrap();
            let tls = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await;
            tls.unwrap_or_else(|error| panic!("{name}: {error}"))
        }
    };
    let (first, _second) = (open("first").await, open("second").await);
    let mut third = tokio::spawn(open("third"));
    // It would wait for ever; a while is enough to see one that does not.
    assert!(timeout(Duration::from_millis(300), &mut third).await.is_err());
    drop(first);
    assert!(timeout(LIMIT, third).await.unwrap().is_ok(), "its turn came");
}
