//! Compiles and evaluates the expressions of mappings.
//!
//! ```text
//! event bytes --reader--> Document --Expression--> Value (a node, or something computed)
//! ```
//!
//! Three languages work over one compact, borrowed [`Document`]: the JSONPath
//! dialect of the reference connector (Newtonsoft), its JMESPath dialect with
//! eight custom functions, and standard JSONPath (RFC 9535). An expression is
//! compiled once, when a mapping loads; running it parses nothing.
//!
//! Nothing here does I/O or reads a clock, and no error text quotes a value of
//! the document: it may be about a patient.

pub mod budget;
pub mod descendants;
pub mod document;
pub mod event;
pub mod expression;
pub mod jmespath;
pub mod jsonpath;
pub mod lenient;
pub mod names;
pub mod number;
pub mod reader;
pub mod rfc9535;
pub mod time;
pub mod value;

pub use budget::Budget;
pub use document::{Document, Kind, NodeId, Scratch};
pub use event::{Event, Properties, PropertyValue};
pub use expression::{CompileError, CompileOptions, EvaluateError, Expression, Language, Pitfall};
pub use names::{Names, Symbol};
pub use reader::{MatchedCopies, ReadError, ReadOptions};
pub use time::{DateKind, DateTime, UtcTime};
pub use value::Value;
