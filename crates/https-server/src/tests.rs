use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

/// Above what any step takes, and far below what would be let go by itself.
const LIMIT: Duration = Duration::from_secs(30);

/// A certificate authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
type Pair = (String, String);

impl Authority {
    fn make() -> Authority {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

#[test]
fn takes_a_renewed_certificate_and_no_other_authority() {
    let folder = tempfile::tempdir().unwrap();
    let write = |(chain, key): &Pair, ca: &str| {
        for (name, text) in [("tls.crt", chain.as_str()), ("tls.key", key), ("ca.crt", ca)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
    };
    let authority = Authority::make();
    write(&authority.issue(), &authority.0.pem());
    let first = read(folder.path()).unwrap();
    let (sender, mut served) = watch::channel(acceptor(&first.chain, &first.key, Clients::Anonymous).unwrap());
    let mut kept = Kept::new(folder.path(), first, (Clients::Anonymous, super::Authority::Told), sender);
    kept.look().unwrap();
    assert!(!served.has_changed().unwrap(), "it is the same");
    write(&authority.issue(), &authority.0.pem());
    kept.look().unwrap();
    assert!(served.has_changed().unwrap(), "it was renewed");
    served.mark_unchanged();
    std::fs::write(folder.path().join("tls.crt"), "half").unwrap();
    kept.look().unwrap();
    assert!(!served.has_changed().unwrap(), "it cannot be used");
    let other = Authority::make();
    write(&other.issue(), &other.0.pem());
    assert!(kept.look().is_err());
    kept.authority = super::Authority::Untold;
    kept.look().unwrap();
    assert!(served.has_changed().unwrap(), "nobody was told of the one before");
}

/// A server with these limits, and how to speak to it.
async fn served(limits: Limits) -> (std::net::SocketAddr, TlsConnector) {
    serve_to(Clients::Anonymous, None, limits).await
}

/// The same, to a client that shows a certificate.
async fn serve_to(clients: Clients, shows: Option<&Pair>, limits: Limits) -> (std::net::SocketAddr, TlsConnector) {
    let authority = Authority::make();
    let (chain, key) = authority.issue();
    let (_sender, accepting) = watch::channel(acceptor(&chain, &key, clients).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route(
        "/",
        get(|Extension(PeerCertificate(shown))| async move {
            let shown: Option<CertificateDer<'static>> = shown;
            shown.map_or_else(|| "well".to_owned(), |shown| format!("{:?}", shown.as_ref()))
        }),
    );
    tokio::spawn(serve(listener, accepting, routes, limits, std::future::pending()));
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shows {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
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
    let limits = Limits {
        handshake_wait: Duration::from_secs(2),
        headers_wait: LIMIT * 10,
        connections: 1,
        ..Limits::default()
    };
    let (address, connector) = served(limits).await;
    let silent = TcpStream::connect(address).await.unwrap();
    // It has the only place, which is free again when it is let go.
    let answer = timeout(LIMIT, ask(address, &connector)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"), "{answer}");
    is_let_go(silent).await;
}

#[tokio::test]
async fn lets_go_whoever_does_not_ask_to_the_end() {
    let limits = Limits {
        handshake_wait: LIMIT * 10,
        headers_wait: Duration::from_secs(2),
        connections: 1,
        ..Limits::default()
    };
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
    let limits = Limits { handshake_wait: LIMIT * 10, headers_wait: LIMIT * 10, connections: 2, ..Limits::default() };
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

#[tokio::test]
async fn says_which_certificate_a_client_showed() {
    let limits = Limits::default();
    let pair = Authority::make().issue();
    let der = CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap();
    let (address, connector) = serve_to(Clients::Asked, Some(&pair), limits).await;
    let answer = ask(address, &connector).await;
    assert!(answer.ends_with(&format!("{:?}", der.as_ref())), "{answer}");
    let (address, connector) = serve_to(Clients::Asked, None, limits).await;
    assert!(ask(address, &connector).await.ends_with("well"), "it need not show one");
    let (address, connector) = serve_to(Clients::Anonymous, Some(&pair), limits).await;
    assert!(ask(address, &connector).await.ends_with("well"), "it is not asked");
}

/// A key that is not the certificate's proves nothing.
#[tokio::test]
async fn a_certificate_without_its_key_is_not_taken() {
    let (certificate, _) = Authority::make().issue();
    let (_, key) = Authority::make().issue();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let signing = aws_lc_rs::default_provider().key_provider.load_private_key(key).unwrap();
    // `with_client_auth_cert` would refuse the pair before it is sent.
    let shown = Arc::new(tokio_rustls::rustls::sign::CertifiedKey::new(chain, signing));
    let (address, connector) = serve_to(Clients::Asked, None, Limits::default()).await;
    let mut config = connector.config().as_ref().clone();
    config.client_auth_cert_resolver = Arc::new(tokio_rustls::rustls::sign::SingleCertAndKey::from(shown));
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    // In TLS 1.3 a client hears of it when it reads.
    let refused = match connected {
        Err(_) => true,
        Ok(mut tls) => tls.read(&mut [0; 1]).await.is_err(),
    };
    assert!(refused);
}

#[tokio::test]
async fn what_is_asked_before_the_end_is_answered() {
    let authority = Authority::make();
    let (chain, key) = authority.issue();
    let (_sender, accepting) = watch::channel(acceptor(&chain, &key, Clients::Anonymous).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, mut is_asked) = tokio::sync::mpsc::channel(1);
    let (go_on, may_go_on) = watch::channel(false);
    let route = get(move || {
        let (asked, mut may_go_on) = (asked.clone(), may_go_on.clone());
        async move {
            asked.send(()).await.unwrap();
            may_go_on.wait_for(|go_on| *go_on).await.unwrap();
            "well"
        }
    });
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let routes = Router::new().route("/", route);
    let serving = tokio::spawn(serve(listener, accepting, routes, Limits::default(), async move {
        stopped.await.unwrap();
    }));
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let answer = tokio::spawn(async move { ask(address, &connector).await });
    is_asked.recv().await.unwrap();
    stop.send(()).unwrap();
    let turned_away = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, turned_away).await.expect("nobody else is let in meanwhile");
    go_on.send(true).unwrap();
    assert!(timeout(LIMIT, answer).await.unwrap().unwrap().ends_with("well"));
    timeout(LIMIT, serving).await.unwrap().unwrap();
}

/// A server without TLS.
async fn plain(limits: Limits) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/", get(|| async { "well" }));
    tokio::spawn(serve_plain(listener, routes, limits, std::future::pending()));
    address
}

/// What a server without TLS answers one that asks so, after what it waits for more.
async fn ask_plainly(address: std::net::SocketAddr, request: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, tcp.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn the_same_limits_hold_without_tls() {
    let short = Duration::from_secs(1);
    let address = plain(Limits { headers_wait: short, connections: 1, ..Limits::default() }).await;
    let well = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    // The next has a place only when the one before was let go.
    for (request, expected) in [
        (format!("{well}\r\n"), "HTTP/1.1 200"),
        ("GET / HT".to_owned(), "HTTP/1.1 408"),
        (format!("{well}x: {}\r\n\r\n", "a".repeat(2 * BUFFER)), "HTTP/1.1 431"),
        (format!("{well}Connection: close\r\n\r\n"), "HTTP/1.1 200"),
    ] {
        let answer = ask_plainly(address, &request).await;
        assert!(
            answer.is_empty() && expected.ends_with("408") || answer.starts_with(expected),
            "{request:.40}: {answer}"
        );
    }
    is_let_go(TcpStream::connect(address).await.unwrap()).await;
}

#[tokio::test]
async fn without_tls_too_what_is_there_at_the_end_is_let_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let idle = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let limits = Limits { headers_wait: LIMIT * 10, ..Limits::default() };
    timeout(LIMIT, serve_plain(listener, Router::new(), limits, std::future::ready(()))).await.unwrap();
    is_let_go(idle).await;
}
