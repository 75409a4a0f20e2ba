//! Compilers at work: what cargo is started with, what they say, and how they end.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::process_group::Group;

/// What is kept of one line. `cargo metadata` says everything in one.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Columns of cargo's progress bar: enough for what it names at its end.
const BAR_COLUMNS: u32 = 120;

/// Something that a compiler says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// A line.
    Line(&'a str),
    /// A progress bar, which the next one is to be drawn over.
    Bar(&'a str),
}

/// Runs cargo in a crate's directory, tells what it says, line by line, and waits for its end. Dropping the future ends
/// cargo, and whatever it started.
pub(super) async fn cargo(
    path: &Path,
    args: &[&str],
    stdout: impl FnMut(Heard<'_>),
    stderr: impl FnMut(Heard<'_>),
) -> io::Result<ExitStatus> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(args)
        .current_dir(path)
        // Its bar has the count of crates, which it tells nowhere else.
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", BAR_COLUMNS.to_string());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_for_this_machine)) {
        cargo.env_remove(name);
    }
    run(&mut cargo, stdout, stderr).await
}

/// Whether a variable of the environment says how cargo builds for the machine that this runs on. Flags and profiles of that
/// kind have no place in a guest, a crate that is built incrementally becomes another component, and where a guest is built
/// is said. The names are those of cargo's reference, "Configuration" and "Environment Variables".
fn is_for_this_machine(name: &str) -> bool {
    let is_flag_of_target = name.starts_with("CARGO_TARGET_") && name.ends_with("_RUSTFLAGS");
    let is_known = matches!(
        name,
        "RUSTFLAGS"
            | "CARGO_ENCODED_RUSTFLAGS"
            | "CARGO_INCREMENTAL"
            | "CARGO_TARGET_DIR"
            | "CARGO_BUILD_TARGET"
            | "CARGO_BUILD_TARGET_DIR"
            | "CARGO_BUILD_BUILD_DIR"
            | "CARGO_BUILD_RUSTFLAGS"
            | "CARGO_BUILD_INCREMENTAL"
    );
    is_known || is_flag_of_target || name.starts_with("CARGO_PROFILE_")
}

/// Runs a program in the same way.
pub(super) async fn run(
    command: &mut Command,
    stdout: impl FnMut(Heard<'_>),
    stderr: impl FnMut(Heard<'_>),
) -> io::Result<ExitStatus> {
    let mut group = Group::of(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?,
    );
    let (out, err) = (group.leader.stdout.take(), group.leader.stderr.take());
    // Both pipes are emptied at the same time, so that it never waits for us.
    let (heard, listened) = tokio::join!(lines(out, stdout), lines(err, stderr));
    heard.and(listened)?;
    group.leader.wait().await
}

/// Cuts what comes into lines and bars.
async fn lines(stream: Option<impl AsyncRead + Unpin>, mut tell: impl FnMut(Heard<'_>)) -> io::Result<()> {
    let Some(mut stream) = stream else { return Ok(()) };
    let (mut line, mut bytes) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let count = stream.read(&mut bytes).await?;
        for byte in bytes.get(..count).unwrap_or_default() {
            match byte {
                b'\n' => tell(Heard::Line(String::from_utf8_lossy(&line).trim_end())),
                b'\r' => tell(Heard::Bar(&String::from_utf8_lossy(&line))),
                _ if line.len() < LINE_BYTES_MAX => {
                    line.push(*byte);
                    continue;
                }
                _ => continue,
            }
            line.clear();
        }
        if count == 0 {
            if !line.is_empty() {
                tell(Heard::Line(&String::from_utf8_lossy(&line)));
            }
            return Ok(());
        }
    }
}

/// What a bar says, in words: how many crates of how many, and which; none if it is of no known form.
///
/// `    Building [=====>        ] 12/47: syn, serde` is "12 of 47 crates: syn, serde".
pub(super) fn in_words(bar: &str) -> Option<String> {
    let (verb, rest) = bar.trim_start().split_once(" [")?;
    let (_, rest) = rest.split_once("] ")?;
    let rest = rest.trim_end();
    if verb != "Building" {
        return Some(format!("{} {rest}", verb.to_lowercase()));
    }
    let (count, names) = rest.split_once(':').unwrap_or((rest, ""));
    let (done, all) = count.split_once('/')?;
    let number = |text: &str| text.parse::<u32>().ok();
    let (done, all) = (number(done)?, number(all)?);
    let colon = if names.is_empty() { "" } else { ":" };
    Some(format!("{done} of {all} crates{colon}{names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_said_in_words() {
        for (bar, words) in [
            ("    Building [=====>     ] 12/47: syn, serde(build)   ", "12 of 47 crates: syn, serde(build)"),
            ("    Building [===========] 47/47", "47 of 47 crates"),
            (" Downloading [==>  ] 3/10, remaining bytes: 1.2MB", "downloading 3/10, remaining bytes: 1.2MB"),
        ] {
            assert_eq!(in_words(bar).as_deref(), Some(words));
        }
        for other in ["", "   Compiling syn v2.0.0", "    Building [===", "Building [=] x/y: z", "é [ü] "] {
            assert!(in_words(other).is_none_or(|words| !words.contains("crates")), "{other}");
        }
    }

    #[tokio::test]
    async fn lines_and_bars_are_told_apart() {
        let text: &[u8] = b"  a\n  b [=>] 1/2\r  c\r\nd\xff\n\nlast";
        let mut heard = Vec::new();
        let told = |it: Heard<'_>| {
            heard.push(match it {
                Heard::Line(line) => format!("line {line}"),
                Heard::Bar(bar) => format!("bar {bar}"),
            });
        };
        assert!(lines(Some(text), told).await.is_ok());
        let expected =
            ["line   a", "bar   b [=>] 1/2", "bar   c", "line ", "line d\u{fffd}", "line ", "line last"];
        assert_eq!(heard, expected);
    }
}
