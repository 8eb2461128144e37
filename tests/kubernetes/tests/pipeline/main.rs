//! The whole path on a cluster: a chart, KEDA, pods, a hub, a storage and a FHIR
//! server, all real but for the hub and the kubelet.

mod from_zero;
mod ingest;
mod lag;
mod operator;
mod site;
mod trickle;
