//! Spans of the trace that both functions have. The parts of a batch have theirs
//! where they are done: `load mapping`, `send`, `resolve`, `save`, `record`.

use delivery::{Batch, Stage, Tally};
use tracing::Span;
use tracing::field::Empty;

/// One batch or window: where it comes from, and how much it is. What is known
/// later is for [`record`].
pub fn batch(stage: Stage, batch: &Batch<'_>) -> Span {
    let number = |event: Option<&delivery::BatchEvent<'_>>| event.and_then(|event| event.sequence_number);
    tracing::info_span!(
        "batch",
        otel.name = stage.as_str(),
        hub = batch.source.hub,
        partition = batch.source.partition,
        events = batch.events.len(),
        sequence_number.first = number(batch.events.first()),
        sequence_number.last = number(batch.events.last()),
        mapping.version = Empty,
        measurements = Empty,
        unmatched = Empty,
        rejected = Empty,
    )
}

/// Adds to the span that one is in, of a batch, how it ended.
pub fn record(mapping_version: &str, tally: &Tally) {
    let span = Span::current();
    span.record("mapping.version", mapping_version);
    span.record("measurements", tally.measurements);
    span.record("unmatched", tally.unmatched);
    span.record("rejected", tally.rejected);
}
