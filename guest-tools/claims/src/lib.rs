//! Three checks of a health insurance claim, each a call of its own. The rules are small and recorded, so
//! that the same claim is judged the same every time.

#[tool_sdk::component]
mod claims {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;

    /// The day on which the rules were recorded; later claims lie in the future. A tool without a clock of
    /// its own gives the same answer in every replay.
    const TODAY: &str = "2024-12-31";
    /// The first day the policy covers.
    const COVERED_FROM: &str = "2024-01-01";

    /// What the policy says of a category: the most it pays in a year, and what such treatment costs at
    /// standard rates, in dollars.
    struct Category {
        name: &'static str,
        annual_limit: f64,
        standard: (f64, f64),
    }

    const CATEGORIES: [Category; 6] = [
        Category { name: "dental", annual_limit: 2_000.0, standard: (80.0, 900.0) },
        Category { name: "emergency", annual_limit: 50_000.0, standard: (500.0, 8_000.0) },
        Category { name: "general", annual_limit: 10_000.0, standard: (60.0, 600.0) },
        Category { name: "maternity", annual_limit: 25_000.0, standard: (1_000.0, 12_000.0) },
        Category { name: "orthopedic", annual_limit: 20_000.0, standard: (1_500.0, 6_000.0) },
        Category { name: "vision", annual_limit: 800.0, standard: (50.0, 400.0) },
    ];

    /// A claim as it was filed.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct Claim {
        /// The day of treatment, as YYYY-MM-DD.
        #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
        date: String,
        /// The kind of treatment, such as "orthopedic".
        category: String,
        /// What the treatment was for, in the patient's words.
        reason: String,
        /// What was paid, in dollars.
        amount: f64,
        /// Where the treatment took place.
        place_of_service: String,
    }

    /// Whether the policy covers the claim.
    #[derive(Debug, PartialEq, Serialize, JsonSchema)]
    pub struct Eligibility {
        eligible: bool,
        reasons: Vec<String>,
    }

    /// How the amount compares with standard rates.
    #[derive(Debug, PartialEq, Serialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    pub struct Rates {
        within_standard: bool,
        standard_from: f64,
        standard_to: f64,
        /// What standard rates would pay of the amount.
        payable: f64,
    }

    /// How likely the claim is a fraud.
    #[derive(Debug, PartialEq, Serialize, JsonSchema)]
    pub struct Fraud {
        /// From 0 (nothing is odd) to 100.
        score: u32,
        suspicious: bool,
        reasons: Vec<String>,
    }

    /// Checks whether the policy covers a claim: its date, its category and the annual limit.
    pub fn check_eligibility(claim: Claim) -> Result<Eligibility, ToolError> {
        let category = claim.check()?;
        let mut against = Vec::new();
        if claim.date.as_str() < COVERED_FROM {
            against.push(format!("treatment before the policy began on {COVERED_FROM}"));
        }
        if claim.date.as_str() > TODAY {
            against.push(format!("treatment after {TODAY} has not happened yet"));
        }
        if claim.amount > category.annual_limit {
            against.push(format!("the amount exceeds the annual limit of {} dollars", category.annual_limit));
        }
        let eligible = against.is_empty();
        let covered = || vec![format!("{} treatment is covered and within its limit", category.name)];
        Ok(Eligibility { eligible, reasons: if eligible { covered() } else { against } })
    }

    /// Compares a claim's amount with the standard rates of its category.
    pub fn compare_to_standard_rates(claim: Claim) -> Result<Rates, ToolError> {
        let (standard_from, standard_to) = claim.check()?.standard;
        let within_standard = (standard_from..=standard_to).contains(&claim.amount);
        Ok(Rates { within_standard, standard_from, standard_to, payable: claim.amount.min(standard_to) })
    }

    /// Looks for signs of fraud in a claim, and says which it found.
    pub fn check_fraud(claim: Claim) -> Result<Fraud, ToolError> {
        let (_, most) = claim.check()?.standard;
        let signs = [
            (40, claim.amount > 2.0 * most, "the amount is more than twice the standard rate"),
            (30, claim.date.as_str() > TODAY, "the treatment lies in the future"),
            (20, claim.place_of_service.trim().is_empty(), "the place of service is missing"),
            (15, claim.reason.split_whitespace().count() < 2, "the reason is not described"),
            (10, claim.amount >= 1_000.0 && claim.amount % 1_000.0 == 0.0, "the amount is a round number"),
        ];
        let found = || signs.iter().filter(|(_, holds, _)| *holds);
        let score = found().map(|(points, ..)| points).sum();
        let reasons = found().map(|(.., reason)| (*reason).to_owned()).collect();
        Ok(Fraud { score, suspicious: score >= 50, reasons })
    }

    impl Claim {
        /// Refuses what cannot be a claim, and finds its category.
        fn check(&self) -> Result<&'static Category, ToolError> {
            if !is_date(&self.date) {
                let message = format!("date is {:?}; write it as YYYY-MM-DD", self.date);
                return Err(ToolError::InvalidInput(message));
            }
            if !(self.amount > 0.0 && self.amount.is_finite()) {
                return Err(ToolError::InvalidInput(format!(
                    "amount is {}; it has to be above 0",
                    self.amount
                )));
            }
            let wanted = self.category.trim().to_lowercase();
            CATEGORIES.iter().find(|category| category.name == wanted).ok_or_else(|| {
                let names: Vec<_> = CATEGORIES.iter().map(|category| category.name).collect();
                let message =
                    format!("category {:?} is not known; it is one of {}", self.category, names.join(", "));
                ToolError::InvalidInput(message)
            })
        }
    }

    fn is_date(text: &str) -> bool {
        let parts: Vec<Option<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
        let &[Some(year), Some(month @ 1..=12), Some(day)] = &parts[..] else { return false };
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        text.len() == 10 && (1..=days[month as usize - 1]).contains(&day)
    }
    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used)]

        use super::*;

        fn claim(date: &str, amount: f64) -> Claim {
            Claim {
                date: date.to_owned(),
                category: "orthopedic".to_owned(),
                reason: "hospital bill for a broken leg".to_owned(),
                amount,
                place_of_service: "General Hospital".to_owned(),
            }
        }

        #[test]
        fn an_ordinary_claim_passes() {
            assert!(check_eligibility(claim("2024-10-01", 3000.0)).unwrap().eligible);
            assert!(compare_to_standard_rates(claim("2024-10-01", 3000.0)).unwrap().within_standard);
            assert!(!check_fraud(claim("2024-10-01", 3000.0)).unwrap().suspicious);
        }

        #[test]
        fn an_odd_claim_says_why() {
            let fraud = check_fraud(claim("2025-10-01", 90_000.0)).unwrap();
            assert!(fraud.suspicious && fraud.reasons.len() == 3, "{fraud:?}");
            assert_eq!(check_eligibility(claim("2023-10-01", 90_000.0)).unwrap().reasons.len(), 2);
        }

        #[test]
        fn what_is_no_claim_is_refused() {
            for wrong in [claim("2024-02-30", 1.0), claim("1.10.2024", 1.0), claim("2024-10-01", 0.0)] {
                assert!(matches!(check_eligibility(wrong), Err(ToolError::InvalidInput(_))));
            }
        }
    }
}
