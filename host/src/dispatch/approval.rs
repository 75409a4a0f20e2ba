//! Which calls a person has to approve, and what becomes of those.

use futures::future::BoxFuture;
use globset::{Glob, GlobMatcher};
use serde_json::{Number, Value};

use super::person::{Person, Spoken};
use crate::message::{
    Approvals, Arguments, CallRule, Decision, ErrorKind, Json, Request, Slot, ToolAsk, ToolOutcome, Verdict,
};
use crate::session::{Answered, Attempt, Done, Execution, Recorded as _, SessionError, Wants};

/// The rules of agent.toml. A rule that denies comes before one that asks, and that before one that lets pass.
pub(super) struct Gate {
    default: Verdict,
    rules: Vec<(Verdict, Rule)>,
}

/// Calls, by globs that were checked when agent.toml was read.
struct Rule {
    tool: GlobMatcher,
    input: Vec<(String, GlobMatcher)>,
}

impl Rule {
    fn new(rule: &CallRule) -> Option<Self> {
        let glob = |glob: &String| Some(Glob::new(glob).ok()?.compile_matcher());
        let input = rule.input.iter().map(|(member, value)| Some((member.clone(), glob(value)?)));
        Some(Self { tool: glob(&rule.tool)?, input: input.collect::<Option<_>>()? })
    }

    fn is_about(&self, tool: &str, input: &Value) -> bool {
        let fits = |(member, glob): &(String, GlobMatcher)| match input.get(member) {
            Some(Value::String(text)) => glob.is_match(text),
            Some(Value::Number(number)) => glob.is_match(written(number)),
            Some(other) => glob.is_match(other.to_string()),
            None => false,
        };
        self.tool.is_match(tool) && self.input.iter().all(fits)
    }
}

/// A number as rules have it, however the model wrote it: 5 for 5, 5.0 and 5e0.
fn written(number: &Number) -> String {
    // Every whole number up to 2^53 is one that a float holds exactly.
    let whole = number.as_f64().filter(|it| number.is_f64() && it.fract() == 0.0 && it.abs() <= WHOLE_MAX);
    whole.map_or_else(|| number.to_string(), |whole| format!("{:.0}", whole + 0.0))
}

/// 2^53.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What a person says of a call, or what was said before.
pub(super) enum Passed {
    /// The call is made, with this input instead of its own, if any.
    Approved(Option<Json>),
    /// It comes to this.
    Refused(ToolOutcome),
}

impl Gate {
    pub(super) fn new(approvals: &Approvals) -> Self {
        let Approvals { default, auto, ask, deny } = approvals;
        let rules = [(Verdict::Deny, deny), (Verdict::Ask, ask), (Verdict::Auto, auto)];
        let rules = rules.into_iter().flat_map(|(verdict, rules)| {
            rules.iter().filter_map(move |rule| Some((verdict, Rule::new(rule)?)))
        });
        Self { default: *default, rules: rules.collect() }
    }

    /// Whether any call is not made unasked.
    pub(super) fn may_stop(&self) -> bool {
        self.default != Verdict::Auto || self.rules.iter().any(|(verdict, _)| *verdict != Verdict::Auto)
    }

    /// Lets a call pass, or has a person decide on it. What has ended needs no approval any more.
    pub(super) async fn pass(
        &self,
        session: &dyn Execution,
        person: &dyn Person,
        slot: &Slot,
        ask: &ToolAsk,
    ) -> Result<Passed, SessionError> {
        let decision = match self.verdict(ask) {
            _ if session.ended_at(slot).is_some() => {
                session.ended_at(&slot.approval()).and_then(Decision::from_outcome)
            }
            Verdict::Auto => None,
            Verdict::Deny => {
                let message = "agent.toml does not allow this call: do something else, or ask the person";
                return Ok(Passed::Refused(ToolOutcome::error(ErrorKind::NotApproved, message)));
            }
            Verdict::Ask => Some(decide(session, person, slot, ask).await?),
        };
        Ok(match decision {
            None => Passed::Approved(None),
            Some(Decision::Approved { input }) => Passed::Approved(input),
            Some(Decision::Denied { reason }) => {
                let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                let message = format!("the person does not allow this call{why}");
                Passed::Refused(ToolOutcome::error(ErrorKind::NotApproved, message))
            }
        })
    }

    fn verdict(&self, ask: &ToolAsk) -> Verdict {
        let input = match &ask.arguments {
            Arguments::Json(json) => json.to_value(),
            Arguments::Malformed(_) => Value::Null,
        };
        let rule = self.rules.iter().find(|(_, rule)| rule.is_about(&ask.name, &input));
        rule.map_or(self.default, |(verdict, _)| *verdict)
    }
}

/// Asks the person, and suspends the call if nobody is there.
async fn decide(
    session: &dyn Execution,
    person: &dyn Person,
    slot: &Slot,
    ask: &ToolAsk,
) -> Result<Decision, SessionError> {
    let request = Request::Approval(ask.clone());
    let ask = |_: Attempt| -> BoxFuture<'_, _> {
        Box::pin(async {
            match person.decide(slot, ask).await {
                Some(Spoken { word, by }) => Answered::Now(Done { by, ..word.into() }.recorded()),
                None => Answered::Later(Wants::Approval),
            }
        })
    };
    session.word(slot.approval(), request, &ask).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rule(tool: &str, input: &[(&str, &str)]) -> CallRule {
        let input = input.iter().map(|(member, glob)| ((*member).to_owned(), (*glob).to_owned()));
        CallRule { tool: tool.to_owned(), input: input.collect::<BTreeMap<_, _>>() }
    }

    #[test]
    fn the_stricter_rule_counts() {
        let gate = Gate::new(&Approvals {
            default: Verdict::Ask,
            auto: vec![rule("get_*", &[]), rule("pay", &[("currency", "EUR"), ("amount", "[0-9]")])],
            ask: vec![rule("get_secret", &[])],
            deny: vec![rule("*", &[("to", "*@evil.example")])],
        });
        for (tool, input, verdict) in [
            ("get_weather", "{}", Verdict::Auto),
            ("get_secret", "{}", Verdict::Ask),
            ("send", "{}", Verdict::Ask),
            ("pay", r#"{"currency":"EUR","amount":5}"#, Verdict::Auto),
            ("pay", r#"{"currency":"EUR","amount":5.0}"#, Verdict::Auto),
            ("pay", r#"{"currency":"EUR","amount":-0.0}"#, Verdict::Auto),
            ("pay", r#"{"currency":"EUR","amount":50}"#, Verdict::Ask),
            ("pay", r#"{"currency":"EUR","amount":5.5}"#, Verdict::Ask),
            ("pay", r#"{"currency":"EUR","amount":1e300}"#, Verdict::Ask),
            ("pay", r#"{"currency":"EUR"}"#, Verdict::Ask),
            ("get_weather", r#"{"to":"x@evil.example"}"#, Verdict::Deny),
            ("get_weather", "not JSON", Verdict::Auto),
        ] {
            let arguments = Arguments::parse(input);
            let ask = ToolAsk { name: tool.to_owned(), arguments, target: None, client_id: None };
            assert_eq!(gate.verdict(&ask), verdict, "{tool} {input}");
        }
    }
}
