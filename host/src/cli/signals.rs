//! Ctrl-C, and what else asks the command to end: SIGTERM, as service managers and container runtimes send it, and
//! SIGHUP, as a terminal does that goes away.
//!
//! All three are one thing here, but for a server: to it SIGHUP says that its files have changed. At the first, a run stops what it carries out and says how to go on; any other work is
//! dropped, and the processes that it started end with it. The second ends the process at once: what is recorded is on
//! disk. Invariant: whatever keeps the other threads busy, a signal arrives, because it is waited for on a thread of its
//! own. A process that is the first one of a container ends by no signal that it does not wait for.
//!
//! Work that goes on in rounds, as a conversation does, is ended by Ctrl-C one round at a time; what the others ask for
//! is the end of all of it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::exit::Exit;
use super::typed::give_back;

/// What a process knows of the signals that asked it to end.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    asked: Arc<watch::Sender<Asked>>,
    /// Whether the work itself ends in good order when it is asked to.
    attended: Arc<AtomicBool>,
    /// Whether the work goes on in rounds, of which Ctrl-C ends one.
    in_rounds: Arc<AtomicBool>,
    /// Told when the process is to read its files again, if SIGHUP means that.
    read_again: Arc<OnceLock<Notify>>,
}

/// What the process was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// To end this round.
    Stop,
    /// To end.
    End,
}

impl Asked {
    /// The same after one more signal; none if the process has to end at once.
    fn after(self, signal: Asks, in_rounds: bool) -> Option<Self> {
        match (self, signal) {
            (Self::Nothing, Asks::Interrupt) if in_rounds => Some(Self::Stop),
            (Self::Nothing, Asks::Interrupt | Asks::End) | (Self::Stop, Asks::End) => Some(Self::End),
            (Self::Stop, Asks::Interrupt) | (Self::End, Asks::Interrupt | Asks::End) => None,
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// Ctrl-C.
    Interrupt,
    /// The others.
    End,
}

impl Signals {
    /// Waits for them from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let heard = {
            let _context = runtime.enter();
            Heard::new()?
        };
        let asked = Arc::new(watch::Sender::new(Asked::Nothing));
        let signals =
            Self { asked, attended: Arc::default(), in_rounds: Arc::default(), read_again: Arc::default() };
        let told = signals.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || heard.wait(&runtime, &told))?;
        Ok(signals)
    }

    /// Says that the work ends in good order from now on when it is asked to.
    pub(super) fn attend(&self) {
        self.attended.store(true, Ordering::SeqCst);
    }

    /// Has SIGHUP ask for the files to be read again from now on, and not for the end.
    pub(super) fn read_again_on_hang_up(&self) {
        self.read_again.get_or_init(Notify::new);
    }

    /// Waits until SIGHUP asks for the files to be read again. One that comes while nobody waits is told to who waits next.
    pub(super) async fn asked_to_read_again(&self) {
        self.read_again.get_or_init(Notify::new).notified().await;
    }

    /// Begins a round of the work, and says that it goes on in rounds from now on: Ctrl-C ends the round, and only what
    /// else asks the process to end is meant for all of it.
    pub(super) fn begin_round(&self) {
        self.in_rounds.store(true, Ordering::SeqCst);
        self.asked.send_if_modified(|asked| {
            let was_stopped = *asked == Asked::Stop;
            if was_stopped {
                *asked = Asked::Nothing;
            }
            was_stopped
        });
    }

    /// Waits until the process, or the round that goes on, is asked to end.
    pub(super) async fn asked(&self) {
        self.wait_for(|asked| asked != Asked::Nothing).await;
    }

    /// Waits until the process is asked to end.
    pub(super) async fn asked_to_end(&self) {
        self.wait_for(|asked| asked == Asked::End).await;
    }

    /// Whether the process was asked to end.
    pub(super) fn has_to_end(&self) -> bool {
        *self.asked.borrow() == Asked::End
    }

    async fn wait_for(&self, it_is: impl Fn(Asked) -> bool) {
        // The sender is this one's own, so that it cannot go away.
        let _ = self.asked.subscribe().wait_for(|asked| it_is(*asked)).await;
    }

    /// The same, while the work does not end by itself then.
    pub(super) async fn unattended(&self) {
        self.asked().await;
        if self.attended.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

/// A signal that came.
enum Sent {
    Interrupt,
    Terminate,
    HangUp,
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

    fn wait(mut self, runtime: &Runtime, told: &Signals) {
        runtime.block_on(async {
            loop {
                let asks = match (self.next().await, told.read_again.get()) {
                    (Sent::HangUp, Some(read_again)) => {
                        read_again.notify_one();
                        continue;
                    }
                    (Sent::HangUp | Sent::Terminate, _) => Asks::End,
                    (Sent::Interrupt, _) => Asks::Interrupt,
                };
                let asked = *told.asked.borrow();
                match asked.after(asks, told.in_rounds.load(Ordering::SeqCst)) {
                    Some(asked) => told.asked.send_replace(asked),
                    None => break,
                };
            }
        });
        give_back();
        std::process::exit(Exit::Interrupted as i32);
    }

    async fn next(&mut self) -> Sent {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Sent::Interrupt,
            _ = self.terminate.recv() => Sent::Terminate,
            _ = hang_up => Sent::HangUp,
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
    fn ctrl_c_ends_a_round_and_a_second_one_the_process() {
        let after = |signals: &[Asks], in_rounds| {
            signals.iter().try_fold(Asked::Nothing, |asked, signal| asked.after(*signal, in_rounds))
        };
        assert_eq!(after(&[Asks::Interrupt], true), Some(Asked::Stop));
        assert_eq!(after(&[Asks::Interrupt], false), Some(Asked::End));
        assert_eq!(after(&[Asks::Interrupt, Asks::End], true), Some(Asked::End));
        for in_rounds in [true, false] {
            assert_eq!(after(&[Asks::End], in_rounds), Some(Asked::End));
            assert_eq!(after(&[Asks::Interrupt, Asks::Interrupt], in_rounds), None);
            assert_eq!(after(&[Asks::End, Asks::Interrupt], in_rounds), None);
        }
    }

    #[test]
    fn the_mask_says_what_is_ignored() {
        let status = "Name:\thost\nSigIgn:\t0000000000001001\nSigCgt:\tffffffffffffffff\n";
        assert!(ignores(status, SignalKind::hangup()), "signal 1");
        assert!(!ignores(status, SignalKind::interrupt()), "signal 2");
        assert!(ignores(status, SignalKind::pipe()), "signal 13");
        assert!(!ignores("", SignalKind::hangup()));
    }
}
