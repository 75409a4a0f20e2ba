//! `host exec`: an agent of any SDK as the program of a run, started, and started again.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::exit::{Exit, Misuse};
use super::front::Shown;
use super::places::Places;
use super::remote::{At, Remote, Start};
use super::say;
use super::screen::{Format, Screen};
use super::signals::Signals;
use crate::config::Config;
use crate::message::RunId;
use crate::server::{Serving, Settings};

/// How long a command has to end that is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long is waited before a command is started again that died at once.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent: an agent.toml, its directory, or the name of an agent of a server. Or a run of a program, which goes on.
    #[arg(value_name = "AGENT|RUN")]
    target: String,
    /// Start the command again when it fails, at most so many times.
    #[arg(long, value_name = "N", default_value_t = 0)]
    restarts: u32,
    /// What the run is for, for whoever looks at it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// Leave the run open when the command has ended.
    #[arg(long)]
    keep_open: bool,
    #[command(flatten)]
    at: At,
    /// The command that starts the program.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The server that the program asks.
struct Asked {
    remote: Remote,
    /// It is this process, if no other one serves the agent.
    own: Option<Serving>,
}

pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    signals.attend();
    let (asked, run) = args.begun(places).await?;
    say(format_args!("run {run}"));
    let exit = args.until_it_ends(&asked.remote, run, signals).await;
    if let Some(own) = asked.own {
        own.end().await;
    }
    exit
}

impl Args {
    /// The run that is meant, or a new one, and the server that has it.
    async fn begun(&self, places: &Places) -> anyhow::Result<(Asked, RunId)> {
        let found = self.at.found(places)?;
        if let Ok(run) = self.target.parse::<RunId>() {
            let asked = match found {
                Some(remote) => Asked { remote, own: None },
                None => served(&agent_of(run, places)?, places).await?,
            };
            return Ok((asked, run));
        }
        let path = Path::new(&self.target);
        let (name, asked) = if path.exists() {
            let config = Config::load(path)?;
            if config.gateway.is_none() {
                let message = format!(
                    "{} is not an agent that programs may use\n  add the table [gateway] to it",
                    config.path.display()
                );
                return Err(Misuse(message).into());
            }
            let name = config.agent.name.clone();
            match found {
                Some(remote) if remote.serves(&name).await? => (name, Asked { remote, own: None }),
                Some(remote) => {
                    let message = format!(
                        "the server at {} does not serve the agent {name}\n  give it {} as well, or choose another --state",
                        remote.url(),
                        config.path.display()
                    );
                    return Err(Misuse(message).into());
                }
                None => (name, served(&config.path, places).await?),
            }
        } else {
            let Some(remote) = found else {
                let message = format!(
                    "{} is neither an agent.toml nor a run, and there is no server that has an agent of this name",
                    self.target
                );
                return Err(Misuse(message).into());
            };
            (self.target.clone(), Asked { remote, own: None })
        };
        let run = asked.remote.begin_program(&name, &self.label).await?;
        Ok((asked, run))
    }

    /// Starts the command, and starts it again as often as that is wanted.
    async fn until_it_ends(&self, remote: &Remote, run: RunId, signals: &Signals) -> anyhow::Result<Exit> {
        let mut left = self.restarts;
        loop {
            let start = remote.start_program(run).await?;
            let mut child = self.started(remote, run, &start)?;
            let status = tokio::select! {
                status = child.wait() => status.context("cannot wait for the command")?,
                () = signals.asked() => {
                    end(&mut child).await;
                    say(format_args!("run {run} can go on: host exec {run} -- {}", self.words()));
                    return Ok(Exit::Interrupted);
                }
            };
            if status.success() {
                if !self.keep_open {
                    remote.end_program(run).await?;
                    say(format_args!("run {run} has ended"));
                }
                return Ok(Exit::Ok);
            }
            if left == 0 {
                say(format_args!(
                    "the command failed ({}); run {run} can go on: host exec {run} -- {}",
                    told(status),
                    self.words()
                ));
                return Ok(Exit::Failure);
            }
            left -= 1;
            say(format_args!("the command failed ({}), and is started again", told(status)));
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = signals.asked() => return Ok(Exit::Interrupted),
            }
        }
    }

    fn words(&self) -> String {
        let words = self.command.iter().map(|word| crate::message::shell_quoted(&word.to_string_lossy()));
        words.collect::<Vec<_>>().join(" ")
    }

    fn started(&self, remote: &Remote, run: RunId, start: &Start) -> anyhow::Result<Child> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Misuse("there is no command to start".to_owned()).into());
        };
        let at = format!("{}{}", remote.url(), start.path);
        let key = start.token.as_str();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::inherit()).kill_on_drop(true);
        for (name, value) in [
            ("OPENAI_BASE_URL", format!("{at}/v1")),
            ("ANTHROPIC_BASE_URL", at.clone()),
            ("GOOGLE_GEMINI_BASE_URL", at.clone()),
            ("HOST_MCP_URL", format!("{at}/mcp?key={key}")),
            ("HOST_RUN", run.to_string()),
            ("HOST_START", start.number.to_string()),
        ] {
            command.env(name, value);
        }
        for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"] {
            command.env(name, key);
        }
        // Where both are set, some of the SDKs take the other one.
        command.env_remove("GEMINI_API_KEY");
        // It would send what is said to its maker.
        command.env("OPENAI_AGENTS_DISABLE_TRACING", "1");
        let named = || program.to_string_lossy().into_owned();
        command.spawn().map_err(|error| Misuse(format!("cannot start {}: {error}", named())).into())
    }
}

/// A server of one agent in this process.
async fn served(agent: &Path, places: &Places) -> anyhow::Result<Asked> {
    let screen = Screen::new(Format::of(false));
    let shown = Shown::on(&screen, places.verbose);
    let engine = places.engine(None)?;
    let mut settings = Settings::default();
    settings.agents.push(agent.to_owned());
    settings.listen = ([127, 0, 0, 1], 0).into();
    let serving = Serving::begin(&engine, &places.state()?, settings, &shown).await?;
    let remote = At::default().found(places)?.context("the server that has just begun is not there")?;
    Ok(Asked { remote, own: Some(serving) })
}

/// The agent.toml of a run.
fn agent_of(run: RunId, places: &Places) -> anyhow::Result<std::path::PathBuf> {
    let entries = crate::journal::Runs::read(&places.runs()?, run)?;
    let manifest = crate::engine::recorded_manifest(run, &entries)?;
    Ok(manifest.config.clone().into())
}

/// Asks a command to end, and ends it.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn told(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}
