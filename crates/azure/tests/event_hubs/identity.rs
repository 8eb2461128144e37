//! The external identity and TLS to a hub, in a process that trusts a private
//! CA, against a key vault that wants the internal identity's token and a token
//! endpoint that checks what the external one shows.

use std::process::Stdio;
use std::time::Duration;

use local::event_hubs::SharedAccessKeys;
use local::identity::{ClientCertificate, KeyVault, PrivateCa, TlsFront, TokenEndpoint};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::stand_in::StandIn;

const TENANT: &str = "00000000-0000-0000-0000-000000000001";
const FHIR: &str = "https://fhir.example/.default";
/// Trying what is away takes a while, as the SDK does it.
const WAIT: Duration = Duration::from_secs(60);
/// So short that each question asks the endpoint, as tokens are renewed five
/// minutes before their end.
const LIFETIME: Duration = Duration::from_secs(60);

/// The process that is asked; killed when dropped.
struct Asked {
    _child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Asked {
    fn start(environment: &[(&str, &str)]) -> Asked {
        let mut child = Command::new(env!("CARGO_BIN_EXE_test-identity"))
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Asked { _child: child, questions, answers }
    }

    async fn ask(&mut self, question: &str) -> String {
        self.questions.write_all(format!("{question}\n").as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(WAIT, self.answers.next_line()).await.expect("an answer in time");
        answer.unwrap().expect("the process lives")
    }
}

/// A vault, an endpoint that knows both identities, and their files.
struct Surroundings {
    folder: tempfile::TempDir,
    endpoint: TokenEndpoint,
    vault: KeyVault,
}

impl Surroundings {
    async fn start() -> Surroundings {
        let folder = tempfile::tempdir().unwrap();
        let ca = PrivateCa::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        std::fs::write(folder.path().join("token"), "service account").unwrap();
        let endpoint = TokenEndpoint::start(&ca, TENANT, LIFETIME).await.unwrap();
        endpoint.federate("internal", "service account");
        let issuer = endpoint.clone();
        let vault = KeyVault::start(&ca, move |token| {
            issuer.issued(token).is_some_and(|issued| {
                issued.client_id == "internal" && issued.scope == "https://vault.azure.net/.default"
            })
        });
        Surroundings { folder, endpoint, vault: vault.await.unwrap() }
    }

    fn ask(&self, look_every_ms: &str) -> Asked {
        let file = |name| self.folder.path().join(name).display().to_string();
        Asked::start(&[
            ("SSL_CERT_FILE", &file("ca.pem")),
            ("AZURE_AUTHORITY_HOST", &self.endpoint.url()),
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", "internal"),
            ("AZURE_FEDERATED_TOKEN_FILE", &file("token")),
            ("CERTIFICATE_URI", &self.vault.certificate_uri("mi-c1")),
            ("LOOK_EVERY_MS", look_every_ms),
        ])
    }

    /// Asks for a token and checks that it is one; gives the certificate that
    /// was shown for it.
    async fn certificate_shown(&self, asked: &mut Asked) -> String {
        let answer = asked.ask(&format!("token {FHIR}")).await;
        let token = answer.strip_prefix("ok ").unwrap_or_else(|| panic!("{answer}"));
        let issued = self.endpoint.issued(token).unwrap();
        assert_eq!((issued.client_id.as_str(), issued.scope.as_str()), ("external", FHIR));
        issued.thumbprint.unwrap()
    }

    fn new_certificate(&self) -> ClientCertificate {
        let certificate = ClientCertificate::new("mi-c1").unwrap();
        self.endpoint.register("external", &certificate);
        self.vault.put("mi-c1", &certificate.pem());
        certificate
    }
}

#[tokio::test]
async fn a_certificate_that_the_vault_rotates_is_used_without_a_restart() {
    let around = Surroundings::start().await;
    around.new_certificate();
    let mut asked = around.ask("0");
    let first = around.certificate_shown(&mut asked).await;
    assert_eq!(around.certificate_shown(&mut asked).await, first);
    around.new_certificate();
    let second = around.certificate_shown(&mut asked).await;
    assert_ne!(second, first);
    // While the vault is away, the one at hand is good.
    around.vault.set_away(true);
    assert_eq!(around.certificate_shown(&mut asked).await, second);
    // So it is when the vault has something that cannot be used.
    around.vault.set_away(false);
    around.vault.put("mi-c1", "not a certificate");
    assert_eq!(around.certificate_shown(&mut asked).await, second);
}

#[tokio::test]
async fn a_certificate_that_is_withdrawn_is_replaced_when_a_token_is_refused() {
    let around = Surroundings::start().await;
    let old = around.new_certificate();
    // The vault would be looked at again in an hour.
    let mut asked = around.ask("3600000");
    let first = around.certificate_shown(&mut asked).await;
    assert_eq!(around.certificate_shown(&mut asked).await, first);
    assert_eq!(around.vault.reads(), 1);
    around.new_certificate();
    assert_eq!(around.certificate_shown(&mut asked).await, first);
    around.endpoint.withdraw(&old);
    assert_ne!(around.certificate_shown(&mut asked).await, first);
}

#[tokio::test]
async fn what_is_wrong_is_said_without_secrets() {
    let around = Surroundings::start().await;
    let mut asked = around.ask("0");
    let uri = around.vault.certificate_uri("mi-c1");
    let ask = format!("token {FHIR}");
    let mut check = Vec::new();
    check.push((asked.ask(&ask).await, format!("the key vault does not give the certificate `{uri}`")));
    around.vault.put("mi-c1", "s3cret");
    check.push((
        asked.ask(&ask).await,
        format!("the certificate `{uri}` cannot be used: the certificate is neither PEM"),
    ));
    let unknown = ClientCertificate::new("mi-c1").unwrap();
    around.vault.put("mi-c1", &unknown.pem());
    check.push((asked.ask(&ask).await, "AADSTS700027: the certificate is not registered".to_owned()));
    let key_line = unknown.pem().lines().nth(1).unwrap().to_owned();
    for (answer, expected) in check {
        assert!(answer.starts_with("error ") && answer.contains(&expected), "{answer}\nexpected {expected}");
        assert!(!answer.contains("s3cret") && !answer.contains(&key_line), "{answer}");
    }
}

#[tokio::test]
async fn a_hub_is_read_over_tls_that_is_trusted_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SharedAccessKeys::new([("read".to_owned(), "a2V5".to_owned())]);
    let stand_in = StandIn::start(folder.path(), "devicedata", keys);
    let ca = PrivateCa::new().unwrap();
    let trusted = folder.path().join("ca.pem").display().to_string();
    std::fs::write(&trusted, ca.pem()).unwrap();
    let front = TlsFront::start(&ca, stand_in.address).await.unwrap();
    let text = format!(
        "Endpoint=sb://localhost:{};SharedAccessKeyName=read;SharedAccessKey=a2V5;EntityPath=devicedata",
        front.address().port()
    );
    let ask = format!("partitions {text}");
    assert_eq!(Asked::start(&[("SSL_CERT_FILE", &trusted)]).ask(&ask).await, "ok 0 1 2 3");
    // Its own certificates are the system's.
    let answer = Asked::start(&[]).ask(&ask).await;
    assert!(answer.contains("no TLS with `localhost:"), "{answer}");
}
