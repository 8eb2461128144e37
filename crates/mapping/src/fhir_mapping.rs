//! A FHIR mapping: what Observation each type of measurement becomes
//! (fhir-conversion.md 4).
//!
//! ```text
//! mapping text --load--> FhirMapping (one template a type) + findings, each with its place
//! ```
//!
//! Everything that can be wrong is found when the mapping loads, also what the
//! reference connector found only when a reading came by (fhir-conversion.md
//! 4.6). Using the templates is in [`crate::observation`].

mod elements;
mod load;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::compatibility::Compatibility;
use crate::finding::{Finding, Findings};
use crate::group::PeriodInterval;
use crate::sampled_data::SamplePeriod;

pub(crate) use elements::{Around, given, push_code_end};

/// A FHIR mapping, ready to use.
#[derive(Clone, Debug)]
pub struct FhirMapping {
    templates: Vec<FhirTemplate>,
    /// From type name in lower case to the place in `templates`.
    places: HashMap<String, usize>,
    compatibility: Compatibility,
}

/// What becomes of the measurements of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirTemplate {
    /// The type of the measurements; letter case does not count.
    pub type_name: String,
    /// How measurements are cut into Observations.
    pub interval: PeriodInterval,
    /// `Observation.category`; without any, the Observation has none.
    pub category: Vec<CodeableConcept>,
    /// `Observation.code.coding`, before our own.
    pub codes: Vec<Code>,
    /// `Observation.value[x]`.
    pub value: Option<ValueTemplate>,
    /// `Observation.component`; none when the mapping has no such member.
    pub components: Option<Vec<ComponentTemplate>>,
    /// `Observation.category` as JSON.
    pub(crate) category_json: Option<String>,
    /// The beginning of `Observation.code` as JSON.
    pub(crate) code_start: String,
}

/// A code with its system: a FHIR Coding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The system that the code is of.
    pub system: Option<String>,
    /// The code.
    pub code: Option<String>,
    /// What it means, for people.
    pub display: Option<String>,
}

/// Codes for one concept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeableConcept {
    /// What it means, for people.
    pub text: Option<String>,
    /// The codes.
    pub codes: Vec<Code>,
}

/// A component of an Observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentTemplate {
    /// `component.code.coding`, before our own.
    pub codes: Vec<Code>,
    /// `component.value[x]`.
    pub value: ValueTemplate,
    /// `component.code` as JSON.
    pub(crate) code_json: String,
}

/// Where a value comes from and what it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueTemplate {
    /// The property of the measurement; letter case counts. Without one, or
    /// with a blank one, the value is never set.
    pub name: Option<String>,
    /// What it becomes.
    pub kind: ValueKind,
    /// Whether a number may have an exponent
    /// ([`Compatibility::quantity_exponents`]).
    pub exponents: bool,
    /// The JSON of `value[x]` around what is measured.
    pub(crate) json: Around,
}

/// The FHIR types that a value may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A series of samples.
    SampledData {
        /// The time between two samples: `defaultPeriod`, in milliseconds.
        period: SamplePeriod,
        /// The unit of the samples.
        unit: Option<String>,
    },
    /// One number with its unit.
    Quantity {
        /// The unit, for people.
        unit: Option<String>,
        /// The system of `code`.
        system: Option<String>,
        /// The unit as a code.
        code: Option<String>,
    },
    /// One text.
    String,
    /// Always this concept, whatever was measured.
    CodeableConcept(CodeableConcept),
}

impl ComponentTemplate {
    fn new(codes: Vec<Code>, value: ValueTemplate) -> ComponentTemplate {
        let mut code_json = elements::code_start(&codes);
        push_code_end(value.property().unwrap_or_default(), &mut code_json);
        ComponentTemplate { codes, value, code_json }
    }
}

impl ValueTemplate {
    fn new(name: Option<String>, kind: ValueKind) -> ValueTemplate {
        ValueTemplate { name, exponents: false, json: elements::value(&kind), kind }
    }

    /// The property of the measurement, if the value has one.
    pub fn property(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.trim().is_empty())
    }
}

impl ValueKind {
    /// The name of the FHIR type: what `valueType` says and what follows
    /// `value` in an Observation.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::SampledData { .. } => "SampledData",
            Self::Quantity { .. } => "Quantity",
            Self::String => "String",
            Self::CodeableConcept(_) => "CodeableConcept",
        }
    }
}

impl FhirTemplate {
    /// The components, if any.
    pub fn components(&self) -> &[ComponentTemplate] {
        self.components.as_deref().unwrap_or_default()
    }

