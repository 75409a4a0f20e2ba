//! A conversation with an agent: its key, the exchanges that it has, and the next one.
//!
//! An exchange is a run of the session of that key, begun and recorded like any other: `host run --session` does the
//! same. Between two exchanges nothing is held, so that other processes can take their turns.

use std::collections::BTreeMap;

use crate::cli::crew::Loaded;
use crate::cli::exit::{Exit, Misuse};
use crate::cli::launch::{self, Task};
use crate::cli::places::Places;
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::traces::Traces;
use crate::cli::words::counted;
use crate::cli::{recorded, session};
use crate::config::Config;
use crate::journal::{JournalError, RunSummary, RunsDir, SessionsDir, ending, used};
use crate::message::{Ending, Message, RunId, SessionKey, Used};
use crate::session::Decisions;

/// How much of a new key nobody else has: five of these letters make 33 million.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const LETTERS_OF_KEY: usize = 5;

/// A key begins with the agent's name, up to here: the whole has to fit into a line.
const NAME_CHARS_MAX: usize = 40;

/// The agent that is talked with, loaded once, and where things are kept.
pub(super) struct Partner {
    pub(super) config: Config,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) loaded: Loaded,
    pub(super) places: Places,
    pub(super) screen: Screen,
    pub(super) traces: Traces,
    pub(super) runs: RunsDir,
    pub(super) sessions: SessionsDir,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) key: SessionKey,
    /// Where it goes on from, if it has no exchange of its own yet.
    pub(super) from: Option<Origin>,
}

/// The exchange of another conversation that one goes on from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) key: SessionKey,
    pub(super) run: RunId,
}

/// An exchange, as far as it is recorded.
pub(super) struct Exchange {
    pub(super) run: RunId,
    pub(super) summary: RunSummary,
    pub(super) ending: Option<Ending>,
    pub(super) used: Option<Used>,
}

impl Conversation {
    /// One that has a key, and may have exchanges.
    pub(super) fn of(key: SessionKey) -> Self {
        Self { key, from: None }
    }
}

impl Partner {
    /// A new conversation, of a key that nobody has.
    pub(super) fn begin(&self) -> anyhow::Result<Conversation> {
        let keys = self.sessions.keys()?;
        loop {
            let key = new_key(&self.config.agent.name, RunId::new().seed())?;
            if !keys.contains(&key) {
                return Ok(Conversation::of(key));
            }
        }
    }

    /// The exchanges of a conversation, oldest first.
    pub(super) fn exchanges(&self, key: &SessionKey) -> anyhow::Result<Vec<Exchange>> {
        let runs = self.sessions.runs(key)?.into_iter();
        runs.filter_map(|run| self.exchange(run).transpose()).collect()
    }

    /// The last exchange of a conversation, if there is one.
    pub(super) fn last(&self, key: &SessionKey) -> anyhow::Result<Option<Exchange>> {
        let mut runs = self.sessions.runs(key)?.into_iter().rev();
        runs.find_map(|run| self.exchange(run).transpose()).transpose()
    }

    /// The last exchange of a conversation, if its run has not ended.
    pub(super) fn unfinished(&self, key: &SessionKey) -> anyhow::Result<Option<Exchange>> {
        Ok(self.last(key)?.filter(|last| last.ending.is_none()))
    }

    /// What is recorded of a run. One that was killed before it began is no exchange.
    fn exchange(&self, run: RunId) -> anyhow::Result<Option<Exchange>> {
        let entries = match self.runs.read(run) {
            // What `host journal gc` cleared away was said all the same: the runs after it have it.
            Err(JournalError::UnknownRun { .. }) => return Ok(None),
            entries => entries?,
        };
        let Some(recorded) = RunSummary::of(run, &entries) else { return Ok(None) };
        let state = self.runs.summary(run)?.map_or(recorded.state, |summary| summary.state);
        let summary = RunSummary { state, ..recorded };
        let (ending, used) = (ending(&entries).cloned(), used(&entries).copied());
        Ok(Some(Exchange { run, summary, ending, used }))
    }

    /// The keys of the conversations with this agent, with their last exchange's summary.
    pub(super) fn keys(&self) -> anyhow::Result<Vec<(SessionKey, RunSummary)>> {
        let mut found = Vec::new();
        for key in self.sessions.keys()? {
            let mut runs = self.sessions.runs(&key)?.into_iter().rev();
            let summary = runs.find_map(|run| match self.runs.has_begun(run) {
                Ok(true) => self.runs.summary(run).transpose(),
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            });
            if let Some(summary) = summary.transpose()?.filter(|it| it.agent == self.config.agent.name) {
                found.push((key, summary));
            }
        }
        found.sort_by_key(|(_, summary)| summary.started_ms);
        Ok(found)
    }

