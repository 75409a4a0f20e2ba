use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::process::{Heard, in_words};
use crate::toolbox::{Progress, Tell};

/// What is kept of a compiler's words; the first errors say most.
const SAID_BYTES_MAX: usize = 64 * 1024;

/// How often it is told that the work goes on.
const TICK: Duration = Duration::from_secs(1);

/// What cargo says before it does something; of no use to who reads what went wrong.
const CHATTER: [&str; 12] = [
    "Adding",
    "Blocking",
    "Compiling",
    "Downgrading",
    "Downloaded",
    "Downloading",
    "Fresh",
    "Finished",
    "Locking",
    "Removed",
    "Removing",
    "Updating",
];

/// A build that goes on, and who is told of it. One that is given up says what is left of it.
pub(super) struct Work<'t> {
    tell: &'t Tell<'t>,
    name: String,
    began: Instant,
    /// How far it is.
    at: Mutex<String>,
    has_ended: AtomicBool,
}

impl<'t> Work<'t> {
    pub(super) fn begin(name: &str, tell: &'t Tell<'t>) -> Self {
        tell(Progress::Began(&format!("building {name} …")));
        let (name, at) = (name.to_owned(), Mutex::default());
        Self { tell, name, began: Instant::now(), at, has_ended: AtomicBool::new(false) }
    }

    pub(super) fn tell(&self, progress: Progress<'_>) {
        (self.tell)(progress);
    }

    /// Hears what cargo says on stderr, and keeps what is an error or a warning.
    pub(super) fn hears(&self, heard: Heard<'_>, said: &mut String) {
        match heard {
            Heard::Bar(bar) => {
                let Some(words) = in_words(bar) else { return };
                *self.at() = words;
                self.tick();
            }
            Heard::Line(line) => {
                self.tell(Progress::Compiler(line));
                let first = line.split_whitespace().next().unwrap_or_default();
                if first == "Blocking" {
                    let other = format!("another cargo builds {}, too; waiting for it …", self.name);
                    self.tell(Progress::Said(&other));
                }
                let chatter = line.starts_with(' ') && CHATTER.contains(&first);
                if !chatter && said.len() + line.len() < SAID_BYTES_MAX {
                    said.push_str(line);
                    said.push('\n');
                }
            }
        }
    }

    /// Tells that the work goes on.
    fn tick(&self) {
        let at = self.at();
        let colon = if at.is_empty() { "" } else { ": " };
        self.tell(Progress::Now(&format!("building {}{colon}{at}", self.name)));
    }

    /// Carries out a part of the work, and tells meanwhile that it goes on.
    pub(super) async fn ticking<T>(&self, part: impl Future<Output = T>) -> T {
        tokio::select! {
            done = part => done,
            never = self.ticks() => match never {},
        }
    }

    async fn ticks(&self) -> Infallible {
        loop {
            tokio::time::sleep(TICK).await;
            self.tick();
        }
    }

    /// The work has ended, one way or the other, and that is told by whoever knows which.
    pub(super) fn end(&self) -> Duration {
        self.has_ended.store(true, Ordering::Relaxed);
        self.tell(Progress::Ended);
        self.began.elapsed()
    }

    fn at(&self) -> MutexGuard<'_, String> {
        self.at.lock()
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if self.has_ended.load(Ordering::Relaxed) {
            return;
        }
        self.tell(Progress::Ended);
        let count = self.at().split(':').next().filter(|at| !at.is_empty()).map(|at| format!(", at {at}"));
        let (name, seconds) = (&self.name, self.began.elapsed().as_secs_f64());
        self.tell(Progress::Said(&format!(
            "stopped building {name} after {seconds:.1} s{}; what is compiled is kept, and the next build goes on from there",
            count.unwrap_or_default()
        )));
    }
}
