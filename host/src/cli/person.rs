//! The person at the terminal, if there is one.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::approvals::ApprovalsFile;
use super::screen::Screen;
use crate::config::Config;
use crate::dispatch::Person;
use crate::message::{Arguments, Decision, Manifest, Slot, ToolAsk, ToolEntry, clean, spelled_out};
use crate::session::diff;

/// Asks at the terminal, one thing after the other; what was approved always is not asked again.
pub(super) struct AtTerminal {
    screen: Screen,
    approvals: ApprovalsFile,
    /// The agent.toml.
    config: String,
    /// What each tool is granted, in words.
    grants: HashMap<String, Vec<String>>,
    /// Whether anybody can be asked.
    attended: bool,
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl AtTerminal {
    pub(super) fn new(
        screen: &Screen,
        approvals: ApprovalsFile,
        config: &Config,
        manifest: &Manifest,
    ) -> Self {
        let granted = |entry: &ToolEntry| {
            if let Some(agent) = &entry.agent {
                return vec![format!("an agent, which has what {} grants", agent.config)];
            }
            let tool = config.tools.iter().find(|tool| tool.name == entry.source);
            tool.map(|tool| tool.grants.in_words()).unwrap_or_default()
        };
        let tools = manifest.tools.iter();
        Self {
            screen: screen.clone(),
            approvals,
            config: manifest.config.clone(),
            grants: tools.map(|tool| (tool.spec.name.clone(), granted(tool))).collect(),
            attended: screen.is_for_people() && std::io::stdin().is_terminal(),
            asking: Arc::default(),
        }
    }

    /// The same person, for an agent that is called by the other one: asked one thing at a time by both.
    pub(super) fn beside(&self, config: &Config, manifest: &Manifest) -> Self {
        let Self { screen, approvals, asking, .. } = self;
        Self { asking: Arc::clone(asking), ..Self::new(screen, approvals.clone(), config, manifest) }
    }

    /// The call as the person has to see it: whole, with what its tool may do, and what is new in it.
    fn shown(&self, slot: &Slot, ask: &ToolAsk) -> String {
        let input = match &ask.arguments {
            Arguments::Json(json) => json.to_value(),
            Arguments::Malformed(text) => text.as_str().into(),
        };
        let pretty = serde_json::to_string_pretty(&input).unwrap_or_default();
        let mut text = format!("\n{slot} asks to call {} with\n{}", spelled_out(&ask.name), seen(&pretty));
        let granted = self.grants.get(&ask.name).map(Vec::as_slice).unwrap_or_default();
        for line in granted {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {line}");
        }
        if let Some(last) = self.approvals.last_input(&self.config, &ask.name) {
            let difference = seen(&diff(["approved last time", "now"], &last, &input));
            text.push_str(if difference.is_empty() {
                "the same as approved last time\n"
            } else {
                &difference
            });
        }
        text
    }

    async fn decide(&self, slot: &Slot, ask: &ToolAsk) -> Option<Decision> {
        if self.approvals.is_always(&self.config, ask) {
            return Some(Decision::Approved { input: None });
        }
        if !self.attended {
            return None;
        }
        let _one_at_a_time = self.asking.lock().await;
        let mut shown = self.shown(slot, ask);
        loop {
            let question = "[a]pprove, approve a[l]ways, [d]eny, or [s]uspend the run to decide later? ";
            let answer = self.screen.ask(&shown, question).await?;
            let always = match answer.trim() {
                "a" | "approve" => false,
                "l" | "always" => true,
                "s" | "suspend" => return None,
                "d" | "deny" => {
                    let reason = self.screen.ask("", "why (for the model to read; may be empty)? ").await?;
                    let reason = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
                    return Some(Decision::Denied { reason });
                }
                _ => {
                    shown = String::new();
                    continue;
                }
            };
            if let Err(error) = self.approvals.add(&self.config, ask, None, always) {
                self.screen.say(&format!("{error:#}; the approval holds for this call alone"));
            }
            return Some(Decision::Approved { input: None });
        }
    }
}

impl Person for AtTerminal {
    fn decide<'a>(&'a self, slot: &'a Slot, ask: &'a ToolAsk) -> BoxFuture<'a, Option<Decision>> {
        Box::pin(self.decide(slot, ask))
    }

    fn answer<'a>(&'a self, slot: &'a Slot, question: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            if !self.attended {
                return None;
            }
            let _one_at_a_time = self.asking.lock().await;
            let shown = format!("\n{slot} asks: {}", clean(question));
            let answer =
                self.screen.ask(&shown, "your answer (empty: suspend the run, and answer later): ").await?;
            Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty())
        })
    }
}

/// Lines as the person has to see them who decides on what they say: with nothing in them that hides or reorders.
fn seen(lines: &str) -> String {
    lines.lines().map(|line| spelled_out(line) + "\n").collect()
}
