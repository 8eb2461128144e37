//! Remembers the window of a partition that is worked on, outside the process.

use std::time::{Duration, SystemTime};

use expressions::UtcTime;

use crate::away::Away;
use crate::planted::Bug;
use crate::positions::{Positions, Version, WindowMark};

/// The last window of a partition that was begun.
///
/// Its limits are stored before anything of it is written, so that a
/// redelivery is cut at the same place and what may be half written is known
/// (design.md D4, D6).
#[derive(Debug, Default)]
pub struct WindowLog {
    mark: Option<(WindowMark, Version)>,
}

impl WindowLog {
    /// What is stored for a partition.
    pub async fn load(positions: &impl Positions, partition: &str) -> Result<WindowLog, Away> {
        Ok(WindowLog { mark: positions.window(partition).await? })
    }

    /// The last event of a window that was begun before and begins with this
    /// one.
    pub fn resumed(&self, first: i64) -> Option<i64> {
        self.mark().filter(|mark| mark.first == first && !Bug::OtherCut.is_planted()).map(|mark| mark.last)
    }

    /// Since when the window is worked on.
    pub fn begun(&self) -> Option<SystemTime> {
        self.mark().map(|mark| system_time(mark.begun))
    }

    fn mark(&self) -> Option<WindowMark> {
        self.mark.as_ref().map(|(mark, _)| *mark)
    }

    /// Stores the limits of a window that is about to be begun. Gives since
    /// when some of its events may have been worked on. Fails when somebody else
    /// began one meanwhile: then whose the partition is has to be looked at before
    /// this is tried again.
    pub async fn begin(
        &mut self,
        positions: &impl Positions,
        partition: &str,
        (first, last): (i64, i64),
        now: UtcTime,
    ) -> Result<Option<SystemTime>, Away> {
        let before = self.mark().filter(|mark| mark.first <= last && first <= mark.last);
        if before.is_none_or(|mark| (mark.first, mark.last) != (first, last)) {
            let begun = before.map_or(now, |mark| mark.begun);
            let mark = WindowMark { first, last, begun };
            let expected = self.mark.as_ref().map(|(_, version)| version);
            match positions.write_window(partition, &mark, expected).await? {
                Some(version) => self.mark = Some((mark, version)),
                None => {
                    // Somebody wrote it: we, and the answer got lost, or another.
                    self.mark = positions.window(partition).await?;
                    if self.mark() != Some(mark) {
                        return Err(Away::new("the window of the partition", "another was begun meanwhile"));
                    }
                }
            }
        }
        Ok(before.map(|mark| system_time(mark.begun)))
    }
}

fn system_time(time: UtcTime) -> SystemTime {
    let milliseconds = u64::try_from(time.unix_milliseconds()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}
