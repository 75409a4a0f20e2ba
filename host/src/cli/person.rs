//! The person at the terminal, if there is one.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::edited::{self, indented};
use super::editor::Editor;
use super::question::{QUESTION, Said};
use super::screen::Screen;
use crate::config::ToolConfig;
use crate::dispatch::{Person, Spoken};
use crate::engine::{LoadedAgent, PastApprovals, People};
use crate::message::{Arguments, By, Decision, Json, Manifest, Slot, ToolAsk, ToolEntry, clean, spelled_out};
use crate::session::diff;

/// Whoever sits at the terminal, asked one thing at a time by all agents of a run.
pub(super) struct Terminal {
    screen: Screen,
    approvals: PastApprovals,
    /// Whether anybody can be asked.
    attended: bool,
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl Terminal {
    pub(super) fn new(screen: &Screen, approvals: &PastApprovals) -> Self {
        let attended = screen.is_for_people() && std::io::stdin().is_terminal();
        Self { screen: screen.clone(), approvals: approvals.clone(), attended, asking: Arc::default() }
    }
}

impl People for Terminal {
    fn attend(&self, agent: &LoadedAgent, manifest: &Manifest) -> Arc<dyn Person> {
        let granted = |entry: &ToolEntry| {
            if let Some(agent) = &entry.agent {
                return vec![format!("an agent, which has what {} grants", agent.config)];
            }
            let tool = agent.config().tools.iter().find(|tool| tool.name == entry.source);
            tool.map(ToolConfig::reach_in_words).unwrap_or_default()
        };
        let tools = manifest.tools.iter();
        let tools = tools.map(|tool| (tool.spec.name.clone(), (tool.clone(), granted(tool))));
        Arc::new(AtTerminal {
            screen: self.screen.clone(),
            approvals: self.approvals.clone(),
            config: manifest.config.clone(),
            tools: tools.collect(),
            attended: self.attended,
            asking: Arc::clone(&self.asking),
        })
    }
}

/// Asks about the calls of one agent.
struct AtTerminal {
    screen: Screen,
    approvals: PastApprovals,
    /// The agent.toml.
    config: String,
    /// The tools by name, each with what it is granted, in words.
    tools: HashMap<String, (ToolEntry, Vec<String>)>,
    /// Whether anybody can be asked.
    attended: bool,
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl AtTerminal {
    /// The call as the person has to see it: whole, with what its tool may do, and what is new in it.
    fn shown(&self, slot: &Slot, ask: &ToolAsk) -> String {
        let input = value(ask);
        let mut text =
            format!("\n{slot} asks to call {} with\n{}", spelled_out(&ask.name), seen(&written(ask)));
        for line in self.tools.get(&ask.name).iter().flat_map(|(_, granted)| granted) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {line}");
        }
        let config = &self.config;
        if self.approvals.was_always(config, ask) {
            text.push_str(
                "it is asked again: this call was approved always, and its component or its grants have changed since\n",
            );
        }
        if let Some(last) = self.approvals.last_input(config, &ask.name) {
            let difference = seen(&diff(["approved last time", "now"], &last, &input));
            text.push_str(if difference.is_empty() {
                "the same as approved last time\n"
            } else {
                &difference
            });
        }
        text
    }

    /// What else is known of a call: what its tool says of itself, where it comes from, and what it takes.
    fn details(&self, ask: &ToolAsk) -> String {
        let Some((entry, _)) = self.tools.get(&ask.name) else {
            return format!("there is no tool {}", spelled_out(&ask.name));
        };
        let ToolEntry { spec, source, component, export, .. } = entry;
        let mut lines = vec![format!("{} says of itself:", spelled_out(&spec.name))];
        lines.extend(clean(&spec.description).lines().map(|line| format!("  {line}")));
        lines.push(format!("it is {export} of [tools.{source}] in {}", self.config));
        lines.push(format!("  sha256 {component}"));
        lines.push("it takes:".to_owned());
        lines.extend(seen(&indented(spec.input_schema.as_str())).lines().map(|line| format!("  {line}")));
        lines.join("\n")
    }

