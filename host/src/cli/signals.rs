//! Ctrl-C, and what else asks the command to end: SIGTERM, as service managers and container runtimes send it, and
//! SIGHUP, as a terminal does that goes away.
//!
//! All three are one thing here. At the first, a run stops what it carries out and says how to go on; any other work is
//! dropped, and the processes that it started end with it. The second ends the process at once: what is recorded is on
//! disk. Invariant: whatever keeps the other threads busy, a signal arrives, because it is waited for on a thread of its
//! own. A process that is the first one of a container ends by no signal that it does not wait for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::typed::give_back;

/// What a process knows of the signals that asked it to end.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    asked: watch::Receiver<bool>,
    /// Whether the work itself ends in good order when it is asked to.
    attended: Arc<AtomicBool>,
}

impl Signals {
    /// Waits for them from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let heard = {
            let _context = runtime.enter();
            Heard::new()?
        };
        let (asked, first) = watch::channel(false);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || heard.wait(&runtime, &asked))?;
        Ok(Self { asked: first, attended: Arc::default() })
    }

    /// Says that the work ends in good order from now on when it is asked to.
    pub(super) fn attend(&self) {
        self.attended.store(true, Ordering::SeqCst);
    }

    /// Waits until the process is asked to end.
    pub(super) async fn asked(&self) {
        if self.asked.clone().wait_for(|asked| *asked).await.is_err() {
            // Nobody waits for signals any more, so no signal comes.
            std::future::pending::<()>().await;
        }
    }

    /// The same, while the work does not end by itself then.
    pub(super) async fn unattended(&self) {
        self.asked().await;
        if self.attended.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

/// The signals that are waited for.
struct Heard {
    interrupt: Signal,
    terminate: Signal,
    /// None if whoever started the process wants it to outlive its terminal.
    hang_up: Option<Signal>,
}

impl Heard {
    fn new() -> io::Result<Self> {
        let hang_up = SignalKind::hangup();
        let ignored = std::fs::read_to_string("/proc/self/status").is_ok_and(|it| ignores(&it, hang_up));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: (!ignored).then(|| signal(hang_up)).transpose()?,
        })
    }

    fn wait(mut self, runtime: &Runtime, asked: &watch::Sender<bool>) {
        runtime.block_on(async {
            self.next().await;
            asked.send_replace(true);
            self.next().await;
        });
        give_back();
        std::process::exit(Exit::Interrupted as i32);
    }

    async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hang_up => {}
        }
    }
}

/// Whether a process ignores a signal, by its `/proc/PID/status`: the mask of ignored ones, from the lowest bit.
fn ignores(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask.checked_shr(signal.as_raw_value().unsigned_abs().saturating_sub(1)).is_some_and(|bits| bits & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_says_what_is_ignored() {
        let status = "Name:\thost\nSigIgn:\t0000000000001001\nSigCgt:\tffffffffffffffff\n";
        assert!(ignores(status, SignalKind::hangup()), "signal 1");
        assert!(!ignores(status, SignalKind::interrupt()), "signal 2");
        assert!(ignores(status, SignalKind::pipe()), "signal 13");
        assert!(!ignores("", SignalKind::hangup()));
    }
}
