//! Durations and sizes as people write them: a number and a unit.
//!
//! Pure. A bare number is refused, because whether `timeout = "30"` means seconds or milliseconds is a guess.

use std::str::FromStr as _;
use std::time::Duration;

use bytesize::ByteSize;

/// Text that is not a duration or size of use here. The key and the help are the caller's to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    /// A number, but of what?
    #[error("has no unit")]
    NoUnit,
    /// Anything else that cannot be read.
    #[error("is not a number with a unit")]
    Malformed,
    /// Nothing at all would be allowed.
    #[error("is too little")]
    TooLittle,
    /// Above the bound.
    #[error("is too much")]
    TooMuch,
}

/// Reads a duration such as `30s` or `1h 30m`, of at least a millisecond.
pub(crate) fn duration_ms(text: &str, max: Duration) -> Result<u64, UnitError> {
    let duration = humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => UnitError::TooMuch,
        _ => unreadable(text),
    })?;
    if duration > max {
        return Err(UnitError::TooMuch);
    }
    match u64::try_from(duration.as_millis()) {
        Ok(0) => Err(UnitError::TooLittle),
        Ok(ms) => Ok(ms),
        Err(_) => Err(UnitError::TooMuch),
    }
}

/// Reads a size such as `64MiB` (1024-based) or `10kB` (1000-based), of at least a byte.
pub(crate) fn bytes(text: &str, max: u64) -> Result<u64, UnitError> {
    if !text.trim_end().ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(unreadable(text));
    }
    match ByteSize::from_str(text.trim()) {
        Ok(ByteSize(0)) => Err(UnitError::TooLittle),
        Ok(ByteSize(bytes)) if bytes > max => Err(UnitError::TooMuch),
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(_) => Err(UnitError::Malformed),
    }
}

/// What to write for a duration.
pub(crate) fn duration_help(example: &str, max: Duration) -> String {
    let max = humantime::format_duration(max).to_string();
    let max = max.strip_suffix("day").map_or(max.clone(), |days| format!("{days} day"));
    form("ms, s, m, h", example, "1 ms", &max.replace("days", " days"))
}

/// What to write for a size.
pub(crate) fn bytes_help(example: &str, max: u64) -> String {
    let max = ByteSize(max).display().iec().to_string();
    form("B, KiB, MiB, GiB", example, "1 B", &max.replace(".0 ", " "))
}

fn form(units: &str, example: &str, min: &str, max: &str) -> String {
    format!("write a number and a unit ({units}), as in \"{example}\"; from {min} to {max}")
}

fn unreadable(text: &str) -> UnitError {
    if text.trim().parse::<f64>().is_ok() { UnitError::NoUnit } else { UnitError::Malformed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn durations() {
        for (text, expected) in [
            ("30s", Ok(30_000)),
            ("1h 30m", Ok(5_400_000)),
            ("1ms", Ok(1)),
            ("24h", Ok(86_400_000)),
            ("30", Err(UnitError::NoUnit)),
            ("1.5", Err(UnitError::NoUnit)),
            ("soon", Err(UnitError::Malformed)),
            ("", Err(UnitError::Malformed)),
            ("-5s", Err(UnitError::Malformed)),
            ("0s", Err(UnitError::TooLittle)),
            ("999us", Err(UnitError::TooLittle)),
            ("24h 1ns", Err(UnitError::TooMuch)),
            ("99999999999999999999s", Err(UnitError::TooMuch)),
        ] {
            assert_eq!(duration_ms(text, DAY), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("64MiB", Ok(64 << 20)),
            ("64 KiB", Ok(64 << 10)),
            ("1.5GiB", Ok(3 << 29)),
            ("10kB", Ok(10_000)),
            ("4GiB", Ok(4 << 30)),
            ("1B", Ok(1)),
            ("64", Err(UnitError::NoUnit)),
            ("0", Err(UnitError::NoUnit)),
            ("", Err(UnitError::Malformed)),
            ("MiB", Err(UnitError::Malformed)),
            ("-1MiB", Err(UnitError::Malformed)),
            ("64 parrots", Err(UnitError::Malformed)),
            ("inf", Err(UnitError::Malformed)),
            ("0MiB", Err(UnitError::TooLittle)),
            ("4.1GiB", Err(UnitError::TooMuch)),
            ("99999999999999999999GiB", Err(UnitError::TooMuch)),
        ] {
            assert_eq!(bytes(text, 4 << 30), expected, "{text:?}");
        }
    }

    #[test]
    fn help_says_the_form_and_the_bounds() {
        let expected = "write a number and a unit (ms, s, m, h), as in \"30s\"; from 1 ms to 1 day";
        assert_eq!(duration_help("30s", DAY), expected);
        assert!(duration_help("5m", DAY * 30).ends_with("to 30 days"), "{}", duration_help("5m", DAY * 30));
        assert!(
            bytes_help("64MiB", 4 << 30).ends_with("from 1 B to 4 GiB"),
            "{}",
            bytes_help("64MiB", 4 << 30)
        );
    }
}
