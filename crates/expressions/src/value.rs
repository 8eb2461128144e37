//! What an expression gives: a node of the document, or something computed.

use std::borrow::Cow;

use crate::document::NodeId;
use crate::time::DateTime;

/// One result of an expression.
///
/// JSONPath only ever gives nodes. JMESPath gives nodes where it can, and
/// otherwise values of its own; they keep the token types that the reference
/// connector distinguishes.
#[derive(Clone, Debug)]
pub enum Value<'d> {
    /// A value of the document, as it stands.
    Node(NodeId),
    /// JSON null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number of type Integer.
    Integer(i64),
    /// A number of type Float.
    Float(f64),
    /// Text that is not a date.
    String(Cow<'d, str>),
    /// A date token, for instance from `fromUnixTimestamp`.
    Date(DateTime),
    /// A list.
    Array(Vec<Value<'d>>),
    /// Members in order; no name twice.
    Object(Vec<(Cow<'d, str>, Value<'d>)>),
}
