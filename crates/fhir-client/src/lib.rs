//! Resolves Device, Patient and Encounter, and saves Observations on a FHIR server.
