//! A mapping in a blob, on Azurite.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use azure::{BlobPositions, MappingBlob};
use delivery::{Checkpoint, Load, MappingSource, Positions, Source};
use end_to_end::poll::until;
use end_to_end::process::{Running, free_port};
use url::Url;

/// An account SAS for Azurite's well-known account, good until 2035, signed
/// with its well-known key.
const SAS: &str = "sv=2022-11-02&ss=b&srt=sco&sp=rwdlacuptf&se=2035-01-01T00%3A00%3A00Z&spr=https%2Chttp&sig=zzsL%2FbJ7IrNGWDFRAGaim6Mv6k%2Fjo1C2Hamj47SurgA%3D";

/// A running Azurite with a container `template`.
struct Azurite {
    container: Url,
    http: reqwest::blocking::Client,
    _process: Running,
    _folder: tempfile::TempDir,
}

impl Azurite {
    fn start() -> Azurite {
        let component = end_to_end::folder("IOTC_TEST_AZURITE", "storage");
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let mut serve = Command::new(component.join("node_modules/.bin/azurite-blob"));
        // The crate speaks a newer version of the protocol than this Azurite knows.
        serve.args(["--disableTelemetry", "--skipApiVersionCheck", "--silent", "--blobHost", "127.0.0.1"]);
        serve.arg("--blobPort").arg(port.to_string()).arg("--location").arg(folder.path());
        let mut process = Running::start("azurite", &mut serve);
        until("Azurite listens", Duration::from_secs(60), || {
            process.check_running();
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let container = format!("http://127.0.0.1:{port}/devstoreaccount1/template?{SAS}");
        let container = Url::parse(&container).expect("an address");
        let http = reqwest::blocking::Client::new();
        let made = http.put(format!("{container}&restype=container")).header("content-length", "0").send();
        assert_eq!(made.expect("an answer").status(), 201);
        Azurite { container, http, _process: process, _folder: folder }
    }

    fn upload(&self, name: &str, text: &'static str) {
        let mut url = self.container.clone();
        url.path_segments_mut().expect("a path").push(name);
        let put = self.http.put(url).header("x-ms-blob-type", "BlockBlob").body(text).send();
        assert_eq!(put.expect("an answer").status(), 201);
    }
}

fn load(source: &MappingBlob, known: Option<&str>) -> Result<Option<Load>, String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(source.load(known)).map_err(|away| delivery::away::error_chain(&away))
}

#[test]
fn a_mapping_blob_is_downloaded_only_when_it_changed() {
    let azurite = Azurite::start();
    azurite.upload("devicecontent.json", "one");
    let source = MappingBlob::new(&azurite.container, "devicecontent.json", None).expect("a blob");
    let first = load(&source, None).expect("the storage is there").expect("something new");
    assert_eq!(first.text, b"one");
    assert_eq!(load(&source, Some(&first.version)), Ok(None));
    azurite.upload("devicecontent.json", "two");
    let second = load(&source, Some(&first.version)).expect("the storage is there").expect("something new");
    assert_eq!(second.text, b"two");
    assert_ne!(second.version, first.version);
}

#[test]
fn a_blob_that_is_not_there_is_named_without_the_sas() {
    let azurite = Azurite::start();
    let source = MappingBlob::new(&azurite.container, "nope.json", None).expect("a blob");
    let error = load(&source, None).expect_err("there is no such blob");
    assert!(error.contains("the mapping blob is away") && error.contains("nope.json"), "{error}");
    assert!(!error.contains("sig=") && !format!("{source:?}").contains("sig="), "{error}");
}

fn positions(azurite: &Azurite, hub: &str, group: &str) -> BlobPositions {
    let (namespace, hub) = ("ns1.servicebus.windows.net".to_owned(), hub.to_owned());
    let source = Source { namespace, hub, consumer_group: group.to_owned(), partition: String::new() };
    BlobPositions::new(&azurite.container, &source, None).expect("names")
}

#[test]
fn positions_in_blobs_do_what_every_store_does() {
    let azurite = Azurite::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        simulator::contract::check_positions(&positions(&azurite, "hub", "$Default")).await;
        simulator::contract::check_forgetting(&positions(&azurite, "a", "g"), &positions(&azurite, "b", "g")).await;
    });
}

/// functions-eventhubs-keda.md 4.1 and 4.3.
#[test]
fn positions_lie_where_the_functions_host_and_keda_look_for_them() {
    let azurite = Azurite::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let checkpoint = Checkpoint { sequence_number: 41, offset: "4200".to_owned() };
    let written = runtime.block_on(positions(&azurite, "Hub1", "$Default").write_checkpoint("0", &checkpoint, None));
    assert!(written.expect("the storage is there").is_some());
    let mut url = azurite.container.clone();
    let name = ["ns1.servicebus.windows.net", "hub1", "$default", "checkpoint", "0"];
    url.path_segments_mut().expect("a path").extend(name);
    let answer = azurite.http.head(url).send().expect("an answer");
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(header("x-ms-meta-sequencenumber").as_deref(), Some("41"));
    assert_eq!(header("x-ms-meta-offset").as_deref(), Some("4200"));
    assert_eq!(header("content-length").as_deref(), Some("0"));
}
