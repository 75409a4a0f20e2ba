//! A conversation with an agent of a server: each prompt is the next run of a session there.
//!
//! The server has the runs, and the person types here. What needs the files of the agent, or takes runs out of a session,
//! works on the machine of the server alone.

use std::collections::BTreeMap;

use super::command::{COMMANDS, Command, Input};
use super::conversation::new_key;
use super::lines::{Lines, Typed};
use crate::cli::exit::{self, Exit, Misuse};
use crate::cli::remote::{self, Asked, At, Remote};
use crate::cli::screen::{Format, Screen};
use crate::cli::signals::Signals;
use crate::cli::words::{beginning, one_line};
use crate::journal::RunSummary;
use crate::message::{RunId, SessionKey};

/// A conversation as it is held.
pub(super) struct There {
    pub(super) remote: Remote,
    pub(super) at: At,
    /// The name of the agent.
    pub(super) agent: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) key: Option<SessionKey>,
    pub(super) screen: Screen,
    pub(super) format: Format,
    pub(super) lines: Lines,
    pub(super) signals: Signals,
}

impl There {
    /// Takes one line after the other until there is an end.
    pub(super) async fn hold(mut self) -> anyhow::Result<Exit> {
        let mut key = match self.key.take() {
            Some(key) => key,
            None => self.new_key().await?,
        };
        self.greet(&key);
        let mut was_interrupted = false;
        loop {
            self.begin_round();
            let typed = tokio::select! {
                typed = self.lines.next() => typed?,
                () = self.signals.asked_to_end() => return Ok(Exit::Interrupted),
            };
            self.begin_round();
            let input = match typed {
                Typed::End => return Ok(Exit::Ok),
                Typed::Interrupted if was_interrupted => return Ok(Exit::Ok),
                Typed::Interrupted => {
                    self.screen.say("(Ctrl-C again, or Ctrl-D, leaves)");
                    was_interrupted = true;
                    continue;
                }
                Typed::Text(text) => Input::of(&text),
            };
            was_interrupted = false;
            let done = match input {
                Input::Nothing => Ok(Exit::Ok),
                Input::Prompt(prompt) => self.say(&key, prompt).await,
                Input::Command(Command::Quit) => return Ok(Exit::Ok),
                Input::Command(command) => self.obey(command, &mut key).await,
                Input::Mistake(mistake) => Err(Misuse(mistake).into()),
            };
            match done {
                Err(error) if self.format == Format::Talk => {
                    exit::report(&error);
                }
                Err(error) => return Err(error),
                Ok(_) if self.signals.has_to_end() => return Ok(Exit::Interrupted),
                // A script has to know that there is no answer, and what it says next would go elsewhere.
                Ok(exit) if self.format != Format::Talk && exit != Exit::Ok => return Ok(exit),
                Ok(_) => {}
            }
        }
    }

    /// Begins a round, which Ctrl-C ends alone.
    fn begin_round(&self) {
        match self.lines {
            Lines::Edited(_) => self.signals.begin_round(),
            Lines::Piped => {}
        }
    }

    fn greet(&self, key: &SessionKey) {
        if self.format != Format::Json {
            let (agent, url) = (one_line(&self.agent), self.remote.url());
            self.screen.say(&format!("talking with {agent} of {url}; /help lists the commands"));
            self.say_key(key);
        }
    }

    fn say_key(&self, key: &SessionKey) {
        self.screen.say(&format!("conversation {key}; come back to it with --session {key}"));
    }

    /// A key that no conversation of the server has, as far as it may be seen.
    async fn new_key(&self) -> anyhow::Result<SessionKey> {
        let keys = remote::sessions(&self.remote).await?;
        loop {
            let key = new_key(&self.agent, RunId::new().seed())?;
            if !keys.contains(&key) {
                return Ok(key);
            }
        }
    }

    /// The exchanges of a conversation, oldest first.
    async fn exchanges(&self, key: &SessionKey) -> anyhow::Result<Vec<RunSummary>> {
        if !remote::sessions(&self.remote).await?.contains(key) {
            return Ok(Vec::new());
        }
        Ok(remote::session(&self.remote, key).await?)
    }

    /// Says something to the agent, once the run before has ended.
    async fn say(&self, key: &SessionKey, prompt: String) -> anyhow::Result<Exit> {
        let last = self.exchanges(key).await?.pop();
        if let Some(last) = last.filter(|last| !last.state.has_ended()) {
            let word = last.state.word();
            return Err(Misuse(format!("the last run has not ended ({word}); /retry goes on with it")).into());
        }
        let (parameters, session) = (self.parameters.clone(), Some(key.clone()));
        let asked = Asked { prompt: Some(prompt), parameters, images: Vec::new(), session };
        remote::begin(&self.remote, &self.agent, asked, &self.screen, &self.signals).await
    }

    async fn obey(&self, command: Command, key: &mut SessionKey) -> anyhow::Result<Exit> {
        match command {
            Command::Help => self.tell_help(),
            Command::Session(None) => {
                for other in remote::sessions(&self.remote).await? {
                    self.screen.say(&format!("{} {other}", if other == *key { "→" } else { " " }));
                }
            }
            Command::Session(Some(other)) => {
                *key = other;
                self.say_key(key);
            }
            Command::Clear => {
                *key = self.new_key().await?;
                self.say_key(key);
            }
            Command::Runs => self.tell_runs(key).await?,
            Command::Retry => return self.retry(key).await,
            Command::Tools(_) => self.at.nowhere("/tools")?,
            Command::Fork(_) => self.at.nowhere("/fork")?,
            Command::Cost => self.at.nowhere("/cost")?,
            Command::Quit => {}
        }
        Ok(Exit::Ok)
    }

    /// Goes on with the last run, or shows how it ended: it may have been decided on elsewhere.
    async fn retry(&self, key: &SessionKey) -> anyhow::Result<Exit> {
        let Some(last) = self.exchanges(key).await?.pop() else {
            return Err(Misuse("nothing was said yet".to_owned()).into());
        };
        let run = last.run.to_string();
        remote::resume(&self.remote, &run, Vec::new(), false, &self.screen, &self.signals).await
    }

    fn tell_help(&self) {
        let there = ["/help", "/session", "/retry", "/runs", "/clear", "/quit"];
        for (name, follows, does) in COMMANDS.into_iter().filter(|(name, ..)| there.contains(name)) {
            let does = if name == "/retry" { "follow the last run, or show how it ended" } else { does };
            self.screen.say(&format!("{name} {follows}: {does}"));
        }
    }

    async fn tell_runs(&self, key: &SessionKey) -> anyhow::Result<()> {
        for (number, RunSummary { run, state, prompt, .. }) in (1..).zip(self.exchanges(key).await?) {
            let (mark, word) = (state.mark(), state.word());
            self.screen.say(&format!("{number:>3}  {run}  {mark} {word:11}  {}", beginning(&prompt)));
        }
        Ok(())
    }
}
