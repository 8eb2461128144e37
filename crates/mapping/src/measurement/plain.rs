//! Reads the one form in which measurements nearly always come: as
//! [`MeasurementRef::write_json`](super::MeasurementRef::write_json) has it, and
//! nothing in it escaped. Whatever differs is left to the reader for all forms,
//! which also says what is wrong.

use std::borrow::Cow;

use expressions::{DateTime, UtcTime};

use super::{Measurement, Property};
use crate::json;

/// The measurement, if it is in that form.
pub(super) fn read(body: &str) -> Option<Measurement<'_>> {
    let mut rest = Rest { body, at: 0 };
    rest.skip(b"{\"Type\":")?;
    let r#type = rest.text()?;
    rest.skip(b",\"OccurrenceTimeUtc\":")?;
    let occurrence_time = time(rest.text()?)?;
    rest.skip(b",\"IngestionTimeUtc\":")?;
    let ingestion_time = match rest.optional_text()? {
        Some(text) => Some(time(text)?),
        None => None,
    };
    rest.skip(b",\"DeviceId\":")?;
    let device_id = rest.text()?;
    rest.skip(b",\"PatientId\":")?;
    let patient_id = rest.optional_text()?;
    rest.skip(b",\"EncounterId\":")?;
    let encounter_id = rest.optional_text()?;
    rest.skip(b",\"CorrelationId\":")?;
    let correlation_id = rest.optional_text()?;
    rest.skip(b",\"Properties\":[")?;
    let properties = rest.properties()?;
    let is_all = rest.skip(b"]}").is_some() && rest.at == body.len();
    is_all.then_some(Measurement {
        r#type: Cow::Borrowed(r#type),
        occurrence_time,
        ingestion_time,
        device_id: Cow::Borrowed(device_id),
        patient_id: patient_id.map(Cow::Borrowed),
        encounter_id: encounter_id.map(Cow::Borrowed),
        correlation_id: correlation_id.map(Cow::Borrowed),
        properties,
    })
}

fn time(text: &str) -> Option<UtcTime> {
    DateTime::parse_token(text).map(|time| time.instant)
}

/// What of a body has not been read.
struct Rest<'b> {
    body: &'b str,
    at: usize,
}

impl<'b> Rest<'b> {
    /// The length is known when this is compiled, so that no loop compares.
    #[inline(always)]
    fn skip<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let is_there = self.body.as_bytes().get(self.at..self.at + N)? == expected;
        self.at += N;
        is_there.then_some(())
    }

    #[inline]
    fn text(&mut self) -> Option<&'b str> {
        self.skip(b"\"")?;
        let start = self.at;
        let end = json::plain_end(self.body.as_bytes(), start);
        self.at = end;
        self.skip(b"\"")?;
        self.body.get(start..end)
    }

    #[inline]
    fn optional_text(&mut self) -> Option<Option<&'b str>> {
        match self.body.as_bytes().get(self.at) {
            Some(b'"') => self.text().map(Some),
            _ => self.skip(b"null").map(|()| None),
        }
    }

    fn properties(&mut self) -> Option<Vec<Property<'b>>> {
        // One allocation, of just what is needed, for all measurements but odd ones.
        let count = self.body.as_bytes().get(self.at..)?.iter().filter(|byte| **byte == b'{').count();
        let mut properties = Vec::with_capacity(count.min(8));
        while self.body.as_bytes().get(self.at) != Some(&b']') {
            if !properties.is_empty() {
                self.skip(b",")?;
            }
            self.skip(b"{\"Name\":")?;
            let name = Cow::Borrowed(self.text()?);
            self.skip(b",\"Value\":")?;
            let value = self.optional_text()?.map(Cow::Borrowed);
            self.skip(b"}")?;
            properties.push(Property { name, value });
        }
        Some(properties)
    }
}
