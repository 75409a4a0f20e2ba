use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use console::{Style, Term};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::exit::Exit;
use super::moment::milliseconds;
use super::output::OutputFile;
use super::streams::{self, deliver, say_in_line};
use super::typed::Typed;
use super::waiting::{self, Shown};
use super::words::{self, counted, denial, headline, one_line, result};
use crate::journal::{Failed, Finished};
use crate::message::{Ending, Manifest, Request, RunId, Slot, Used, clean, json_line};
use crate::session::{Notice, Waiting, Watch};

/// Width of a line where there is no terminal to ask.
const WIDTH_WITHOUT_TERMINAL: usize = 160;

/// How often the elapsed time of running calls is drawn.
const REDRAW: Duration = Duration::from_millis(100);

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
    live: MultiProgress,
    term: Term,
    running: Mutex<HashMap<Slot, ProgressBar>>,
    /// What is said while the person is asked something, which it would be written into the middle of.
    held: Mutex<Option<Vec<String>>>,
    typed: Typed,
    substituted: AtomicU64,
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
    RunFailed { run: RunId, error: String, exit_code: u8 },
    RunEnded { run: RunId, ending: &'a Ending, used: Option<&'a Used>, exit_code: u8 },
}

impl Screen {
    pub(super) fn new(format: Format) -> Self {
        Self::answering_to(format, None)
    }

    /// A screen of a run whose answer goes to a file.
    pub(super) fn answering_to(format: Format, answer_to: Option<OutputFile>) -> Self {
        let term = Term::stderr();
        let visible = format == Format::Text && term.is_term();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self(Arc::new(Inner {
            format,
            answer_to,
            live: MultiProgress::with_draw_target(target),
            term,
            running: Mutex::default(),
            held: Mutex::default(),
            typed: Typed::default(),
            substituted: AtomicU64::new(0),
        }))
    }

    /// One line for the person, above whatever is drawn live; after the answer, where the person is being asked.
    pub(super) fn say(&self, line: &str) {
        if let Some(held) = &mut *self.held() {
            held.push(line.to_owned());
        } else if self.0.live.is_hidden() {
            streams::say(line);
        } else {
            // A terminal that went away is no reason to stop.
            let _ = self.0.live.println(line);
        }
    }

    /// What the session tells while the run goes on.
    pub(super) fn watch(&self) -> Watch {
        let screen = self.clone();
        Box::new(move |notice| screen.notice(notice))
    }

