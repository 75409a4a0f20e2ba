//! An expression, read and computed at once.
//!
//! ```text
//! sum     = product (("+" | "-") product)*
//! product = signed (("*" | "/" | "%") signed)*
//! signed  = ("+" | "-") signed | power
//! power   = postfix ("^" signed)?
//! postfix = atom "!"*
//! atom    = number | "(" sum ")" | name "(" sum ("," sum)* ")"
//! ```

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

use crate::number::{Answer, Arithmetic};

/// A longer expression is a mistake.
const EXPRESSION_BYTES_MAX: usize = 4096;

/// How deep an expression may nest: its parser calls itself.
const DEPTH_MAX: u32 = 64;

/// The exponent of a number such as `1e9`.
const EXPONENT_MAX: u32 = 5000;

/// Computes an expression, or says what is wrong with it and where.
pub(crate) fn value(expression: &str) -> Answer {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("an expression has at most {EXPRESSION_BYTES_MAX} bytes; compute it in parts"));
    }
    let mut parser = Parser { text: expression, at: 0, depth: 0, arithmetic: Arithmetic::default() };
    let value = parser.sum().and_then(|value| {
        let rest = parser.rest();
        if rest.is_empty() { Ok(value) } else { Err(parser.unexpected("an operator")) }
    });
    value.map_err(|error| {
        format!(
            "{error} (at character {})",
            parser.text.get(..parser.at).map_or(0, |read| read.chars().count()) + 1
        )
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    arithmetic: Arithmetic,
}

impl<'a> Parser<'a> {
    /// What is not read yet, without leading space.
    fn rest(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn peek(&mut self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Reads one of these characters, if it is next. A model also writes signs that are no ASCII.
    fn one_of(&mut self, wanted: &str) -> Option<char> {
        let next = self.peek()?;
        let plain = match next {
            '×' | '·' => '*',
            '÷' => '/',
            '−' => '-',
            other => other,
        };
        if !wanted.contains(plain) {
            return None;
        }
        self.at += next.len_utf8();
        Some(plain)
    }

    fn unexpected(&mut self, wanted: &str) -> String {
        match self.peek() {
            Some(next) => format!("{wanted} is expected, not {next:?}"),
            None => format!("{wanted} is expected at the end"),
        }
    }

    fn deeper(&mut self, inside: impl FnOnce(&mut Self) -> Answer) -> Answer {
        if self.depth == DEPTH_MAX {
            return Err(format!("the expression nests more than {DEPTH_MAX} deep"));
        }
        self.depth += 1;
        let value = inside(self);
        self.depth -= 1;
        value
    }

    fn sum(&mut self) -> Answer {
        let mut value = self.product()?;
        while let Some(operator) = self.one_of("+-") {
            let right = self.product()?;
            let arithmetic = &mut self.arithmetic;
            value = if operator == '+' {
                arithmetic.add(&value, &right)
            } else {
                arithmetic.subtract(&value, &right)
            }?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Answer {
        let mut value = self.signed()?;
        while let Some(operator) = self.one_of("*/%") {
            if operator == '*' && self.rest().starts_with('*') {
                return Err("a power is written with ^".to_owned());
            }
            let right = self.signed()?;
            let arithmetic = &mut self.arithmetic;
            value = match operator {
                '*' => arithmetic.multiply(&value, &right),
                '/' => arithmetic.divide(&value, &right),
                _ => arithmetic.remainder(&value, &right),
            }?;
        }
        Ok(value)
    }

    fn signed(&mut self) -> Answer {
        match self.one_of("+-") {
            Some('-') => Ok(-self.deeper(Self::signed)?),
            Some(_) => self.deeper(Self::signed),
            None => self.power(),
        }
    }

    fn power(&mut self) -> Answer {
        let base = self.postfix()?;
        if self.one_of("^").is_none() {
            return Ok(base);
        }
        let exponent = self.deeper(Self::signed)?;
        self.arithmetic.power(&base, &exponent)
    }

    fn postfix(&mut self) -> Answer {
        let mut value = self.atom()?;
        while self.one_of("!").is_some() {
            value = self.arithmetic.factorial(&value)?;
        }
        Ok(value)
    }

    fn atom(&mut self) -> Answer {
        if self.one_of("(").is_some() {
            let value = self.deeper(Self::sum)?;
            return self.closed().map(|()| value);
        }
        match self.peek() {
            Some(next) if next.is_ascii_digit() || next == '.' => self.number(),
            Some(next) if next.is_ascii_alphabetic() => self.function(),
            _ => Err(self.unexpected("a number")),
        }
    }

    fn closed(&mut self) -> Result<(), String> {
        self.one_of(")").map(drop).ok_or_else(|| self.unexpected("`)`"))
    }

    /// Reads digits, among which `_` may stand.
    fn digits(&mut self) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|next: char| !next.is_ascii_digit() && next != '_').unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default().replace('_', "")
    }

    /// Reads a character that is right behind what was read.
    fn right_behind(&mut self, wanted: &[char]) -> bool {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(wanted));
        self.at += usize::from(found);
        found
    }

    fn number(&mut self) -> Answer {
        let whole = self.digits();
        let part = if self.right_behind(&['.']) { self.digits() } else { String::new() };
        let digits = format!("{whole}{part}");
        let digits = digits.parse::<BigInt>().map_err(|_| "this is no number".to_owned())?;
        let mut scale = -i64::try_from(part.len()).unwrap_or_default();
        if self.right_behind(&['e', 'E']) {
            let is_negative = self.right_behind(&['-']);
            let _ = is_negative || self.right_behind(&['+']);
            let exponent = self.digits().parse::<u32>().ok().filter(|exponent| *exponent <= EXPONENT_MAX);
            let exponent = exponent.ok_or_else(|| {
                format!("the exponent of a number is from -{EXPONENT_MAX} to {EXPONENT_MAX}")
            })?;
            scale += if is_negative { -i64::from(exponent) } else { i64::from(exponent) };
        }
        let (digits, scale) = (BigRational::from(digits), BigRational::from(BigInt::from(scale)));
        let scale = self.arithmetic.power(&BigRational::from(BigInt::from(10)), &scale)?;
        self.arithmetic.multiply(&digits, &scale)
    }

    fn function(&mut self) -> Answer {
        let rest = self.rest();
        let end = rest.find(|next: char| !next.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        let begin = self.at;
        self.at += end;
        if self.one_of("(").is_none() {
            self.at = begin;
            return Err(format!(
                "{name:?} is no number; there are no variables and no units, and a function has ( )"
            ));
        }
        let mut arguments = vec![self.deeper(Self::sum)?];
        while self.one_of(",").is_some() {
            arguments.push(self.deeper(Self::sum)?);
        }
        self.closed()?;
        self.apply(name, &arguments)
    }

    fn apply(&mut self, name: &str, arguments: &[BigRational]) -> Answer {
        let arithmetic = &mut self.arithmetic;
        let zero = BigRational::zero();
        match (name, arguments) {
            ("abs", [x]) => Ok(x.abs()),
            ("floor", [x]) => Ok(x.floor()),
            ("ceil", [x]) => Ok(x.ceil()),
            ("trunc", [x]) => Ok(x.trunc()),
            ("round", [x]) => arithmetic.rounded(x, &zero),
            ("round", [x, places]) => arithmetic.rounded(x, places),
            ("sqrt", [x]) => arithmetic.root(x, None),
            ("sqrt", [x, places]) => arithmetic.root(x, Some(places)),
            ("div", [a, b]) => arithmetic.quotient(a, b),
            ("gcd", [a, b]) => arithmetic.gcd(a, b),
            ("lcm", [a, b]) => arithmetic.lcm(a, b),
            ("min", all) => Ok(all.iter().min().cloned().unwrap_or(zero)),
            ("max", all) => Ok(all.iter().max().cloned().unwrap_or(zero)),
            ("sum", all) => all.iter().try_fold(zero, |sum, x| arithmetic.add(&sum, x)),
            ("mean", all) => {
                let sum = all.iter().try_fold(zero, |sum, x| arithmetic.add(&sum, x))?;
                arithmetic.divide(&sum, &BigRational::from(BigInt::from(all.len())))
            }
            ("abs" | "floor" | "ceil" | "trunc" | "round" | "sqrt" | "div" | "gcd" | "lcm", all) => {
                Err(format!("{name} does not take {} numbers", all.len()))
            }
            _ => Err(format!(
                "there is no function {name:?}; there are abs, floor, ceil, trunc, round, sqrt, div, gcd, lcm, min, \
                 max, sum, mean"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(expression: &str) -> Result<String, String> {
        value(expression).map(|value| value.to_string())
    }

    #[test]
    fn expressions_bind_as_in_mathematics() {
        for (expression, is) in [
            ("1 + 2 * 3", "7"),
            ("(1 + 2) * 3", "9"),
            ("2 ^ 3 ^ 2", "512"),
            ("-2 ^ 2", "-4"),
            ("2 ^ -2", "1/4"),
            ("8 / 4 / 2", "1"),
            ("7 % 3 - -7 % 3", "2"),
            ("3! ^ 2", "36"),
            ("1_000.5e-1", "2001/20"),
            (".5 + 1.", "3/2"),
            ("2 × 3 ÷ 4 − 1", "1/2"),
            ("sum(1, 2, 3) / max(1, 2) + mean(1, 2)", "9/2"),
            ("round(2.345, 2)", "47/20"),
            ("round(-0.5)", "-1"),
            ("floor(-0.5) + ceil(0.5) + trunc(-1.5)", "-1"),
            ("gcd(12, 18) + lcm(4, 6) + div(-7, 2)", "15"),
            ("sqrt(9/4)", "3/2"),
            ("sqrt(2, 3)", "707/500"),
            ("0 ^ 0", "1"),
            ("(-1) ^ 99999999999999999999", "-1"),
            ("1 ^ 99999999999999999999", "1"),
        ] {
            assert_eq!(text(expression).as_deref(), Ok(is), "{expression}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (expression, says) in [
            ("", "a number is expected at the end (at character 1)"),
            ("1 +", "(at character 4)"),
            ("1 2", "an operator is expected, not '2' (at character 3)"),
            ("(1", "`)` is expected"),
            ("ü", "a number is expected, not 'ü'"),
            ("1 / 0", "division by zero"),
            ("1 % 0", "division by zero"),
            ("0 ^ -1", "division by zero"),
            ("2 ** 3", "written with ^"),
            ("x", "no variables"),
            ("sin(1)", "there is no function \"sin\""),
            ("abs(1, 2)", "abs does not take 2 numbers"),
            ("4 ^ 0.5", "sqrt"),
            ("sqrt(2)", "irrational"),
            ("sqrt(-1)", "negative"),
            ("gcd(1.5, 2)", "3/2 is no integer"),
            ("1e5001", "exponent"),
            ("round(1, 1001)", "places"),
            (".", "no number"),
            ("1.5!", "factorial"),
        ] {
            let said = text(expression).err();
            assert!(said.as_ref().is_some_and(|said| said.contains(says)), "{expression}: {said:?}");
        }
    }

    #[test]
    fn numbers_that_nobody_can_write_down_are_refused_at_once() {
        for expression in [
            "9^9^9^9",
            "9^9^9",
            "2^99999999999999999999",
            "0.5^-4000000000",
            "99999!",
            "3000!!",
            "1e5000 * 1e5000 * 1e5000",
            &format!("2{}", "^2".repeat(30)),
        ] {
            assert!(text(expression).is_err_and(|said| said.contains("9,000 digits")), "{expression}");
        }
        assert_eq!(text("2^20000").map(|digits| digits.len()), Ok(6021));
    }

    #[test]
    fn deep_and_endless_expressions_end() {
        for open in ["(", "-", "abs(", "2^"] {
            let deep = format!("{}1", open.repeat(1000));
            assert!(text(&deep).is_err_and(|said| said.contains("deep")), "{open}");
        }
        let long = "1+".repeat(4000) + "1";
        assert!(text(&long).is_err_and(|said| said.contains("at most")));
        let hard = format!("1{}", "/(3^18000) + 1/(7^10000) - 1/(7^10000)".repeat(100));
        assert!(text(&hard).is_err());
    }

    #[test]
    fn sums_and_products_agree_with_wide_integers() {
        let mut seed = 1_i128;
        for _ in 0..500 {
            seed = (seed * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % (1 << 62);
            let (a, b, c) = (seed % 99_991 - 50_000, seed % 1_000_003 - 500_000, seed % 97 + 1);
            let is = a * b - c + (a - b) % c;
            assert_eq!(text(&format!("({a}) * ({b}) - {c} + ({a} - {b}) % {c}")), Ok(is.to_string()));
        }
    }
}
