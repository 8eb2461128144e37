//! Builds one measurement from one match (device-mapping.md 4.3).

use std::ops::Range;

use expressions::{Budget, Document, Kind, Language, NodeId, UtcTime, Value};

use super::error::{Failures, NormalizeError};
use super::{Parts, Put};
use crate::compatibility::{Dates, Numbers};
use crate::convert::{self, TextForm, is_blank};
use crate::device_mapping::{Template, TemplateExpression};
use crate::measurement::{MeasurementRef, PropertiesRef, PropertySpan};

/// Extracts the measurements of one template.
pub(super) struct Extractor<'t> {
    pub(super) template: &'t Template,
    pub(super) ingestion_time: Option<UtcTime>,
    pub(super) numbers: Numbers,
    pub(super) dates: Dates,
    /// What is left for the event.
    pub(super) budget: &'t Budget,
}

/// What is looked for, and whether it has to be there.
#[derive(Clone, Copy)]
struct Wanted<'t> {
    name: &'t str,
    is_required: bool,
}

/// How long the ids and values of a measurement may be in all: the internal
/// hub takes no larger message.
pub(super) const MEASUREMENT_BYTES_MAX: usize = 1 << 20;

const TOO_LONG: &str = "the ids and values of a measurement take more than 1 MiB";

impl Extractor<'_> {
    /// Builds a measurement and hands it to `put`. `root` is what the
    /// expressions' `$` means. The order is the reference connector's, which
    /// says what is reported when several parts are missing.
    pub(super) fn extract(
        &self,
        document: Document<'_>,
        root: NodeId,
        parts: &mut Parts,
        put: &mut Put<'_>,
    ) -> Result<(), NormalizeError> {
        let template = self.template;
        parts.text.clear();
        parts.properties.clear();
        let text = &mut parts.text;
        let required = |name| Wanted { name, is_required: true };
        let optional = |name| Wanted { name, is_required: false };

        let device_id =
            self.text(document, root, required("DeviceIdExpression"), &template.device_id, text)?.unwrap_or_default();
        let occurrence_time = self.time(document, root, required("TimestampExpression"))?;
        let correlation_id = match &template.correlation_id {
            Some(id) => {
                self.text(document, root, required("CorrelationIdExpression"), std::slice::from_ref(id), text)?
            }
            None => None,
        };
        let patient_id =
            self.text(document, root, optional("PatientIdExpression"), template.patient_id.as_slice(), text)?;
        let encounter_id =
            self.text(document, root, optional("EncounterIdExpression"), template.encounter_id.as_slice(), text)?;
        for (at, value) in template.values.iter().enumerate() {
            if value.name.trim().is_empty() {
                return Err(NormalizeError::value_without_name(value.name_place));
            }
            let wanted = Wanted { name: &value.name, is_required: value.required };
            if let Some(Range { start, end }) = self.text(document, root, wanted, value.expression.as_slice(), text)? {
                parts.properties.push(PropertySpan { value: at, start, end });
            }
        }

        let text = parts.text.as_str();
        let measurement = MeasurementRef {
            r#type: &template.type_name,
            occurrence_time,
            ingestion_time: self.ingestion_time,
            device_id: &text[device_id],
            patient_id: patient_id.map(|range| &text[range]),
            encounter_id: encounter_id.map(|range| &text[range]),
            correlation_id: correlation_id.map(|range| &text[range]),
            properties: PropertiesRef::from_spans(&template.values, &parts.properties, text),
            template: Some(template.index),
            type_json: Some(&template.type_name_json),
        };
        put(&measurement, text.len())
    }

    /// Appends what the first usable candidate gives, as text; gives where it
    /// stands.
    fn text(
        &self,
        document: Document<'_>,
        root: NodeId,
        wanted: Wanted<'_>,
        candidates: &[TemplateExpression],
        out: &mut String,
    ) -> Result<Option<Range<usize>>, NormalizeError> {
        let mut failures = Failures::default();
        for candidate in candidates {
            let start = out.len();
            let form = TextForm { language: candidate.language, numbers: self.numbers };
            let pushed = match candidate.program.select_member(document, root, self.budget) {
                Some(None) => continue,
                Some(Some(node)) => convert::push_node(document, node, form, out),
                None => match self.select(document, root, wanted, candidate)? {
                    Some(value) => convert::push_text(document, &value, form, out),
                    None => continue,
                },
            };
            match pushed {
                Ok(true) if !wanted.is_required || !is_blank(&out[start..]) => {
                    if out.len() > MEASUREMENT_BYTES_MAX {
                        return Err(NormalizeError::limit(wanted.name, TOO_LONG));
                    }
                    return Ok(Some(start..out.len()));
                }
                Ok(false) if !wanted.is_required => return Ok(None),
                Ok(_) => {
                    out.truncate(start);
                    failures.add_empty();
                }
                // An optional value that cannot be converted vanishes (quirk 9).
                Err(_) if !wanted.is_required => {}
                Err(reason) => failures.add(candidate, reason),
            }
        }
        if wanted.is_required { Err(NormalizeError::missing(wanted.name, candidates, &failures)) } else { Ok(None) }
    }

    /// The time that the first usable candidate gives.
    fn time(&self, document: Document<'_>, root: NodeId, wanted: Wanted<'_>) -> Result<UtcTime, NormalizeError> {
        let candidates = &self.template.timestamp;
        let mut failures = Failures::default();
        for candidate in candidates {
            let time = match candidate.program.select_member(document, root, self.budget) {
                Some(None) => continue,
                Some(Some(node)) => convert::node_timestamp(document, node, self.dates),
                None => match self.select(document, root, wanted, candidate)? {
                    Some(value) => convert::timestamp(document, &value, self.dates),
                    None => continue,
                },
            };
            match time {
                Ok(Some(time)) => return Ok(time),
                Ok(None) => failures.add_empty(),
                Err(reason) => failures.add(candidate, reason),
            }
        }
        Err(NormalizeError::missing(wanted.name, candidates, &failures))
    }

    /// The one value that an expression gives. For JMESPath null is nothing.
    fn select<'d>(
        &self,
        document: Document<'d>,
        root: NodeId,
        wanted: Wanted<'_>,
        expression: &TemplateExpression,
    ) -> Result<Option<Value<'d>>, NormalizeError> {
        let value = expression
            .program
            .select_one_within(document, root, self.budget)
            .map_err(|error| NormalizeError::expression(wanted.name, expression, "JsonToken", error))?;
        if expression.language != Language::JmesPath {
            return Ok(value);
        }
        Ok(value.filter(|value| match value {
            Value::Null => false,
            Value::Node(node) => document.kind(*node) != Kind::Null,
            _ => true,
        }))
    }
}
