//! Which process works on a run: the file `lock` in its directory, with the process's id inside.
//!
//! A courtesy among processes that behave; what keeps a stale one from writing is the log.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::{JournalError, io_error};

const LOCK: &str = "lock";

/// A listing takes a shared lock for an instant to see whether anybody holds the exclusive one, so taking
/// that is tried this often, [`RETRY`] apart, before it counts as held.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(10);

/// Whether a process has the run open.
pub(super) fn is_held(path: &Path) -> bool {
    File::open(path.join(LOCK))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Takes the lock for as long as the file lives.
pub(super) fn take(path: &Path) -> Result<File, JournalError> {
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
    let mut lock = open.map_err(|error| io_error(path, &error))?;
    let mut taken = lock.try_lock();
    for _ in 1..TRIES {
        if !matches!(taken, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(RETRY);
        taken = lock.try_lock();
    }
    match taken {
        Ok(()) => {
            let note = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
            note.map_err(|error| io_error(path, &error))?;
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The id is a courtesy; without it the message is still true.
            let _ = lock.read_to_string(&mut holder);
            let holder =
                if holder.is_empty() { "another process".to_owned() } else { format!("process {holder}") };
            Err(JournalError::Locked { path: path.to_owned(), holder })
        }
        Err(TryLockError::Error(error)) => Err(io_error(path, &error)),
    }
}
