//! What the tests of identities run as a process of its own, since trust in a
//! private CA is an environment variable (`SSL_CERT_FILE`).
//!
//! Each line on standard input is a question, and its answer a line on standard
//! output: `token SCOPE` for the external identity's token, `partitions
//! CONNECTION_STRING` for the hub's partitions.

use std::error::Error;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use azure::credentials::CredentialSettings;
use azure::{ExternalIdentity, SasHub, SasHubConfig, TokenCredential, VaultCertificate};
use delivery::Hub;
use delivery::away::error_chain;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let identity = match std::env::var("CERTIFICATE_URI") {
        Ok(_) => Some(identity()?),
        Err(_) => None,
    };
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_once(' ') {
            Some(("token", scope)) => token(identity.as_ref(), scope).await,
            Some(("partitions", text)) => partitions(text).await,
            _ => Err("no such question".into()),
        };
        match answer {
            Ok(answer) => println!("ok {answer}"),
            Err(error) => println!("error {}", error_chain(error.as_ref())),
        }
    }
    Ok(())
}

fn identity() -> Result<Arc<dyn TokenCredential>, Failure> {
    let internal = CredentialSettings::WorkloadIdentity { client_id: None, tenant_id: None, token_file: None };
    let certificate = VaultCertificate {
        look_every: Duration::from_millis(std::env::var("LOOK_EVERY_MS")?.parse()?),
        look_again_after: Duration::ZERO,
        ..VaultCertificate::new(std::env::var("CERTIFICATE_URI")?.parse()?, internal)
    };
    let identity = ExternalIdentity {
        client_id: "external".to_owned(),
        tenant_id: Some(std::env::var("AZURE_TENANT_ID")?),
        authority_host: Some(std::env::var("AZURE_AUTHORITY_HOST")?.parse()?),
        certificate: Some(certificate),
    };
    Ok(CredentialSettings::ExternalIdentity(Box::new(identity)).credential()?)
}

async fn token(identity: Option<&Arc<dyn TokenCredential>>, scope: &str) -> Result<String, Failure> {
    let identity = identity.ok_or("CERTIFICATE_URI is not set")?;
    Ok(identity.get_token(&[scope], None).await?.token.secret().to_owned())
}

async fn partitions(text: &str) -> Result<String, Failure> {
    let config = SasHubConfig::new(text.parse()?, None, "$default")?;
    Ok(SasHub::new(config)?.partitions().await?.join(" "))
}
