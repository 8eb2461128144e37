//! A measurement, and its form on the internal hub (device-mapping.md 8.1,
//! fhir-conversion.md 1).
//!
//! ```text
//! normalize --MeasurementRef--> JSON --Measurement::read--> Measurement --> groups
//! ```
//!
//! A [`MeasurementRef`] borrows everything and lives until its sink returns; a
//! [`Measurement`] borrows from the body that it was read from what stands there
//! as it is. Compression is the caller's business.

mod plain;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;
use std::fmt;

use expressions::UtcTime;

use crate::device_mapping::ValueTemplate;

pub use read::MeasurementReadError;
pub(crate) use write::json_text;

/// One reading of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement<'b> {
    /// The type name of the template that made it; finds the FHIR template.
    pub r#type: Cow<'b, str>,
    /// When the device took the reading.
    pub occurrence_time: UtcTime,
    /// When the customer's hub received the event.
    pub ingestion_time: Option<UtcTime>,
    /// The device's identifier, as the device sent it.
    pub device_id: Cow<'b, str>,
    /// The patient's identifier, if the message has one.
    pub patient_id: Option<Cow<'b, str>>,
    /// The encounter's identifier, if the message has one.
    pub encounter_id: Option<Cow<'b, str>>,
    /// What ties readings together across messages, if the message has one.
    pub correlation_id: Option<Cow<'b, str>>,
    /// The values, in the order of the template.
    pub properties: Vec<Property<'b>>,
}

/// A named value of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property<'b> {
    /// The `valueName` of the device mapping.
    pub name: Cow<'b, str>,
    /// The value as text. None only in what other producers sent.
    pub value: Option<Cow<'b, str>>,
}

/// A measurement whose parts are borrowed.
#[derive(Clone, Copy, Debug)]
pub struct MeasurementRef<'a> {
    /// See [`Measurement::type`].
    pub r#type: &'a str,
    /// See [`Measurement::occurrence_time`].
    pub occurrence_time: UtcTime,
    /// See [`Measurement::ingestion_time`].
    pub ingestion_time: Option<UtcTime>,
    /// See [`Measurement::device_id`].
    pub device_id: &'a str,
    /// See [`Measurement::patient_id`].
    pub patient_id: Option<&'a str>,
    /// See [`Measurement::encounter_id`].
    pub encounter_id: Option<&'a str>,
    /// See [`Measurement::correlation_id`].
    pub correlation_id: Option<&'a str>,
    /// See [`Measurement::properties`].
    pub properties: PropertiesRef<'a>,
    /// The place of its template in the mapping; none for one that was read.
    pub template: Option<usize>,
    /// The type as JSON text, when its template has it ready.
    pub(crate) type_json: Option<&'a str>,
}

/// The values of a [`MeasurementRef`].
#[derive(Clone, Copy)]
pub struct PropertiesRef<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Owned(&'a [Property<'a>]),
    /// Names in a template, values in a text.
    Spans {
        values: &'a [ValueTemplate],
        spans: &'a [PropertySpan],
        text: &'a str,
    },
}

/// Where a value stands while a measurement is being made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PropertySpan {
    /// Which of the template's values it is.
    pub(crate) value: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl<'a> PropertiesRef<'a> {
    pub(crate) fn from_spans(values: &'a [ValueTemplate], spans: &'a [PropertySpan], text: &'a str) -> Self {
        PropertiesRef(Source::Spans { values, spans, text })
    }

    /// How many values there are.
    pub fn len(self) -> usize {
        match self.0 {
            Source::Owned(properties) => properties.len(),
            Source::Spans { spans, .. } => spans.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Name and value of each, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        (0..self.len()).map(move |at| match self.0 {
            Source::Owned(properties) => (&*properties[at].name, properties[at].value.as_deref()),
            Source::Spans { values, spans, text } => {
                let span = spans[at];
                (values[span.value].name.as_str(), Some(&text[span.start..span.end]))
            }
        })
    }
}

impl fmt::Debug for PropertiesRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Measurement<'_> {
    /// The same, borrowed.
    pub fn as_ref(&self) -> MeasurementRef<'_> {
        MeasurementRef {
            r#type: &self.r#type,
            occurrence_time: self.occurrence_time,
            ingestion_time: self.ingestion_time,
            device_id: &self.device_id,
            patient_id: self.patient_id.as_deref(),
            encounter_id: self.encounter_id.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            properties: PropertiesRef(Source::Owned(&self.properties)),
            template: None,
            type_json: None,
        }
    }
}

impl MeasurementRef<'_> {
    /// The same with parts of its own.
    pub fn to_measurement(self) -> Measurement<'static> {
        fn own(text: &str) -> Cow<'static, str> {
            Cow::Owned(text.to_owned())
        }
        let property = |(name, value): (&str, Option<&str>)| Property { name: own(name), value: value.map(own) };
        Measurement {
            r#type: own(self.r#type),
            occurrence_time: self.occurrence_time,
            ingestion_time: self.ingestion_time,
            device_id: own(self.device_id),
            patient_id: self.patient_id.map(own),
            encounter_id: self.encounter_id.map(own),
            correlation_id: self.correlation_id.map(own),
            properties: self.properties.iter().map(property).collect(),
        }
    }
}
