//! What to do about errors of the library, in commands and options: the library itself names neither.

use crate::agent::RunError;
use crate::journal::JournalError;
use crate::session::SessionError;

/// The words of an error, with what to do about it on the command line.
pub(super) fn worded(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let Some((own, advice)) = known(error) else { return text };
    match text.strip_suffix(&own) {
        // The advice takes the place of what the library says to do.
        Some(before) => format!("{before}{}\n  {advice}", own.split("\n  ").next().unwrap_or(&own)),
        None => text,
    }
}

/// What the library says of an error, and what to do, if that is to be said in commands.
fn known(error: &anyhow::Error) -> Option<(String, &'static str)> {
    let session = match error.downcast_ref::<RunError>() {
        Some(RunError::Session(error)) => Some(error),
        Some(RunError::Model { .. }) | None => error.downcast_ref::<SessionError>(),
    };
    let journal = match session {
        Some(SessionError::Journal(error)) => Some(error),
        Some(error @ SessionError::Unfinished { .. }) => {
            return Some((error.to_string(), "`host resume` carries the run on from there"));
        }
        Some(_) => None,
        None => error.downcast_ref::<JournalError>(),
    };
    journal.and_then(|error| Some((error.to_string(), of_journal(error)?)))
}

fn of_journal(error: &JournalError) -> Option<&'static str> {
    match error {
        JournalError::Unwritable { .. } => {
            Some("make the directory writable, or choose another with --state DIR")
        }
        JournalError::InTheWay { .. } => Some("choose a directory with --state DIR or HOST_STATE"),
        JournalError::Stopped { .. } => Some(
            "everything recorded before is safe; free space or mend the disk, then `host resume` the run",
        ),
        JournalError::Exists { .. } => Some("remove that one first, or import into another --state DIR"),
        JournalError::UnknownRun { .. } => Some("`host runs` lists the runs; --state DIR looks elsewhere"),
        JournalError::NotBegun { .. } => Some("start it anew with `host run`"),
        JournalError::AmbiguousRun { .. } => Some("give more of the id; `host runs` lists them"),
        JournalError::Locked { .. }
        | JournalError::Unreadable { .. }
        | JournalError::Corrupt { .. }
        | JournalError::Version { .. }
        | JournalError::Fenced
        | JournalError::EarlierGone { .. }
        | JournalError::EarlierDiffers { .. }
        | JournalError::EarlierCircle { .. }
        | JournalError::GoneOnFrom { .. }
        | JournalError::SessionInUse { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::message::RunId;

    #[test]
    fn advice_takes_the_place_of_what_the_library_says_to_do() {
        let run = RunId::from_bytes([7; 16]);
        let not_begun = || SessionError::from(JournalError::NotBegun { run });
        let library = not_begun().to_string();
        assert!(library.ends_with("\n  start it anew") && !library.contains("host"), "{library}");
        let message = library.trim_end_matches("\n  start it anew");
        let expected = format!("{message}\n  start it anew with `host run`");
        assert_eq!(worded(&not_begun().into()), expected);
        assert_eq!(worded(&RunError::from(not_begun()).into()), expected);
        let in_context = Err::<(), _>(JournalError::NotBegun { run }).context("it failed");
        assert_eq!(in_context.map_err(|error| worded(&error)), Err(format!("it failed: {expected}")));
        let other = anyhow::Error::from(JournalError::Fenced);
        assert_eq!(worded(&other), JournalError::Fenced.to_string());
    }
}
