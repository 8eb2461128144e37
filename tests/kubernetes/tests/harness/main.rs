//! The harness itself, on a real control plane: the test kubelet, KEDA and helm
//! do what the tests on them take for granted.

mod access;
mod cluster;
mod finds;
mod keda;
mod life;
mod outage;
mod release;
mod services;