    async fn decide(&self, slot: &Slot, ask: &ToolAsk) -> Option<Decision> {
        if !self.attended {
            return None;
        }
        let _one_at_a_time = self.asking.lock().await;
        let mut shown = self.shown(slot, ask);
        let mut edited = None;
        loop {
            let answer = self.screen.ask(&shown, QUESTION).await?;
            shown = match (Said::of(&answer), &edited) {
                (Said::Yes, _) => return Some(self.approve(ask, edited, false)),
                (Said::Always, None) => return Some(self.approve(ask, None, true)),
                (Said::Always, Some(_)) => {
                    "asked again: the edited call can be made once; approve it with `y`".to_owned()
                }
                (Said::Suspend, _) => return None,
                (Said::No, _) => {
                    let reason =
                        self.screen.ask("", "why not (for the model to read; may be empty): ").await?;
                    let reason = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
                    return Some(Decision::Denied { reason });
                }
                (Said::Details, _) => self.details(ask),
                (Said::Edit, _) => match self.edit(ask, edited.as_ref()).await {
                    Ok(input) => {
                        let text = changed(ask, &input);
                        edited = Some(input);
                        text
                    }
                    Err(why) => format!("asked again: {why}"),
                },
                (Said::Unknown(line), _) => format!(
                    "asked again: \"{}\" is no answer; type one of the letters in brackets",
                    spelled_out(&line)
                ),
            };
        }
    }

    fn approve(&self, ask: &ToolAsk, input: Option<Json>, always: bool) -> Decision {
        if let Err(error) = self.approvals.add(&self.config, ask, input.as_ref(), always) {
            self.screen.say(&format!("{error}; the approval holds for this call alone"));
        }
        Decision::Approved { input }
    }

    /// Another input for a call, which its tool takes; else why there is none.
    async fn edit(&self, ask: &ToolAsk, edited: Option<&Json>) -> Result<Json, String> {
        let before = edited.map_or_else(|| written(ask), |input| indented(input.as_str()));
        let written = if let Some(editor) = Editor::of_environment() {
            let _lent = self.screen.lend();
            editor.change(&before).await.map_err(|error| format!("{error:#}"))?
        } else {
            let hint = "VISUAL and EDITOR name no editor, so that the input is typed here";
            let typed = self.screen.ask(hint, "the whole input, as JSON: ").await;
            typed.ok_or_else(|| "nothing was typed".to_owned())?
        };
        edited::input(&written, self.tools.get(&ask.name).map(|(entry, _)| entry)).map_err(|why| {
            format!("the edited input is not one of {}: {}", spelled_out(&ask.name), clean(&why))
        })
    }
}

/// The input of a call.
fn value(ask: &ToolAsk) -> serde_json::Value {
    match &ask.arguments {
        Arguments::Json(json) => json.to_value(),
        Arguments::Malformed(text) => text.as_str().into(),
    }
}

/// The same, to the character, in lines. What is no JSON is shown as a text of JSON.
fn written(ask: &ToolAsk) -> String {
    match &ask.arguments {
        Arguments::Json(json) => indented(json.as_str()),
        Arguments::Malformed(text) => serde_json::Value::from(text.as_str()).to_string(),
    }
}

/// What a person made of the input of a call.
fn changed(ask: &ToolAsk, input: &Json) -> String {
    if matches!(&ask.arguments, Arguments::Json(json) if json == input) {
        return "asked again: the input is what the model wrote".to_owned();
    }
    let difference = diff(["the model's", "yours"], &value(ask), &input.to_value());
    // Numbers can differ in more digits than a difference shows.
    let shown = if difference.is_empty() { indented(input.as_str()) } else { difference };
    format!("asked again, with the input as you edited it:\n{}", seen(&shown))
}

impl Person for AtTerminal {
    fn decide<'a>(&'a self, slot: &'a Slot, ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        Box::pin(async move { Some(spoken(self.decide(slot, ask).await?)) })
    }

    fn answer<'a>(&'a self, slot: &'a Slot, question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(async move {
            if !self.attended {
                return None;
            }
            let _one_at_a_time = self.asking.lock().await;
            let shown = format!("\n{slot} asks: {}", clean(question));
            let answer =
                self.screen.ask(&shown, "your answer (empty: suspend the run, and answer later): ").await?;
            Some(spoken(answer.trim().to_owned())).filter(|answer| !answer.word.is_empty())
        })
    }
}

fn spoken<T>(word: T) -> Spoken<T> {
    Spoken { word, by: Some(at_terminal()) }
}

/// Whoever types at this terminal, by the name that the system has for them.
pub(super) fn at_terminal() -> By {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let name = name.filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()));
    By { name, through: "terminal".to_owned() }
}

/// Lines as the person has to see them who decides on what they say: with nothing in them that hides or reorders.
fn seen(lines: &str) -> String {
    lines.lines().map(|line| spelled_out(line) + "\n").collect()
}
