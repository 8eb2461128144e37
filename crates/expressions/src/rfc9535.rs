//! Standard JSONPath, RFC 9535, by the `jsonpath-rust` crate (design.md D2).
//!
//! The crate looks at values through a trait of its own, so what lies below
//! the evaluation root is copied into a tree that remembers the nodes. This
//! keeps document order, duplicates and the nodes themselves, and makes this
//! the slow language of the three. Dates are text here (design.md D12), big
//! integers are doubles, and what has no JSON form is null.

use std::ops::ControlFlow;

use jsonpath_rust::parser::errors::JsonPathError;
use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use jsonpath_rust::query::queryable::Queryable;

use crate::document::{Document, Kind, NodeId};
use crate::expression::{CompileError, EvaluateError};

/// A compiled query.
#[derive(Clone, Debug)]
pub struct Query {
    query: JpQuery,
}

impl Query {
    /// Compiles `text`.
    pub fn compile(text: &str) -> Result<Query, CompileError> {
        match parse_json_path(text) {
            Ok(query) => Ok(Query { query }),
            Err(error) => {
                Err(CompileError { position: position(&error), message: message(&error), is_function: false })
            }
        }
    }

    /// Hands each node that the query selects below `root` to `found`, in
    /// order and as often as it is selected, until it breaks.
    pub fn select(
        &self,
        document: Document<'_>,
        root: NodeId,
        found: &mut dyn FnMut(NodeId) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        let tree = Tree::copy(document, root);
        // The crate's own words may quote the document.
        let selected = js_path_process(&self.query, &tree)
            .map_err(|_| EvaluateError::JsonPath("the query did not give nodes of the document".to_owned()))?;
        for node in selected.iter().filter_map(|result| result.val.node) {
            if found(node).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// What the parser wanted instead; without its drawing of the text.
fn message(error: &JsonPathError) -> String {
    match error {
        JsonPathError::PestError(error) => format!("not a JSONPath of RFC 9535: {}", error.variant.message()),
        error => format!("not a JSONPath of RFC 9535: {error}"),
    }
}

/// Where the parser gave up. Its message has line and column after an arrow;
/// a path of several lines is left at its beginning.
fn position(error: &JsonPathError) -> usize {
    let text = error.to_string();
    let column = text.split_once("--> 1:").and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
    column.map_or(0, |column: usize| column.saturating_sub(1))
}

/// A value in the form that the crate can look at.
#[derive(Clone, Debug, Default)]
struct Tree {
    /// None for what the crate makes itself, such as literals.
    node: Option<NodeId>,
    content: Content,
}

#[derive(Clone, Debug, Default)]
enum Content {
    #[default]
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn copy(document: Document<'_>, node: NodeId) -> Tree {
        // Only the match leads back to the root, which there lacks the match.
        let below = |child: NodeId| match child {
            Document::ROOT => Tree::copy(document.without_matched(), child),
            _ => Tree::copy(document, child),
        };
        let content = match document.kind(node) {
            Kind::Null | Kind::Undefined | Kind::Opaque => Content::Null,
            Kind::False => Content::Bool(false),
            Kind::True => Content::Bool(true),
            Kind::Integer => document.integer(node).map_or(Content::Null, Content::Integer),
            Kind::BigInteger | Kind::Float => document.float(node).map_or(Content::Null, Content::Float),
            Kind::String | Kind::Date => Content::Text(document.text(node).into_owned()),
            Kind::Array => Content::Array(document.children(node).map(|(_, child)| below(child)).collect()),
            Kind::Object => Content::Object(
                document.children(node).map(|(name, child)| (document.name(name).to_owned(), below(child))).collect(),
            ),
        };
        Tree { node: Some(node), content }
    }

    fn made(content: Content) -> Tree {
        Tree { node: None, content }
    }
}

impl PartialEq for Tree {
    /// Equal as JSON: objects whatever the order of their members.
    fn eq(&self, other: &Tree) -> bool {
        match (&self.content, &other.content) {
            (Content::Null, Content::Null) => true,
            (Content::Bool(left), Content::Bool(right)) => left == right,
            (Content::Integer(left), Content::Integer(right)) => left == right,
            (Content::Float(left), Content::Float(right)) => left == right,
            (Content::Integer(integer), Content::Float(float)) | (Content::Float(float), Content::Integer(integer)) => {
                *integer as f64 == *float
            }
            (Content::Text(left), Content::Text(right)) => left == right,
            (Content::Array(left), Content::Array(right)) => left == right,
            (Content::Object(left), Content::Object(_)) => {
                left.len() == other.member_count() && left.iter().all(|(name, value)| other.get(name) == Some(value))
            }
            _ => false,
        }
    }
}

impl Tree {
    fn member_count(&self) -> usize {
        match &self.content {
            Content::Object(members) => members.len(),
            _ => 0,
        }
    }
}

impl Queryable for Tree {
    fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&Vec<Self>> {
        match &self.content {
            Content::Array(elements) => Some(elements),
            _ => None,
        }
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        match &self.content {
            Content::Object(members) => Some(members.iter().map(|(name, value)| (name.as_str(), value)).collect()),
            _ => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match self.content {
            Content::Integer(value) => Some(value),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self.content {
            Content::Integer(value) => Some(value as f64),
            Content::Float(value) => Some(value),
            _ => None,
        }
    }

    fn as_bool(&self) -> Option<bool> {
        match self.content {
            Content::Bool(value) => Some(value),
            _ => None,
        }
    }

    fn null() -> Self {
        Tree::default()
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Tree {
        Tree::made(Content::Text(text.to_owned()))
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Tree {
        Tree::made(Content::Text(text))
    }
}

impl From<bool> for Tree {
    fn from(value: bool) -> Tree {
        Tree::made(Content::Bool(value))
    }
}

impl From<i64> for Tree {
    fn from(value: i64) -> Tree {
        Tree::made(Content::Integer(value))
    }
}

impl From<f64> for Tree {
    fn from(value: f64) -> Tree {
        Tree::made(Content::Float(value))
    }
}

impl From<Vec<Tree>> for Tree {
    fn from(elements: Vec<Tree>) -> Tree {
        Tree::made(Content::Array(elements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Scratch;
    use crate::reader::ReadOptions;

    fn select(query: &Query, document: Document<'_>) -> String {
        let mut out = String::new();
        query
            .select(document, Document::ROOT, &mut |node| {
                out.push_str(if out.is_empty() { "" } else { " " });
                document.write_json(node, &mut out);
                ControlFlow::Continue(())
            })
            .unwrap();
        out
    }

    #[track_caller]
    fn check(query: &str, json: &str, expected: &str) {
        let query = Query::compile(query).unwrap();
        let mut scratch = Scratch::default();
        let document = scratch.read_value(json.as_bytes(), ReadOptions::default()).unwrap();
        assert_eq!(select(&query, document), expected);
    }

    #[test]
    fn gives_nodes_in_document_order() {
        check("$.*", r#"{"b":1,"a":2}"#, "1 2");
        check("$['a','b','a']", r#"{"b":1,"a":2}"#, "2 1 2");
        check("$..v", r#"{"z":{"v":1},"a":[{"v":2}]}"#, "1 2");
        check("$[?length(@.n) > 1].n", r#"[{"n":"a"},{"n":"ab"}]"#, "\"ab\"");
        check("$[?@.o == $[0].o].n", r#"[{"o":{"x":1,"y":[2]},"n":1},{"o":{"y":[2.0],"x":1},"n":2}]"#, "1 2");
        check("$[?@ > 1000]", "[1,9223372036854775808]", "9223372036854775808");
    }

    #[test]
    fn takes_dates_for_text() {
        let json = r#"["2019-02-01T22:46:01.500Z"]"#;
        check("$[?@ == '2019-02-01T22:46:01.500Z']", json, "\"2019-02-01T22:46:01.5Z\"");
        check("$[?match(@, '2019-.*')]", json, "\"2019-02-01T22:46:01.5Z\"");
    }

    #[test]
    fn sees_the_match_a_second_time() {
        let query = Query::compile("$..hr").unwrap();
        let mut scratch = Scratch::default();
        let document = scratch.read_value(br#"{"Body":{"hr":1}}"#, ReadOptions::default()).unwrap();
        assert_eq!(select(&query, document.with_matched(Document::ROOT)), "1 1");
    }

    #[test]
    fn says_where_a_query_is_broken() {
        let position = |text| Query::compile(text).unwrap_err().position;
        assert_eq!(position("$.\u{e4}["), 4);
        assert_eq!(position("$.a=~"), 3);
        assert!(Query::compile("$.a[").unwrap_err().to_string().starts_with("not a JSONPath of RFC 9535: "));
    }
}
