use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, ZonedDateTime, civil};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. One before that counts as that: a clock can stand anywhere,
/// and what is recorded of it is never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// The last one that has a date in RFC 3339: 9999-12-31T23:59:59.999Z. What is recorded may say anything.
const LAST_MS: u64 = 253_402_300_799_999;

/// A text that is not a moment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// It says what a clock shows, and not where.
    #[error("it has neither an offset from UTC nor a zone; add one: Z, +05:45 or [Europe/Oslo]")]
    Nowhere,
    /// It is anything else.
    #[error(
        "{0}; write it as in 2027-01-31T12:00:00Z, 2027-01-31T17:45:00+05:45 or 2027-01-31T12:00[Europe/Oslo]"
    )]
    Unreadable(String),
}

impl Moment {
    /// By this machine's clock.
    #[must_use]
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// The moment at which a clock shows this.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads a moment as RFC 3339 and RFC 9557 write it: with an offset, a zone, or both.
    pub fn parse(text: &str) -> Result<Self, MomentError> {
        let zone = text.contains('[');
        let read = if zone {
            text.parse::<ZonedDateTime>().map(|it| it.timestamp())
        } else {
            text.parse::<Timestamp>()
        };
        match read {
            Ok(timestamp) => Ok(Self(timestamp.as_millisecond().try_into().unwrap_or_default())),
            Err(_) if !zone && text.parse::<civil::DateTime>().is_ok() => Err(MomentError::Nowhere),
            Err(error) => Err(MomentError::Unreadable(error.to_string())),
        }
    }

    /// How long it is from another moment to this one; nothing if it was before that.
    #[must_use]
    pub fn since(self, other: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(other.0))
    }

    /// As RFC 3339 writes it in UTC, to the second.
    #[must_use]
    pub fn to_the_second(self) -> String {
        humantime::format_rfc3339_seconds(self.bounded()).to_string()
    }

    /// As RFC 3339 writes it in UTC, to the millisecond.
    #[must_use]
    pub fn to_the_millisecond(self) -> String {
        humantime::format_rfc3339_millis(self.bounded()).to_string()
    }

    fn bounded(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.min(LAST_MS))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_moment_can_be_written() {
        assert_eq!(Moment(0).to_the_second(), "1970-01-01T00:00:00Z");
        for late in [LAST_MS, LAST_MS + 1, u64::MAX] {
            assert_eq!(Moment(late).to_the_second(), "9999-12-31T23:59:59Z");
            assert_eq!(Moment(late).to_the_millisecond(), "9999-12-31T23:59:59.999Z");
        }
    }

    #[test]
    fn a_clock_before_1970_stands_at_its_beginning() {
        for seconds in [1, 86_400, 4_000_000_000] {
            assert_eq!(Moment::of(UNIX_EPOCH - Duration::from_secs(seconds)), Moment(0));
        }
        assert_eq!(Moment(3).since(Moment(5)), Duration::ZERO);
        assert_eq!(Moment(5).since(Moment(3)), Duration::from_millis(2));
    }

    #[test]
    fn an_offset_or_a_zone_says_where_a_clock_is() {
        let noon = Ok(Moment(1_801_396_800_000));
        for text in [
            "2027-01-31T12:00:00Z",
            "2027-01-31t12:00:00.000z",
            "2027-01-31 12:00:00Z",
            "2027-01-31T17:45:00+05:45",
            "2027-01-31T12:00:00-00:00",
            "2027-01-31T13:00:00+01:00[Europe/Oslo]",
            "2027-01-31T13:00[Europe/Oslo]",
            "2027-01-31T12:00:00Z[Europe/Oslo]",
            "2027-01-31T12:00:00+00:00[UTC]",
        ] {
            assert_eq!(Moment::parse(text), noon, "{text}");
        }
        assert_eq!(Moment::parse("1969-07-20T20:17:40Z"), Ok(Moment(0)));
    }

    #[test]
    fn what_says_no_place_or_no_moment_is_refused() {
        for text in ["2027-01-31T12:00:00", "2027-01-31 12:00:00", "2027-01-31T12:00"] {
            assert_eq!(Moment::parse(text), Err(MomentError::Nowhere), "{text}");
        }
        for text in [
            "",
            "soon",
            "12:00:00Z",
            "2027-02-30T12:00:00Z",
            "2027-01-31T12:00:00+25:61",
            "2027-01-31T12:00[Europe/Atlantis]",
            "2027-01-31T12:00:00+05:00[Europe/Oslo]",
            "12027-01-31T12:00:00Z",
        ] {
            let said = Moment::parse(text).unwrap_err().to_string();
            assert!(said.contains("; write it as in 2027-01-31T12:00:00Z"), "{text}: {said}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_can_be_read(ms in 0..LAST_MS - 200_000_000) {
            prop_assert_eq!(Moment::parse(&Moment(ms).to_the_millisecond()), Ok(Moment(ms)));
        }

        #[test]
        fn an_offset_moves_the_moment(ms in 100_000_000..LAST_MS - 200_000_000, minutes in 0..24 * 60_u64) {
            let written = Moment(ms).to_the_millisecond();
            let (local, offset) = (written.trim_end_matches('Z'), format!("{:02}:{:02}", minutes / 60, minutes % 60));
            let east = Moment::parse(&format!("{local}+{offset}"));
            prop_assert_eq!(east, Ok(Moment(ms - minutes * 60_000)));
            let west = Moment::parse(&format!("{local}-{offset}"));
            prop_assert_eq!(west, Ok(Moment(ms + minutes * 60_000)));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}|[0-9TZtz:+. \\[\\]A-Za-z/=!-]{0,48}") {
            let _ = Moment::parse(&text);
        }
    }
}
