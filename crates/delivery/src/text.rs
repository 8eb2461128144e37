//! Properties as JSON text, for dead letters.

use expressions::{Properties, PropertyValue};
use serde_json::{Map, Value};

/// The properties as one JSON object, or nothing when there are none. The
/// type of what JSON has no type for is lost; a replay reads text as text.
pub(crate) fn properties_json(properties: Properties<'_>) -> String {
    match properties {
        Properties::Json { text, .. } => text.to_owned(),
        Properties::Typed([]) => String::new(),
        Properties::Typed(members) => {
            let members: Map<String, Value> =
                members.iter().map(|(name, value)| ((*name).to_owned(), property_json(value))).collect();
            Value::Object(members).to_string()
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
