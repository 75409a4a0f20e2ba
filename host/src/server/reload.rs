//! What is read again while the server serves: the agents, the certificate, and host.toml. What of it is settled when the
//! server starts is named.
//!
//! Invariant: what breaks changes nothing. What was read before stays, what is wrong is logged and shown, and it is read
//! again when it changes once more.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::log::log;
use super::problem::chain;
use super::settings::Settings;
use super::told::Told;
use super::{Server, certificate};

/// How often the files are looked at. Who changes one does not want to wait for long, and a look costs microseconds a file.
const EVERY: Duration = Duration::from_secs(2);

/// What is read again, and what is wrong with it.
pub(super) struct Reloading {
    /// By what connections are encrypted that come from now on.
    tls: Option<RustlsConfig>,
    /// What went wrong the last time, a text for each.
    troubles: Mutex<Vec<String>>,
    /// Held by whoever reads: two at once could leave the older of two versions.
    turn: tokio::sync::Mutex<()>,
    /// There are other settings.
    settings_changed: Notify,
}

/// How a file stands, as far as it says whether it is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// The files that somebody may change.
#[derive(Debug, Default)]
struct Stamps {
    agents: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Reloading {
    pub(super) fn new(tls: Option<RustlsConfig>) -> Self {
        let (troubles, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { tls, troubles, turn, settings_changed: Notify::new() }
    }

    /// Waits until there are other settings.
    pub(super) fn settings_changed(&self) -> Notified<'_> {
        self.settings_changed.notified()
    }

    /// What went wrong the last time, a text for each.
    pub(super) fn troubles(&self) -> Vec<String> {
        self.troubles.lock().clone()
    }
}

impl Server {
    /// Reads everything again. Says what went wrong, a text for each.
    pub(super) async fn reload(&self) -> Vec<String> {
        let _turn = self.reloading.turn.lock().await;
        let mut troubles = self.agents.reload().await;
        troubles.extend(self.reload_settings());
        for why in &troubles {
            log(&Told::NotReloaded { why });
        }
        log(&Told::Reloaded { agents: self.agents.all().len(), troubles: troubles.len() });
        self.reloading.troubles.lock().clone_from(&troubles);
        troubles
    }

    /// Goes by host.toml as it is now, as far as that can change while the server serves.
    fn reload_settings(&self) -> Vec<String> {
        let before = self.settings();
        let Some(file) = &before.file else { return Vec::new() };
        let settings = match Settings::load(file) {
            Ok(settings) => settings,
            Err(error) => return vec![error.to_string()],
        };
        let mut troubles = Vec::new();
        if let (Some(now), Some(tls)) = (&self.reloading.tls, &settings.tls) {
            match certificate::read(tls) {
                Ok(config) => now.reload_from_config(config),
                Err(error) => troubles.push(chain(&error)),
            }
        }
        self.webhooks.renew(settings.webhooks.clone(), self.scheduler.working());
        let fixed = settings.fixed.differs_from(&before.fixed);
        if !fixed.is_empty() {
            let keys = fixed.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            let file = file.display();
            troubles.push(format!(
                "{keys} under [server] in {file} cannot change while the server serves: restart it"
            ));
        }
        let keep_tokens = settings.tokens.is_empty() && !before.is_local();
        if keep_tokens {
            troubles.push(format!(
                "there are no tokens any more in {}, and other machines reach the server: the earlier ones stay",
                file.display()
            ));
        }
        let tokens = if keep_tokens { before.tokens.clone() } else { settings.tokens.clone() };
        self.go_by(Settings { tokens, ..settings.fixed_as(&before) });
        troubles
    }

    /// Goes by other settings from now on.
    fn go_by(&self, settings: Settings) {
        self.guard.renew(&settings);
        self.limits.renew(&settings);
        self.keys.keep(settings.keys_kept);
        self.scheduler.set_bounds(settings.bounds);
        *self.settings.write() = Arc::new(settings);
        self.reloading.settings_changed.notify_waiters();
    }

    /// The files that somebody may change, as they are now.
    fn stamps(&self) -> Stamps {
        let agents = self.agents.files();
        let mut files: Vec<PathBuf> = self.agents.read();
        files.extend(agents.iter().cloned());
        let settings = self.settings();
        files.extend(settings.file.clone());
        files.extend(settings.tls.iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]));
        files.extend(self.webhooks.files());
        let files = files.into_iter().map(|path| (Stamp::of(&path), path));
        Stamps { agents, files: files.map(|(stamp, path)| (path, stamp)).collect() }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self { inode: found.ino(), bytes: found.len(), changed: (found.mtime(), found.mtime_nsec()) })
    }
}

impl Stamps {
    /// Whether something has changed since. A file that was not looked at before says nothing.
    fn differ_from(&self, before: &Self) -> bool {
        let differs = |(path, stamp): (&PathBuf, &Option<Stamp>)| {
            before.files.get(path).is_some_and(|before| before != stamp)
        };
        self.agents != before.agents || self.files.iter().any(differs)
    }
}

/// Reads everything again when a file changes, for as long as the server lives.
pub(super) async fn watch(server: Arc<Server>) {
    let mut before = look(&server).await;
    loop {
        tokio::time::sleep(EVERY).await;
        let now = look(&server).await;
        if now.differ_from(&before) {
            server.reload().await;
        }
        before = now;
    }
}

async fn look(server: &Arc<Server>) -> Stamps {
    let server = Arc::clone(server);
    // The file system may be slow.
    tokio::task::spawn_blocking(move || server.stamps()).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_removed_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("agent.toml"), directory.path().join("other"));
        let stamps = || {
            let files = [file.clone()].into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect();
            Stamps { agents: vec![file.clone()], files }
        };
        std::fs::write(&file, "one").unwrap();
        let one = stamps();
        assert!(!stamps().differ_from(&one));
        std::fs::write(&file, "longer").unwrap();
        let longer = stamps();
        assert!(longer.differ_from(&one));
        std::fs::write(&other, "longer").unwrap();
        std::fs::rename(&other, &file).unwrap();
        let replaced = stamps();
        assert!(replaced.differ_from(&longer));
        std::fs::remove_file(&file).unwrap();
        assert!(stamps().differ_from(&replaced));
        // One that nobody looked at before is no reason to read everything once more.
        assert!(!replaced.differ_from(&Stamps { agents: vec![file], files: BTreeMap::new() }));
    }
}
