//! `iotc dead-letters show`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use delivery::StoredDeadLetter;
use delivery::stored_letter::LetterKey;
use serde_json::json;

use super::list::Listed;
use super::place::{Place, PlaceArguments};
use crate::output;

/// Arguments of `iotc dead-letters show`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The key that `list` prints, or the hash at its end.
    key: String,
    /// Print the event too, its bytes and its properties. CAUTION: that is a
    /// patient's data; see to it where your terminal and its log keep it.
    #[arg(long)]
    body: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Prints one letter.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let place = arguments.place.open().await?;
    let key = find(&place, &arguments.key).await?;
    let letter = place.read(&key).await?;
    let listed = Listed::new(&key, &letter);
    if arguments.json {
        let mut shown = serde_json::to_value(&listed)?;
        if arguments.body {
            shown["body"] = json!(letter.body);
            shown["bodyText"] = json!(letter.body_bytes().and_then(|body| String::from_utf8(body).ok()));
            shown["properties"] = json!(letter.properties);
            shown["systemProperties"] = json!(letter.system_properties);
        }
        output::print(&serde_json::to_string_pretty(&shown)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&listed)?;
    output::print(&format!("  from {}, read as {}", origin(&letter), or_none(&letter.consumer_group)))?;
    output::print(&format!("  measurement {} of the event", letter.measurement))?;
    if arguments.body {
        output::print(&format!("  properties        {}", or_none(&letter.properties)))?;
        output::print(&format!("  system properties {}", or_none(&letter.system_properties)))?;
        output::print(&format!("  body\n{}", body(&letter)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The one letter with this key, or with this hash at the end of its key.
async fn find(place: &Place, wanted: &str) -> anyhow::Result<LetterKey> {
    let keys = place.keys().await?;
    if let Some(key) = keys.iter().find(|key| key.text == wanted) {
        return Ok(key.clone());
    }
    let mut fitting = keys.into_iter().filter(|key| key.parts().is_some_and(|parts| parts.identity == wanted));
    let key = fitting.next().with_context(|| format!("there is no dead letter `{wanted}`"))?;
    match fitting.next() {
        None => Ok(key),
        Some(other) => bail!("`{wanted}` is the event of several letters, such as\n  {}\n  {}", key.text, other.text),
    }
}

fn origin(letter: &StoredDeadLetter) -> String {
    let hub = match letter.namespace.as_str() {
        "" => letter.hub.clone(),
        namespace => format!("{namespace}/{}", letter.hub),
    };
    match letter.sequence_number {
        Some(number) => format!("{hub}, partition {}, sequence number {number}", letter.partition),
        None => format!("{hub} by HTTP"),
    }
}

fn body(letter: &StoredDeadLetter) -> String {
    match letter.body_bytes().map(String::from_utf8) {
        Some(Ok(text)) => text,
        Some(Err(_)) => format!("(base64) {}", letter.body),
        None => "(left out: it was too large for its place)".to_owned(),
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
