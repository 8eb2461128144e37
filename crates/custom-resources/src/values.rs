//! The values of a chart: the platform's defaults, then what the spec of a
//! resource says.

use serde_json::{Map, Value};

/// Lays `over` on `under`, as Helm does with several files of values: objects
/// join, everything else replaces, and null takes a default away.
pub fn merge(under: Value, over: Value) -> Value {
    match (under, over) {
        (Value::Object(mut under), Value::Object(over)) => {
            for (name, value) in over {
                let merged = match under.remove(&name) {
                    Some(default) => merge(default, value),
                    None => value,
                };
                under.insert(name, merged);
            }
            Value::Object(under)
        }
        (_, over) => over,
    }
}

/// Reads a file of values; an empty one is as good as none.
pub fn read(text: &str) -> Result<Value, InvalidValues> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| InvalidValues::Yaml(error.to_string()))?;
    match value {
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(_) => Ok(value),
        _ => Err(InvalidValues::NoObject),
    }
}

/// Why a file of values cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidValues {
    /// No YAML.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// A list or a text.
    #[error("expected names with values")]
    NoObject,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lays_a_spec_over_defaults() {
        let cases = [
            ("nothing", json!({}), json!({}), json!({})),
            ("a new name", json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            ("objects join", json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 3}}), json!({"a": {"x": 1, "y": 3}})),
            ("lists replace", json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            ("null stays, for the chart's own default", json!({"a": 1}), json!({"a": null}), json!({"a": null})),
            ("an object replaces a text", json!({"a": "x"}), json!({"a": {"y": 1}}), json!({"a": {"y": 1}})),
        ];
        for (name, under, over, expected) in cases {
            assert_eq!(merge(under, over), expected, "{name}");
        }
    }

    #[test]
    fn reads_a_file() {
        assert_eq!(read("").unwrap(), json!({}));
        assert_eq!(
            read("image:\n  registry: contoso.azurecr.io\n").unwrap(),
            json!({"image": {"registry": "contoso.azurecr.io"}})
        );
        assert!(matches!(read("- a"), Err(InvalidValues::NoObject)));
        assert!(matches!(read("a: [1"), Err(InvalidValues::Yaml(_))));
    }
}
