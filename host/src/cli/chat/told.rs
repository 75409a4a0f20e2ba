//! What the commands of a conversation tell: its tools, its exchanges, what it used.

use super::command::{COMMANDS, ESCAPED};
use super::conversation::{Conversation, Exchange, Partner};
use crate::cli::exit::Misuse;
use crate::cli::moment::Moment;
use crate::cli::words::{self, beginning, counted, one_line, set_in};
use crate::message::{Ending, SessionKey, ToolEntry, Used, Verdict};

/// Commands stand before a column of their own.
const COMMAND_WIDTH: usize = 15;

/// The exchanges that are shown of a conversation that somebody comes back to.
const SHOWN_AGAIN: usize = 2;

impl Partner {
    pub(super) fn tell_help(&self) {
        for (name, follows, does) in COMMANDS {
            let command = format!("{name} {follows}");
            self.screen.say_hanging(&format!("{command:COMMAND_WIDTH$} {does}"), COMMAND_WIDTH + 1);
        }
        self.screen.say(&format!("{ESCAPED}; a line that ends with `\\` goes on in the next one"));
        self.screen
            .say("Ctrl-C ends the run that goes on; at the prompt it drops the line, and twice it leaves");
    }

    /// All tools, by their tables; or one in full.
    pub(super) fn tell_tools(&self, name: Option<&str>) -> anyhow::Result<()> {
        let entries = self.agent.tools();
        if let Some(name) = name {
            let there = || Misuse(format!("the agent has no tool {}; /tools lists them", one_line(name)));
            let entry = entries.iter().find(|entry| entry.spec.name == name).ok_or_else(there)?;
            self.tell_tool(entry);
            return Ok(());
        }
        if entries.is_empty() {
            self.screen.say("the agent has no tools");
        }
        let mut table = None;
        for entry in entries.iter().filter(|entry| !entry.hidden) {
            if table.replace(&entry.source) != Some(&entry.source) {
                self.screen.say(&self.granted(entry));
            }
            let about = one_line(entry.spec.description.split("\n\n").next().unwrap_or_default());
            let (name, asked) = (one_line(&entry.spec.name), self.asked_first(entry));
            self.screen.say(&format!("  {name}{asked}: {about}"));
        }
        Ok(())
    }

    fn tell_tool(&self, entry: &ToolEntry) {
        self.screen.say(&format!("{}{}", one_line(&entry.spec.name), self.asked_first(entry)));
        self.screen.say(&format!("  {}", self.granted(entry)));
        for line in set_in(&entry.spec.description, 0).lines() {
            self.screen.say(&format!("  {line}"));
        }
        self.screen.say(&format!("  it takes {}", one_line(entry.spec.input_schema.as_str())));
    }

    /// Where a tool comes from, and what it may reach.
    fn granted(&self, entry: &ToolEntry) -> String {
        if entry.builtin.is_some() {
            return "the host itself".to_owned();
        }
        let source = &entry.source;
        if let Some(agent) = &entry.agent {
            return format!("[tools.{source}], the agent {}", agent.config);
        }
        let tool = self.agent.config().tools.iter().find(|tool| tool.name == *source);
        let granted = tool.map(|tool| tool.reach_in_words().join("; ")).unwrap_or_default();
        format!("[tools.{source}] may reach: {granted}")
    }

