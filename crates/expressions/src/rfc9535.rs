//! Standard JSONPath, RFC 9535, by the `jsonpath-rust` crate (design.md D2).
//!
//! The crate looks at values through a trait of its own, so what lies below
//! the evaluation root is copied into a tree that remembers the nodes. This
//! keeps document order, duplicates and the nodes themselves, and makes this
//! the slow language of the three. Dates are text here (design.md D12), big
//! integers are doubles, and what has no JSON form is null.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

use jsonpath_rust::parser::errors::JsonPathError;
use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use jsonpath_rust::query::queryable::Queryable;

use crate::budget::{Budget, CHILDREN_A_STEP};
use crate::document::{Document, Kind, NodeId};
use crate::expression::{CompileError, EvaluateError};

/// What copying a node counts for.
const COPY_STEPS: usize = 10;

/// What a look at a member or an element counts for. The crate gives each a
/// path as text, which counts with its length.
const LOOK_STEPS: usize = 30;

/// What is left of the event's budget. The crate cannot be stopped; when
/// nothing is left, values show it neither members nor elements, which soon
/// ends it.
#[derive(Clone, Debug)]
struct Steps(Rc<Cell<usize>>);

impl Steps {
    /// Whether there were so many, which are now taken.
    fn take(&self, steps: usize) -> bool {
        let left = self.0.get().saturating_sub(steps);
        self.0.set(left);
        left > 0
    }
}

/// A compiled query.
#[derive(Clone, Debug)]
pub struct Query {
    query: JpQuery,
}

impl Query {
    /// Compiles `text`.
    pub fn compile(text: &str) -> Result<Query, CompileError> {
        if let Some(position) = nests_too_deep(text) {
            let message = format!("not a JSONPath that is taken: brackets may nest at most {NESTING_MAX} deep");
            return Err(CompileError { position, message, is_function: false });
        }
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
        budget: &Budget,
        found: &mut dyn FnMut(NodeId) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        budget.spend(document.size(root).saturating_mul(COPY_STEPS))?;
        let steps = Steps(Rc::new(Cell::new(budget.left())));
        let tree = Tree::copy(document, root, 1, &steps);
        // The crate's own words may quote the document.
        let selected = js_path_process(&self.query, &tree)
            .map_err(|_| EvaluateError::JsonPath("the query did not give nodes of the document".to_owned()))?;
        budget.spend(budget.left().saturating_sub(steps.0.get()))?;
        if steps.0.get() == 0 {
            budget.spend(1)?;
        }
        for node in selected.iter().filter_map(|result| result.val.node) {
            if found(node).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// How deep brackets may nest: as deep as documents may. The crate's parser
/// goes down with them on the stack.
const NESTING_MAX: usize = 64;

/// Where brackets outside of quotes nest deeper than they may, in characters.
fn nests_too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    text.chars().position(|c| {
        match (quote, c) {
            (Some(_), '\\') if !escaped => {
                escaped = true;
                return false;
            }
            (Some(open), c) if c == open && !escaped => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = false;
        depth > NESTING_MAX
    })
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
    /// How long the path is that the crate gives to it.
    path_len: usize,
    steps: Option<Steps>,
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
    fn copy(document: Document<'_>, node: NodeId, path_len: usize, steps: &Steps) -> Tree {
        let below =
            |child: NodeId, name_len: usize| Tree::copy(document.below(child), child, path_len + name_len + 4, steps);
        let content = match document.kind(node) {
            Kind::Null | Kind::Undefined | Kind::Opaque => Content::Null,
            Kind::False => Content::Bool(false),
            Kind::True => Content::Bool(true),
            Kind::Integer => document.integer(node).map_or(Content::Null, Content::Integer),
            Kind::BigInteger | Kind::Float => document.float(node).map_or(Content::Null, Content::Float),
            Kind::String | Kind::Date => Content::Text(document.text(node).into_owned()),
            Kind::Array => Content::Array(document.children(node).map(|(_, child)| below(child, 4)).collect()),
            Kind::Object => Content::Object(
                document
                    .children(node)
                    .map(|(name, child)| (document.name(name).to_owned(), below(child, document.name(name).len())))
                    .collect(),
            ),
        };
        Tree { node: Some(node), content, path_len, steps: Some(steps.clone()) }
    }

    /// Whether a look at `count` members or elements may be taken.
    fn may_look(&self, count: usize) -> bool {
        let cost = 1 + count.saturating_mul(LOOK_STEPS + self.path_len);
        self.steps.as_ref().is_none_or(|steps| steps.take(cost))
    }

    /// Whether a look at a text, a member by its name, or a comparison may be
    /// taken.
    fn may_pass(&self, count: usize) -> bool {
        self.steps.as_ref().is_none_or(|steps| steps.take(1 + count / CHILDREN_A_STEP))
    }

    fn made(content: Content) -> Tree {
        Tree { node: None, content, path_len: 0, steps: None }
    }
}

impl PartialEq for Tree {
    /// Equal as JSON: objects whatever the order of their members.
    fn eq(&self, other: &Tree) -> bool {
        if !self.may_pass(self.len()) {
            return false;
        }
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
    /// Members, elements or bytes of text.
    fn len(&self) -> usize {
        match &self.content {
            Content::Text(text) => text.len(),
            Content::Array(elements) => elements.len(),
            Content::Object(members) => members.len(),
            _ => 0,
        }
    }

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
            Content::Object(members) if self.may_look(1) && self.may_pass(members.len()) => {
                members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&Vec<Self>> {
        match &self.content {
            Content::Array(elements) if self.may_look(elements.len()) => Some(elements),
            _ => None,
        }
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        match &self.content {
            Content::Object(members) if self.may_look(members.len()) => {
                Some(members.iter().map(|(name, value)| (name.as_str(), value)).collect())
            }
            _ => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) if self.may_pass(text.len()) => Some(text),
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
            .select(document, Document::ROOT, &Budget::default(), &mut |node| {
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
    fn refuses_queries_that_nest_too_deep() {
        let nested = |depth: usize| format!("$[?{}@.a{}]", "(".repeat(depth), ")".repeat(depth));
        assert!(Query::compile(&nested(NESTING_MAX - 1)).is_ok());
        let error = Query::compile(&nested(100_000)).unwrap_err();
        assert_eq!((error.position, error.message.contains("at most 64")), (3 + NESTING_MAX - 1, true));
        let quoted = format!("$['{}\\'[']", "[".repeat(100));
        assert!(Query::compile(&quoted).is_ok());
    }

    #[test]
    fn ends_when_the_budget_is_used_up() {
        let json = format!("[{}]", vec![r#"{"a":1}"#; 1000].join(","));
        let mut scratch = Scratch::default();
        let document = scratch.read_value(json.as_bytes(), ReadOptions::default()).unwrap();
        let query = Query::compile("$..[?count($..a) == 2]").unwrap();
        let mut found = 0;
        let outcome = query.select(document, Document::ROOT, &Budget::new(1_000_000), &mut |_| {
            found += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(outcome, Err(EvaluateError::Limit(_))), "{outcome:?}");
        assert_eq!(found, 0);
    }

    #[test]
    fn says_where_a_query_is_broken() {
        let position = |text| Query::compile(text).unwrap_err().position;
        assert_eq!(position("$.\u{e4}["), 4);
        assert_eq!(position("$.a=~"), 3);
        assert!(Query::compile("$.a[").unwrap_err().to_string().starts_with("not a JSONPath of RFC 9535: "));
    }
}
