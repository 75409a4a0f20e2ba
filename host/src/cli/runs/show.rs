//! `host runs show`: one run, slot by slot: what was asked for, what came of it, and how long it took.

use std::collections::{BTreeMap, BTreeSet};

use console::Term;
use serde::Serialize;

use super::bars;
use crate::cli::exit::Exit;
use crate::cli::layout::{LongWord, laid_out, width_of};
use crate::cli::moment::{Moment, duration};
use crate::cli::words::{self, Channel, counted, denial, headline, one_line, result, set_in};
use crate::cli::{print, print_json};
use crate::engine::timeline::{Recorded, Timeline};
use crate::engine::waiting;
use crate::journal::{
    CutOff, Entry, Failed, Finished, Revival, RunState, Started, Status, Stint, broke_off, cut_off, ending,
    is_over, revivals, statuses, stints,
};
use crate::message::{Fork, HttpRecord, Outcome, PricedModel, Request, RunId, Said, Slot, Trace, Usage};
use crate::session::{SessionError, Wants};

/// Everything recorded at one slot.
#[derive(Serialize)]
struct SlotReport {
    slot: Slot,
    #[serde(flatten)]
    started: Started,
    /// The attempts that failed and were followed by another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Failed>,
    finished: Option<Finished>,
    /// Of the run: how it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<RunState>,
    /// Of the run: the processes that worked on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Vec<Stint>,
    /// Of the run: how often it was cancelled and went on all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revivals: Vec<Revival>,
    /// The attempts that ended with their process and were followed by another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cut_off: Vec<CutOff>,
    /// Whether it was stopped with the call that it is below.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stopped: bool,
    /// Whether it waits for a person or a moment.
    #[serde(skip)]
    waits: bool,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// What is recorded, as JSON.
    Json,
    /// Its bars alone.
    Timeline,
    /// Slot by slot; on a terminal with the bars before.
    Text {
        /// With what the tools logged.
        log: bool,
    },
}

pub(super) fn show((id, entries, state): (RunId, Vec<Entry>, RunState), form: Form) -> anyhow::Result<Exit> {
    let drawn = match form {
        Form::Json => None,
        Form::Timeline => Some(drawn(id, &entries, state)?),
        // Nobody reads bars in a file.
        Form::Text { .. } => Term::stdout().is_term().then(|| drawn(id, &entries, state)).transpose()?,
    };
    // It may have ended since it was looked at how it stands.
    let state = ending(&entries).map_or(state, RunState::from);
    let (stints, revivals, mut cut_off) = (stints(&entries), revivals(&entries), cut_off(&entries));
    let waiting = waiting(entries.clone())?.into_iter().filter(|it| it.wants != Wants::Settlement);
    let waiting: BTreeSet<Slot> = waiting.map(|it| it.slot).collect();
    let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let broken = broke_off(&slots).filter(|_| state == RunState::Failed);
    let broken = broken.map(|(slot, failed)| format!("{slot}: {}", result(&failed.outcome).1));
    let mut report = |(slot, status): (&Slot, &Status)| {
        let (started, failures, finished) = match status.clone() {
            Status::Absent => return None,
            Status::Started { started, failures } | Status::Failed { started, failures } => {
                (started, failures, None)
            }
            Status::Finished { started, failures, finished } => (started, failures, Some(finished)),
        };
        let stopped = finished.is_none() && is_over(slot, &slots);
        let is_run = *slot == Slot::RUN;
        let processes = if is_run { stints.clone() } else { Vec::new() };
        let revivals = if is_run { revivals.clone() } else { Vec::new() };
        let cut_off = cut_off.remove(slot).unwrap_or_default();
        let state = is_run.then_some(state);
        let (slot, waits) = (slot.clone(), waiting.contains(slot));
        Some(SlotReport {
            slot,
            started,
            failures,
            finished,
            state,
            processes,
            revivals,
            cut_off,
            stopped,
            waits,
        })
    };
    let reports: Vec<SlotReport> = slots.iter().filter_map(&mut report).collect();
    match form {
        Form::Json => print_json(&reports)?,
        Form::Timeline => print(&drawn.unwrap_or_default())?,
        Form::Text { log } => {
            let (head, effects) = show_text(id, &reports, broken.as_deref(), log);
            let drawn = drawn.map(|drawn| format!("{drawn}\n\n")).unwrap_or_default();
            print(&format!("{head}\n{drawn}{effects}"))?;
        }
    }
    Ok(Exit::Ok)
}

