//! Numbers as they are written: exact, whatever their size.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A whole number is written out up to so many digits: more than 256 bits have.
const WHOLE_DIGITS_MAX: i64 = 80;

/// What is as short as this, sign included, has no more digits than that.
const PLAIN_BYTES_MAX: usize = 80;

/// The greatest float has one digit more before the point.
const FLOAT_DIGITS: usize = 308;

/// From so many zeros after the point on, a small number is written with an exponent, as in ECMAScript.
const ZEROS_MAX: i64 = 6;

/// A number, exactly: `digits` times ten to the power of `exponent`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// Of zero: whether it was written as a float below zero, as in `-0.0`, which is another float than `0.0`. The
    /// integer `-0` is zero.
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a number that has the form of JSON. It fails on an exponent that 63 bits cannot hold.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let is_float = text.contains(['.', 'e', 'E']);
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let kept = all.trim_end_matches('0');
        let dropped = i64::try_from(all.len() - kept.len()).ok()?;
        let digits = kept.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: negative && is_float, digits, exponent: 0 });
        }
        let exponent = exponent.parse::<i64>().ok()?;
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(dropped)?;
        Some(Self { negative, digits, exponent })
    }

    /// Whether it is a whole number.
    pub(super) fn is_whole(&self) -> bool {
        self.exponent >= 0
    }

    /// The same without the sign of zero.
    pub(super) fn with_plain_zero(self) -> Self {
        let negative = self.negative && !self.digits.is_empty();
        Self { negative, ..self }
    }

    /// The one way to write it: a whole number without a point or an exponent, as long as it is not too long.
    pub(super) fn write(&self) -> String {
        let Self { negative, digits, exponent } = self;
        if digits.is_empty() {
            return if *negative { "-0.0" } else { "0" }.to_owned();
        }
        let mut text = String::from(if *negative { "-" } else { "" });
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        // How many digits stand before the point.
        let before = count.saturating_add(*exponent);
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        if *exponent == 0 || (*exponent > 0 && before <= WHOLE_DIGITS_MAX) {
            text.push_str(digits);
            text.push_str(&zeros(*exponent));
        } else if *exponent < 0 && before > 0 {
            let (whole, fraction) = digits.split_at(usize::try_from(before).unwrap_or(0));
            // Writing to a string cannot fail.
            let _ = write!(text, "{whole}.{fraction}");
        } else if *exponent < 0 && before > -ZEROS_MAX {
            let _ = write!(text, "0.{}{digits}", zeros(-before));
        } else {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let _ = write!(text, "{first}{point}{rest}e{}", before - 1);
        }
        text
    }
}

/// The whole number that a number of JSON is, as `5`, `5.0` and `50e-1` are, if 127 bits hold it.
pub(crate) fn whole_number(text: &str) -> Option<i128> {
    if !text.contains(['.', 'e', 'E']) {
        return text.parse().ok();
    }
    let Decimal { negative, digits, exponent } = Decimal::read(text)?;
    if digits.is_empty() {
        return Some(0);
    }
    let digits = digits.parse::<i128>().ok()?;
    let power = 10_i128.checked_pow(u32::try_from(exponent).ok()?)?;
    let number = digits.checked_mul(power)?;
    Some(if negative { -number } else { number })
}

/// Whether a number that has the form of JSON is written without a point or an exponent.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// The one way to write a number that has the form of JSON: as it stands, if it is a whole number that is not too long.
pub(super) fn write_anew(text: &str, decimal: impl FnOnce(Decimal) -> Decimal) -> Cow<'_, str> {
    if is_plain(text) && text.len() <= PLAIN_BYTES_MAX && text != "-0" {
        return text.into();
    }
    Decimal::read(text).map_or(text.into(), |read| decimal(read).write().into())
}

/// Whether every parser reads a number, if not each of its digits.
pub(super) fn is_in_range(text: &str) -> bool {
    // Without an exponent it has no more digits than the greatest float.
    if text.len() <= FLOAT_DIGITS && !text.contains(['e', 'E']) {
        return true;
    }
    Decimal::read(text).is_some() && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Whether a number that has the form of JSON is the same when it has gone through 64 bits, as an integer or, printed
/// with as few digits as tell it apart, as a float.
pub(super) fn is_exact(text: &str) -> bool {
    if text.len() <= 15 && !text.contains(['e', 'E']) {
        return true;
    }
    let Ok(number) = serde_json::from_str::<serde_json::Number>(text) else { return false };
    Decimal::read(text) == Decimal::read(&number.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        Decimal::read(text).unwrap().write()
    }

    #[test]
    fn a_number_has_one_way_to_be_written() {
        for (same, one) in [
            (&["100", "1E2", "1e+2", "100.0", "1000e-1", "0.1e3"][..], "100"),
            (&["0", "-0", "0.0", "0e-99999999999999999999"], "0"),
            (&["-0.0", "-0e5", "-0E-99999999999999999999", "-0.00"], "-0.0"),
            (&["5.0", "5", "50e-1"], "5"),
            (&["-0.001", "-1e-3", "-0.0010"], "-0.001"),
            (&["0.000001", "1e-6"], "0.000001"),
            (&["0.0000001", "1E-7"], "1e-7"),
            (&["12345.678", "1.2345678e4"], "12345.678"),
            (&["1e400", "10e399"], "1e400"),
            (&["1.5e400"], "1.5e400"),
            (&["1000000000000000000001"], "1000000000000000000001"),
            (&["1e21"], "1000000000000000000000"),
            (&["1.10000000000000000000000000001"], "1.10000000000000000000000000001"),
        ] {
            for text in same {
                assert_eq!(written(text), one, "{text}");
            }
        }
        assert_eq!(written("-0.0").parse::<f64>().unwrap().to_bits(), (-0.0_f64).to_bits());
        for (text, plain) in [("-0.0", "0"), ("-1.0", "-1"), ("0", "0")] {
            assert_eq!(Decimal::read(text).unwrap().with_plain_zero().write(), plain);
        }
        assert_eq!(Decimal::read("1e99999999999999999999"), None);
        assert_eq!(Decimal::read("1.5e-9223372036854775808"), None);
    }

    #[test]
    fn what_64_bits_do_not_hold_is_told_apart() {
        for exact in [
            "0.1",
            "18446744073709551615",
            "-9223372036854775808",
            "1e300",
            "5.0",
            "1E2",
            "3.141592653589793",
            "-0.0",
            "-0.00000000000000000000",
        ] {
            assert!(is_exact(exact), "{exact}");
        }
        for other in
            ["18446744073709551616", "1000000000000000000001", "1e400", "1e-400", "0.1000000000000000055"]
        {
            assert!(!is_exact(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_same_number(
            number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
        ) {
            let read = Decimal::read(&number).unwrap();
            let text = read.write();
            prop_assert!(serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok(), "{}", text);
            prop_assert_eq!(Decimal::read(&text).unwrap(), read);
        }

        #[test]
        fn a_float_goes_through(number in proptest::num::f64::NORMAL) {
            let text = serde_json::to_string(&number).unwrap();
            prop_assert!(is_exact(&text));
            prop_assert_eq!(written(&text).parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
    }
}
