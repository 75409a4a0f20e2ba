//! A conversation with an agent: its key, the exchanges that it has, and the next one.
//!
//! An exchange is a run of the session of that key, begun and recorded like any other: `host run --session` does the
//! same. Between two exchanges nothing is held, so that other processes can take their turns.

use std::collections::BTreeMap;

use std::sync::Arc;

use crate::cli::exit::{Exit, Misuse};
use crate::cli::front::follow;
use crate::cli::plain::Plain;
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::traces::caller;
use crate::cli::words::counted;
use crate::engine::{Engine, Front, LoadError, LoadedAgent, NewRun};
use crate::journal::{Outline, RunSummary};
use crate::message::{Ending, RunId, SessionKey, Used};

/// How much of a new key nobody else has: five of these letters make 33 million.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const LETTERS_OF_KEY: usize = 5;

/// A key begins with the agent's name, up to here: the whole has to fit into a line.
const NAME_CHARS_MAX: usize = 40;

/// The agent that is talked with, loaded once, and where things are kept.
pub(super) struct Partner {
    pub(super) engine: Engine,
    pub(super) agent: Arc<LoadedAgent>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) screen: Screen,
    pub(super) front: Front,
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
        let keys = self.engine.sessions().keys()?;
        loop {
            let key = new_key(&self.agent.config().agent.name, RunId::new().seed())?;
            if !keys.contains(&key) {
                return Ok(Conversation::of(key));
            }
        }
    }

    /// The exchanges of a conversation, oldest first.
    pub(super) fn exchanges(&self, key: &SessionKey) -> anyhow::Result<Vec<Exchange>> {
        let runs = self.engine.sessions().runs(key)?.into_iter();
        runs.filter_map(|run| self.exchange(run).transpose()).collect()
    }

    /// The last exchange of a conversation, if there is one.
    pub(super) fn last(&self, key: &SessionKey) -> anyhow::Result<Option<Exchange>> {
        let mut runs = self.engine.sessions().runs(key)?.into_iter().rev();
        runs.find_map(|run| self.exchange(run).transpose()).transpose()
    }

    /// The last exchange of a conversation, if its run has not ended.
    pub(super) fn unfinished(&self, key: &SessionKey) -> anyhow::Result<Option<Exchange>> {
        Ok(self.last(key)?.filter(|last| last.ending.is_none()))
    }

    /// What is recorded of a run. One that was killed before it began is no exchange.
    fn exchange(&self, run: RunId) -> anyhow::Result<Option<Exchange>> {
        // What `host journal gc` cleared away was said all the same: the runs after it have it.
        let Some(outline) = self.engine.runs().outline(run)? else { return Ok(None) };
        let Outline { summary, ending, used } = outline;
        Ok(Some(Exchange { run, summary, ending, used }))
    }

    /// The keys of the conversations with this agent, with their last exchange's summary.
    pub(super) fn keys(&self) -> anyhow::Result<Vec<(SessionKey, RunSummary)>> {
        let mut found = Vec::new();
        for key in self.engine.sessions().keys()? {
            let mut runs = self.engine.sessions().runs(&key)?.into_iter().rev();
            // What cannot be read, or never began, is no conversation to go on with.
            let summary = runs.find_map(|run| self.engine.runs().summary(run).ok().flatten());
            if let Some(summary) = summary.filter(|it| it.agent == self.agent.config().agent.name) {
                found.push((key, summary));
            }
        }
        found.sort_by_key(|(_, summary)| summary.started_ms);
        Ok(found)
    }

    /// The names of the tools that the model is offered.
    pub(super) fn tools(&self) -> Vec<String> {
        let entries = self.agent.tools().iter().filter(|tool| !tool.hidden);
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
        let Self { engine, screen, front, .. } = self;
        let new = NewRun::new(self.with_new_models()?, prompt).parameters(self.parameters.clone());
        let new = new.session(Some(conversation.key.clone())).caller(caller(screen));
        let new = match (instead_of, &conversation.from) {
            (Some(run), _) => new.instead_of(run),
            (None, Some(Origin { key, run })) => new.after(key.clone(), *run),
            (None, None) => new,
        };
        let started = tokio::select! {
            started = engine.start(new, front.clone()) => Some(started.map_err(Plain::plain)?),
            () = signals.asked() => None,
        };
        let Some(handle) = started else {
            // Where it had begun, the next prompt asks what becomes of it.
            screen.say("interrupted: /retry goes on, if the run had begun");
            return Ok(Exit::Interrupted);
        };
        conversation.from = None;
        let exit = follow(handle, screen, signals).await?;
        if exit == Exit::Suspended {
            self.say_what_waits(&screen.waiting());
        }
        Ok(exit)
    }

    /// The agent as it is asked next: a script may be another one by now.
    pub(super) fn with_new_models(&self) -> anyhow::Result<Arc<LoadedAgent>> {
        self.engine.with_new_models(&self.agent).map_err(LoadError::plain)
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
    pub(super) async fn leave_out(
        &self,
        key: &SessionKey,
        run: RunId,
        signals: &Signals,
    ) -> anyhow::Result<()> {
        let taken = tokio::select! {
            taken = self.engine.take_turn(key, &*self.front.watcher) => Some(taken?),
            () = signals.asked() => None,
        };
        let Some(mut turn) = taken else { return Err(Misuse("interrupted".to_owned()).into()) };
        if turn.session.runs().last() == Some(&run) {
            turn.session.forget_last().await?;
        }
        Ok(())
    }
}

/// A key that begins with the name of an agent.
pub(super) fn new_key(agent: &str, random: u64) -> anyhow::Result<SessionKey> {
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
