//! JSON as a tree that owns everything: what the interpreters work on.

use expressions::{DateTime, Document, Kind, NodeId};

/// A value, and the node of the document that it is, if it is one.
#[derive(Clone, Debug)]
pub struct Tree {
    pub data: Data,
    pub at: Option<NodeId>,
}

/// The token types of the reference connector (device-mapping.md 1.3).
#[derive(Clone, Debug)]
pub enum Data {
    Null,
    Undefined,
    Bool(bool),
    Integer(i64),
    /// Decimal digits, perhaps with a sign.
    BigInteger(String),
    Float(f64),
    String(String),
    Date(DateTime),
    /// Members in order, no name twice.
    Object(Vec<(String, Tree)>),
    Array(Vec<Tree>),
}

impl From<Data> for Tree {
    fn from(data: Data) -> Tree {
        Tree { data, at: None }
    }
}

impl Tree {
    pub fn null() -> Tree {
        Data::Null.into()
    }

    pub fn text(text: &str) -> Tree {
        Data::String(text.to_owned()).into()
    }

    /// Copies what is at and below `node`. `matched` is what the root has as
    /// `matchedToken`.
    pub fn copy(document: Document<'_>, node: NodeId, matched: Option<&Tree>) -> Tree {
        let data = match document.kind(node) {
            Kind::Null => Data::Null,
            Kind::Undefined => Data::Undefined,
            Kind::False => Data::Bool(false),
            Kind::True => Data::Bool(true),
            Kind::Integer => Data::Integer(document.text(node).parse().expect("an integer fits")),
            Kind::BigInteger => Data::BigInteger(document.text(node).into_owned()),
            Kind::Float => Data::Float(document.text(node).parse().expect("a float is a number")),
            Kind::String => Data::String(document.text(node).into_owned()),
            Kind::Date => Data::Date(document.date(node).expect("a date token is a date")),
            Kind::Array => {
                Data::Array(document.children(node).map(|(_, child)| Tree::copy(document, child, None)).collect())
            }
            Kind::Object => {
                let mut members: Vec<(String, Tree)> = document
                    .children(node)
                    .map(|(name, child)| (document.name(name).to_owned(), Tree::copy(document, child, None)))
                    .collect();
                if let Some(matched) = matched {
                    members.push(("matchedToken".to_owned(), matched.clone()));
                }
                Data::Object(members)
            }
            Kind::Opaque => unreachable!("no event here has opaque values"),
        };
        Tree { data, at: Some(node) }
    }

    pub fn member(&self, name: &str) -> Option<&Tree> {
        match &self.data {
            Data::Object(members) => members.iter().find(|member| member.0 == name).map(|member| &member.1),
            _ => None,
        }
    }

    /// The values of the members, or the items.
    pub fn children(&self) -> Vec<&Tree> {
        match &self.data {
            Data::Object(members) => members.iter().map(|member| &member.1).collect(),
            Data::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        }
    }

    pub fn items(&self) -> Option<&[Tree]> {
        match &self.data {
            Data::Array(items) => Some(items),
            _ => None,
        }
    }

    /// This and everything below it, parents first.
    pub fn descendants_and_self(&self) -> Vec<&Tree> {
        let mut all = vec![self];
        for child in self.children() {
            all.extend(child.descendants_and_self());
        }
        all
    }
}

/// Whether two results are the same in every respect, types included.
pub fn is_same(one: &Tree, other: &Tree) -> bool {
    match (&one.data, &other.data) {
        (Data::Null, Data::Null) | (Data::Undefined, Data::Undefined) => true,
        (Data::Bool(one), Data::Bool(other)) => one == other,
        (Data::Integer(one), Data::Integer(other)) => one == other,
        (Data::Float(one), Data::Float(other)) => one == other || one.is_nan() && other.is_nan(),
        (Data::BigInteger(one), Data::BigInteger(other)) | (Data::String(one), Data::String(other)) => one == other,
        (Data::Date(one), Data::Date(other)) => one == other,
        (Data::Array(one), Data::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Data::Object(one), Data::Object(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && is_same(&one.1, &other.1))
        }
        _ => false,
    }
}

/// `a` and `b` are close enough to be one number to the reference connector
/// (device-mapping.md 6.5).
pub fn is_close(a: f64, b: f64) -> bool {
    let tolerance = (a.abs() + b.abs() + 10.0) * f64::EPSILON;
    a == b || (a - b < tolerance && b - a < tolerance)
}
