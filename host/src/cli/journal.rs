use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::exit::{Exit, Misuse};
use super::places::Places;
use super::words::counted;
use super::{print, say};
use crate::journal::{
    Compacted, Entry, JournalError, RunFile, RunSummary, Runs as _, RunsDir, SessionsDir, statuses,
};
use crate::message::{Moment, RunId};
use crate::session::SessionError;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read every record of a run, or of all runs, and check it.
    Verify {
        /// The run: its id, the beginning of it, or `last`; all runs if none is given.
        run: Option<String>,
    },
    /// Write a run as JSON lines: what was asked for and what came of it, slot by slot.
    Export {
        /// The run: its id, the beginning of it, or `last`.
        run: String,
        /// Where to write; stdout if not given.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take over a run that was exported or sealed elsewhere.
    Import {
        /// A file of JSON lines, gzipped or not.
        file: PathBuf,
    },
    /// Seal finished runs whose process died before it sealed them, and remove what it left behind.
    Compact,
    /// Remove finished runs, except those that a session goes on from: its last run, and the one before it.
    Gc {
        /// Keep those that began within this time, such as `30d`.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        keep: Option<Duration>,
        /// Keep this many, the newest.
        #[arg(long, value_name = "N")]
        keep_runs: Option<usize>,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let runs = places.runs()?;
    match args.command {
        Command::Verify { run } => verify(&runs, run.as_deref()),
        Command::Export { run, output } => export(&runs, &run, output),
        Command::Import { file } => {
            let run = RunFile::read(&file)?;
            check(run.entries.clone())?;
            runs.import(&run).await?;
            print(&run.summary.run.to_string())?;
            Ok(Exit::Ok)
        }
        Command::Compact => compact(&runs, &places.sessions()?),
        Command::Gc { keep, keep_runs, dry_run } => gc(&runs, &places.sessions()?, keep, keep_runs, dry_run),
    }
}

/// Reads a run and checks that its events follow each other; the number of slots and of events.
fn check(entries: Vec<Entry>) -> Result<(usize, usize), SessionError> {
    let events = entries.len();
    let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    Ok((slots.len(), events))
}

fn verify(runs: &RunsDir, run: Option<&str>) -> anyhow::Result<Exit> {
    let ids = match run {
        Some(name) => vec![runs.find(name)?],
        None => runs.ids()?,
    };
    let (mut good, mut bad) = (0, 0);
    for id in ids {
        match runs.read(id).map_err(SessionError::from).and_then(check) {
            Ok((slots, events)) => {
                good += 1;
                print(&format!("{id}  ok: {}, {}", counted(slots, "slot"), counted(events, "event")))?;
            }
            Err(error) => {
                bad += 1;
                print(&format!("{id}  DAMAGED: {error}"))?;
            }
        }
    }
    // What a damaged part of the journal holds that no process ended, nobody can say: it is counted as no run.
    let listed = if run.is_none() { runs.list()?.unreadable } else { Vec::new() };
    let mut is_whole = bad == 0;
    for (_, error) in listed.into_iter().filter(|(run, _)| run.is_none()) {
        is_whole = false;
        print(&format!("DAMAGED: {error}"))?;
    }
    say(format_args!("{}: {good} whole, {bad} damaged", counted(good + bad, "run")));
    Ok(if is_whole { Exit::Ok } else { Exit::Failure })
}

fn export(runs: &RunsDir, name: &str, output: Option<PathBuf>) -> anyhow::Result<Exit> {
    let id = runs.find(name)?;
    let summary = runs.summary(id)?.ok_or(JournalError::NotBegun { run: id })?;
    let run = RunFile::new(&summary, runs.read(id)?);
    super::runs::export(&run, false, output)
}

fn compact(runs: &RunsDir, sessions: &SessionsDir) -> anyhow::Result<Exit> {
    let Compacted { sealed, removed, failed } = runs.compact(sessions)?;
    for (run, error) in &failed {
        say(format_args!("run {run} stays as it is: {error}"));
    }
    let (sealed, removed) = (counted(sealed as usize, "run"), counted(removed as usize, "left-over"));
    say(format_args!("{sealed} sealed, {removed} removed"));
    Ok(if failed.is_empty() { Exit::Ok } else { Exit::Failure })
}

fn gc(
    runs: &RunsDir,
    sessions: &SessionsDir,
    keep: Option<Duration>,
    keep_runs: Option<usize>,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    if keep.is_none() && keep_runs.is_none() {
        return Err(
            Misuse("say what to keep: --keep TIME, such as `30d`, or --keep-runs N".to_owned()).into()
        );
    }
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let since_ms = keep.map(|keep| Moment::now().0.saturating_sub(ms(keep)));
    let ended: Vec<RunSummary> = runs.list()?.runs.into_iter().filter(|run| run.state.has_ended()).collect();
    let continued = gone_on_from(sessions, runs)?;
    let newest = ended.len().saturating_sub(keep_runs.unwrap_or(0));
    let old = |(place, run): &(usize, &RunSummary)| {
        // What either of the two keeps is kept.
        let kept = keep_runs.is_some() && *place >= newest;
        let kept = kept || continued.contains(&run.run);
        !kept && since_ms.is_none_or(|since_ms| run.started_ms < since_ms)
    };
    let gone: Vec<RunId> = ended.iter().enumerate().filter(old).map(|(_, run)| run.run).collect();
    let mut count = 0;
    let mut removal = runs.removal()?;
    for id in &gone {
        let removed = if dry_run { Ok(()) } else { removal.remove(*id) };
        if let Err(error @ (JournalError::GoneOnFrom { .. } | JournalError::SessionInUse { .. })) = &removed {
            // It can go another time.
            say(format_args!("{error}"));
            continue;
        }
        removed?;
        count += 1;
        print(&id.to_string())?;
    }
    let kept = ended.len() - count;
    let verb = if dry_run { "would be removed" } else { "removed" };
    say(format_args!("{count} ended runs {verb}, {kept} kept"));
    Ok(Exit::Ok)
}

/// The runs that conversations go on from: of each the last one that ended, what came after it, and the one before it,
/// from which it goes on when the last one is forgotten.
fn gone_on_from(sessions: &SessionsDir, runs: &RunsDir) -> Result<HashSet<RunId>, JournalError> {
    let mut kept = HashSet::new();
    for key in sessions.keys()? {
        let mut has_ended = false;
        for run in sessions.runs(&key)?.into_iter().rev() {
            // One that was killed before it began says nothing, and is passed over then.
            if matches!(runs.has_begun(run), Ok(false)) {
                continue;
            }
            kept.insert(run);
            if has_ended {
                break;
            }
            // Of one that cannot be read it is not known; it is kept, and so is the one before.
            has_ended = runs.summary(run).is_ok_and(|summary| summary.is_some_and(|it| it.state.has_ended()));
        }
    }
    Ok(kept)
}