/// The bars of a run, as wide as the terminal.
fn drawn(id: RunId, entries: &[Entry], state: RunState) -> anyhow::Result<String> {
    let width = bars::width(&Term::stdout());
    let lines = timeline_of(id, entries, state, |timeline| bars::bars(&timeline, width).join("\n"))?;
    Ok(lines.unwrap_or_default())
}

/// What is made of the timeline of a run; none if it has not begun.
pub(super) fn timeline_of<T>(
    run: RunId,
    entries: &[Entry],
    state: RunState,
    made: impl FnOnce(Timeline<'_>) -> T,
) -> Result<Option<T>, SessionError> {
    let (waiting, going) = (waiting(entries.to_vec())?, BTreeMap::new());
    let recorded =
        Recorded { run, entries, state, waiting: &waiting, going: &going, now_ms: Moment::now().0 };
    Ok(Timeline::of(recorded).map(made))
}

/// The column at which the values of a run stand, and that at which what happened does.
const VALUES: usize = 9;
const EFFECTS: usize = 14;

/// What a run is, and what happened in it.
fn show_text(id: RunId, reports: &[SlotReport], broken: Option<&str>, log: bool) -> (String, String) {
    let state = reports.iter().find_map(|report| report.state).unwrap_or(RunState::Interrupted);
    let title = Channel::Stdout.style().bold().apply_to(format!("run {id}"));
    let mut lines = vec![title.to_string()];
    let mut effects = Vec::new();
    for report in reports {
        match &report.started.request {
            Request::Run(manifest) => {
                let from = lines.len();
                lines.push(format!(
                    "agent    {} ({})",
                    one_line(&manifest.agent),
                    one_line(&manifest.config)
                ));
                lines
                    .push(one_line(&format!("model    {}/{}", manifest.model.provider, manifest.model.name)));
                lines.extend(manifest.summary.as_ref().map(|PricedModel { model, .. }| {
                    one_line(&format!("summary  {}/{}", model.provider, model.name))
                }));
                lines.push(format!("started  {}", Moment(report.started.at_ms).to_the_second()));
                if let Some(session) = &manifest.session {
                    let after = match manifest.earlier.len() {
                        0 => "its first run".to_owned(),
                        count => format!("after {}", counted(count, "message")),
                    };
                    lines.push(format!("session  {session}, {after}"));
                }
                lines.push(format!("prompt   {}", set_in(&manifest.prompt, 9)));
                if let Some(Fork { run, turn }) = &manifest.forked {
                    lines.push(format!("forked   from {run} at turn {turn}"));
                }
                for Said { turn, text } in &manifest.said {
                    lines.push(format!("said     {} (before turn {turn})", set_in(text, 9)));
                }
                for Revival { cancelled, cancelled_ms, by, at_ms } in &report.revivals {
                    let at = Moment(*cancelled_ms).to_the_second();
                    lines.push(format!("stopped  {at}, {}", one_line(&cancelled.to_string())));
                    let by = by.as_ref().map_or_else(String::new, |by| format!(", revived by {by}"));
                    lines.push(format!("again    {}{}", Moment(*at_ms).to_the_second(), one_line(&by)));
                }
                lines.push(format!("ended    {}", report.ending(state, broken)));
                let used = report.finished.as_ref().and_then(|finished| finished.usage.used);
                lines.extend(used.map(|used| format!("used     {}", words::used(&used))));
                lines[from..].iter_mut().for_each(|line| *line = value_line(line));
                lines.push(String::new());
            }
            Request::Model(_) | Request::Api(_) | Request::Tool(_) | Request::Approval(_) => {
                report.lines(state, log, &mut effects);
            }
        }
    }
    (lines.join("\n"), effects.join("\n"))
}

/// The lines of a value, with its label in a colour of its own.
fn value_line(text: &str) -> String {
    let width = width_of(&Term::stdout());
    let lines = text.lines().map(|line| laid_out(line, width, VALUES, LongWord::Broken));
    let lines: Vec<String> = lines.collect();
    let text = lines.join("\n");
    match text.split_at_checked(VALUES) {
        Some((label, value)) => format!("{}{value}", Channel::Stdout.style().cyan().apply_to(label)),
        None => text,
    }
}

/// A line of what happened.
fn effect_line(line: &str) -> String {
    laid_out(line, width_of(&Term::stdout()), EFFECTS, LongWord::Broken)
}

/// The mark of what came of something.
fn mark(mark: &str) -> String {
    let style = Channel::Stdout.style();
    let style = match mark {
        "✓" => style.green(),
        "✗" => style.red(),
        _ => style.yellow(),
    };
    style.apply_to(mark).to_string()
}

impl SlotReport {
    /// How the run ended, or how it stands: the time is that of all processes that worked on it.
    fn ending(&self, state: RunState, broken: Option<&str>) -> String {
        match (&self.finished, broken) {
            (None, Some(why)) => {
                format!("not yet: ✗ failed at {why}; when that is mended, `host resume` goes on with it")
            }
            (None, None) if state == RunState::Running => "not yet: a process works on it".to_owned(),
            (None, None) => {
                format!("not yet: {}; `host resume` goes on with it", state.word())
            }
            (Some(Finished { outcome: outcome @ Outcome::Run(_), .. }), _) => {
                let worked_ms = self.processes.iter().map(|stint| stint.ms()).sum::<u64>();
                let processes = match self.processes.len() {
                    0 | 1 => String::new(),
                    count => format!(" in {count} processes"),
                };
                let time = duration(worked_ms.saturating_mul(1000));
                format!("after {time}{processes}: {}", result(outcome).1)
            }
            (
                Some(Finished {
                    outcome: Outcome::Model(_) | Outcome::NoReply(_) | Outcome::Tool(_) | Outcome::Decision(_),
                    ..
                }),
                _,
            ) => "with a result of another kind".to_owned(),
        }
    }

    /// The attempts at a slot, each with what it came to.
    fn lines(&self, state: RunState, log: bool, lines: &mut Vec<String>) {
        let from = lines.len();
        self.attempts(state, log, lines);
        lines[from..].iter_mut().for_each(|line| *line = effect_line(line));
    }

    fn attempts(&self, state: RunState, log: bool, lines: &mut Vec<String>) {
        let Self { slot, started, failures, finished, cut_off, stopped, waits, .. } = self;
        let headline = headline(slot, &started.request);
        let mut cut_off = cut_off.iter().peekable();
        for Failed { attempt, retry_ms, gave_up, outcome, usage, trace, .. } in failures {
            while let Some(CutOff { attempt, .. }) = cut_off.next_if(|cut| cut.attempt < *attempt) {
                lines.extend(ended_with_process(&headline, &format!(" (attempt {attempt})")));
            }
            let (time, mark) = (duration(usage.wall_us), mark(if *gave_up { "✗" } else { "↻" }));
            lines.push(format!("{mark} {time:>10}  {headline} (attempt {attempt})"));
            let again = duration(retry_ms.saturating_mul(1000));
            let next = if *gave_up { "given up".to_owned() } else { format!("again after {again}") };
            lines.push(format!("              → {}; {next}", result(outcome).1));
            lines.extend(noted(usage, trace, log));
        }
        for CutOff { attempt, .. } in cut_off {
            lines.extend(ended_with_process(&headline, &format!(" (attempt {attempt})")));
        }
        let attempt =
            if started.attempt > 1 { format!(" (attempt {})", started.attempt) } else { String::new() };
        let Some(Finished { outcome, usage, trace, settled, by, .. }) = finished else {
            if *stopped {
                lines.push(format!("{} {:>10}  {headline}{attempt}", mark("✗"), "stopped"));
                lines.push("              → its caller ended first; no result was recorded".to_owned());
            } else if failures.last().is_some_and(|failed| failed.attempt >= started.attempt) {
                return;
            } else if state == RunState::Cancelled {
                lines.push(format!("{} {:>10}  {headline}{attempt}", mark("✗"), "stopped"));
                lines.push("              → the run was cancelled first; no result was recorded".to_owned());
            } else if *waits {
                lines.push(format!("{} {:>10}  {headline}{attempt}", mark("⧖"), "waits"));
                lines.push("              → nobody has decided yet, or the moment has not come".to_owned());
            } else if state == RunState::Running {
                lines.push(format!("{} {:>10}  {headline}{attempt}", mark("…"), "goes on"));
            } else if matches!(started.request, Request::Model(_)) {
                lines.extend(ended_with_process(&headline, &attempt));
            } else {
                lines.push(format!("{} {:>10}  {headline}{attempt}", mark("?"), "in doubt"));
                lines.push("              → no result was recorded".to_owned());
            }
            return;
        };
        let (good, result) = result(outcome);
        let mark = mark(if good { "✓" } else { "✗" });
        let settled = match by {
            Some(by) if *settled => format!(" (settled by {})", one_line(&by.to_string())),
            Some(by) => format!(" (by {})", one_line(&by.to_string())),
            None if *settled => " (settled by a person)".to_owned(),
            None => String::new(),
        };
        lines.push(format!("{mark} {:>10}  {headline}{attempt}{settled}", duration(usage.wall_us)));
        lines.push(format!("              → {result}"));
        lines.extend(noted(usage, trace, log));
    }
}

/// An attempt that ended with its process: a request was cancelled, and what became of a call is not known.
fn ended_with_process(headline: &str, attempt: &str) -> [String; 2] {
    [
        format!("{} {:>10}  {headline}{attempt}", mark("✗"), "stopped"),
        "              → its process ended first; no result was recorded".to_owned(),
    ]
}

/// What an attempt consumed, requested and was denied, and what it logged.
fn noted(usage: &Usage, trace: &Trace, log: bool) -> Vec<String> {
    let indented = |line: String| format!("              {line}");
    let said =
        trace.log.iter().filter(|_| log).map(|line| one_line(&format!("{} | {}", line.from, line.text)));
    let used = usage.used.map(|used| format!("used {}", words::used(&used)));
    consumed(usage)
        .into_iter()
        .chain(used)
        .chain(trace.http.iter().map(request))
        .chain(trace.denials.iter().flat_map(|it| denial(it, Channel::Stdout)))
        .chain(said)
        .map(indented)
        .collect()
}

/// What a call consumed; nothing is said of what a model request did.
fn consumed(usage: &Usage) -> Option<String> {
    let Usage { wall_us: _, cpu_us, memory_bytes, fuel, in_bytes, out_bytes, used: _ } = usage;
    let bytes = |n: &u64| indicatif::BinaryBytes(*n);
    let fuel = if *fuel > 0 { format!(", fuel {fuel}") } else { String::new() };
    (*memory_bytes > 0).then(|| {
        format!(
            "cpu {}, memory {}, in {}, out {}{fuel}",
            duration(*cpu_us),
            bytes(memory_bytes),
            bytes(in_bytes),
            bytes(out_bytes)
        )
    })
}

/// One request, in one line.
fn request(record: &HttpRecord) -> String {
    let HttpRecord { method, url, address, status, error, sent_bytes, received_bytes, ms } = record;
    let to = address.as_ref().map_or(String::new(), |address| format!(" at {address}"));
    let came = match (status, error) {
        (Some(status), None) => status.to_string(),
        (Some(status), Some(error)) => format!("{status}, then {error}"),
        (None, Some(error)) => error.clone(),
        (None, None) => "no response".to_owned(),
    };
    one_line(&format!(
        "{method} {url}{to} → {came}  sent {sent_bytes} B, received {received_bytes} B, {ms} ms"
    ))
}
