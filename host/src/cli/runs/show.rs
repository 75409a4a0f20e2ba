//! `host runs show`: one run: what it is, how its spans lie in time, and what was asked for and came of it.

use console::Term;

use super::bars;
use super::effects::effects;
use super::report::print_report;
use crate::cli::exit::Exit;
use crate::cli::layout::{LongWord, laid_out, width_of};
use crate::cli::moment::{Moment, duration};
use crate::cli::paged::page;
use crate::cli::recorded::Read;
use crate::cli::words::{self, Channel, counted, one_line, result, set_in};
use crate::engine::timeline::{Followed, Timeline};
use crate::journal::{Revival, RunState};
use crate::message::{Fork, Manifest, PricedModel, RunId, Said};

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

pub(super) fn show((id, entries, state): Read, form: Form) -> anyhow::Result<Exit> {
    if form == Form::Json {
        print_report(entries, state)?;
        return Ok(Exit::Ok);
    }
    let read = Followed::recorded(id, entries, state)?;
    let shown = match (read.timeline(Moment::now().0), form) {
        (Ok(timeline), Form::Text { log }) => text(&timeline, log),
        (Ok(timeline), Form::Json | Form::Timeline) => drawn(&timeline),
        (Err(_), _) => format!("{}\nit has not begun", title(id)),
    };
    page(&shown)?;
    Ok(Exit::Ok)
}

/// The bars of a run, as wide as the terminal.
fn drawn(timeline: &Timeline<'_>) -> String {
    bars::bars(timeline, bars::width(&Term::stdout())).join("\n")
}

/// The column at which the values of a run stand.
const VALUES: usize = 9;

/// What a run is, and what happened in it.
fn text(timeline: &Timeline<'_>, log: bool) -> String {
    let head = head(timeline).join("\n");
    // Nobody reads bars in a file.
    let drawn = if Term::stdout().is_term() { format!("{}\n\n", drawn(timeline)) } else { String::new() };
    format!("{head}\n\n{drawn}{}", effects(timeline, log).join("\n"))
}

fn title(id: RunId) -> String {
    Channel::Stdout.style().bold().apply_to(format!("run {id}")).to_string()
}

/// What a run is.
fn head(timeline: &Timeline<'_>) -> Vec<String> {
    let Manifest { agent, config, model, summary, session, earlier, prompt, forked, said, .. } =
        timeline.manifest;
    let mut lines = vec![
        format!("agent    {} ({})", one_line(agent), one_line(config)),
        one_line(&format!("model    {}/{}", model.provider, model.name)),
    ];
    lines.extend(
        summary.as_ref().map(|PricedModel { model, .. }| {
            one_line(&format!("summary  {}/{}", model.provider, model.name))
        }),
    );
    let started_ms = timeline.stints.first().map_or(timeline.began_ms, |stint| stint.started_ms);
    lines.push(format!("started  {}", Moment(started_ms).to_the_second()));
    if let Some(session) = session {
        let after = match earlier.len() {
            0 => "its first run".to_owned(),
            count => format!("after {}", counted(count, "message")),
        };
        lines.push(format!("session  {session}, {after}"));
    }
    lines.push(format!("prompt   {}", set_in(prompt, VALUES)));
    if let Some(Fork { run, turn }) = forked {
        lines.push(format!("forked   from {run} at turn {turn}"));
    }
    for Said { turn, text } in said {
        lines.push(format!("said     {} (before turn {turn})", set_in(text, VALUES)));
    }
    for Revival { cancelled, cancelled_ms, by, at_ms } in &timeline.revivals {
        let at = Moment(*cancelled_ms).to_the_second();
        lines.push(format!("stopped  {at}, {}", one_line(&cancelled.to_string())));
        let by = by.as_ref().map_or_else(String::new, |by| format!(", revived by {by}"));
        lines.push(format!("again    {}{}", Moment(*at_ms).to_the_second(), one_line(&by)));
    }
    lines.push(format!("ended    {}", ended(timeline)));
    let used = timeline.finished.and_then(|finished| finished.usage.used);
    lines.extend(used.map(|used| format!("used     {}", words::used(&used))));
    std::iter::once(title(timeline.run)).chain(lines.iter().map(|line| value_line(line))).collect()
}

/// How the run ended, or how it stands: the time is that of all processes that worked on it.
fn ended(timeline: &Timeline<'_>) -> String {
    if let Some(finished) = timeline.finished {
        let worked_ms = timeline.stints.iter().map(|stint| stint.ms()).sum::<u64>();
        let processes = match timeline.stints.len() {
            0 | 1 => String::new(),
            count => format!(" in {count} processes"),
        };
        let time = duration(worked_ms.saturating_mul(1000));
        return format!("after {time}{processes}: {}", result(&finished.outcome).1);
    }
    let gave_up = timeline.gave_up().filter(|_| timeline.state == RunState::Failed);
    let outcome = gave_up.and_then(|span| Some((span.slot()?, span.attempts.last()?.outcome()?)));
    match (outcome, timeline.state) {
        (Some((slot, outcome)), _) => {
            let why = result(outcome).1;
            format!("not yet: ✗ failed at {slot}: {why}; when that is mended, `host resume` goes on with it")
        }
        (None, RunState::Running) => "not yet: a process works on it".to_owned(),
        (None, state) => format!("not yet: {}; `host resume` goes on with it", state.word()),
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::engine::timeline::hostile;

    #[test]
    fn whatever_is_recorded_of_a_run_is_text_on_a_terminal() {
        let run = hostile::run(hostile::TEXT);
        let timeline = run.timeline(0).unwrap();
        let shown = format!("{}\n{}", text(&timeline, true), drawn(&timeline));
        assert!(shown.contains("onerror=alert(1)"), "{shown}");
        let is_odd = |c: char| c != '\n' && (c.is_control() || crate::message::is_unseen(c));
        assert_eq!(shown.chars().find(|c| is_odd(*c)), None, "{shown:?}");
    }
}
