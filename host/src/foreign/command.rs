//! A server that is a program: what it sees, what it may use, and its end.
//!
//! It gets no variable of the host's environment that is not named, and a directory of its own. Where bubblewrap is
//! installed and works, the directories of the user are hidden from it and the rest of the system can only be read.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use super::{ServerError, Words};
use crate::config::ServerCommand;
use crate::grants::Secrets;
use crate::mcp::BoundedLines;
use crate::message::clean;
use crate::process_group::Group;

/// So much a program may say for each call that is made: more than the longest message.
const SAID_BYTES_MAX: u64 = 64 << 20;

/// So much of what it says on stderr is kept.
const WORDS_BYTES_MAX: usize = 2 * 1024;

/// How long the last words of a program that has ended are waited for.
const WORDS_TIME: Duration = Duration::from_secs(1);

/// How long bubblewrap may take to show that it works.
const TRIAL_TIME: Duration = Duration::from_secs(5);

/// What a program says and hears.
pub(super) type Ends = (BoundedLines<Metered<ChildStdout>>, ChildStdin);

/// A program that is a server.
pub(super) struct Running {
    _group: Group,
    left: Arc<AtomicU64>,
    words: Arc<Mutex<VecDeque<u8>>>,
    /// Whether stderr has ended.
    said: watch::Receiver<bool>,
}

impl Running {
    pub(super) async fn start(
        command: &ServerCommand,
        directory: &Path,
        secrets: &Secrets,
    ) -> Result<(Self, Ends), ServerError> {
        let failed = |reason: String| ServerError::Start { program: command.program.clone(), reason };
        let program = found(command).ok_or_else(|| {
            failed("there is no program of this name; write its path, or put it into PATH".to_owned())
        })?;
        own(directory).map_err(|error| failed(format!("{}: {error}", directory.display())))?;
        let mut process = match bubblewrap().await {
            Some(bubblewrap) => walled(&bubblewrap, &program, command, directory),
            None => Command::new(&program),
        };
        process.args(&command.args).current_dir(directory).env_clear();
        process.env("HOME", directory).env("TMPDIR", directory);
        for name in &command.env {
            process.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        for name in &command.secrets {
            let value = secrets.value(name).ok_or_else(|| ServerError::Secret(name.clone()))?;
            process.env(name, value);
        }
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            process.process_group(0).kill_on_drop(true).spawn().map_err(|error| failed(error.to_string()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(failed("it has no pipes".to_owned()));
        };
        let left = Arc::new(AtomicU64::new(SAID_BYTES_MAX));
        let stdout = BoundedLines::of(Metered { from: stdout, left: Arc::clone(&left) });
        let words = Arc::<Mutex<VecDeque<u8>>>::default();
        let (ended, said) = watch::channel(false);
        tokio::spawn(listen(stderr, Arc::clone(&words), ended));
        Ok((Self { _group: Group::killed(child), left, words, said }, (stdout, stdin)))
    }

    /// Lets it say as much as one more call may need.
    pub(super) fn allow(&self) {
        self.left.store(SAID_BYTES_MAX, Ordering::Relaxed);
    }

    /// Waits a moment for the last words of a program that has ended.
    pub(super) async fn has_said_its_words(&self) {
        let mut said = self.said.clone();
        // One that goes on has more to say later.
        let _ = tokio::time::timeout(WORDS_TIME, said.wait_for(|said| *said)).await;
    }

    pub(super) fn words(&self) -> Words {
        let bytes: Vec<u8> = self.words.lock().iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        Words(clean(&text).split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// Empties stderr, so that the program never waits for us, and keeps the end of it.
async fn listen(mut stderr: ChildStderr, words: Arc<Mutex<VecDeque<u8>>>, ended: watch::Sender<bool>) {
    let mut bytes = vec![0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut bytes).await {
        let mut words = words.lock();
        words.extend(bytes.get(..count).unwrap_or_default());
        let over = words.len().saturating_sub(WORDS_BYTES_MAX);
        words.drain(..over);
    }
    ended.send_replace(true);
}

/// Reads what a program says, as long as it says no more than it may.
pub(super) struct Metered<R> {
    from: R,
    left: Arc<AtomicU64>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        if self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(read))
            .is_err()
        {
            let why = format!("the server said more than {SAID_BYTES_MAX} bytes since it was last called");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Poll::Ready(Ok(()))
    }
}

/// Makes the directory of a program, which nobody else looks into.
fn own(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn found(command: &ServerCommand) -> Option<PathBuf> {
    if command.program.contains('/') {
        let path = command.directory.join(&command.program);
        return is_program(&path).then_some(path);
    }
    on_path(OsStr::new(&command.program))
}

fn on_path(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// Bubblewrap, if it is installed and may do here what it does.
async fn bubblewrap() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return found.clone();
    }
    let found = match on_path(OsStr::new("bwrap")) {
        Some(path) if works(&path).await => Some(path),
        Some(_) | None => None,
    };
    FOUND.get_or_init(|| found).clone()
}

async fn works(bubblewrap: &Path) -> bool {
    let mut trial = Command::new(bubblewrap);
    trial.args(WALLS).args(["--ro-bind", "/", "/", "--", "/bin/sh", "-c", "exit 0"]);
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    matches!(tokio::time::timeout(TRIAL_TIME, trial.status()).await, Ok(Ok(status)) if status.success())
}

const WALLS: [&str; 6] =
    ["--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--cap-drop", "ALL"];

/// What names of hosts are looked up by, where that is among what is hidden.
const NAMES_ARE_FOUND_BY: [&str; 3] =
    ["/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf"];

/// A program behind bubblewrap: it reads the system, and of what is the user's it has its own directory, those that it may
/// use, and the directory that it is in.
fn walled(bubblewrap: &Path, program: &Path, command: &ServerCommand, own: &Path) -> Command {
    let mut process = Command::new(bubblewrap);
    process.args(WALLS).args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]);
    let hidden = hidden();
    for place in &hidden {
        process.arg("--tmpfs").arg(place);
    }
    for shown in NAMES_ARE_FOUND_BY {
        process.args(["--ro-bind-try", shown, shown]);
    }
    // A program that is a link is looked for where the link is, and works where it leads.
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    for place in [program, &real] {
        let beside =
            place.parent().filter(|beside| !hidden.iter().any(|it| Path::new(it).starts_with(beside)));
        let shown = beside.unwrap_or(place);
        process.arg("--ro-bind").arg(shown).arg(shown);
    }
    for dir in command.dirs.iter().map(PathBuf::as_path).chain([own]) {
        process.arg("--bind").arg(dir).arg(dir);
    }
    process.arg("--chdir").arg(own).arg("--").arg(program);
    process
}

/// What is a user's, and what programs leave for each other.
fn hidden() -> Vec<OsString> {
    let home = etcetera::home_dir().ok().map(PathBuf::into_os_string);
    let places = ["/home", "/root", "/tmp", "/var/tmp", "/run"].map(OsString::from);
    let mut hidden: Vec<OsString> = home.into_iter().chain(places).collect();
    hidden.retain(|place| Path::new(place).is_dir() && place != "/");
    hidden.sort();
    hidden.dedup();
    hidden
}

/// Whether programs are kept behind bubblewrap here.
#[cfg(feature = "cli")]
pub(crate) async fn is_walled() -> bool {
    bubblewrap().await.is_some()
}
