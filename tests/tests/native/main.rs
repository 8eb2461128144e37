//! Our functions as processes that read their hubs themselves, over Azurite and
//! FHIR servers that we did not write.

mod replicas;