    pub(super) fn run_started(&self, run: RunId, manifest: &Manifest) {
        match self.0.format {
            Format::Json => event(&JsonEvent::RunStarted { run, manifest }),
            Format::Text => {
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
            (Format::Text, Ending::Unfit { answer, why }) => {
                self.say(&format!("the model's answer is of no use, and it was told once: {}", clean(why)));
                self.say(&format!("it said: {}", clean(answer)));
            }
            (Format::Text, Ending::Empty(why)) => self.say(&format!("there is no answer: {}", clean(why))),
            (Format::Text, Ending::Refused(text)) => self.say(&format!("the model refused: {}", clean(text))),
            (Format::Text, Ending::Limit(text)) => self.say(&format!("stopped by a limit: {}", clean(text))),
        }
        if let (Format::Text, Some(used)) = (self.0.format, used) {
            self.say(&format!("used: {}", words::used(used)));
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
            Format::Text => self.say(&format!("interrupted; go on with: host resume {run}")),
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
        }
    }

    /// Whether it is people who read this.
    pub(super) fn is_for_people(&self) -> bool {
        !self.0.live.is_hidden()
    }

    /// Asks the person at the terminal, while the run goes on; none if there is no answer to be had. Dropping the future
    /// takes the question back.
    pub(super) async fn ask(&self, text: &str, question: &str) -> Option<String> {
        // What is drawn live would overwrite what is being typed. A terminal that went away asks nobody.
        let _ = self.0.live.clear();
        self.0.live.set_draw_target(ProgressDrawTarget::hidden());
        *self.held() = Some(Vec::new());
        let _asking = Asking(self);
        let between = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        say_in_line(format_args!("{text}{between}{question}"));
        self.0.typed.line().await
    }

    /// Goes on to say and to draw what was held back while the person was asked, if anything is.
    fn asked(&self) {
        let Some(held) = self.held().take() else { return };
        self.0.live.set_draw_target(ProgressDrawTarget::stderr());
        for line in held {
            self.say(&line);
        }
    }

    /// Says that a run broke off and can be resumed; the error itself is printed by the caller.
    pub(super) fn failed(&self, run: RunId, error: &anyhow::Error) {
        self.clear();
        match self.0.format {
            Format::Json => {
                let exit_code = Exit::of_error(error) as u8;
                event(&JsonEvent::RunFailed { run, error: format!("{error:#}"), exit_code });
            }
            Format::Text => {
                let mark = Style::new().for_stderr().red().apply_to("✗");
                self.say(&format!("{mark} the run broke off; when the cause is mended: host resume {run}"));
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
        if self.held().is_some() {
            // The question stands in the line without an answer.
            streams::say("");
            self.asked();
        }
        for (_, bar) in self.running().drain() {
            bar.finish_and_clear();
        }
    }

    fn notice(&self, notice: &Notice<'_>) {
        match (self.0.format, notice) {
            (Format::Json, Notice::Started { slot, attempt, request }) => {
                event(&JsonEvent::Started { slot, attempt: *attempt, request });
            }
            (Format::Json, Notice::Finished { slot, finished, substituted, .. }) => {
                event(&JsonEvent::Finished { slot, substituted: *substituted, finished });
            }
            (Format::Json, Notice::Heard { slot, text }) => event(&JsonEvent::Heard { slot, text }),
            (Format::Text, Notice::Heard { slot, text }) => self.show_heard(slot, text),
            (Format::Json, Notice::Failed { slot, failed, .. }) => event(&JsonEvent::Failed { slot, failed }),
            (Format::Text, Notice::Started { slot, request, .. }) => self.show_running(slot, request),
            (Format::Text, Notice::Failed { slot, request, failed }) => {
                self.show_failed(slot, request, failed);
            }
            (Format::Text, Notice::Finished { slot, request, finished, substituted }) => {
                self.show_finished(slot, request, finished, *substituted);
            }
        }
    }

    /// Draws a live line with the elapsed time.
    fn show_running(&self, slot: &Slot, request: &Request) {
        if self.0.live.is_hidden() {
            return;
        }
        let bar = self.live_line(headline(slot, request));
        self.running().insert(slot.clone(), bar);
    }

    /// A line that is there until it is cleared, with the time since.
    pub(super) fn live_line(&self, message: String) -> ProgressBar {
        let bar = self.0.live.add(ProgressBar::new_spinner());
        // The template is a constant; the default style only looks plainer.
        let style = ProgressStyle::with_template("  {spinner} {wide_msg} {elapsed:>5}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(message);
        bar.enable_steady_tick(REDRAW);
        bar
    }

    /// Shows the end of what is heard so far on the live line.
    fn show_heard(&self, slot: &Slot, text: &str) {
        if let Some(bar) = self.running().get(slot) {
            let heard: Vec<char> = format!("{} {}", bar.message(), one_line(text)).chars().collect();
            let from = heard.len().saturating_sub(self.width());
            bar.set_message(heard.into_iter().skip(from).collect::<String>());
        }
    }

    fn show_failed(&self, slot: &Slot, request: &Request, failed: &Failed) {
        if let Some(bar) = self.running().remove(slot) {
            bar.finish_and_clear();
        }
        let mark = if failed.gave_up {
            Style::new().for_stderr().red().apply_to("✗")
        } else {
            Style::new().for_stderr().yellow().apply_to("↻")
        };
        let line = format!("  {mark} {} → {}", headline(slot, request), result(&failed.outcome).1);
        let line = console::truncate_str(&line, self.width().saturating_sub(40), "…").into_owned();
        let (time, wait) =
            (milliseconds(failed.usage.wall_us), milliseconds(failed.retry_ms.saturating_mul(1000)));
        let next = if failed.gave_up { "given up".to_owned() } else { format!("again in {wait}") };
        self.say(&format!("{line}  {time}, attempt {}; {next}", failed.attempt));
    }

    fn show_finished(&self, slot: &Slot, request: &Request, finished: &Finished, substituted: bool) {
        if let Some(bar) = self.running().remove(slot) {
            bar.finish_and_clear();
        }
        self.0.substituted.fetch_add(u64::from(substituted), Ordering::Relaxed);
        let (good, result) = result(&finished.outcome);
        let mark = match (substituted, good) {
            (true, _) => Style::new().for_stderr().cyan().apply_to("="),
            (false, true) => Style::new().for_stderr().green().apply_to("✓"),
            (false, false) => Style::new().for_stderr().red().apply_to("✗"),
        };
        let time = if substituted { "recorded".to_owned() } else { milliseconds(finished.usage.wall_us) };
        let line = format!("  {mark} {} → {result}", headline(slot, request));
        self.say(&format!("{}  {time}", console::truncate_str(&line, self.width().saturating_sub(12), "…")));
        for line in finished.trace.log.iter().filter(|_| !substituted) {
            self.say(&format!("      {} | {}", line.from, line.text));
        }
        for line in finished.trace.denials.iter().filter(|_| !substituted).flat_map(denial) {
            self.say(&format!("      {line}"));
        }
    }

    fn width(&self) -> usize {
        if self.0.live.is_hidden() { WIDTH_WITHOUT_TERMINAL } else { usize::from(self.0.term.size().1) }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Vec<String>>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<Slot, ProgressBar>> {
        // Only live lines are in here; after a panic elsewhere they are as good as before.
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that the person is asked.
struct Asking<'a>(&'a Screen);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asked();
    }
}

/// Prints what happens. What cannot be written does not stop the run.
fn event(event: &JsonEvent<'_>) {
    let _ = delivered(event);
}

fn delivered(event: &JsonEvent<'_>) -> io::Result<()> {
    deliver(&json_line(&serde_json::to_string(event)?).0)
}