    /// The names of the tools that the model is offered.
    pub(super) fn tools(&self) -> Vec<String> {
        let entries = self.loaded.toolbox.entries().iter().filter(|tool| !tool.hidden);
        entries.map(|tool| tool.spec.name.clone()).collect()
    }

    /// Says something to the agent, as the next exchange, or in place of the last one.
    pub(super) async fn say(
        &self,
        conversation: &mut Conversation,
        prompt: String,
        instead_of: Option<RunId>,
        signals: &Signals,
    ) -> anyhow::Result<Exit> {
        let key = conversation.key.clone();
        let Self { config, screen, runs, .. } = self;
        let taken = tokio::select! {
            taken = session::take_turn(&key, &self.places, screen) => Some(taken?),
            () = signals.asked() => None,
        };
        let Some(mut open) = taken else {
            screen.say("interrupted before the run began");
            return Ok(Exit::Interrupted);
        };
        let replaced = instead_of.filter(|run| open.runs().last() == Some(run));
        let earlier = match (replaced, &conversation.from) {
            (Some(run), _) => recorded::manifest(run, &runs.read(run)?)?.earlier.clone(),
            (None, Some(origin)) if open.runs().is_empty() => self.said_by(origin).await?,
            (None, Some(_) | None) => session::said(&open, &key, runs, &config.agent.name).await?,
        };
        let id = RunId::new();
        let task = Task::new(prompt, self.parameters.clone(), id.seed()).in_session(Some(key), earlier);
        let prepared = launch::prepare_loaded(config, &self.loaded, task, &self.places, screen)?;
        let run = runs.create(id)?;
        if replaced.is_some() {
            open.forget_last()?;
        }
        open.add(id)?;
        conversation.from = None;
        let decisions = Decisions::default();
        let exit =
            launch::carry_out(run, Vec::new(), prepared, decisions, screen, &self.traces, signals).await?;
        if exit == Exit::Suspended {
            self.say_what_waits(&screen.waiting());
        }
        Ok(exit)
    }

    /// What was said by the end of an exchange.
    async fn said_by(&self, Origin { key, run }: &Origin) -> anyhow::Result<Vec<Message>> {
        let said = session::said_after(*run, key, &self.runs, &self.config.agent.name).await?;
        Ok(said.unwrap_or_default())
    }

    /// Another conversation that goes on from behind an exchange of this one; and the number of that.
    pub(super) fn fork(
        &self,
        conversation: &Conversation,
        number: Option<usize>,
    ) -> anyhow::Result<(Conversation, usize)> {
        let exchanges = self.exchanges(&conversation.key)?;
        let there = counted(exchanges.len(), "exchange");
        let number = number.unwrap_or(exchanges.len());
        let Some(exchange) = number.checked_sub(1).and_then(|index| exchanges.get(index)) else {
            let message = match exchanges.len() {
                0 => "there is nothing to go on from yet".to_owned(),
                _ => format!("this conversation has {there}; /runs lists them"),
            };
            return Err(Misuse(message).into());
        };
        if exchange.ending.is_none() {
            let message = format!("exchange {number} has not ended; /retry goes on with it");
            return Err(Misuse(message).into());
        }
        let from = Some(Origin { key: conversation.key.clone(), run: exchange.run });
        Ok((Conversation { from, ..self.begin()? }, number))
    }

    /// Takes the last run out of a conversation; it stays recorded.
    pub(super) async fn leave_out(&self, key: &SessionKey, run: RunId) -> anyhow::Result<()> {
        let mut open = session::take_turn(key, &self.places, &self.screen).await?;
        if open.runs().last() == Some(&run) {
            open.forget_last()?;
        }
        Ok(())
    }
}

/// A key that begins with the name of an agent.
fn new_key(agent: &str, random: u64) -> anyhow::Result<SessionKey> {
    let may_stand = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = agent.chars().filter(may_stand).take(NAME_CHARS_MAX).collect();
    let name = if name.is_empty() { "chat" } else { &name };
    let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
    let letters: String = random.to_le_bytes().into_iter().take(LETTERS_OF_KEY).map(letter).collect();
    Ok(format!("{name}-{letters}").parse()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_key_says_whose_it_is() {
        assert_eq!(new_key("weather", 0).unwrap().as_str(), "weather-aaaaa");
        assert_eq!(new_key("my agent/ü", 1 << 8).unwrap().as_str(), "myagent-abaaa");
        assert_eq!(new_key("天気", 0).unwrap().as_str(), "chat-aaaaa");
        assert!(new_key(&"x".repeat(200), u64::MAX).unwrap().as_str().len() <= 64);
    }
}
