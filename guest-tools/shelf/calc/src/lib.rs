//! Computes exactly: with integers and fractions, which are never rounded on the way.

mod number;
mod parse;

#[tool_sdk::component]
mod calc {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;

    use crate::number::decimal;
    use crate::parse::value;

    /// What to compute.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Calculation {
        /// The expression, such as `(1 + 2) ^ 10 / 3` or `round(19.99 * 1.2, 2)`. There are `+ - * / % ^ !`,
        /// parentheses, and abs, floor, ceil, trunc, round(x, places), min, max, sum, mean, gcd, lcm, div, sqrt.
        #[schemars(length(min = 1, max = 4096))]
        expression: String,
        /// How many places of the decimal are given after the point.
        #[serde(default = "places")]
        #[schemars(range(max = 1000))]
        places: u32,
    }

    fn places() -> u32 {
        20
    }

    /// A number.
    #[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
    pub struct Answer {
        /// The number itself: an integer, or a fraction such as `1/3`.
        exact: String,
        /// The same as a decimal.
        decimal: String,
        /// Whether the decimal is rounded (half away from zero).
        is_rounded: bool,
    }

    /// Computes an arithmetic expression exactly, with integers and fractions of up to about 9,000 digits. Use it for
    /// every sum, product, percentage and comparison that has to be right. `7 % 3` is the remainder, with the sign of
    /// what is divided; percent is written `/ 100`.
    pub fn calculate(calculation: Calculation) -> Result<Answer, ToolError> {
        if calculation.places > 1000 {
            return Err(ToolError::invalid_input("a decimal has at most 1000 places"));
        }
        let value = value(&calculation.expression).map_err(ToolError::InvalidInput)?;
        let (decimal, is_rounded) = decimal(&value, calculation.places);
        Ok(Answer { exact: value.to_string(), decimal, is_rounded })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn answer(expression: &str, places: u32) -> Result<(String, String, bool), ToolError> {
            let answer = calculate(Calculation { expression: expression.to_owned(), places })?;
            Ok((answer.exact, answer.decimal, answer.is_rounded))
        }

        #[test]
        fn an_answer_is_exact_and_says_where_its_decimal_is_not() {
            let all =
                |exact: &str, decimal: &str, rounded| Ok((exact.to_owned(), decimal.to_owned(), rounded));
            assert_eq!(answer("1/3", 5), all("1/3", "0.33333", true));
            assert_eq!(answer("2/3", 5), all("2/3", "0.66667", true));
            assert_eq!(answer("-1/8", 2), all("-1/8", "-0.13", true));
            assert_eq!(answer("-1/8", 20), all("-1/8", "-0.125", false));
            assert_eq!(answer("0.1 + 0.2", 20), all("3/10", "0.3", false));
            assert_eq!(answer("-1/1000", 2), all("-1/1000", "0", true));
            assert_eq!(answer("2^64", 0), all("18446744073709551616", "18446744073709551616", false));
            assert!(answer("1", 1001).is_err());
        }
    }
}
