//! One thing that happened in a run: its attempts, when they were, and what they came to.

use std::borrow::Cow;

use crate::journal::{Failed, Finished};
use crate::message::{
    By, Decision, Denial, Outcome, Reply, Request, Slot, ToolAsk, ToolOutcome, Trace, Usage,
};
use crate::session::Wants;

/// Where a span stands in its run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A turn of the run, or of an agent that is called: everything between two requests of its model.
    Turn {
        /// The run, or the call of the agent.
        run: Slot,
        /// From 0.
        turn: u32,
    },
    /// What is recorded at a slot.
    At(Slot),
}

/// What kind of thing a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What happened between two requests.
    Turn,
    /// A request for a reply.
    Model,
    /// A request for a summary.
    Summary,
    /// The call of a tool.
    Tool,
    /// The call of an agent.
    Agent,
    /// A question to a person.
    Person,
    /// A wait for a moment.
    Sleep,
    /// That a person is asked whether a call may be made.
    Approval,
}

/// How a span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It ended, and well.
    Done,
    /// It ended, and not well.
    Failed,
    /// A person, or time, has to do something first.
    Waits(Wants),
    /// Its last attempt failed, and another one is due.
    Again,
    /// Its last attempt failed, and nobody tries again until the run is resumed.
    GivenUp,
    /// It goes on in this moment.
    GoesOn,
    /// Its process ended before it did: whether it took effect is not known.
    InDoubt,
    /// Its process ended before it did, and it is asked for again when the run goes on.
    CutOff,
    /// Its caller, or the run, ended first.
    Stopped,
    /// It has not begun.
    Due,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Model => "model",
            Self::Summary => "summary",
            Self::Tool => "tool",
            Self::Agent => "agent",
            Self::Person => "question",
            Self::Sleep => "wait",
            Self::Approval => "approval",
        }
    }
}

impl Stand {
    /// It in words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Waits(Wants::Approval) => "waits for approval",
            Self::Waits(Wants::Answer) => "waits for an answer",
            Self::Waits(Wants::Moment(_)) => "waits for a moment",
            Self::InDoubt | Self::Waits(Wants::Settlement) => "in doubt",
            Self::Again => "tries again",
            Self::GivenUp => "given up",
            Self::GoesOn => "goes on",
            Self::CutOff => "broken off",
            Self::Stopped => "stopped",
            Self::Due => "not begun",
        }
    }

    /// A sign for it, for where there is no room for words.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Done => '✓',
            Self::Failed | Self::GivenUp | Self::Stopped | Self::CutOff => '✗',
            Self::Waits(_) => '⧖',
            Self::InDoubt => '?',
            Self::Again => '↻',
            Self::GoesOn => '…',
            Self::Due => '·',
        }
    }
}

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub struct Span<'a> {
    /// Where in the run.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
    /// What it is called: the tool, the model, or which turn. It is text of somebody's: a model may call what it likes.
    pub name: Cow<'a, str>,
    /// How many spans enclose it.
    pub depth: usize,
    /// The index of the span that encloses it.
    pub parent: Option<usize>,
    /// When it began, in microseconds since the run did.
    pub began_us: u64,
    /// When it ended. `None` if it has not.
    pub ended_us: Option<u64>,
    /// Up to where it is drawn: its end, or now, or where its process left it.
    pub until_us: u64,
    /// How it stands.
    pub stand: Stand,
    /// Its attempts, the first one first. A turn has no attempts of its own.
    pub attempts: Vec<Attempt<'a>>,
    /// Whether the run would have ended sooner, had this been quicker.
    pub is_critical: bool,
    /// Whether it happened in the run that this one was forked from.
    pub is_shared: bool,
    /// What was heard of a reply that is on its way.
    pub heard: Option<&'a str>,
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// From 1.
    pub number: u32,
    /// What was asked for.
    pub request: &'a Request,
    /// When it began, in microseconds since the run did.
    pub began_us: u64,
    /// Up to when it went on.
    pub until_us: u64,
    /// What came of it.
    pub came: Came<'a>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug)]
pub enum Came<'a> {
    /// It failed, and another one followed or is due.
    Failed(&'a Failed),
    /// It ended the effect.
    Finished(&'a Finished),
    /// Its process ended first.
    CutOff,
    /// Nothing yet.
    Open,
}

/// When a run began, and now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) began_ms: u64,
    pub(super) now_us: u64,
}

/// From one moment to another, in microseconds; nothing if a clock was put back in between.
pub(super) fn us_between(from_ms: u64, to_ms: u64) -> u64 {
    to_ms.saturating_sub(from_ms).saturating_mul(1000)
}

impl Clock {
    pub(super) fn us(self, at_ms: u64) -> u64 {
        us_between(self.began_ms, at_ms)
    }

    /// When an attempt ended that took so long, and of which an end is recorded in this millisecond: within it, where its
    /// length says.
    pub(super) fn end_us(self, began_us: u64, wall_us: u64, end_ms: u64) -> u64 {
        let earliest_us = self.us(end_ms).max(began_us);
        if wall_us == 0 {
            return earliest_us;
        }
        began_us.saturating_add(wall_us).clamp(earliest_us, earliest_us.saturating_add(999))
    }
}

