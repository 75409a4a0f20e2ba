//! A run of the conversation that has not ended: what becomes of it is asked.

use anyhow::Context as _;

use super::conversation::{Exchange, Partner};
use crate::cli::exit::Exit;
use crate::cli::front::follow;
use crate::cli::moment::Moment;
use crate::cli::person::at_terminal;
use crate::cli::settle::{Settle, of_resume};
use crate::cli::signals::Signals;
use crate::cli::traces::caller;
use crate::cli::words::{beginning, headline};
use crate::engine::{StartError, Terms};
use crate::message::{RunId, SessionKey};
use crate::session::{SessionError, Waiting, Wants};

/// What becomes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// It has ended now, or is left out: the conversation goes on.
    Settled,
    /// It is as it was, or waits again.
    Open(Exit),
}

impl Partner {
    /// Asks what becomes of the run, and has it so.
    pub(super) async fn settle_last(
        &self,
        key: &SessionKey,
        last: &Exchange,
        signals: &Signals,
    ) -> anyhow::Result<Becomes> {
        let Exchange { run, summary, .. } = last;
        let word = summary.state.word();
        let text = format!("the last run has not ended ({word}): {}", beginning(&summary.prompt));
        loop {
            let question = "[g]o on with it, [l]eave it out of the conversation, [b]ack: ";
            let Some(answer) = self.ask(&text, question, signals).await else {
                return Ok(Becomes::Open(Exit::Interrupted));
            };
            match answer.as_str() {
                "g" | "go" => return self.go_on(*run, signals).await.map(Becomes::of),
                "l" | "leave" => {
                    self.leave_out(key, *run, signals).await?;
                    self.screen.say(&format!("left out; it stays recorded: {run}"));
                    return Ok(Becomes::Settled);
                }
                "b" | "back" | "" => return Ok(Becomes::Open(Exit::Ok)),
                _ => {}
            }
        }
    }

    /// Goes on with a run, until it has ended or waits for what cannot be had here.
    pub(super) async fn go_on(&self, run: RunId, signals: &Signals) -> anyhow::Result<Exit> {
        let (mut settled, mut accept_changes) = (Vec::new(), false);
        loop {
            let (exit, is_changed) = self.resume(run, &settled, accept_changes, signals).await?;
            if is_changed {
                match self.ask("", "[g]o on, keeping what is recorded, or [b]ack: ", signals).await.as_deref()
                {
                    Some("g" | "go") => accept_changes = true,
                    Some(_) | None => return Ok(Exit::Divergence),
                }
                continue;
            }
            if exit != Exit::Suspended {
                return Ok(exit);
            }
            let waiting = self.screen.waiting();
            let doubtful: Vec<&Waiting> = waiting.iter().filter(|it| it.wants == Wants::Settlement).collect();
            if doubtful.is_empty() {
                self.say_what_waits(&waiting);
                return Ok(exit);
            }
            settled.clear();
            for waiting in doubtful {
                match self.ask_of(waiting, signals).await {
                    Some(settle) => settled.push(settle),
                    None => return Ok(exit),
                }
            }
        }
    }

    /// Carries on with a run; whether something has changed that has to be accepted first.
    async fn resume(
        &self,
        run: RunId,
        settled: &[Settle],
        accept_changes: bool,
        signals: &Signals,
    ) -> anyhow::Result<(Exit, bool)> {
        let settlements = settled.iter().map(Settle::read).collect::<anyhow::Result<_>>()?;
        let (agent, by) = (Some(self.with_new_models()?), Some(at_terminal()));
        let caller = caller(&self.screen);
        let terms = Terms { settlements, accept_changes, agent, by, caller, ..Terms::default() };
        let resumed = tokio::select! {
            resumed = self.engine.resume(run, terms, self.front.clone()) => resumed,
            () = signals.asked() => {
                self.screen.say("interrupted: /retry goes on");
                return Ok((Exit::Interrupted, false));
            }
        };
        match resumed {
            Ok(handle) => Ok((follow(handle, &self.screen, signals).await?, false)),
            // The screen says what has changed.
            Err(StartError::Session(SessionError::Diverged(_))) if !accept_changes => {
                Ok((Exit::Divergence, true))
            }
            Err(error) => Err(of_resume(error, settled)),
        }
    }

    /// What a person says of a call that is in doubt; nothing if that is not known yet.
    async fn ask_of(&self, waiting: &Waiting, signals: &Signals) -> Option<Settle> {
        let Waiting { slot, request, at_ms, .. } = waiting;
        let mut text = format!(
            "the host stopped in the middle of {} (began {}): whether it took effect is not known",
            headline(slot, request),
            Moment(*at_ms).to_the_second()
        );
        loop {
            let question =
                "[r]etry it, it [f]ailed, the path of a file with its output as JSON, or [l]ater: ";
            let answer = self.ask(&text, question, signals).await?;
            let how = match answer.as_str() {
                "r" | "retry" => "retry".to_owned(),
                "f" | "failed" => "failed".to_owned(),
                "l" | "later" | "" => return None,
                file => format!("result:{file}"),
            };
            let settle = format!("{slot}={how}").parse::<Settle>().context("this is no answer");
            match settle {
                Ok(settle) => return Some(settle),
                Err(error) => text = format!("asked again: {error:#}"),
            }
        }
    }

    /// Says what a suspended run waits for, to whoever talks with the agent: others were told by then.
    pub(super) fn say_what_waits(&self, waiting: &[Waiting]) {
        if waiting.is_empty() {
            return;
        }
        for Waiting { slot, request, wants, .. } in waiting {
            let what = match wants {
                Wants::Settlement => "may have taken effect, or not".to_owned(),
                Wants::Approval => "waits for approval".to_owned(),
                Wants::Answer => "waits for an answer".to_owned(),
                Wants::Moment(until_ms) => format!("waits until {}", Moment(*until_ms).to_the_second()),
            };
            self.screen.say(&format!("  {} {what}", headline(slot, request)));
        }
        self.screen.say("the run is suspended: /retry goes on with it");
    }

    /// What a person types; nothing if the process is asked to end, or the question to go away.
    async fn ask(&self, text: &str, question: &str, signals: &Signals) -> Option<String> {
        let answer = tokio::select! {
            answer = self.screen.ask(text, question) => answer?,
            () = signals.asked() => return None,
        };
        Some(answer.trim().to_owned())
    }
}

impl Becomes {
    fn of(exit: Exit) -> Self {
        match exit {
            Exit::Ok | Exit::Failure | Exit::Limit => Self::Settled,
            Exit::Usage | Exit::Suspended | Exit::Provider | Exit::Divergence | Exit::Interrupted => {
                Self::Open(exit)
            }
        }
    }
}