    /// Every value: that of the Observation, then those of its components.
    pub fn values(&self) -> impl Iterator<Item = &ValueTemplate> {
        self.value.iter().chain(self.components().iter().map(|component| &component.value))
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut ValueTemplate> {
        let components = self.components.iter_mut().flatten();
        self.value.iter_mut().chain(components.map(|component| &mut component.value))
    }
}

impl FhirMapping {
    /// Loads a mapping that has to be right as a whole: any error in any
    /// template refuses it, as the running connector does. The error holds
    /// everything that was found, warnings too. Warnings of a mapping that
    /// loads are dropped; [`FhirMapping::load_partial`] gives them.
    pub fn load(text: &[u8], compatibility: &Compatibility) -> Result<FhirMapping, Findings> {
        Findings::refuse_errors(Self::load_partial(text, compatibility))
    }

    /// Loads the templates that are right, for tools that show what a mapping
    /// would do while it is being written; no mapping when the text as a whole
    /// is none. All findings come back, warnings too.
    pub fn load_partial(text: &[u8], compatibility: &Compatibility) -> (Option<FhirMapping>, Vec<Finding>) {
        let mut findings = Findings::default();
        let mapping = load::load(text, &mut findings).map(|mut templates| {
            for value in templates.iter_mut().flat_map(FhirTemplate::values_mut) {
                value.exponents = compatibility.quantity_exponents;
            }
            let places = templates.iter().enumerate();
            let places = places.map(|(at, template)| (template.type_name.to_lowercase(), at)).collect();
            FhirMapping { templates, places, compatibility: *compatibility }
        });
        (mapping, findings.0)
    }

    /// The templates, in the order of the text.
    pub fn templates(&self) -> &[FhirTemplate] {
        &self.templates
    }

    /// The template of a type; letter case does not count.
    pub fn template(&self, type_name: &str) -> Option<&FhirTemplate> {
        let is_lower = type_name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let place = if is_lower { self.places.get(type_name) } else { self.places.get(&type_name.to_lowercase()) };
        place.map(|at| &self.templates[*at])
    }

    /// The switches that it was loaded with.
    pub fn compatibility(&self) -> &Compatibility {
        &self.compatibility
    }

    /// What does not fit between this mapping and a template of a device
    /// mapping with that type and those value names (device-mapping.md 10.2).
    /// Type names compare in any letter case, value names as they are (quirk
    /// 69).
    pub fn check_device_template<'n>(
        &self,
        type_name: &str,
        value_names: impl IntoIterator<Item = &'n str>,
    ) -> Vec<Finding> {
        if type_name.trim().is_empty() {
            let message = "A template of the Device Mapping has no type name, so no Fhir Template can be found for it.";
            return vec![Finding::error(message, None)];
        }
        let Some(template) = self.template(type_name) else {
            let available: Vec<&str> = self.templates.iter().map(|template| template.type_name.as_str()).collect();
            let message = format!(
                "No matching Fhir Template exists for Device Mapping [{type_name}]. Ensure case matches. \
                 Available Fhir Templates: [{}].",
                available.join(" ,")
            );
            return vec![Finding::warning(message, None)];
        };
        let Some(available) = self.value_names(template) else {
            let message = format!("The Fhir Template of type [{type_name}] has neither a value nor components.");
            return vec![Finding::error(message, None)];
        };
        let missing = value_names.into_iter().filter(|name| !available.contains(name));
        let warn = |name: &str| {
            let message = format!(
                "The value [{name}] in Device Mapping [{type_name}] is not represented within the Fhir Template of \
                 type [{type_name}]. Available values are: [{}]. No value will appear inside of Observations.",
                available.join(" ,")
            );
            Finding::warning(message, None)
        };
        missing.map(warn).collect()
    }

    /// The names of a template's values, each once; none when there is nothing
    /// that could have one. The reference connector forgets the top-level value
    /// when there are components (quirk 70).
    fn value_names<'t>(&self, template: &'t FhirTemplate) -> Option<Vec<&'t str>> {
        if template.value.is_none() && template.components.is_none() {
            return None;
        }
        let is_hidden = self.compatibility.components_hide_value && template.components.is_some();
        let value = template.value.iter().filter(|_| !is_hidden);
        let mut names: Vec<&str> = Vec::new();
        for value in value.chain(template.components().iter().map(|component| &component.value)) {
            let name = value.name.as_deref().unwrap_or_default();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(names)
    }
}
