//! Properties as JSON text, for dead letters.

use std::fmt;

use expressions::{Properties, PropertyValue};
use serde_json::{Map, Value};

/// A set of properties as JSON keeps it: the text of one object, and which of
/// its members are dates, so that a replay has them with their types.
///
/// Lost are what JSON has no form for: a number that is not finite and an
/// opaque value (bytes, a UUID, a duration) become null, and a date keeps its
/// 100 ns and its zone but no other spelling.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeptProperties {
    /// The object, or empty when there are none.
    pub text: String,
    /// The members whose text is a date.
    pub dates: Vec<String>,
}

/// Without the values: they are a patient's.
impl fmt::Debug for KeptProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptProperties").field("text.len", &self.text.len()).finish_non_exhaustive()
    }
}

impl KeptProperties {
    /// The names in [`KeptProperties::dates`], for [`KeptProperties::properties`]
    /// to borrow.
    pub fn date_names(&self) -> Vec<&str> {
        self.dates.iter().map(String::as_str).collect()
    }

    /// The properties as an event has them; `dates` are
    /// [`KeptProperties::date_names`].
    pub fn properties<'k>(&'k self, dates: &'k [&'k str]) -> Properties<'k> {
        match self.text.as_str() {
            "" => Properties::NONE,
            text => Properties::Json { text, dates },
        }
    }
}

/// The properties of an event, to be kept.
pub(crate) fn properties_json(properties: Properties<'_>) -> KeptProperties {
    match properties {
        Properties::Json { text, dates } => {
            KeptProperties { text: text.to_owned(), dates: dates.iter().map(|name| (*name).to_owned()).collect() }
        }
        Properties::Typed([]) => KeptProperties::default(),
        Properties::Typed(members) => {
            let dates = members.iter().filter(|(_, value)| matches!(value, PropertyValue::Date(_)));
            let dates = dates.map(|(name, _)| (*name).to_owned()).collect();
            let members: Map<String, Value> =
                members.iter().map(|(name, value)| ((*name).to_owned(), property_json(value))).collect();
            KeptProperties { text: Value::Object(members).to_string(), dates }
        }
    }
}

fn property_json(value: &PropertyValue<'_>) -> Value {
    match value {
        PropertyValue::Null | PropertyValue::Opaque => Value::Null,
        PropertyValue::Bool(value) => Value::from(*value),
        PropertyValue::Integer(value) => Value::from(*value),
        PropertyValue::Unsigned(value) => Value::from(*value),
        PropertyValue::Float(value) => Value::from(*value),
        PropertyValue::String(value) => Value::from(*value),
        PropertyValue::Date(value) => {
            let mut text = String::new();
            value.write_iso(&mut text);
            Value::from(text)
        }
    }
}
