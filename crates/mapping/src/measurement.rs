//! A measurement, and its form on the internal hub (device-mapping.md 8.1,
//! fhir-conversion.md 1).

use expressions::UtcTime;

/// One reading of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// The type name of the template that made it; finds the FHIR template.
    pub r#type: String,
    /// When the device took the reading.
    pub occurrence_time: UtcTime,
    /// When the customer's hub received the event.
    pub ingestion_time: Option<UtcTime>,
    /// The device's identifier, as the device sent it.
    pub device_id: String,
    /// The patient's identifier, if the message has one.
    pub patient_id: Option<String>,
    /// The encounter's identifier, if the message has one.
    pub encounter_id: Option<String>,
    /// What ties readings together across messages, if the message has one.
    pub correlation_id: Option<String>,
    /// The values, in the order of the template.
    pub properties: Vec<Property>,
}

/// A named value of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The `valueName` of the device mapping.
    pub name: String,
    /// The value as text. None only in what other producers sent.
    pub value: Option<String>,
}
