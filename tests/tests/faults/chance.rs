//! Chance that can be repeated.

/// Numbers that depend on nothing but a seed, which is printed with the course.
#[derive(Debug)]
pub struct Chance {
    /// `IOTC_FAULTS_SEED`, or one of the clock's.
    pub seed: u64,
    numbers: simulator::Chance,
}

impl Chance {
    /// From the seed that the environment names, else from another one each time.
    pub fn new() -> Chance {
        let named = std::env::var("IOTC_FAULTS_SEED").ok();
        let named = named.map(|text| text.parse().unwrap_or_else(|_| panic!("`IOTC_FAULTS_SEED` is `{text}`")));
        let clock = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |now| u64::from(now.subsec_nanos()))
        };
        let seed = named.unwrap_or_else(clock);
        Chance { seed, numbers: simulator::Chance::new(seed) }
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.numbers.of(0..end as u64) as usize
    }

    /// Puts things in another order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for end in (2..=all.len()).rev() {
            let index = self.below(end);
            all.swap(index, end - 1);
        }
    }
}
