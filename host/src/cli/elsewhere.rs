//! What a person adds from elsewhere: fetched by its reference, kept, looked at, and asked about.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use console::Term;

use super::exit::Misuse;
use super::layout::{LongWord, laid_out, width_of};
use super::output::OutputFile;
use super::places::Places;
use super::screen::Screen;
use super::signed::{Offered, Signers, signatures};
use super::streams::print;
use super::works::Works;
use crate::config::Source;
use crate::registry::{Client, FetchError, Lock, Locked, Remote};
use crate::sandbox::Sandbox;
use crate::toolbox::{ComponentCache, Inspection, inspect};
use crate::trust::Trust;

/// A line that goes on is set in by so much.
const HANGING: usize = 4;

/// Looks at components, on one screen and with one engine.
pub(super) struct Looking<'a> {
    places: &'a Places,
    cache: ComponentCache,
    sandbox: Sandbox,
    screen: Screen,
}

impl<'a> Looking<'a> {
    /// By these rules and those of the user.
    pub(super) fn new(places: &'a Places, screen: &Screen, trust: &Trust) -> anyhow::Result<Self> {
        let cache = places.cache()?.trusting(trust);
        Ok(Self { places, cache, sandbox: Sandbox::new()?, screen: screen.clone() })
    }

    /// What a component is that is on this machine, or that is pinned.
    pub(super) async fn at(&self, source: &Source, locked: Option<&Locked>) -> anyhow::Result<Inspection> {
        let works = Works::new(&self.screen, self.places.verbose);
        let inspected = inspect(source, locked, &self.sandbox, &self.cache, &|it| works.tell(it)).await;
        inspected.map_err(|reason| Misuse(reason.to_string()).into())
    }

    /// What a reference means now: fetched, verified, and kept in the store.
    pub(super) async fn now(&self, remote: &Remote, offered: Offered<'_>) -> anyhow::Result<Found> {
        let (bare, signers) = fetched(remote, &self.cache, offered, &self.screen).await?;
        let inspection = self.at(&Source::Remote(remote.clone()), Some(&bare)).await?;
        let locked = inspection.locked(bare);
        Ok(Found { inspection, locked, signers })
    }

    /// Fetches once more what is pinned, to see that it is still there and still the same.
    pub(super) async fn again(&self, locked: &Locked) -> Result<(), FetchError> {
        if !self.cache.is_offline() {
            Client::default().fetch_pinned(&locked.pin()).await?;
        }
        Ok(())
    }
}

/// What a reference means now.
pub(super) struct Found {
    /// What it is.
    pub(super) inspection: Inspection,
    /// What host.lock has of it.
    pub(super) locked: Locked,
    /// What there is to say of who signed it.
    pub(super) signers: Signers,
}

/// Fetches what a reference means now, verifies it, and keeps it. What is pinned of it says nothing of its tools yet.
pub(super) async fn fetched(
    remote: &Remote,
    cache: &ComponentCache,
    offered: Offered<'_>,
    screen: &Screen,
) -> anyhow::Result<(Locked, Signers)> {
    if cache.is_offline() {
        let message = format!(
            "what {remote} means now is not known offline\n  run the command without --offline and HOST_OFFLINE"
        );
        return Err(Misuse(message).into());
    }
    screen.say(&format!("fetching {remote}"));
    let fetched = Client::default().fetch(remote).await?;
    let (signatures, signers) = signatures(remote, cache.trust(), &fetched, offered).await?;
    cache.store().keep(&fetched.bytes, fetched.sha256)?;
    let locked = Locked {
        source: remote.clone(),
        sha256: fetched.sha256,
        bytes: fetched.bytes.len() as u64,
        manifest: fetched.manifest,
        imports: Vec::new(),
        exports: std::collections::BTreeMap::new(),
        signatures,
    };
    Ok((locked, signers))
}

/// Prints lines as wide as the terminal is.
pub(super) fn print_lines(lines: &[String]) -> anyhow::Result<()> {
    let width = width_of(&Term::stdout());
    for line in lines {
        print(&laid_out(line, width, HANGING, LongWord::Whole))?;
    }
    Ok(())
}

/// Whether the person agrees; without a terminal, only `--yes` is an answer.
pub(super) async fn agreed(question: String, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        let message = "nobody is there to be asked: stdin or stderr is no terminal\n  look at what is printed, and say --yes to take it";
        return Err(Misuse(message.to_owned()).into());
    }
    let asked = tokio::task::spawn_blocking(move || answered(&question));
    asked.await?.context("cannot read the answer")
}

/// Asks at the terminal, and waits for the answer. Anything else than a yes is a no.
pub(super) fn answered(question: &str) -> std::io::Result<bool> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Reads host.lock; without the file nothing is pinned.
pub(super) fn read_lock(path: &Path) -> Result<Lock, Misuse> {
    Lock::read(path).map_err(|error| Misuse(error.to_string()))
}

/// Writes host.lock, whole or not at all.
pub(super) fn write_lock(path: &Path, lock: &Lock) -> anyhow::Result<()> {
    let text = lock.written().map_err(Misuse)?;
    let file = OutputFile::there(path)?;
    file.replace(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
