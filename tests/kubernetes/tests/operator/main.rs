//! The operator on a real control plane: as its own service account, with the
//! rights that `helm/platform` gives it and no others.

mod connector;
mod fhir;
mod lag;
mod outage;
mod rights;
mod site;
