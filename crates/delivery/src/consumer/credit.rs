//! How many events of a partition may be on their way to us.
//!
//! Credit counts events and memory counts bytes. An event may have 1 MiB, so a
//! partition begins with as many as that leaves room for; once its events have
//! been seen to be small it gets more, since with few on their way every batch
//! is small and waits for the hub. One that is large takes it back at once:
//! what is on its way then is thrown away and comes again.

/// The largest event of a hub (functions-eventhubs-keda.md 7.6).
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// So many at the most, whatever their size: should all of these turn out to
/// be of the largest, that is what a partition can take beyond its share.
const CREDIT_MAX: usize = 100;

/// After how many events their size is believed.
const SEEN_MIN: usize = 32;

/// Over how many events, and as many before them, the largest is remembered.
const SPAN: usize = 512;

/// The credit of one partition.
#[derive(Debug)]
pub(super) struct Credit {
    now: usize,
    /// Events since it was changed.
    seen: usize,
    /// The largest of the present span, and of the one before.
    largest: [usize; 2],
    in_span: usize,
}

impl Credit {
    /// For a partition of which nothing was seen yet, whose share of memory is
    /// so many bytes.
    pub(super) fn new(share: usize) -> Credit {
        Credit { now: (share / EVENT_BYTES_MAX).clamp(1, CREDIT_MAX), seen: 0, largest: [0, 0], in_span: 0 }
    }

    /// How many events may be on their way.
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// Takes note of an event; whether the partition is to be opened anew with
    /// another credit.
    pub(super) fn see(&mut self, bytes: usize, share: usize) -> bool {
        self.seen += 1;
        self.in_span += 1;
        if self.in_span > SPAN {
            self.largest = [0, self.largest[0]];
            self.in_span = 1;
        }
        self.largest[0] = self.largest[0].max(bytes);
        let largest = self.largest[0].max(self.largest[1]).max(1);
        let wanted = (share / largest).clamp(1, CREDIT_MAX);
        let is_too_much = wanted * 2 <= self.now;
        let is_too_little = self.seen >= SEEN_MIN && wanted >= self.now * 2;
        if is_too_much || is_too_little {
            (self.now, self.seen) = (wanted, 0);
        }
        is_too_much || is_too_little
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// The credit after each of these events; `*` where the partition is opened
    /// anew.
    fn credits(share: usize, sizes: impl IntoIterator<Item = usize>) -> Vec<String> {
        let mut credit = Credit::new(share);
        let mut changes = vec![credit.now().to_string()];
        for (index, size) in sizes.into_iter().enumerate() {
            if credit.see(size, share) {
                changes.push(format!("{} after {}", credit.now(), index + 1));
            }
        }
        changes
    }

    #[test]
    fn small_events_get_more_and_a_large_one_takes_it_back() {
        let small = || std::iter::repeat_n(500, 1000);
        assert_eq!(credits(8 * MIB, small()), ["8", "100 after 32"]);
        assert_eq!(credits(MIB, small()), ["1", "100 after 32"]);
        assert_eq!(credits(8 * MIB, std::iter::repeat_n(MIB, 1000)), ["8"]);
        assert_eq!(credits(8 * MIB, small().chain([MIB])), ["8", "100 after 32", "8 after 1001"]);
        assert_eq!(credits(0, small().chain([MIB])), ["1"]);
    }

    #[test]
    fn large_events_are_remembered_for_a_while() {
        let one_in = |every: usize| (0..4000).map(move |index| if index % every == 0 { MIB } else { 500 });
        assert_eq!(credits(8 * MIB, one_in(500)), ["8"]);
        let once = (0..4000).map(|index| if index == 100 { MIB } else { 500 });
        assert_eq!(credits(8 * MIB, once), ["8", "100 after 32", "8 after 101", "100 after 1025"]);
    }
}
