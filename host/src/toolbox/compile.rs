use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::COMPONENT_BYTES_MAX;
use crate::message::clean;
use crate::sandbox::{Metering, compiler};

/// The subcommand that is the compiler.
const SUBCOMMAND: &str = "compile-component";

/// Address space of the compiler. A Python component of 40 MB takes a fifth of it.
const ADDRESS_SPACE_BYTES: u64 = 8 << 30;

/// Processor time of the compiler, over all its threads. A Python component takes a tenth of it.
const CPU_SECONDS: u64 = 120;

/// How long the compiler may take, on however busy a machine.
const DEADLINE: Duration = Duration::from_mins(5);

/// Compiled code is three to five times as large as the component.
const CODE_BYTES_MAX: u64 = 8 * COMPONENT_BYTES_MAX;

/// What is kept of the compiler's words.
const SAID_BYTES_MAX: u64 = 4 * 1024;

/// Compiles components in another process: what comes from a stranger is parsed where a bug or a bomb can do
/// no harm, under limits on memory, processor time and time.
#[derive(Clone, Debug)]
pub struct Compiler {
    program: PathBuf,
    deadline: Duration,
}

/// Why there is no compiled component.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is not valid, or not one that can be compiled.
    #[error("the component does not compile: {0}")]
    Invalid(String),
    /// The component compiles, and is too large for an instance of it, or what the compiler gave is no code.
    #[error("the component is compiled, and this host cannot hold it: {0}")]
    Unloadable(String),
    /// The compiler ran out of something.
    #[error("compiling the component took more than {0}; the compiler was stopped")]
    Exceeded(String),
    /// The compiler itself failed.
    #[error("cannot run the compiler {}: {reason}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

impl Compiler {
    /// A compiler that is this program, which has to be a `host`.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        Self { program: program.to_owned(), deadline: DEADLINE }
    }

    /// The same with another deadline.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The compiled form of a component.
    pub(super) async fn compile(
        &self,
        component: &[u8],
        metering: Metering,
    ) -> Result<Vec<u8>, CompileError> {
        let failed = |error: std::io::Error| CompileError::Failed {
            program: self.program.clone(),
            reason: error.to_string(),
        };
        let mut child = Command::new(&self.program)
            .args([SUBCOMMAND, metering.as_str()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            // A compiler that stopped reading says why, or its status does.
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(component).await;
            }
        };
        let (mut code, mut said) = (Vec::new(), Vec::new());
        let hear = async {
            if let Some(stdout) = stdout {
                stdout.take(CODE_BYTES_MAX + 1).read_to_end(&mut code).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let listen = async {
            if let Some(mut stderr) = stderr {
                (&mut stderr).take(SAID_BYTES_MAX).read_to_end(&mut said).await?;
                // The rest is of no use, but the compiler must not wait for somebody to read it.
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let work = async {
            let ((), heard, listened) = tokio::join!(feed, hear, listen);
            heard.and(listened)?;
            child.wait().await
        };
        let ended = tokio::time::timeout(self.deadline, work).await;
        let Ok(ended) = ended else { return Err(CompileError::Exceeded(format!("{:?}", self.deadline))) };
        let status = ended.map_err(failed)?;
        if code.len() as u64 > CODE_BYTES_MAX {
            return Err(CompileError::Exceeded(format!("{CODE_BYTES_MAX} bytes of code")));
        }
        if status.success() { Ok(code) } else { Err(self.broke_off(status, &said)) }
    }

    /// What a compiler that gave no code came to.
    fn broke_off(&self, status: ExitStatus, said: &[u8]) -> CompileError {
        let said = clean(String::from_utf8_lossy(said).trim()).replace('\n', " ");
        match status.signal().and_then(Signal::from_named_raw) {
            Some(Signal::XCPU) => CompileError::Exceeded(format!("{CPU_SECONDS} s of processor time")),
            // An allocation that fails ends a Rust program this way.
            Some(Signal::ABORT) => {
                CompileError::Exceeded(format!("{} GiB of memory", ADDRESS_SPACE_BYTES >> 30))
            }
            _ if status.code() == Some(INVALID) => CompileError::Invalid(said),
            _ => CompileError::Failed {
                program: self.program.clone(),
                reason: if said.is_empty() { status.to_string() } else { format!("{status}: {said}") },
            },
        }
    }
}

/// How the compiler exits when the component is at fault.
const INVALID: i32 = 2;

/// Compiles a component from stdin to stdout, under limits, if that is what the process was started for, and gives the
/// exit code. A program that names itself to [`Compiler::new`] calls this first of all.
#[must_use]
pub fn serve_if_asked() -> Option<u8> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != SUBCOMMAND {
        return None;
    }
    let counted = args.next()?;
    let metering = [Metering::Time, Metering::Fuel].into_iter().find(|it| counted == it.as_str())?;
    Some(serve(metering))
}

/// The compiler: reads a component from stdin, writes its code to stdout, and gives the exit code.
fn serve(metering: Metering) -> u8 {
    match compile_under_limits(metering) {
        Ok(()) => 0,
        Err(Fault::Component(reason)) => {
            say(&reason);
            INVALID.try_into().unwrap_or(2)
        }
        Err(Fault::Machine(reason)) => {
            say(&reason);
            1
        }
    }
}

/// Tells the host what went wrong, if it still hears.
fn say(reason: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{reason}");
}

/// Ends the compiler once nobody is there to take its code: the host was stopped, or killed.
fn end_with_the_host() {
    let stdout = std::io::stdout();
    // No event is asked for: that nobody reads any more is told in any case.
    let mut pipe = [PollFd::new(&stdout, PollFlags::empty())];
    loop {
        match poll(&mut pipe, None) {
            Ok(1..) => std::process::exit(1),
            Ok(0) | Err(Errno::INTR) => {}
            // Where that is not told, the limits end it.
            Err(_) => return,
        }
    }
}

enum Fault {
    Component(String),
    Machine(String),
}

fn compile_under_limits(metering: Metering) -> Result<(), Fault> {
    let machine = |error: &dyn std::fmt::Display| Fault::Machine(error.to_string());
    // Before the first byte is read.
    for (resource, limit) in [
        (Resource::As, ADDRESS_SPACE_BYTES),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Core, 0),
        // It only reads and writes the pipes it was started with.
        (Resource::Fsize, 0),
        (Resource::Nofile, 3),
    ] {
        // At its end comes SIGXCPU; a process that ignores it is killed a second later.
        let hard = if resource == Resource::Cpu { limit + 1 } else { limit };
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(hard) })
            .map_err(|error| machine(&error))?;
    }
    std::thread::spawn(end_with_the_host);
    let mut component = Vec::new();
    std::io::stdin()
        .lock()
        .take(COMPONENT_BYTES_MAX)
        .read_to_end(&mut component)
        .map_err(|error| machine(&error))?;
    let engine = compiler(metering).map_err(|error| machine(&error))?;
    let code =
        engine.precompile_component(&component).map_err(|error| Fault::Component(format!("{error:#}")))?;
    std::io::stdout().lock().write_all(&code).map_err(|error| machine(&error))
}
