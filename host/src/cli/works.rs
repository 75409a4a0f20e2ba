//! Building and compiling, as they go on: a live line with the time at a terminal, and elsewhere a line now and then.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use parking_lot::Mutex;

use super::screen::Screen;
use crate::toolbox::Progress;

/// How often a line is said where nobody looks on: a log shows that the work goes on, and is not filled with it.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Shows on a screen what the toolbox tells.
pub(super) struct Works {
    screen: Screen,
    verbose: bool,
    now: Mutex<Option<Now>>,
}

/// The work that goes on.
struct Now {
    began: Instant,
    said: Instant,
    line: Option<ProgressBar>,
}

impl Works {
    /// `verbose` shows a compiler's own words, too.
    pub(super) fn new(screen: &Screen, verbose: bool) -> Self {
        Self { screen: screen.clone(), verbose, now: Mutex::default() }
    }

    pub(super) fn tell(&self, progress: Progress<'_>) {
        let mut now = self.now.lock();
        match progress {
            Progress::Said(line) => self.screen.say(line),
            Progress::Compiler(line) if self.verbose => self.screen.say(line),
            Progress::Compiler(_) => {}
            Progress::Began(line) => {
                if !self.screen.is_for_people() {
                    self.screen.say(line);
                }
                end(&mut now);
                *now = Some(self.begin(line));
            }
            Progress::Now(text) => {
                let now = now.get_or_insert_with(|| self.begin(text));
                match &now.line {
                    Some(line) => line.set_message(text.to_owned()),
                    None if now.said.elapsed() >= SAID_EVERY => {
                        now.said = Instant::now();
                        self.screen.say(&format!("{text}, {} s", now.began.elapsed().as_secs()));
                    }
                    None => {}
                }
            }
            Progress::Ended => end(&mut now),
        }
    }

    fn begin(&self, text: &str) -> Now {
        let line = self.screen.is_for_people().then(|| self.screen.live_line(text.to_owned()));
        Now { began: Instant::now(), said: Instant::now(), line }
    }
}

fn end(now: &mut Option<Now>) {
    if let Some(Now { line: Some(line), .. }) = now.take() {
        line.finish_and_clear();
    }
}
