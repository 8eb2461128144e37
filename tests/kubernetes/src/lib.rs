//! A real control plane, a real KEDA, helm, and a kubelet that runs the
//! containers of pods as local processes.
//!
//! ```no_run
//! use std::time::Duration;
//! use k8s_openapi::api::core::v1::Pod;
//! use kubernetes_tests::{ControlPlane, Helm, Image, Images, Keda, Kubelet};
//!
//! let plane = ControlPlane::start();
//! let _keda = Keda::start(&plane);
//! let images = Images::new().with("*/native:*", Image::of("/target/debug/normalize"));
//! let kubelet = Kubelet::start(&plane, images);
//! plane.make_namespace("ward", &[("pod-security.kubernetes.io/enforce", "restricted")]);
//! Helm::new(&plane, "ward").run(&["install", "c1", "helm/iot-connector", "--values", "values.yaml"]).expect("installs");
//! plane.wait::<Pod>("ward", "c1-normalize-0", "is running", Duration::from_secs(60), |pod| {
//!     pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
//! });
//! println!("{}", kubelet.log("ward", "c1-normalize-0", "normalize"));
//! ```
//!
//! Tests are plain functions that block; what is asynchronous runs on the
//! runtime of the [`ControlPlane`]. Everything started ends with the value that
//! started it, and with the process in whatever way that ends.
//!
//! All of it lives in a network of its own, which `isolated.sh` makes before the
//! test program starts (`cargo xtask test kubernetes` sees to it): every address
//! is on its loopback interface, also those of pods (10.244.0.0/16), and
//! well-known ports are free. Pods share that network: a program has to
//! listen on `status.podIP`, or the second replica finds its port taken.

mod command;
mod control_plane;
pub mod functions_host;
mod helm;
mod keda;
mod kubelet;
mod wait;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

pub use command::ToolError;
pub use control_plane::{ControlPlane, Part};
pub use helm::Helm;
pub use keda::Keda;
pub use kubelet::image::{Image, Images};
pub use kubelet::{BackOff, ContainerRun, Kubelet, KubeletOptions};

/// The checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn components() -> PathBuf {
    checkout().join("tests/components")
}

/// # Panics
/// When this process is not in a network of its own.
fn check_network() {
    let ours = TcpListener::bind(("10.244.0.1", 0));
    assert!(ours.is_ok(), "not in a network of its own ({ours:?}); run this with `cargo xtask test kubernetes`");
}
