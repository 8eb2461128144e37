//! How many events a reader may have on their way to it.

/// The largest event of a hub (functions-eventhubs-keda.md 7.6).
pub(crate) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// As many as other clients ask for.
const CREDIT_MAX: usize = 300;

/// So many events never take more than so many bytes; one may always come.
pub(crate) fn credit_within(bytes: usize) -> usize {
    (bytes / EVENT_BYTES_MAX).clamp(1, CREDIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_keeps_to_the_budget() {
        let cases = [(0, 1), (1, 1), (EVENT_BYTES_MAX, 1), (16 * EVENT_BYTES_MAX - 1, 15), (usize::MAX, 300)];
        for (bytes, credit) in cases {
            assert_eq!(credit_within(bytes), credit, "{bytes}");
        }
    }
}
