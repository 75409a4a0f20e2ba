//! The host's own tools: those that wait, for a person or for a moment.
//!
//! They run in no sandbox, because they reach nothing: what they wait for is recorded, and a run that waits is
//! suspended, in whatever process it goes on.

use serde::Deserialize;
use serde_json::{Value, json};

use super::person::{Person, Spoken};
use crate::message::{
    Arguments, Builtin, Digest, ErrorKind, Json, Moment, Rules, SHOWN_BYTES_MAX, ToolAsk, ToolEntry,
    ToolOutcome, ToolSpec,
};
use crate::session::{Answered, Attempt, Done, Wants};

/// The end of the year 9999, after which RFC 3339 has no form for a moment.
const MOMENT_MS_MAX: u64 = 253_402_300_799_000;

/// What stands for the table of a tool that has none: no table can be named so.
pub const BUILT_IN: &str = "built in";

/// The moment, as the model is told to write it.
const AT: &str = "The moment, with an offset from UTC or a zone: 2027-01-31T12:00:00Z, 2027-01-31T17:45:00+05:45 or \
                  2027-01-31T12:00[Europe/Oslo].";

/// The same, by the rules of the first runs.
const AT_FIRST: &str = "The moment as RFC 3339 writes it in UTC, such as 2027-01-31T12:00:00Z.";

/// The tool as a run of these rules knows it.
#[must_use]
pub fn entry(builtin: Builtin, rules: Rules) -> ToolEntry {
    let at = if rules.moments_need_a_place() { AT } else { AT_FIRST };
    let (description, input, output) = match builtin {
        Builtin::AskHuman => (
            "Asks the person a question and waits for the answer, which may take days. Use it when only they can know \
             or decide.",
            json!({"question": {"type": "string", "minLength": 1, "description": "The question, in full sentences."}}),
            json!({"answer": {"type": "string"}}),
        ),
        Builtin::SleepUntil => (
            "Waits until a moment, and says which moment it is then. Give either `at` or `seconds`; with `seconds` = 0 \
             it only says what time it is.",
            json!({
                "at": {"type": "string", "description": at},
                "seconds": {"type": "integer", "minimum": 0, "description": "So many seconds from the call on."},
            }),
            json!({"now": {"type": "string"}}),
        ),
    };
    let required: &[&str] = match builtin {
        Builtin::AskHuman => &["question"],
        Builtin::SleepUntil => &[],
    };
    let object = |properties: Value, required: &[&str]| {
        Json::canonical(&json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        }))
    };
    let name = builtin.name();
    let output_schema = match builtin {
        Builtin::AskHuman => object(output, &["answer"]),
        Builtin::SleepUntil => object(output, &["now"]),
    };
    ToolEntry {
        spec: ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            input_schema: object(input, required),
            output_schema: Some(output_schema),
        },
        source: BUILT_IN.to_owned(),
        export: name.to_owned(),
        component: Digest::of(format!("host:{name}@{}", version(builtin, rules)).as_bytes()),
        grants: Digest::of(b""),
        hidden: false,
        max_repeats: None,
        builtin: Some(builtin),
        agent: None,
        shown_bytes_max: SHOWN_BYTES_MAX,
    }
}

/// The version of the tool: another one for whatever takes another input, or makes something else of it.
fn version(builtin: Builtin, rules: Rules) -> u32 {
    match builtin {
        Builtin::AskHuman => 1,
        Builtin::SleepUntil => 1 + u32::from(rules.moments_need_a_place()),
    }
}

#[derive(Deserialize)]
struct Question {
    question: String,
}

#[derive(Deserialize)]
struct Sleep {
    at: Option<String>,
    seconds: Option<u64>,
}

