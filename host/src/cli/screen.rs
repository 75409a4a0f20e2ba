use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::anyhow;
use console::Style;
use indicatif::ProgressBar;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use super::advice::worded;
use super::chat::{Talk, below_answer, draw};
use super::exit::Exit;
use super::layout::{LongWord, laid_out, unbroken};
use super::live::{Doing, Lent, Live};
use super::moment::duration;
use super::output::OutputFile;
use super::streams::deliver;
use super::waiting::{self, Shown};
use super::words::{self, Channel, counted, denial, short_headline, short_result};
use crate::journal::{Failed, Finished};
use crate::message::{Ending, Manifest, Request, RunId, Slot, Used, clean, json_line};
use crate::session::{Notice, Waiting, Watch};

/// A line that goes on is set in by so much.
const HANGING: usize = 2;

/// What a command says while it works: lines on stderr for people, or events on stdout for programs.
#[derive(Clone)]
pub(super) struct Screen(Arc<Inner>);

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines for a person.
    Text,
    /// One JSON object a line.
    Json,
    /// Lines for a person who talks with an agent: what the model says is drawn as it comes.
    Talk,
}

impl Format {
    pub(super) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

struct Inner {
    format: Format,
    /// The file for the final answer, if it is not to be printed.
    answer_to: Option<OutputFile>,
    live: Live,
    /// The tools whose calls wait for a person or a moment.
    waiting_tools: Mutex<BTreeSet<String>>,
    substituted: AtomicU64,
    /// What was shown of a conversation.
    talk: Talk,
}

/// One line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum JsonEvent<'a> {
    RunStarted { run: RunId, manifest: &'a Manifest },
    Started { slot: &'a Slot, attempt: u32, request: &'a Request },
    Heard { slot: &'a Slot, text: &'a str },
    Failed { slot: &'a Slot, failed: &'a Failed },
    Finished { slot: &'a Slot, substituted: bool, finished: &'a Finished },
    Suspended { run: RunId, waiting: Vec<Shown<'a>>, exit_code: u8 },
    Interrupted { run: RunId },
    Detached { run: RunId },
    RunFailed { run: RunId, error: String, exit_code: u8 },
    RunEnded { run: RunId, ending: &'a Ending, used: Option<&'a Used>, exit_code: u8 },
}

impl Screen {
    pub(super) fn new(format: Format) -> Self {
        Self::answering_to(format, None)
    }

    /// A screen of a run whose answer goes to a file.
    pub(super) fn answering_to(format: Format, answer_to: Option<OutputFile>) -> Self {
        Self(Arc::new(Inner {
            format,
            answer_to,
            live: Live::new(format != Format::Json),
            waiting_tools: Mutex::default(),
            substituted: AtomicU64::new(0),
            talk: Talk::default(),
        }))
    }

    /// One line for the person, above whatever is drawn live.
    pub(super) fn say(&self, line: &str) {
        self.say_as_it_is(&laid_out(line, self.0.live.terminal_width(), HANGING, LongWord::Whole));
    }

    /// The same for a line that goes on at some column.
    pub(super) fn say_hanging(&self, line: &str, column: usize) {
        self.say_as_it_is(&laid_out(line, self.0.live.terminal_width(), column, LongWord::Whole));
    }

    /// The same for lines that are to be copied.
    pub(super) fn say_as_it_is(&self, lines: &str) {
        self.0.live.say(lines);
    }

    /// What the session tells while the run goes on.
    pub(super) fn watch(&self) -> Watch {
        let screen = self.clone();
        Box::new(move |notice| screen.notice(notice))
    }

    pub(super) fn run_started(&self, run: RunId, manifest: &Manifest) {
        self.0.live.run_begins();
        match self.0.format {
            Format::Json => event(&JsonEvent::RunStarted { run, manifest }),
            Format::Talk => waiting_tools(manifest, &mut self.waiting_tools()),
            Format::Text => {
                waiting_tools(manifest, &mut self.waiting_tools());
                let tools = counted(manifest.tools.len(), "tool");
                let Manifest { agent, model, .. } = manifest;
                let line =
                    format!("run {run}  agent {agent}  model {}/{}  {tools}", model.provider, model.name);
                self.say(&Style::new().for_stderr().bold().apply_to(line).to_string());
            }
        }
    }

    /// Says how the run ended, and what it used; a final answer goes to stdout alone.
    pub(super) fn run_ended(&self, run: RunId, ending: &Ending, used: Option<&Used>) -> anyhow::Result<Exit> {
        self.clear();
        let exit = Exit::of_ending(ending);
        if let (Ending::Answer(answer), Some(file)) = (ending, &self.0.answer_to) {
            file.write(run, answer)?;
        }
        let mut arrived = Ok(());
        match (self.0.format, ending) {
            (Format::Json, _) => {
                arrived = delivered(&JsonEvent::RunEnded { run, ending, used, exit_code: exit as u8 });
            }
            (Format::Text, Ending::Answer(answer)) if self.0.answer_to.is_none() => {
                // A program, or a file, gets what the model said; a terminal nothing that steers it.
                let shown = if io::stdout().is_terminal() { clean(answer) } else { answer.into() };
                arrived = deliver(&shown);
            }
            (Format::Text, Ending::Answer(_)) => {}
            (Format::Talk, Ending::Answer(answer)) => self.0.talk.answered(&self.0.live, answer),
            (Format::Text | Format::Talk, Ending::Unfit { answer, why }) => {
                self.say(&format!("the model's answer is of no use, and it was told once: {}", clean(why)));
                self.say(&format!("it said: {}", clean(answer)));
            }
            (Format::Text | Format::Talk, Ending::Empty(why)) => {
                self.say(&format!("there is no answer: {}", clean(why)));
            }
            (Format::Text | Format::Talk, Ending::Refused(text)) => {
                self.say(&format!("the model refused: {}", clean(text)));
            }
            (Format::Text | Format::Talk, Ending::Limit(text)) => {
                self.say(&format!("stopped by a limit: {}", clean(text)));
            }
            (Format::Text | Format::Talk, Ending::Cancelled(cancelled)) => {
                self.say(&format!("the run was {}", clean(&cancelled.to_string())));
            }
        }
        match (self.0.format, used) {
            (Format::Text, Some(used)) => self.say(&format!("used: {}", words::used(used))),
            (Format::Talk, Some(used)) => self.say(&below_answer(used)),
            (Format::Text | Format::Talk, None) | (Format::Json, _) => {}
        }
        match (arrived, ending) {
            (Err(error), Ending::Answer(_)) if self.0.answer_to.is_none() => Err(anyhow!(
                "cannot write the answer to stdout: {error}\n  it is recorded: host resume {run} prints it again"
            )),
            (Err(_) | Ok(()), _) => Ok(exit),
        }
    }

    pub(super) fn interrupted(&self, run: RunId) {
        self.clear();
        match self.0.format {
            Format::Json => event(&JsonEvent::Interrupted { run }),
            Format::Text => self.say(&format!("interrupted; go on with: {}", resume(run))),
            Format::Talk => self.say("interrupted: /retry goes on where it stopped"),
        }
    }

    /// Says that a run of a server is followed no more.
    pub(super) fn detached(&self, run: RunId) {
        self.clear();
        match self.0.format {
            Format::Json => event(&JsonEvent::Detached { run }),
            Format::Text | Format::Talk => {
                self.say(&format!("the run goes on in the server; follow it with: {}", resume(run)));
            }
        }
    }

    /// Says what has changed since the run was recorded, and what follows from that.
    pub(super) fn changed(&self, changes: &[String], what_next: &str) {
        self.say("since this run was recorded there changed:");
        for line in changes {
            self.say(&format!("  {line}"));
        }
        self.say(what_next);
    }

    /// Says what the run waits for, and how it goes on.
    pub(super) fn suspended(&self, run: RunId, waiting: &[Waiting]) {
        self.clear();
        match self.0.format {
            Format::Json => {
                let (waiting, exit_code) = (waiting.iter().map(Shown::from).collect(), Exit::Suspended as u8);
                event(&JsonEvent::Suspended { run, waiting, exit_code });
            }
            Format::Text => waiting::lines(run, waiting).iter().for_each(|line| self.say(line)),
            // Whoever talks with the agent is asked.
            Format::Talk => self.0.talk.waits(waiting),
        }
    }

    /// What the run waits for that was suspended last, where a person talks with the agent.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        self.0.talk.waiting()
    }

    /// Draws what was said before, above what goes on.
    pub(super) fn draw(&self, markdown: &str) {
        draw(&self.0.live, markdown);
    }

    /// Whether a person talks with the agent.
    pub(super) fn is_talk(&self) -> bool {
        self.0.format == Format::Talk
    }

    /// Whether it is people who read this.
    pub(super) fn is_for_people(&self) -> bool {
        !self.0.live.is_hidden()
    }

    /// Asks the person at the terminal, while the run goes on; none if there is no answer to be had. Dropping the future
    /// takes the question back.
    pub(super) async fn ask(&self, text: &str, question: &str) -> Option<String> {
        for line in text.lines() {
            self.say(line);
        }
        self.0.live.ask(question).await
    }

    /// Gives the terminal to another program until the guard is dropped.
    pub(super) fn lend(&self) -> Lent<'_> {
        self.0.live.lend()
    }

