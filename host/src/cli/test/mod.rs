//! `host test`: an agent's cases, each a run of its own with a scripted model, and what differs from what is
//! expected. Nothing of it is recorded among the runs.

mod junit;
mod trial;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use console::Style;
use futures::StreamExt as _;
use serde::Serialize;

use super::exit::{Exit, Misuse};
use super::front::Shown;
use super::moment::duration;
use super::places::Places;
use super::plain::Plain;
use super::screen::{Format, Screen};
use super::{AgentArg, exit, print, print_json};
use crate::cases::{self, Case, OutsideEffects, Seen};
use crate::config::Config;
use crate::engine::{Purpose, Secrets};
use crate::journal::RunFile;
use crate::message::clean;
use crate::toolbox::Toolbox;
use trial::Bench;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    /// Where the cases are [default: the folder `tests` beside AGENT.TOML]
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Only cases with this text in their names.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write the results into a file, as `JUnit` XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the run of each case that failed into a folder, for `host runs show FILE`.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Call tools even if they are granted what others could notice: their calls take effect. One case runs
    /// at a time then.
    #[arg(long)]
    allow_effects: bool,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

/// What came of all cases.
#[derive(Serialize)]
struct Report<'a> {
    agent: &'a str,
    passed: usize,
    failed: usize,
    cases: &'a [Verdict],
}

/// What came of a case.
#[derive(Serialize)]
struct Verdict {
    name: String,
    file: PathBuf,
    wall_us: u64,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// What the run did, as far as it came to an end.
    #[serde(flatten)]
    seen: Option<Seen>,
    /// What is recorded of it.
    #[serde(skip)]
    run: Option<RunFile>,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::of(args.json));
    let config = Config::load(&args.agent.agent)?;
    let files = files(&args, &config)?;
    let effects = if args.allow_effects { OutsideEffects::Allowed } else { OutsideEffects::Refused };
    let secrets = match effects {
        OutsideEffects::Allowed => Secrets::Needed,
        OutsideEffects::Refused => Secrets::LeftOut,
    };
    let shown = Shown::on(&screen, places.verbose);
    let loaded = places.engine(None)?.load(config.clone(), Purpose::Tools(secrets), &shown).await;
    let toolbox = Arc::clone(loaded.map_err(Plain::plain)?.toolbox());
    let Some(cases) = load(&files, &config, &toolbox) else { return Ok(Exit::Usage) };
    let agent = config.agent.name.clone();
    let bench = Arc::new(Bench { config, toolbox, effects });
    let verdicts = try_all(&bench, cases, args.json).await?;
    let exit = conclude(&agent, &verdicts, args.json)?;
    if let Some(file) = &args.junit {
        let xml = junit::report(&agent, &verdicts)?;
        std::fs::write(file, xml).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(folder) = &args.keep {
        keep(&verdicts, folder).with_context(|| format!("cannot write into {}", folder.display()))?;
    }
    Ok(exit)
}

/// The files of the cases that are asked for. None at all is no success.
fn files(args: &Args, config: &Config) -> anyhow::Result<Vec<PathBuf>> {
    let beside = || config.path.parent().unwrap_or(Path::new("")).join("tests");
    let folder = args.cases.clone().unwrap_or_else(beside);
    let how = "a case is a file NAME.toml in it, of the form that `host schema --cases` prints";
    let mut files = cases::find(&folder)
        .map_err(|error| Misuse(format!("no cases in {}: {error}\n  {how}", folder.display())))?;
    if files.is_empty() {
        return Err(Misuse(format!("there are no cases in {}\n  {how}", folder.display())).into());
    }
    if let Some(text) = &args.filter {
        let names: Vec<String> = files.iter().map(|file| cases::name(file)).collect();
        files.retain(|file| cases::name(file).contains(text.as_str()));
        if files.is_empty() {
            let there = names.join(", ");
            return Err(Misuse(format!("no case has `{text}` in its name; there are: {there}")).into());
        }
    }
    Ok(files)
}

/// Reads all cases; none if one of them is wrong, which has been said then.
fn load(files: &[PathBuf], config: &Config, toolbox: &Toolbox) -> Option<Vec<Case>> {
    let tools: Vec<&str> = toolbox.entries().iter().map(|tool| tool.spec.name.as_str()).collect();
    let prompt = config.agent.prompt.as_deref();
    let (cases, wrong): (Vec<_>, Vec<_>) =
        files.iter().map(|file| Case::load(file, prompt, &tools)).partition(Result::is_ok);
    for error in wrong.into_iter().filter_map(Result::err) {
        exit::report(&error.into());
    }
    let all = cases.len() == files.len();
    all.then(|| cases.into_iter().flatten().collect())
}

/// Tries all cases, some at once, and says of each what came of it, in their order.
async fn try_all(bench: &Arc<Bench>, cases: Vec<Case>, json: bool) -> anyhow::Result<Vec<Verdict>> {
    let at_once = match bench.effects {
        // What one case changes outside, another one may see.
        OutsideEffects::Allowed => 1,
        OutsideEffects::Refused => std::thread::available_parallelism()?.get(),
    };
    let width = cases.iter().map(|case| case.name.chars().count()).max().unwrap_or_default();
    let trials = cases.into_iter().map(|case| tokio::spawn(Arc::clone(bench).verdict(case)));
    let mut trials = futures::stream::iter(trials).buffered(at_once);
    let mut verdicts = Vec::new();
    while let Some(verdict) = trials.next().await {
        let verdict = verdict?;
        if !json {
            verdict.say(width)?;
        }
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

impl Verdict {
    fn say(&self, width: usize) -> anyhow::Result<()> {
        let mark = match self.failure {
            None => Style::new().green().apply_to("ok    "),
            Some(_) => Style::new().red().apply_to("FAILED"),
        };
        print(&format!("{mark}  {:width$}  {:>10}", self.name, duration(self.wall_us)))
    }
}

/// Writes the runs of the cases that failed, each into a file of its case's name.
fn keep(verdicts: &[Verdict], folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for verdict in verdicts.iter().filter(|verdict| verdict.failure.is_some()) {
        if let Some(run) = &verdict.run {
            run.write(&mut File::create(folder.join(format!("{}.jsonl", verdict.name)))?)?;
        }
    }
    Ok(())
}

fn conclude(agent: &str, verdicts: &[Verdict], json: bool) -> anyhow::Result<Exit> {
    let failed = verdicts.iter().filter(|verdict| verdict.failure.is_some()).count();
    let passed = verdicts.len() - failed;
    if json {
        print_json(&Report { agent, passed, failed, cases: verdicts })?;
    } else {
        for (verdict, failure) in verdicts.iter().filter_map(|it| Some((it, it.failure.as_ref()?))) {
            print(&format!(
                "\n{} ({})\n{}",
                verdict.name,
                verdict.file.display(),
                clean(failure.trim_end())
            ))?;
        }
        print(&format!("\n{passed} passed, {failed} failed"))?;
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::Failure })
}
