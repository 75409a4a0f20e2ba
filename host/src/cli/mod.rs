//! The command `host`: one file per subcommand, each thin.
//!
//! Owns arguments, what is printed and exit codes. stdout carries results alone (the final answer, lists,
//! JSON); everything said along the way goes to stderr.

mod add;
mod advice;
mod always;
mod build;
mod call;
mod cancel;
mod chat;
mod check;
mod decide;
mod diff;
mod edited;
mod editor;
mod elsewhere;
mod errors;
mod exec;
mod exit;
mod fmt;
mod fork;
mod front;
mod help;
mod init;
mod inspect;
mod install;
mod journal;
mod layout;
mod listing;
mod live;
mod lock;
mod mcp;
mod moment;
mod new;
mod output;
mod paged;
mod person;
mod places;
mod plain;
mod prompt;
mod publish;
mod question;
mod recorded;
mod remote;
mod replay;
mod request;
mod rerun;
mod resume;
mod run;
mod runs;
mod screen;
mod script;
mod serve;
mod sessions;
mod settle;
mod shelf;
mod signals;
mod signed;
mod streams;
mod target;
mod template;
mod test;
mod token;
mod tools;
mod traces;
mod trust;
mod typed;
mod ui;
mod update;
mod waiting;
mod wit;
mod words;
mod works;

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::message::visible_json;
use crate::toolbox::serve_compiler_if_asked;
use exit::Exit;
use places::Places;
use signals::Signals;
use streams::{print, say};

const EXIT_CODES: &str = "\
`host COMMAND --help` says more of a command.

Exit codes:
  0 ok, 1 failure, 2 usage or configuration, 3 the run waits for a decision,
  4 model provider, 5 a limit stopped the run, 6 divergence from what is recorded,
  130 interrupted";