    /// Says that a run broke off and can be resumed; the error itself is printed by the caller.
    pub(super) fn failed(&self, run: RunId, error: &anyhow::Error) {
        self.clear();
        match self.0.format {
            Format::Json => {
                let exit_code = Exit::of_error(error) as u8;
                event(&JsonEvent::RunFailed { run, error: worded(error), exit_code });
            }
            Format::Text | Format::Talk => {
                let mark = Style::new().for_stderr().red().apply_to("✗");
                let how = if self.0.format == Format::Talk { "/retry".to_owned() } else { resume(run) };
                self.say(&format!("{mark} the run broke off; when the cause is mended: {how}"));
            }
        }
    }

    /// Says what a replay did not do.
    pub(super) fn replayed(&self) {
        if self.0.format == Format::Text {
            let effects = self.0.substituted.load(Ordering::Relaxed);
            self.say(&format!(
                "replayed {effects} effects from the journal: 0 guest invocations, 0 model calls"
            ));
        }
    }

    /// Takes away what is only there while the run goes on.
    fn clear(&self) {
        self.0.live.clear();
    }

    /// Shows what the session tells while the run goes on.
    pub(super) fn notice(&self, notice: &Notice<'_>) {
        if self.0.format == Format::Talk && self.0.talk.shows(&self.0.live, notice) {
            return;
        }
        match (self.0.format, notice) {
            (Format::Json, Notice::Started { slot, attempt, request }) => {
                event(&JsonEvent::Started { slot, attempt: *attempt, request });
            }
            (Format::Json, Notice::Finished { slot, finished, substituted, .. }) => {
                event(&JsonEvent::Finished { slot, substituted: *substituted, finished });
            }
            (Format::Json, Notice::Heard { slot, text }) => event(&JsonEvent::Heard { slot, text }),
            (Format::Text | Format::Talk, Notice::Heard { slot, text }) => self.0.live.hear(slot, text),
            (Format::Json, Notice::Failed { slot, failed, .. }) => event(&JsonEvent::Failed { slot, failed }),
            (Format::Text | Format::Talk, Notice::Started { slot, request, .. }) => {
                self.0.live.begin(slot, short_headline(slot, request), self.doing(request));
            }
            (Format::Text | Format::Talk, Notice::Failed { slot, request, failed }) => {
                self.show_failed(slot, request, failed);
            }
            (Format::Text | Format::Talk, Notice::Finished { slot, request, finished, substituted }) => {
                self.show_finished(slot, request, finished, *substituted);
            }
        }
    }

