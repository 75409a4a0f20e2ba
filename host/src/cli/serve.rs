//! `host serve`: a server of agents over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::exit::{Exit, Misuse};
use super::front::Shown;
use super::places::Places;
use super::say;
use super::screen::{Format, Screen};
use super::signals::Signals;
use super::traces::Traces;
use crate::server::{ServeError, Serving, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agents: agent.toml files, directories that hold one, and directories of such directories.
    #[arg(value_name = "AGENT.TOML")]
    agents: Vec<PathBuf>,
    /// The address and port to listen at [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A host.toml: what belongs to the server and to no agent.
    #[arg(long, value_name = "HOST.TOML")]
    config: Option<PathBuf>,
    /// The form of the log on stderr.
    #[arg(long, value_enum, default_value_t)]
    log: LogForm,
    #[command(flatten)]
    traces: Traces,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum LogForm {
    /// A line for a person.
    #[default]
    Text,
    /// A line of JSON, for a program.
    Json,
}

pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    let Args { agents, listen, config, log, traces } = args;
    let mut settings = config.as_deref().map(Settings::load).transpose()?.unwrap_or_default();
    settings.agents.extend(agents);
    settings.listen = listen.unwrap_or(settings.listen);
    if settings.agents.is_empty() {
        return Err(Misuse("there is no agent to serve\n  type: host serve agent.toml".to_owned()).into());
    }
    let screen = Screen::new(Format::of(false));
    // Agents are loaded again while it serves, when nobody reads what is asked.
    let builder = places.builder(traces.exporter(&screen))?.strangers(places.strangers_unattended());
    let engine = builder.instances(settings.instances).build();
    log.begin();
    let shown = Shown::on(&screen, places.verbose);
    let mut serving = Serving::begin(&engine, &places.state()?, settings, &shown).await.map_err(helped)?;
    signals.attend();
    signals.read_again_on_hang_up();
    say(format_args!("serving {} at {}", serving.agents().join(", "), serving.url()));
    loop {
        tokio::select! {
            why = serving.failed() => return Err(anyhow::anyhow!(why)).context("the server failed"),
            () = signals.asked() => break,
            () = signals.asked_to_read_again() => drop(serving.reload().await),
        }
    }
    say("ending: runs may go on for a while; what has not ended by then goes on at the next start");
    serving.end().await;
    Ok(Exit::Ok)
}

impl LogForm {
    /// Has events of this process written to stderr.
    fn begin(self) {
        // What libraries say of every request is for those who work on them.
        let is_wanted = filter_fn(|event| match event.target().split(':').next() {
            Some("host") => *event.level() <= Level::INFO,
            Some(_) | None => *event.level() <= Level::WARN,
        });
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
        let log = tracing_subscriber::registry();
        // Nobody else in this process has chosen where events go.
        let _ = match self {
            Self::Text => log.with(lines.with_filter(is_wanted)).try_init(),
            Self::Json => log.with(lines.json().flatten_event(true).with_filter(is_wanted)).try_init(),
        };
        // What panics is told in the same form.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let what = panic.payload_as_str().unwrap_or("there is no word on it");
            tracing::error!(place, panic = what, "something panicked");
        }));
    }
}

/// What to do about an error, in the words of the command line.
fn helped(error: ServeError) -> anyhow::Error {
    let help = match &error {
        ServeError::Open { .. } => "make one with `host token`, or listen at 127.0.0.1",
        ServeError::Listen { .. } => "listen elsewhere with --listen ADDRESS, or end what listens there",
        ServeError::Address(_) => "one server serves a state directory; choose another with --state DIR",
        _ => return error.into(),
    };
    Misuse(format!("{error}\n  {help}")).into()
}
