//! Exact numbers within bounds: each operation says beforehand how large its result can become.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

/// How large a numerator or denominator may become: 9,000 digits and some. Reducing a fraction of that size takes
/// milliseconds; the time grows with the square.
pub(crate) const BITS_MAX: u64 = 30_000;

/// How many bits all operations of an expression may take in together, which bounds the time of a call.
const WORK_BITS_MAX: u64 = 8_000_000;

/// What is done with numbers, and how much was done.
#[derive(Default)]
pub(crate) struct Arithmetic {
    work_bits: u64,
}

pub(crate) type Answer = Result<BigRational, String>;

fn bits(number: &BigRational) -> u64 {
    number.numer().bits().max(number.denom().bits())
}

fn too_large() -> String {
    "the result is larger than 9,000 digits; such a number is not computed".to_owned()
}

impl Arithmetic {
    /// Admits an operation whose operands have this many bits, and whose result has at most that many.
    fn admit(&mut self, operands: u64, result: u64) -> Result<(), String> {
        if result > BITS_MAX {
            return Err(too_large());
        }
        self.work_bits = self.work_bits.saturating_add(operands).saturating_add(result).saturating_add(64);
        if self.work_bits > WORK_BITS_MAX {
            return Err("the expression takes too much work; compute it in parts".to_owned());
        }
        Ok(())
    }

    /// Admits a result that is smaller than what can be said beforehand.
    fn within(number: BigRational) -> Answer {
        if bits(&number) > BITS_MAX { Err(too_large()) } else { Ok(number) }
    }

    fn two(
        &mut self,
        a: &BigRational,
        b: &BigRational,
        done: impl FnOnce(&BigRational, &BigRational) -> BigRational,
    ) -> Answer {
        // Before a fraction is reduced, its parts are as long as both operands' together.
        self.admit(bits(a) + bits(b), 0)?;
        Self::within(done(a, b))
    }

    pub(crate) fn add(&mut self, a: &BigRational, b: &BigRational) -> Answer {
        self.two(a, b, |a, b| a + b)
    }

    pub(crate) fn subtract(&mut self, a: &BigRational, b: &BigRational) -> Answer {
        self.two(a, b, |a, b| a - b)
    }

    pub(crate) fn multiply(&mut self, a: &BigRational, b: &BigRational) -> Answer {
        self.two(a, b, |a, b| a * b)
    }

    pub(crate) fn divide(&mut self, a: &BigRational, b: &BigRational) -> Answer {
        if b.is_zero() {
            return Err("division by zero".to_owned());
        }
        self.two(a, b, |a, b| a / b)
    }

    pub(crate) fn remainder(&mut self, a: &BigRational, b: &BigRational) -> Answer {
        if b.is_zero() {
            return Err("division by zero".to_owned());
        }
        self.two(a, b, |a, b| a % b)
    }

    pub(crate) fn power(&mut self, base: &BigRational, exponent: &BigRational) -> Answer {
        if !exponent.is_integer() {
            return Err("an exponent is an integer here; for a square root there is sqrt(x)".to_owned());
        }
        if base.is_zero() && exponent.is_negative() {
            return Err("division by zero: 0 to a negative power".to_owned());
        }
        let is_odd = exponent.numer().is_odd();
        if base.is_zero() {
            return Ok(if exponent.is_zero() { BigRational::one() } else { BigRational::zero() });
        }
        if base.abs().is_one() {
            return Ok(if is_odd { base.clone() } else { BigRational::one() });
        }
        // The base has at least 2 bits, so the result has at least as many as the exponent says.
        let count = exponent.numer().magnitude().to_u32().ok_or_else(too_large)?;
        self.admit(0, (bits(base) - 1).saturating_mul(u64::from(count)))?;
        let (numer, denom) = (base.numer().pow(count), base.denom().pow(count));
        // Powers of what has no common divisor have none.
        let power = BigRational::new_raw(numer, denom);
        Self::within(if exponent.is_negative() { power.recip() } else { power })
    }