    /// Whether a person is asked before the tool is called, as far as that does not depend on the call.
    fn asked_first(&self, entry: &ToolEntry) -> &'static str {
        let approvals = &self.agent.config().approvals;
        if approvals.is_none() || entry.builtin.is_some() {
            return "";
        }
        let rules = [&approvals.deny, &approvals.ask, &approvals.auto];
        let is_about = |tool: &str| {
            globset::Glob::new(tool).is_ok_and(|glob| glob.compile_matcher().is_match(&entry.spec.name))
        };
        if rules.into_iter().flatten().any(|rule| is_about(&rule.tool)) {
            return " (a rule of [approval] is about its calls)";
        }
        match approvals.default {
            Verdict::Auto => "",
            Verdict::Ask => " (you are asked before each call)",
            Verdict::Deny => " (it is never called)",
        }
    }

    /// The conversations with this agent.
    pub(super) fn tell_sessions(&self, now: &SessionKey) -> anyhow::Result<()> {
        let keys = self.keys()?;
        let width = keys.iter().map(|(key, _)| key.as_str().len()).max().unwrap_or_default();
        for (key, summary) in &keys {
            let (mark, when) =
                (if key == now { "→" } else { " " }, Moment(summary.started_ms).to_the_second());
            self.screen.say(&format!(
                "{mark} {:width$}  {when}  {}",
                key.as_str(),
                beginning(&summary.prompt)
            ));
        }
        if !keys.iter().any(|(key, _)| key == now) {
            self.screen.say(&format!("→ {now}  nothing was said yet"));
        }
        Ok(())
    }

    /// The exchanges of a conversation.
    pub(super) fn tell_runs(&self, Conversation { key, from }: &Conversation) -> anyhow::Result<()> {
        if let Some(from) = from {
            self.screen.say(&format!("goes on from {} of the conversation {}", from.run, from.key));
        }
        let exchanges = self.exchanges(key)?;
        if exchanges.is_empty() && from.is_none() {
            self.screen.say("nothing was said yet");
        }
        for (number, Exchange { run, summary, .. }) in (1..).zip(&exchanges) {
            let (mark, word) = (summary.state.mark(), summary.state.word());
            let prompt = beginning(&summary.prompt);
            self.screen.say(&format!("{number:>3}  {run}  {mark} {word:11}  {prompt}"));
        }
        Ok(())
    }

    /// What a conversation used.
    pub(super) fn tell_cost(&self, key: &SessionKey) -> anyhow::Result<()> {
        let exchanges = self.exchanges(key)?;
        let (used, known) = total(&exchanges);
        self.screen.say(&format!("{}: {}", counted(exchanges.len(), "exchange"), words::used(&used)));
        if known < exchanges.len() {
            let untold = counted(exchanges.len() - known, "run");
            self.screen.say(&format!("what {untold} without an end used is not in it"));
        }
        if used.untold {
            self.screen.say("the provider did not say what some of the replies used");
        }
        Ok(())
    }

    /// What was said last, for who comes back.
    pub(super) fn tell_last(&self, key: &SessionKey) -> anyhow::Result<()> {
        let exchanges = self.exchanges(key)?;
        let hidden = exchanges.len().saturating_sub(SHOWN_AGAIN);
        if hidden > 0 {
            self.screen.say(&format!("… {} before; /runs lists them", counted(hidden, "exchange")));
        }
        for Exchange { summary, ending, .. } in exchanges.iter().skip(hidden) {
            self.screen.say_as_it_is(&format!("> {}", set_in(&summary.prompt, 2)));
            match ending {
                Some(Ending::Answer(text)) => self.screen.draw(text),
                Some(Ending::Refused(why)) => {
                    self.screen.say(&format!("the model refused: {}", one_line(why)));
                }
                Some(Ending::Limit(why)) => {
                    self.screen.say(&format!("stopped by a limit: {}", one_line(why)));
                }
                Some(Ending::Unfit { why, .. } | Ending::Empty(why)) => {
                    self.screen.say(&format!("there is no answer of use: {}", one_line(why)));
                }
                Some(Ending::Cancelled(cancelled)) => self.screen.say(&one_line(&cancelled.to_string())),
                None => {}
            }
        }
        Ok(())
    }
}

/// What exchanges used together, and of how many of them that is known.
fn total(exchanges: &[Exchange]) -> (Used, usize) {
    let known: Vec<Used> = exchanges.iter().filter_map(|exchange| exchange.used).collect();
    let costs: Option<Vec<f64>> = known.iter().map(|used| used.cost_usd).collect();
    let mut sum = Used {
        cost_usd: costs.filter(|costs| !costs.is_empty()).map(|it| it.iter().sum()),
        ..Used::default()
    };
    for used in &known {
        sum.turns = sum.turns.saturating_add(used.turns);
        sum.tool_calls = sum.tool_calls.saturating_add(used.tool_calls);
        sum.tokens.input = sum.tokens.input.saturating_add(used.tokens.input);
        sum.tokens.output = sum.tokens.output.saturating_add(used.tokens.output);
        sum.untold |= used.untold;
    }
    (sum, known.len())
}