    /// A line that is there until it is cleared, with the time since.
    pub(super) fn live_line(&self, message: String) -> ProgressBar {
        self.0.live.line(message)
    }

    /// Whether an effect works, or waits for somebody or something.
    fn doing(&self, request: &Request) -> Doing {
        match request {
            Request::Approval(_) => Doing::Waits,
            Request::Tool(ask) if self.waiting_tools().contains(&ask.name) => Doing::Waits,
            Request::Tool(_) | Request::Model(_) | Request::Api(_) | Request::Run(_) => Doing::Works,
        }
    }

    fn show_failed(&self, slot: &Slot, request: &Request, failed: &Failed) {
        self.0.live.end(slot);
        let mark = if failed.gave_up {
            Style::new().for_stderr().red().apply_to("✗")
        } else {
            Style::new().for_stderr().yellow().apply_to("↻")
        };
        let line =
            format!("  {mark} {} → {}", short_headline(slot, request), short_result(&failed.outcome).1);
        let line = console::truncate_str(&line, self.0.live.width().saturating_sub(40), "…").into_owned();
        let (time, wait) = (duration(failed.usage.wall_us), duration(failed.retry_ms.saturating_mul(1000)));
        let next = if failed.gave_up { "given up".to_owned() } else { format!("again in {wait}") };
        self.say(&format!("{line}  {time}, attempt {}; {next}", failed.attempt));
    }