    pub(crate) fn factorial(&mut self, of: &BigRational) -> Answer {
        let whole = Some(of).filter(|it| it.is_integer() && !it.is_negative());
        let whole = whole.ok_or("a factorial is that of an integer from 0 on")?;
        let count = whole.numer().to_u32().filter(|count| *count <= 3000).ok_or_else(too_large)?;
        self.admit(0, u64::from(count) * u64::from(count.max(1).ilog2()))?;
        Self::within((1..=count).fold(BigInt::one(), |product, factor| product * factor).into())
    }

    pub(crate) fn gcd(&mut self, a: &BigRational, b: &BigRational) -> Answer {
        let (a, b) = (whole(a)?, whole(b)?);
        self.admit(a.bits() + b.bits(), 0)?;
        Ok(a.gcd(b).into())
    }

    pub(crate) fn lcm(&mut self, a: &BigRational, b: &BigRational) -> Answer {
        let (a, b) = (whole(a)?, whole(b)?);
        self.admit(a.bits() + b.bits(), 0)?;
        Self::within(a.lcm(b).into())
    }

    /// The integer part of a quotient, towards zero, as `%` is the rest of it.
    pub(crate) fn quotient(&mut self, a: &BigRational, b: &BigRational) -> Answer {
        Ok(self.divide(a, b)?.trunc())
    }

    /// A square root, if it is a number that can be written down; or rounded down to a count of places.
    pub(crate) fn root(&mut self, of: &BigRational, places: Option<&BigRational>) -> Answer {
        if of.is_negative() {
            return Err("there is no square root of a negative number here".to_owned());
        }
        self.admit(bits(of), 0)?;
        let root = BigRational::new(of.numer().sqrt(), of.denom().sqrt());
        if &root * &root == *of {
            return Ok(root);
        }
        let places = places.ok_or("this square root is irrational; sqrt(x, 20) gives 20 places of it")?;
        let scale = BigInt::from(10).pow(count(places)?);
        let scaled = (of * BigRational::from(&scale * &scale)).floor();
        Self::within(BigRational::new(scaled.numer().sqrt(), scale))
    }

    /// Rounded to a count of places, half away from zero.
    pub(crate) fn rounded(&mut self, number: &BigRational, places: &BigRational) -> Answer {
        self.admit(bits(number), 0)?;
        let scale = BigRational::from(BigInt::from(10).pow(count(places)?));
        Self::within((number * &scale).round() / scale)
    }
}

fn whole(number: &BigRational) -> Result<&BigInt, String> {
    Some(number)
        .filter(|it| it.is_integer())
        .map(BigRational::numer)
        .ok_or_else(|| format!("{number} is no integer"))
}

fn count(places: &BigRational) -> Result<u32, String> {
    let count = whole(places)?.to_u32().filter(|count| *count <= 1000);
    count.ok_or_else(|| "a count of places is from 0 to 1000".to_owned())
}

/// A number as a decimal with so many places at most, and whether it is rounded.
pub(crate) fn decimal(number: &BigRational, places: u32) -> (String, bool) {
    let scale = BigInt::from(10).pow(places);
    let scaled = number * BigRational::from(scale.clone());
    let digits = scaled.round().to_integer();
    let (whole, part) = digits.abs().div_rem(&scale);
    let sign = if digits.is_negative() { "-" } else { "" };
    let width = usize::try_from(places).unwrap_or_default();
    let part = if part.is_zero() { String::new() } else { format!(".{part:0>width$}") };
    (format!("{sign}{whole}{}", part.trim_end_matches('0')), !scaled.is_integer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_read_back_as_what_it_was_made_of() {
        for seed in 1..2000_u32 {
            let number =
                BigRational::new((i64::from(seed) * 7919 - 8_000_000).into(), 10_i64.pow(seed % 9).into());
            let (text, is_rounded) = decimal(&number, 9);
            assert!(!is_rounded);
            assert_eq!(crate::parse::value(&text), Ok(number), "{text}");
        }
    }
}
