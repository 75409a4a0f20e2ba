//! What happens to a run, for whoever is told of it outside of this process: owned, and the same as JSON.
//!
//! Owns the form of it, which a browser reads: see `docs/EVENTS.md`. An event that is recorded has a number, and is the
//! same whenever it is told. What is not recorded has no number, and may be left out.

use serde::{Deserialize, Serialize};

use crate::journal::{Entry, Event, Failed, Finished, RunState, Seq, Started};
use crate::message::{Request, RunId, Slot};
use crate::session::{Notice, Waiting};

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// The run.
    pub run: RunId,
    /// Its number among the events of the run, from 1 without gaps. `None` for what is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// Where in the run.
    pub slot: Slot,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "nearly every event is of the largest kind")]
pub enum EventKind {
    /// An attempt of an effect began. Recorded.
    Started(Started),
    /// An attempt failed, and another one follows after `retry_ms`, or when the run is resumed. Recorded.
    Failed(Failed),
    /// An effect ended. At the slot `run` it is the end of the run. Recorded.
    Finished(Finished),
    /// An attempt begins, or goes on, in this moment. Its start may be recorded later, together with its end.
    LiveStarted {
        /// From 1.
        attempt: u32,
        /// What is asked for.
        request: Request,
    },
    /// The next piece of a reply that is on its way. What counts is the whole reply, when it is recorded.
    LiveText {
        /// The piece.
        text: String,
    },
    /// Who follows the run was too slow for so many of the events that are not recorded.
    LiveMissed {
        /// How many.
        events: u64,
    },
    /// How the run stands now, after everything that was told before; told when that changes. At the slot `run`.
    Stands(Standing),
}

/// How a run stands that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// How.
    pub state: RunState,
    /// What it waits for: a person, a moment, or, if no process works on it, that somebody says what a call came to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// Why it failed, as far as that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Entry> for RunEvent {
    fn from(Entry { run, slot, event, seq }: Entry) -> Self {
        let kind = match event {
            Event::Started(started) => EventKind::Started(started),
            Event::Failed(failed) => EventKind::Failed(failed),
            Event::Finished(finished) => EventKind::Finished(finished),
        };
        Self { run, seq, slot, kind }
    }
}

impl RunEvent {
    /// What a notice says that is not recorded, or not yet; `None` if it says what is recorded.
    pub(super) fn live(run: RunId, notice: &Notice<'_>) -> Option<Self> {
        let (slot, kind) = match notice {
            Notice::Started { slot, attempt, request } => {
                (*slot, EventKind::LiveStarted { attempt: *attempt, request: (*request).clone() })
            }
            Notice::Heard { slot, text } => (*slot, EventKind::LiveText { text: (*text).to_owned() }),
            Notice::Failed { .. } | Notice::Finished { .. } => return None,
        };
        Some(Self { run, seq: None, slot: slot.clone(), kind })
    }

    /// How a run stands.
    pub(super) fn stands(run: RunId, standing: Standing) -> Self {
        Self { run, seq: None, slot: Slot::RUN, kind: EventKind::Stands(standing) }
    }

    /// That something was left out that is not recorded.
    pub(super) fn missed(run: RunId, events: u64) -> Self {
        Self { run, seq: None, slot: Slot::RUN, kind: EventKind::LiveMissed { events } }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;

    use super::*;
    use crate::message::{Json, Outcome, ToolOutcome, Trace, Usage};
    use crate::session::Wants;

    /// Others read these names: they may be added to, and not changed.
    #[test]
    fn the_json_of_an_event_stays_as_it_is() {
        let run = RunId::from_bytes([7; 16]);
        let outcome = Outcome::Tool(ToolOutcome::Output(Json::parse("1.50".to_owned()).unwrap()));
        let (usage, trace) = (Usage::default(), Trace::default());
        let finished = Finished { attempt: 2, at_ms: 9, outcome, usage, trace, settled: true, by: None };
        let entry =
            Entry { seq: Some(Seq(5)), ..Entry::new(run, Slot::tool(0, 1), Event::Finished(finished)) };
        let event = RunEvent::from(entry);
        let text = serde_json::to_string(&event).unwrap();
        let begins = format!(
            r#"{{"run":"{run}","seq":5,"slot":"tool(0,1)","kind":{{"finished":{{"attempt":2,"at_ms":9,"#
        );
        assert!(text.starts_with(&begins), "{text}");
        assert!(text.contains("1.50"), "a number is as it was written: {text}");
        assert_eq!(serde_json::from_str::<RunEvent>(&text).unwrap(), event);

        let heard = RunEvent::live(run, &Notice::Heard { slot: &Slot::model(0), text: "Hel" }).unwrap();
        assert_eq!(
            serde_json::to_value(heard).unwrap(),
            json!({"run": run.to_string(), "slot": "model(0)", "kind": {"live_text": {"text": "Hel"}}})
        );
        let ask = serde_json::from_value::<Request>(json!({"tool": {"name": "ask", "input": {}}}));
        let waiting = ask.into_iter().map(|request| Waiting {
            slot: Slot::tool(0, 0),
            request,
            at_ms: 3,
            wants: Wants::Moment(4),
        });
        let (state, waiting) = (RunState::Suspended, waiting.collect());
        let standing = RunEvent::stands(run, Standing { state, waiting, reason: None });
        let value = serde_json::to_value(&standing).unwrap();
        assert_eq!(value["kind"]["stands"]["state"], "suspended");
        assert_eq!(serde_json::from_value::<RunEvent>(value).unwrap(), standing);
    }
}
