//! The expressions of templates, as far as ours use them.
//!
//! ```text
//! "[concat(parameters('a'), '/x')]" --parse, evaluate--> value, or what has to be looked up first
//! ```

use std::collections::BTreeMap;

use serde_json::Value;

/// What expressions may use.
#[derive(Debug, Default)]
pub struct Scope {
    pub parameters: BTreeMap<String, Value>,
    pub variables: BTreeMap<String, Value>,
    /// Begins each id: `/subscriptions/…/resourceGroups/…`.
    pub group: String,
    pub location: String,
    /// What was looked up.
    pub known: BTreeMap<Lookup, Value>,
}

/// Something that only the provider knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lookup {
    pub what: What,
    pub id: String,
    pub version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// `reference(…, 'Full')`
    Resource,
    /// `listKeys`
    Keys,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has to be looked up first.
    Needs(Lookup),
    /// The expression is wrong.
    Wrong(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Text(String),
    Call(String, Vec<Expression>),
    Member(Box<Expression>, String),
}

impl Scope {
    /// A value of a template with its expressions evaluated.
    pub fn value(&self, value: &Value) -> Result<Value, Stop> {
        match value {
            Value::String(text) => match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
                Some(text) if !text.starts_with('[') => self.evaluate(&parse(text)?),
                _ => Ok(value.clone()),
            },
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| Ok((name.clone(), self.value(value)?)));
                members.collect::<Result<serde_json::Map<_, _>, _>>().map(Value::Object)
            }
            _ => Ok(value.clone()),
        }
    }

    /// The id of a resource: its type and names, taken apart and put together.
    pub fn id(&self, kind: &str, names: &[&str]) -> Result<String, Stop> {
        let (namespace, types) = kind.split_once('/').ok_or_else(|| wrong(format!("`{kind}` is no type")))?;
        let types: Vec<&str> = types.split('/').collect();
        if types.len() != names.len() {
            return Err(wrong(format!("`{kind}` with the names {names:?}")));
        }
        let path: String = types.iter().zip(names).map(|(kind, name)| format!("/{kind}/{name}")).collect();
        Ok(format!("{}/providers/{namespace}{path}", self.group))
    }

    fn evaluate(&self, expression: &Expression) -> Result<Value, Stop> {
        match expression {
            Expression::Text(text) => Ok(Value::from(text.as_str())),
            Expression::Call(name, arguments) => {
                let arguments: Result<Vec<Value>, Stop> = arguments.iter().map(|it| self.evaluate(it)).collect();
                self.call(name, &arguments?)
            }
            Expression::Member(of, name) => {
                let of = self.evaluate(of)?;
                let members = of.as_object().ok_or_else(|| wrong(format!("`.{name}` of what is no object")))?;
                let found = members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone()).ok_or_else(|| wrong(format!("there is no `{name}` in {of}")))
            }
        }
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, Stop> {
        let texts: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
        if texts.len() != arguments.len() {
            return Err(wrong(format!("`{name}` takes texts only")));
        }
        let of = |all: &BTreeMap<String, Value>, name: &str| {
            all.get(name).cloned().ok_or_else(|| wrong(format!("there is no `{name}`")))
        };
        match (name.to_ascii_lowercase().as_str(), texts.as_slice()) {
            ("parameters", [name]) => of(&self.parameters, name),
            ("variables", [name]) => of(&self.variables, name),
            ("concat", parts) => Ok(Value::from(parts.concat())),
            ("resourceid", [kind, names @ ..]) => self.id(kind, names).map(Value::from),
            ("resourcegroup", []) => Ok(serde_json::json!({ "id": self.group, "location": self.location })),
            ("reference", [id, version, "Full"]) => self.look_up(What::Resource, id, version),
            ("listkeys", [id, version]) => self.look_up(What::Keys, id, version),
            _ => Err(wrong(format!("`{name}` with {} arguments is not known", texts.len()))),
        }
    }

    fn look_up(&self, what: What, id: &str, version: &str) -> Result<Value, Stop> {
        let lookup = Lookup { what, id: id.to_owned(), version: version.to_owned() };
        self.known.get(&lookup).cloned().ok_or(Stop::Needs(lookup))
    }
}

fn wrong(message: String) -> Stop {
    Stop::Wrong(message)
}

/// Reads an expression, without its brackets.
fn parse(text: &str) -> Result<Expression, Stop> {
    let (expression, rest) = expression(text)?;
    if rest.trim().is_empty() { Ok(expression) } else { Err(wrong(format!("`{rest}` is left of `{text}`"))) }
}

fn expression(text: &str) -> Result<(Expression, &str), Stop> {
    let text = text.trim_start();
    let (mut found, mut rest) = if text.starts_with('\'') { literal(text)? } else { call(text)? };
    while let Some(after) = rest.strip_prefix('.') {
        let (name, after) = word(after);
        found = Expression::Member(Box::new(found), name.to_owned());
        rest = after;
    }
    Ok((found, rest))
}

/// A text; a quote in it is written twice.
fn literal(text: &str) -> Result<(Expression, &str), Stop> {
    let (mut value, mut rest) = (String::new(), &text[1..]);
    loop {
        let (before, after) = rest.split_once('\'').ok_or_else(|| wrong(format!("`{text}` does not end")))?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Ok((Expression::Text(value), after)),
        }
    }
}

fn call(text: &str) -> Result<(Expression, &str), Stop> {
    let (name, rest) = word(text);
    let mut rest = rest.strip_prefix('(').ok_or_else(|| wrong(format!("`{text}` is no call")))?.trim_start();
    let mut arguments = Vec::new();
    while !rest.starts_with(')') {
        let (argument, after) = expression(rest)?;
        arguments.push(argument);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.starts_with(')') => after,
            None => return Err(wrong(format!("`{after}` where `,` or `)` should be"))),
        };
    }
    Ok((Expression::Call(name.to_owned(), arguments), &rest[1..]))
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(text.len());
    text.split_at(end)
}

#[test]
fn expressions_are_those_of_azure() {
    let scope = Scope {
        parameters: BTreeMap::from([("a".to_owned(), Value::from("x"))]),
        group: "/subscriptions/s/resourceGroups/g".to_owned(),
        ..Scope::default()
    };
    let value = |text: &str| scope.value(&Value::from(text));
    for (text, expected) in [
        ("plain", "plain"),
        ("[[escaped]", "[[escaped]"),
        ("[concat( parameters('a'),'it''s' )]", "xit's"),
        ("[resourceId('N.S/t/u', 'a', 'b')]", "/subscriptions/s/resourceGroups/g/providers/N.S/t/a/u/b"),
        ("[resourceGroup().ID]", "/subscriptions/s/resourceGroups/g"),
    ] {
        assert_eq!(value(text), Ok(Value::from(expected)), "{text}");
    }
    let keys = Lookup { what: What::Keys, id: "i".to_owned(), version: "v".to_owned() };
    assert_eq!(value("[listkeys('i', 'v').primaryKey]"), Err(Stop::Needs(keys)));
    for text in ["[concat('a']", "['a' 'b']", "[parameters('b')]", "[resourceId('N.S/t', 'a', 'b')]", "[other()]"] {
        assert!(matches!(value(text), Err(Stop::Wrong(_))), "{text}");
    }
}
