//! One template of a device mapping, as it is after loading.

use expressions::{Expression, Language};

use crate::finding::Place;

/// The kind of a template (device-mapping.md 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateKind {
    /// `CalculatedContent`: expressions see the whole document with the match
    /// as `matchedToken`.
    Calculated,
    /// `JsonPathContent`: expressions see the match alone.
    JsonPath,
    /// `IotJsonPathContent`: like `JsonPathContent`, device id and time from
    /// the properties that IoT Hub sets.
    IotHub,
    /// `IotCentralJsonPathContent`: the same for what IoT Central exports.
    IotCentral,
}

impl TemplateKind {
    pub(crate) const ALL: [TemplateKind; 4] =
        [TemplateKind::JsonPath, TemplateKind::IotHub, TemplateKind::IotCentral, TemplateKind::Calculated];

    /// The name under which the reference connector knows the kind; it stands
    /// in its messages.
    pub fn registered_name(self) -> &'static str {
        match self {
            TemplateKind::Calculated => "CalculatedContent",
            TemplateKind::JsonPath => "JsonPathContentTemplate",
            TemplateKind::IotHub => "IotJsonPathContentTemplate",
            TemplateKind::IotCentral => "IotCentralJsonPathContent",
        }
    }

    /// The name of the kind's class in the reference connector.
    pub(crate) fn class_name(self) -> &'static str {
        match self {
            TemplateKind::Calculated => "CalculatedFunctionContentTemplate",
            TemplateKind::JsonPath => "JsonPathContentTemplate",
            TemplateKind::IotHub => "IotJsonPathContentTemplate",
            TemplateKind::IotCentral => "IotCentralJsonPathContentTemplate",
        }
    }

    /// The name of the class of its values in the reference connector.
    pub(crate) fn value_class_name(self) -> &'static str {
        match self {
            TemplateKind::Calculated => "CalculatedFunctionValueExpression",
            _ => "JsonPathValueExpression",
        }
    }

    /// Whether device id and time are given by the kind.
    pub(crate) fn has_fixed_device(self) -> bool {
        matches!(self, TemplateKind::IotHub | TemplateKind::IotCentral)
    }
}

/// A template: which data it takes, and what it makes of each.
#[derive(Debug)]
pub struct Template {
    /// Its position in the file, from 0, templates with errors counted.
    pub index: usize,
    /// Its kind.
    pub kind: TemplateKind,
    /// Where the template stands: its opening brace.
    pub place: Place,
    /// `typeName`: the type of its measurements.
    pub type_name: String,
    /// The same as the JSON text of a string.
    pub(crate) type_name_json: String,
    /// Where `typeName` stands.
    pub type_name_place: Place,
    /// See [`expressions::Expression::needed_names`]. Most templates of a
    /// mapping are passed over for most events by this alone.
    pub(crate) type_match_names: u64,
    /// `typeMatchExpression`. None when it is blank, which some kinds accept
    /// and which fails every event (device-mapping.md 3.2).
    pub type_match: Option<TemplateExpression>,
    /// Where the device id is looked for, one after the other. Empty when
    /// blank.
    pub device_id: Vec<TemplateExpression>,
    /// Where the time is looked for, one after the other. Empty when blank.
    pub timestamp: Vec<TemplateExpression>,
    /// `patientIdExpression`.
    pub patient_id: Option<TemplateExpression>,
    /// `encounterIdExpression`.
    pub encounter_id: Option<TemplateExpression>,
    /// `correlationIdExpression`; once set, the id is required.
    pub correlation_id: Option<TemplateExpression>,
    /// `values`, in the order of the file.
    pub values: Vec<ValueTemplate>,
}

/// An entry of `values`.
#[derive(Debug)]
pub struct ValueTemplate {
    /// Where the entry stands: its opening brace.
    pub place: Place,
    /// `valueName`.
    pub name: String,
    /// The same as the JSON text of a string.
    pub(crate) name_json: String,
    /// Where `valueName` stands.
    pub name_place: Place,
    /// `valueExpression`. None when it is blank, as for
    /// [`Template::type_match`].
    pub expression: Option<TemplateExpression>,
    /// `required`; false when absent.
    pub required: bool,
    /// Where `required` stands, if it does.
    pub required_place: Option<Place>,
}

/// An expression of a template, compiled.
#[derive(Debug)]
pub struct TemplateExpression {
    /// The expression as written.
    pub text: String,
    /// Its language: its own, or the template's default.
    pub language: Language,
    /// Where the expression stands: its text, or the brace of an object that
    /// holds text and language. None for one that the kind brings along.
    pub place: Option<Place>,
    /// Where its text stands.
    pub text_place: Option<Place>,
    /// Where its own language stands, if it has one.
    pub language_place: Option<Place>,
    pub(crate) program: Expression,
}