/// What a call comes to, or what it waits for.
pub(super) async fn call(
    builtin: Builtin,
    input: &Json,
    attempt: &Attempt,
    rules: Rules,
    person: &dyn Person,
) -> Answered {
    let now = |outcome: ToolOutcome| Answered::Now(Done::from(outcome).recorded());
    let unfit = |error: String| now(ToolOutcome::error(ErrorKind::InvalidInput, error));
    match builtin {
        Builtin::AskHuman => match serde_json::from_str(input.as_str()) {
            Ok(Question { question }) => match person.answer(&attempt.slot, &question).await {
                Some(Spoken { word, by }) => Answered::Now(Done { by, ..answered(&word).into() }.recorded()),
                None => Answered::Later(Wants::Answer),
            },
            Err(error) => unfit(error.to_string()),
        },
        Builtin::SleepUntil => {
            let until = match moment(input, Moment(attempt.at_ms), rules) {
                Ok(until) => until,
                Err(error) => return unfit(error),
            };
            if until.since(Moment::now()).is_zero() {
                let output = json!({ "now": Moment::now().to_the_second() });
                now(ToolOutcome::Output(Json::canonical(&output)))
            } else {
                Answered::Later(Wants::Moment(until.0))
            }
        }
    }
}

/// What `ask_human` gives.
#[must_use]
pub fn answered(answer: &str) -> ToolOutcome {
    ToolOutcome::Output(Json::canonical(&json!({ "answer": answer })))
}

/// The moment that a call of `sleep_until` waits for which began at another, both in milliseconds since
/// 1970-01-01T00:00:00Z. A call that names no moment fails at once.
#[must_use]
pub fn wakes_at(ask: &ToolAsk, began_ms: u64, rules: Rules) -> u64 {
    let until = match &ask.arguments {
        Arguments::Json(input) => moment(input, Moment(began_ms), rules).ok(),
        Arguments::Malformed(_) => None,
    };
    until.map_or(began_ms, |until| until.0)
}

fn moment(input: &Json, from: Moment, rules: Rules) -> Result<Moment, String> {
    let Sleep { at, seconds } = serde_json::from_str(input.as_str()).map_err(|error| error.to_string())?;
    match (at, seconds) {
        (Some(at), None) if rules.moments_need_a_place() => {
            Moment::parse(&at).map_err(|error| format!("at = {at:?}: {error}"))
        }
        (Some(at), None) => humantime::parse_rfc3339_weak(&at)
            .map(Moment::of)
            .map_err(|error| format!("at = {at:?}: {error}; write it as in 2027-01-31T12:00:00Z")),
        (None, Some(seconds)) => seconds
            .checked_mul(1000)
            .and_then(|ms| from.0.checked_add(ms))
            .filter(|ms| *ms <= MOMENT_MS_MAX)
            .map(Moment)
            .ok_or_else(|| format!("{seconds} seconds from now is after the year 9999")),
        (Some(_), Some(_)) | (None, None) => Err("give either `at` or `seconds`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, rules: Rules) -> Result<Moment, String> {
        moment(&Json::canonical(&json!({ "at": text })), Moment(0), rules)
    }

    #[test]
    fn a_run_reads_moments_by_the_rules_it_began_with() {
        let (noon, local) = ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00");
        for text in [noon, local] {
            assert_eq!(at(text, Rules::default()), Ok(Moment(1_801_396_800_000)), "{text}");
        }
        assert_eq!(at(noon, Rules::NOW), Ok(Moment(1_801_396_800_000)));
        assert!(
            at(local, Rules::NOW).is_err_and(|error| error.contains("neither an offset from UTC nor a zone"))
        );
        let kathmandu = "2027-01-31T17:45:00+05:45";
        assert_eq!(at(kathmandu, Rules::NOW), Ok(Moment(1_801_396_800_000)));
        assert!(at(kathmandu, Rules::default()).is_err());
    }

    #[test]
    fn a_tool_is_another_one_where_it_reads_something_else() {
        let (first, now) =
            (entry(Builtin::SleepUntil, Rules::default()), entry(Builtin::SleepUntil, Rules::NOW));
        assert_ne!((first.component, &first.spec), (now.component, &now.spec));
        let recorded = "{\"additionalProperties\":false,\"properties\":{\"at\":{\"description\":\"The moment as RFC 3339 \
                        writes it in UTC, such as 2027-01-31T12:00:00Z.\",\"type\":\"string\"}";
        assert!(
            first.spec.input_schema.as_str().starts_with(recorded),
            "{}",
            first.spec.input_schema.as_str()
        );
        let (first, now) = (entry(Builtin::AskHuman, Rules::default()), entry(Builtin::AskHuman, Rules::NOW));
        assert_eq!(first, now);
    }
}
