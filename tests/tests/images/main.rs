//! What `cargo xtask package` made: really built images, run with runc as a
//! cluster would run them; Function App ZIPs, charts, SBOMs, checksums; and a
//! registry that all of it is pushed to.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not what it should be")]

mod contents;
mod functions;
mod operator;
mod packed;
mod programs;
mod provider;
mod registry;
mod site;

use std::path::PathBuf;
use std::sync::OnceLock;

use end_to_end::container::Image;

/// The version that the tier packs.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All images, each with the repository that it is pushed to.
const IMAGES: [(&str, &str); 6] = [
    ("native", "iot-connector-for-fhir/native"),
    ("functions", "iot-connector-for-fhir/functions"),
    ("operator", "iot-connector-for-fhir/operator"),
    ("resource-provider", "iot-connector-for-fhir/resource-provider"),
    ("cli", "iot-connector-for-fhir/cli"),
    ("fhir", "iot-connector-for-fhir/fhir-r4"),
];

/// All charts.
const CHARTS: [&str; 4] = ["fhir-service", "iot-connector", "platform", "resource-provider"];

/// Where the tier put what it packed.
fn package() -> PathBuf {
    end_to_end::folder("IOTC_TEST_PACKAGE", "images")
}

/// The archive of an image.
fn archive(image: &str) -> PathBuf {
    package().join("images").join(format!("{image}-{VERSION}.oci.tar"))
}

/// An image that several tests look at, unpacked once.
macro_rules! image {
    ($name:ident, $image:literal) => {
        fn $name() -> &'static Image {
            static IMAGE: OnceLock<Image> = OnceLock::new();
            IMAGE.get_or_init(|| Image::unpack(&archive($image)))
        }
    };
}

image!(native, "native");
image!(functions_host, "functions");
image!(operator, "operator");
image!(resource_provider, "resource-provider");
image!(cli, "cli");
image!(fhir, "fhir");