/// Runs AI agents whose tools are isolated WebAssembly components, with a durable journal.
#[derive(Debug, Parser)]
#[command(name = "host", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an agent.
    Run(run::Args),
    /// Serve agents over HTTP.
    ///
    /// Runs are durable: what is interrupted goes on at the next start.
    Serve(serve::Args),
    /// Offer an agent's tools to an MCP client, such as an editor or another agent, on stdin and stdout.
    ///
    /// The client has a model of its own. Each of its calls is a run here: isolated, limited, approved and recorded.
    Mcp(mcp::Args),
    /// Start a program as the agent of a run: its model requests and tool calls are recorded here.
    ///
    /// The program is an agent of any SDK. Variables such as `OPENAI_BASE_URL` lead its requests here, and `HOST_MCP_URL` is
    /// where the agent's tools are. A program that is started again for the same run gets what is recorded, and goes on
    /// from there.
    Exec(exec::Args),
    /// Make a token for a server.
    Token(token::Args),
    /// Talk with an agent: each line is the prompt of the next run of a conversation.
    Chat(chat::Args),
    /// Go on with a run that stopped.
    ///
    /// Calls and model requests that ended are reused from the journal; the rest is carried out.
    Resume(resume::Args),
    /// Allow a call that a run waits to make.
    Approve(decide::Approve),
    /// Forbid a call that a run waits to make.
    Deny(decide::Deny),
    /// List the calls that are approved always, or revoke one.
    Approvals(always::Args),
    /// Answer a question that a run waits for.
    Answer(decide::Answer),
    /// End a run for good that waits or has stopped.
    ///
    /// What is recorded stays. A run that another process works on has to be stopped first, with Ctrl-C.
    Cancel(cancel::Args),
    /// Go through a recorded run again, and verify it.
    ///
    /// No tool is called and no model is asked: every result comes from the journal, and every request is compared with
    /// the one that is recorded. With `--rerun`, the recorded calls of a tool are made again.
    Replay(replay::Args),
    /// Start a run that shares the beginning of another one.
    ///
    /// From some turn on it goes on with other words or results. The other run stays as it is.
    Fork(fork::Args),
    /// List runs, show one, or compare two.
    Runs(runs::Args),
    /// Look at runs in a browser: over time, call by call, as a conversation.
    ///
    /// Opens the pages of the server that has the state directory. Without one, the runs of this machine, or the one in a
    /// file, can be looked at on a page of this machine until the command ends.
    Ui(ui::Args),
    /// List conversations over several runs, show or forget one.
    Sessions(sessions::Args),
    /// Verify, export, import, compact or clear away runs.
    Journal(journal::Args),
    /// Test an agent by its cases.
    ///
    /// A case is a run with a scripted model, compared with what is expected.
    Test(test::Args),
    /// Check agent.toml, and say what each tool is granted.
    ///
    /// Every component is loaded. A key or secret that is not set is a warning, so that an agent can be checked without
    /// any.
    Check(check::Args),
    /// Call one tool, without a model.
    ///
    /// It runs under the grants of agent.toml, or of a component alone, which has none.
    Call(call::Args),
    /// Say what a component is and what it could use, before it is used.
    ///
    /// Its tools with their schemas, what it imports, what it was made with, and the lines for agent.toml.
    Inspect(inspect::Args),
    /// Add a tool to an agent: from a file, a web server or a registry.
    ///
    /// Shows what it is and asks first. It is granted nothing, and host.lock pins what comes from elsewhere.
    Add(add::Args),
    /// See what the tools from elsewhere are by now, and take it.
    ///
    /// Shows what changed of imports, tools, schemas and descriptions, and asks before it pins that.
    Update(update::Args),
    /// Show what host.lock pins, or verify it.
    Lock(lock::Args),
    /// Show who has to have signed components from elsewhere, or ask for one more signer.
    ///
    /// The rules are those of the user, in trust.toml, and those of an agent, in `[trust]` of its agent.toml.
    Trust(trust::Args),
    /// List the tools that come with host, and remove fetched components that no agent needs.
    Tools(tools::Args),
    /// Push a component to an OCI registry.
    ///
    /// In the layout that wkg, Wassette and wasmCloud read. Prints the reference by digest. A login is the one that docker
    /// has.
    Publish(publish::Args),
    /// Write a new tool: in Rust, Python, JavaScript, TypeScript, Go or C.
    ///
    /// It has a test and a README, and can be built and called at once.
    New(new::Args),
    /// Build tools into components.
    Build(build::Args),
    /// Print or write the contract between host and tool, the WIT package `host:tool`.
    Wit(wit::Args),
    /// Write the new spellings into agent.toml.
    ///
    /// They take the place of older ones. Comments, order and layout stay, and the agent is the same. A file with a mistake in it is not changed.
    Fmt(fmt::Args),
    /// Write a new agent that runs at once, or one more tool.
    Init(init::Args),
    /// Print the JSON Schema of agent.toml.
    Schema {
        /// Print that of the cases of `host test` instead.
        #[arg(long, conflicts_with = "server")]
        cases: bool,
        /// Print that of host.toml, which `host serve` reads, instead.
        #[arg(long)]
        server: bool,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command line and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _armed_until_the_end = fail::FailScenario::setup();
    // The host starts itself so; it is no command of a person, and so is neither listed nor completed nor suggested.
    if let Some(exit) = serve_compiler_if_asked() {
        return exit.into();
    }
    let parsed = help::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results and exit with 0, if they arrive; a wrong argument exits with 2.
            let lost = error.print().is_err_and(|error| error.kind() != ErrorKind::BrokenPipe);
            let exit = if lost && !error.use_stderr() { Exit::Failure as i32 } else { error.exit_code() };
            return ExitCode::from(u8::try_from(exit).unwrap_or(2));
        }
    };
    let ended = dispatch(cli);
    ended.unwrap_or_else(|error| exit::report(&error)).into()
}

