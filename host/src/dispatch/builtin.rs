//! The host's own tools: those that wait, for a person or for a moment.
//!
//! They run in no sandbox, because they reach nothing: what they wait for is recorded, and a run that waits is
//! suspended, in whatever process it goes on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use super::person::Person;
use crate::message::{
    Builtin, Digest, ErrorKind, Json, Request, SHOWN_BYTES_MAX, ToolEntry, ToolOutcome, ToolSpec,
};
use crate::session::{Attempt, SessionError, Waiting, Wants};

/// The end of the year 9999, after which RFC 3339 has no form for a moment.
const MOMENT_MS_MAX: u64 = 253_402_300_799_000;

/// What stands for the table of a tool that has none: no table can be named so.
pub const BUILT_IN: &str = "built in";

/// A wait that is no longer than this is waited for in this process.
const WAITED_FOR: Duration = Duration::from_mins(1);

/// The tool as a run knows it.
#[must_use]
pub fn entry(builtin: Builtin) -> ToolEntry {
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
                "at": {"type": "string", "description": "The moment as RFC 3339 writes it in UTC, such as 2027-01-31T12:00:00Z."},
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
        component: Digest::of(format!("host:{name}@1").as_bytes()),
        grants: Digest::of(b""),
        hidden: false,
        builtin: Some(builtin),
        agent: None,
        shown_bytes_max: SHOWN_BYTES_MAX,
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

/// Carries a call out, or says what it waits for.
pub(super) async fn call(
    builtin: Builtin,
    input: &Json,
    request: &Request,
    attempt: &Attempt,
    person: &dyn Person,
) -> Result<ToolOutcome, SessionError> {
    let waits = |wants| {
        let (slot, request, at_ms) = (attempt.slot.clone(), request.clone(), attempt.at_ms);
        Err(SessionError::Waits(vec![Waiting { slot, request, at_ms, wants }]))
    };
    let unfit = |error: String| Ok(ToolOutcome::error(ErrorKind::InvalidInput, error));
    match builtin {
        Builtin::AskHuman => match serde_json::from_str(input.as_str()) {
            Ok(Question { question }) => match person.answer(&attempt.slot, &question).await {
                Some(answer) => Ok(answered(&answer)),
                None => waits(Wants::Answer),
            },
            Err(error) => unfit(error.to_string()),
        },
        Builtin::SleepUntil => {
            let until = match moment(input, attempt.at_ms) {
                Ok(until) => until,
                Err(error) => return unfit(error),
            };
            let left = until.duration_since(SystemTime::now()).unwrap_or_default();
            if left > WAITED_FOR {
                return waits(Wants::Moment(since_epoch_ms(until)));
            }
            tokio::time::sleep(left).await;
            let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            Ok(ToolOutcome::Output(Json::canonical(&json!({ "now": now }))))
        }
    }
}

/// What `ask_human` gives.
#[must_use]
pub fn answered(answer: &str) -> ToolOutcome {
    ToolOutcome::Output(Json::canonical(&json!({ "answer": answer })))
}

fn moment(input: &Json, from_ms: u64) -> Result<SystemTime, String> {
    let Sleep { at, seconds } = serde_json::from_str(input.as_str()).map_err(|error| error.to_string())?;
    match (at, seconds) {
        (Some(at), None) => humantime::parse_rfc3339_weak(&at)
            .map_err(|error| format!("at = {at:?}: {error}; write it as in 2027-01-31T12:00:00Z")),
        (None, Some(seconds)) => UNIX_EPOCH
            .checked_add(Duration::from_millis(from_ms))
            .and_then(|from| from.checked_add(Duration::from_secs(seconds)))
            .filter(|moment| since_epoch_ms(*moment) <= MOMENT_MS_MAX)
            .ok_or_else(|| format!("{seconds} seconds from now is after the year 9999")),
        (Some(_), Some(_)) | (None, None) => Err("give either `at` or `seconds`".to_owned()),
    }
}

fn since_epoch_ms(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