    fn show_finished(&self, slot: &Slot, request: &Request, finished: &Finished, substituted: bool) {
        self.0.live.end(slot);
        self.0.substituted.fetch_add(u64::from(substituted), Ordering::Relaxed);
        let (good, result) = short_result(&finished.outcome);
        let mark = match (substituted, good) {
            (true, _) => Style::new().for_stderr().cyan().apply_to("="),
            (false, true) => Style::new().for_stderr().green().apply_to("✓"),
            (false, false) => Style::new().for_stderr().red().apply_to("✗"),
        };
        let time = match (substituted, self.doing(request)) {
            (true, _) => "recorded".to_owned(),
            (false, Doing::Works) => duration(finished.usage.wall_us),
            (false, Doing::Waits) => format!("waited {}", duration(finished.usage.wall_us)),
        };
        let line = format!("  {mark} {} → {result}", short_headline(slot, request));
        let room = self.0.live.width().saturating_sub(time.chars().count() + 3);
        self.say(&format!("{}  {time}", console::truncate_str(&line, room, "…")));
        for line in finished.trace.log.iter().filter(|_| !substituted) {
            self.say(&format!("      {} | {}", line.from, line.text));
        }
        for denied in finished.trace.denials.iter().filter(|_| !substituted) {
            let lines = denial(denied, Channel::Stderr);
            let (what, grant) = lines.split_at(1);
            for line in what {
                self.say(&format!("      {line}"));
            }
            // These are copied into agent.toml.
            for line in grant {
                self.say_as_it_is(&format!("      {line}"));
            }
        }
    }

    fn waiting_tools(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.waiting_tools.lock()
    }
}

/// The tools of an agent, and of those that it calls, whose calls wait for a person or a moment.
fn waiting_tools(manifest: &Manifest, names: &mut BTreeSet<String>) {
    for tool in &manifest.tools {
        if tool.builtin.is_some() {
            names.insert(tool.spec.name.clone());
        }
        tool.agent.iter().for_each(|agent| waiting_tools(agent, names));
    }
}

/// The command that goes on with a run.
fn resume(run: RunId) -> String {
    unbroken(&format!("host resume {run}"))
}

/// Prints what happens. What cannot be written does not stop the run.
fn event(event: &JsonEvent<'_>) {
    let _ = delivered(event);
}

fn delivered(event: &JsonEvent<'_>) -> io::Result<()> {
    deliver(&json_line(&serde_json::to_string(event)?).0)
}
