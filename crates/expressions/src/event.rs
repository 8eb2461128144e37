//! What is read into a document: an event with its properties.

use crate::time::DateTime;

/// A received event, as far as expressions see it.
///
/// It becomes the document `{"Body": …, "Properties": {…}, "SystemProperties":
/// {…}}` (device-mapping.md 1.2).
#[derive(Clone, Copy, Debug)]
pub struct Event<'e> {
    /// The bytes as received: one JSON value in UTF-8. Empty means null.
    pub body: &'e [u8],
    /// The application properties.
    pub properties: Properties<'e>,
    /// The message annotations and the AMQP properties that are present.
    pub system_properties: Properties<'e>,
}

/// A set of properties, in the form in which a front has them.
#[derive(Clone, Copy, Debug)]
pub enum Properties<'e> {
    /// Typed values, as AMQP carries them.
    Typed(&'e [(&'e str, PropertyValue<'e>)]),
    /// The text of a JSON object, as the Functions host sends it. Text stays
    /// text but for the members named here, which are dates
    /// (functions-eventhubs-keda.md 9.1).
    Json {
        /// The object.
        text: &'e str,
        /// Members whose ISO text is a date.
        dates: &'e [&'e str],
    },
}

impl Properties<'_> {
    /// No properties.
    pub const NONE: Properties<'static> = Properties::Typed(&[]);
}

/// A property value and its type (device-mapping.md 1.4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PropertyValue<'e> {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// Any integer that fits.
    Integer(i64),
    /// An unsigned integer beyond `i64`.
    Unsigned(u64),
    /// Float, double or decimal.
    Float(f64),
    /// Text: never a date, whatever it looks like.
    String(&'e str),
    /// A timestamp.
    Date(DateTime),
    /// Bytes, UUID, duration …: present, but nothing can be made of it.
    Opaque,
}