/// The command line as clap has it, for its reference.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { command, places } = cli;
    match command {
        Command::Run(args) => block_on(|signals| async move { run::run(args, &places, &signals).await }),
        Command::Mcp(args) => block_on(|_| async move { Box::pin(mcp::run(args, &places)).await }),
        Command::Ui(args) => block_on(|_| async move { Box::pin(ui::run(args, &places)).await }),
        Command::Serve(args) => block_on(|signals| async move { serve::run(args, &places, &signals).await }),
        Command::Exec(args) => {
            block_on(|signals| async move { Box::pin(exec::run(args, &places, &signals)).await })
        }
        Command::Token(args) => token::run(&args),
        Command::Chat(args) => block_on(|signals| async move { chat::run(args, &places, &signals).await }),
        Command::Resume(args) => {
            block_on(|signals| async move { resume::run(args, &places, &signals).await })
        }
        Command::Approve(args) => block_on(|_| async move { decide::approve(args, &places).await }),
        Command::Deny(args) => block_on(|_| async move { decide::deny(args, &places).await }),
        Command::Approvals(args) => always::run(&args, &places),
        Command::Answer(args) => block_on(|_| async move { decide::answer(args, &places).await }),
        Command::Cancel(args) => block_on(|_| async move { cancel::run(args, &places).await }),
        Command::Replay(args) => block_on(|_| async move { replay::run(args, &places).await }),
        Command::Fork(args) => block_on(|signals| async move { fork::run(args, &places, &signals).await }),
        Command::Test(args) => block_on(|_| async move { test::run(args, &places).await }),
        Command::Check(args) => block_on(|_| async move { check::run(args, &places).await }),
        Command::Runs(args) => block_on(|_| async move { runs::run(args, &places).await }),
        Command::Sessions(args) => block_on(|_| async move { sessions::run(args, &places).await }),
        Command::Journal(args) => block_on(|_| async move { journal::run(args, &places).await }),
        Command::Call(args) => block_on(|_| async move { call::run(args, &places).await }),
        Command::Inspect(args) => block_on(|_| async move { inspect::run(args, &places).await }),
        Command::Add(args) => block_on(|_| async move { add::run(args, &places).await }),
        Command::Update(args) => block_on(|_| async move { update::run(args, &places).await }),
        Command::Lock(args) => block_on(|_| async move { lock::run(args, &places).await }),
        Command::Trust(args) => trust::run(args),
        Command::Tools(args) => tools::run(&args, &places),
        Command::Publish(args) => block_on(|_| async move { publish::run(args, &places).await }),
        Command::Build(args) => block_on(|_| async move { build::run(args, &places).await }),
        Command::New(args) => new::run(&args),
        Command::Wit(args) => wit::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Schema { cases, server } => {
            let schema = match (cases, server) {
                (true, _) => crate::cases::schema(),
                (_, true) => crate::server::schema(),
                (false, false) => crate::config::schema(),
            };
            print(&serde_json::to_string_pretty(&schema)?)?;
            Ok(Exit::Ok)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut self::command(), "host", &mut script);
            print(String::from_utf8_lossy(&script).trim_end())?;
            Ok(Exit::Ok)
        }
    }
}

/// Does the work, unless the process is asked to end before.
fn block_on<W>(work: impl FnOnce(Signals) -> W) -> anyhow::Result<Exit>
where
    W: Future<Output = anyhow::Result<Exit>> + Send + 'static,
{
    /// How long work may take to be dropped; what does not wait for anything only ends with the process.
    const DROPPED_WITHIN: Duration = Duration::from_secs(2);
    let signals = Signals::listen().context("cannot wait for signals")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // As a task, the loop shares a thread with the calls it makes and is not woken from another one.
    let mut work = runtime.spawn(work(signals.clone()));
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = &mut work => ended?,
            () = signals.unattended() => {
                work.abort();
                let _ = tokio::time::timeout(DROPPED_WITHIN, work).await;
                say("interrupted");
                Ok(Exit::Interrupted)
            }
        }
    });
    // What is still going on, such as a name look-up, holds nothing that has to be kept.
    runtime.shutdown_background();
    typed::give_back();
    ended
}

/// Prints a value as JSON, in which a terminal shows everything.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&visible_json(&serde_json::to_string_pretty(value)?))
}

/// The agent to work on.
#[derive(Debug, clap::Args)]
struct AgentArg {
    /// The agent's configuration, or the directory that it is in.
    #[arg(value_name = "AGENT.TOML", default_value = "agent.toml")]
    agent: PathBuf,
}
