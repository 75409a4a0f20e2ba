//! Checks an insurance claim by calling three other tools at once: what a tool of the world `orchestrator`
//! looks like. It knows no rules itself; the agent has to offer it the tools of `claims`.

#[tool_sdk::component(orchestrator)]
mod orchestrate {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::Value;
    use tool_sdk::{Call, ToolError};

    /// A claim as it was filed.
    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct Claim {
        /// The day of treatment, as YYYY-MM-DD.
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

    /// What became of one check.
    #[derive(Debug, PartialEq, Serialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    pub enum Check {
        /// What the check found.
        Output(Value),
        /// Why the check gave no result.
        Error(String),
    }

    /// The three checks of a claim.
    #[derive(Debug, PartialEq, Serialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    pub struct Metrics {
        eligibility: Check,
        standard_rates: Check,
        fraud: Check,
    }

    /// Checks an insurance claim in one step: whether it is covered, how its amount compares with standard
    /// rates, and whether there are signs of fraud. Returns the result of each check, or why it gave none.
    pub fn calculate_metrics(claim: Claim) -> Result<Metrics, ToolError> {
        let checks = ["check_eligibility", "compare_to_standard_rates", "check_fraud"];
        let calls = checks.map(|name| Call::new(name, &claim)).into_iter().collect::<Result<Vec<_>, _>>()?;
        combine(tool_sdk::call_all(calls))
    }

    /// A check that fails is told beside the others. A check that refuses the claim is an answer to the
    /// model, which wrote it.
    fn combine(outcomes: Vec<Result<Value, ToolError>>) -> Result<Metrics, ToolError> {
        let checks = outcomes.into_iter().map(|outcome| match outcome {
            Ok(output) => Ok(Check::Output(output)),
            Err(ToolError::InvalidInput(message)) => Err(ToolError::InvalidInput(message)),
            Err(ToolError::Transient(message) | ToolError::Failed(message)) => Ok(Check::Error(message)),
        });
        let checks: Vec<Check> = checks.collect::<Result<_, _>>()?;
        let [eligibility, standard_rates, fraud] = <[Check; 3]>::try_from(checks)
            .map_err(|checks| ToolError::Failed(format!("3 calls gave {} results", checks.len())))?;
        Ok(Metrics { eligibility, standard_rates, fraud })
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used)]

        use super::*;

        #[test]
        fn a_failed_check_leaves_the_others() {
            let found = || Ok(Value::from(1));
            let metrics = combine(vec![found(), Err("no rates".into()), found()]).unwrap();
            assert_eq!(metrics.standard_rates, Check::Error("no rates".to_owned()));
            assert_eq!(metrics.fraud, Check::Output(Value::from(1)));
        }

        #[test]
        fn a_refused_claim_is_refused() {
            let refused = ToolError::invalid_input("amount is 0");
            assert_eq!(combine(vec![Ok(Value::Null), Err(refused.clone()), Ok(Value::Null)]), Err(refused));
        }
    }
}
