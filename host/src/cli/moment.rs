//! Moments in UTC, as RFC 3339 writes them, and how long it is from one to the other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) u64);

/// The last one that has a date in RFC 3339: 9999-12-31T23:59:59.999Z. What is recorded may say anything.
const LAST_MS: u64 = 253_402_300_799_999;

impl Moment {
    pub(super) fn to_the_second(self) -> String {
        humantime::format_rfc3339_seconds(self.bounded()).to_string()
    }

    pub(super) fn to_the_millisecond(self) -> String {
        humantime::format_rfc3339_millis(self.bounded()).to_string()
    }

    fn bounded(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.min(LAST_MS))
    }
}

/// A duration, from microseconds.
pub(super) fn milliseconds(us: u64) -> String {
    // Durations of a run are far below 2^53 µs.
    #[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let ms = us as f64 / 1000.0;
    format!("{ms:.1} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_can_be_written() {
        assert_eq!(Moment(0).to_the_second(), "1970-01-01T00:00:00Z");
        for late in [LAST_MS, LAST_MS + 1, u64::MAX] {
            assert_eq!(Moment(late).to_the_second(), "9999-12-31T23:59:59Z");
            assert_eq!(Moment(late).to_the_millisecond(), "9999-12-31T23:59:59.999Z");
        }
    }
}
