//! The lag as the operator serves it, over a hub and a storage.

use std::io::ErrorKind;
use std::net::TcpListener;

use azure::BlobPositions;
use delivery::{Checkpoint, Positions, Source};
use end_to_end::azurite::{Azurite, SAS};
use end_to_end::hub::{EventHub, To};
use end_to_end::process::{Running, free_port};
use serde_json::{Value, json};

use crate::site::{LIMIT, Site, WARD, connector};

/// Asks the lag server of an operator as KEDA would.
pub struct Asking {
    port: u16,
    client: reqwest::Client,
}

/// The flags of an operator that serves the lag at a port.
pub fn flags(port: u16) -> [(&'static str, String); 4] {
    [
        ("LAG_LISTEN_ADDRESS", format!("127.0.0.1:{port}")),
        ("LAG_URL", format!("https://localhost:{port}")),
        ("LAG_CACHE_SECONDS", "0".to_owned()),
        // The stand-ins listen on loopback, without TLS.
        (
            "LAG_ALLOWED_HOSTS",
            "*.servicebus.windows.net,*.blob.core.windows.net,amqp://127.0.0.1,http://127.0.0.1".to_owned(),
        ),
    ]
}

impl Asking {
    /// Trusts the authority that the connector `c1` was told of, and nobody else.
    pub fn new(site: &Site, port: u16) -> Asking {
        let ca = secret(site, WARD, "c1-scaling", "ca\\.crt");
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        Asking { port, client: reqwest::Client::builder().tls_certs_only([ca]).build().unwrap() }
    }

    /// Status and lag.
    pub fn ask(&self, site: &Site, workload: &str, token: &str) -> (u16, Option<u64>) {
        let url = format!("https://localhost:{}/lag/v1/namespaces/{WARD}/workloads/{workload}", self.port);
        site.plane.block_on(async {
            let answer = self.client.get(url).bearer_auth(token).send().await.unwrap();
            let status = answer.status().as_u16();
            let body: Value = answer.json().await.unwrap_or_default();
            (status, body["lag"].as_u64())
        })
    }
}

/// A value of a Secret.
pub fn secret(site: &Site, namespace: &str, name: &str, key: &str) -> String {
    let template = format!("jsonpath={{.data.{key}}}");
    let text = site.plane.kubectl(&["-n", namespace, "get", "secret", name, "-o", &template]).unwrap();
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A connector that reads a stand-in, and whose lag the operator reads.
pub fn local(name: &str, hub: &EventHub) -> Value {
    let mut resource = connector(name);
    let endpoint = format!("amqp://127.0.0.1:{}", hub.port());
    for side in ["source", "internalHub"] {
        resource["spec"][side]["authentication"] = json!({"type": "Development"});
        resource["spec"][side]["customEndpoint"] = json!(endpoint);
    }
    resource["spec"]["scaling"] = json!({"source": "operator"});
    resource
}

#[test]
fn is_the_true_one() {
    let site = Site::start(&[], &json!({"lag": {"enabled": true}, "watchNamespaces": [WARD]}));
    let port = free_port();
    let flags = flags(port);
    let flags: Vec<(&str, &str)> = flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut operator = site.operator("operator-1", &flags);
    site.wait_leads(&mut operator, LIMIT);
    let mut hub = EventHub::start(&site.file("hubs"), &["devicedata", "nd-1"], 3);
    let azurite = Azurite::start();
    site.plane
        .kubectl(&["-n", WARD, "create", "secret", "generic", "storage", &format!("--from-literal=sas={SAS}")])
        .unwrap();

    let mut resource = local("c1", &hub);
    resource["spec"]["storage"] = json!({
        "accountName": "devstoreaccount1",
        "blobServiceUri": format!("http://127.0.0.1:{}/devstoreaccount1", azurite.port()),
        "authentication": {"type": "Sas", "sas": {"secretName": "storage", "secretKey": "sas"}},
    });
    site.apply(&resource);
    site.wait_condition("c1", "Applied", "Applied");
    let (asking, token) = (Asking::new(&site, port), secret(&site, WARD, "c1-scaling", "token"));
    let lag = |workload: &str| asking.ask(&site, workload, &token);

    // No container and no position yet: all that is retained waits.
    assert_eq!(lag("c1-normalize"), (200, Some(0)));
    hub.send("devicedata", To::Partition("0"), &["{}"]);
    hub.send("devicedata", To::Partition("2"), &["{}", "{}", "{}"]);
    assert_eq!(lag("c1-normalize"), (200, Some(4)));
    assert_eq!(lag("c1-convert-fhir"), (200, Some(0)));

    // With positions, the first of which is that of a number 0.
    let source = Source {
        namespace: "hospital.servicebus.windows.net".to_owned(),
        hub: "devicedata".to_owned(),
        consumer_group: "$default".to_owned(),
        partition: "0".to_owned(),
    };
    let positions = BlobPositions::new(&azurite.make("c1-normalize-e1"), (&source, "normalize"), None).unwrap();
    for (partition, sequence_number, expected) in [("0", 0, 3), ("2", 1, 1), ("1", -1, 1)] {
        let checkpoint = Checkpoint { sequence_number, offset: String::new() };
        let written = site.plane.block_on(positions.write_checkpoint(partition, &checkpoint, None)).unwrap();
        assert!(written.is_some());
        assert_eq!(lag("c1-normalize"), (200, Some(expected)), "after partition {partition}");
    }

    // Another connector's token opens nothing, and says no more than a wrong name does.
    let mut other = local("c2", &hub);
    other["spec"]["storage"] = resource["spec"]["storage"].clone();
    site.apply(&other);
    site.wait_condition("c2", "Applied", "Applied");
    let others = secret(&site, WARD, "c2-scaling", "token");
    assert_eq!(asking.ask(&site, "c1-normalize", &others), (401, None));
    assert_eq!(asking.ask(&site, "nothing", &token), (401, None));
    assert_eq!(asking.ask(&site, "c1-normalize", ""), (401, None));

    refuses_other_hosts(&site, &mut operator, &asking, &resource);

    // A hub that is away is no lag of 0.
    hub.kill();
    assert_eq!(lag("c1-normalize"), (503, None));
    let log = operator.printed();
    assert!(!log.contains(&token) && !log.contains("sig="), "a secret is in the log");
}

/// A spec that names a host which the platform does not list is told so, and
/// nobody is connected to.
fn refuses_other_hosts(site: &Site, operator: &mut Running, asking: &Asking, allowed: &Value) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();

    // What the spec says by itself is seen before anything is made.
    let mut named = allowed.clone();
    named["metadata"]["name"] = json!("c3");
    named["spec"]["storage"]["blobServiceUri"] = json!(format!("https://localhost:{port}/devstoreaccount1"));
    site.apply(&named);
    let refused = site.wait_condition("c3", "Rendered", "InvalidSpec").status.unwrap();
    let rendered = refused.conditions.iter().find(|condition| condition.type_ == "Rendered").unwrap();
    assert!(rendered.message.contains("`https://localhost`"), "{}", rendered.message);
    assert!(!site.names("deployments").contains(&"c3-normalize".to_owned()));

    // So is an identity whose tenant nobody says.
    let mut nobodys = connector("c5");
    nobodys["spec"]["scaling"] = json!({"source": "operator"});
    nobodys["spec"]["identity"]["internal"].as_object_mut().unwrap().remove("tenantId");
    site.apply(&nobodys);
    let refused = site.wait_condition("c5", "Rendered", "InvalidSpec").status.unwrap();
    let rendered = refused.conditions.iter().find(|condition| condition.type_ == "Rendered").unwrap();
    assert!(rendered.message.contains("`lag.tenantId`"), "{}", rendered.message);

    // What a Secret says is seen when it was read.
    let connection = format!("Endpoint=sb://localhost:{port};SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0");
    let literal = format!("--from-literal=connection={connection}");
    site.plane.kubectl(&["-n", WARD, "create", "secret", "generic", "elsewhere", &literal]).unwrap();
    let mut hidden = allowed.clone();
    hidden["metadata"]["name"] = json!("c4");
    hidden["spec"]["source"]["authentication"] =
        json!({"type": "ConnectionString", "connectionString": {"secretName": "elsewhere", "secretKey": "connection"}});
    hidden["spec"]["source"].as_object_mut().unwrap().remove("customEndpoint");
    site.apply(&hidden);
    site.wait_condition("c4", "Applied", "Applied");
    let token = secret(site, WARD, "c4-scaling", "token");
    assert_eq!(asking.ask(site, "c4-normalize", &token), (503, None));
    operator.wait_for("it is told of", LIMIT, |printed, _| {
        printed.iter().any(|line| line.contains("amqps://localhost") && line.contains("lag.allowedHosts")).then_some(())
    });
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody connected");
}