impl<'a> Attempt<'a> {
    /// What it came to.
    #[must_use]
    pub fn outcome(&self) -> Option<&'a Outcome> {
        match self.came {
            Came::Failed(failed) => Some(&failed.outcome),
            Came::Finished(finished) => Some(&finished.outcome),
            Came::CutOff | Came::Open => None,
        }
    }

    /// What it consumed, and what was noted meanwhile.
    #[must_use]
    pub fn noted(&self) -> Option<(&'a Usage, &'a Trace)> {
        match self.came {
            Came::Failed(Failed { usage, trace, .. }) | Came::Finished(Finished { usage, trace, .. }) => {
                Some((usage, trace))
            }
            Came::CutOff | Came::Open => None,
        }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&'a str> {
        match self.outcome()? {
            Outcome::NoReply(failure) => Some(&failure.message),
            Outcome::Tool(ToolOutcome::Error(error)) => Some(&error.message),
            Outcome::Decision(Decision::Denied { reason }) => Some(reason.as_deref().unwrap_or("denied")),
            Outcome::Run(_)
            | Outcome::Model(_)
            | Outcome::Tool(ToolOutcome::Output(_))
            | Outcome::Decision(Decision::Approved { .. }) => None,
        }
    }

    /// When it got to work, in microseconds since the run did: before that it waited for its turn, or for the disk.
    #[must_use]
    pub fn works_from_us(&self) -> u64 {
        match self.came {
            Came::Failed(_) | Came::Finished(_) => {
                self.until_us.saturating_sub(self.took_us()).max(self.began_us)
            }
            Came::CutOff | Came::Open => self.began_us,
        }
    }

    /// How long it took by itself, in microseconds.
    #[must_use]
    pub fn took_us(&self) -> u64 {
        if matches!(self.came, Came::Finished(finished) if finished.by.is_some() || finished.settled) {
            return self.until_us.saturating_sub(self.began_us);
        }
        let wall_us = self.noted().map_or(0, |(usage, _)| usage.wall_us);
        if wall_us > 0 { wall_us } else { self.until_us.saturating_sub(self.began_us) }
    }
}

impl<'a> Span<'a> {
    /// The slot, if something is recorded there.
    #[must_use]
    pub fn slot(&self) -> Option<&Slot> {
        match &self.place {
            Place::At(slot) => Some(slot),
            Place::Turn { .. } => None,
        }
    }

    /// How often it was tried, if that was more than once because an attempt failed or was cut off.
    #[must_use]
    pub fn tries(&self) -> Option<usize> {
        let has_failed = self.attempts.iter().any(|it| matches!(it.came, Came::Failed(_) | Came::CutOff));
        (has_failed && self.attempts.len() > 1).then_some(self.attempts.len())
    }

    /// What was asked for last.
    #[must_use]
    pub fn request(&self) -> Option<&'a Request> {
        self.attempts.last().map(|attempt| attempt.request)
    }

    /// The call that was asked for, or that a person was asked about.
    #[must_use]
    pub fn ask(&self) -> Option<&'a ToolAsk> {
        match self.request()? {
            Request::Tool(ask) | Request::Approval(ask) => Some(ask),
            Request::Run(_) | Request::Model(_) | Request::Api(_) => None,
        }
    }

    /// The input of a call as it was written.
    #[must_use]
    pub fn input(&self) -> Option<&'a str> {
        self.ask().map(|ask| ask.arguments.as_written())
    }

    /// What it came to, if it ended.
    #[must_use]
    pub fn outcome(&self) -> Option<&'a Outcome> {
        match self.attempts.last()?.came {
            Came::Finished(finished) => Some(&finished.outcome),
            Came::Failed(_) | Came::CutOff | Came::Open => None,
        }
    }

    /// What the model replied, if it did.
    #[must_use]
    pub fn reply(&self) -> Option<&'a Reply> {
        match self.outcome()? {
            Outcome::Model(reply) => Some(reply),
            Outcome::Run(_) | Outcome::NoReply(_) | Outcome::Tool(_) | Outcome::Decision(_) => None,
        }
    }

    /// Who said what it came to, and whether that settled a call that was in doubt.
    #[must_use]
    pub fn said_by(&self) -> Option<(Option<&'a By>, bool)> {
        match self.attempts.last()?.came {
            Came::Finished(Finished { by, settled, .. }) if by.is_some() || *settled => {
                Some((by.as_ref(), *settled))
            }
            Came::Finished(_) | Came::Failed(_) | Came::CutOff | Came::Open => None,
        }
    }

    /// How long it took from its beginning to its end, or until now, in microseconds.
    #[must_use]
    pub fn took_us(&self) -> u64 {
        match self.attempts.as_slice() {
            [only] if only.until_us == self.until_us && only.began_us == self.began_us => only.took_us(),
            _ => self.until_us.saturating_sub(self.began_us),
        }
    }

    /// What it was denied, in all its attempts.
    pub fn denials(&self) -> impl Iterator<Item = &'a Denial> {
        self.attempts.iter().filter_map(Attempt::noted).flat_map(|(_, trace)| &trace.denials)
    }

    /// Whether somebody, or something, was at work on it: what waits for a person or a moment does nothing.
    #[must_use]
    pub fn is_work(&self) -> bool {
        match self.kind {
            Kind::Model | Kind::Summary | Kind::Tool => true,
            // What is at work there are the spans below.
            Kind::Turn | Kind::Agent | Kind::Person | Kind::Sleep | Kind::Approval => false,
        }
    }
}
