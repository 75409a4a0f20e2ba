//! Preloaded into the host: writes down every change of a file below `HOST_TEST_DISK`, every sync, and what is
//! printed, in the order in which they happen. One lock around call and note makes that order the true one.
//!
//! Compiled by the test itself with plain `rustc --crate-type cdylib`, so it depends on nothing.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

const FDS: usize = 1 << 16;
const STDOUT: c_int = 1;
const CREATE: c_int = 0o100;
const APPEND: c_int = 0o2000;
const SEEK_CUR: c_int = 1;
const NEXT: *mut c_void = -1_isize as *mut c_void;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn lseek64(fd: c_int, offset: i64, whence: c_int) -> i64;
}

/// The function of the C library that this one stands before.
macro_rules! real {
    ($name:literal as $signature:ty) => {{
        static REAL: OnceLock<usize> = OnceLock::new();
        let address = *REAL.get_or_init(|| unsafe { dlsym(NEXT, $name.as_ptr()) } as usize);
        unsafe { std::mem::transmute::<usize, $signature>(address) }
    }};
}

type Open = extern "C" fn(*const c_char, c_int, u32) -> c_int;
type OpenAt = extern "C" fn(c_int, *const c_char, c_int, u32) -> c_int;
type Write = extern "C" fn(c_int, *const c_void, usize) -> isize;
type PWrite = extern "C" fn(c_int, *const c_void, usize, i64) -> isize;
type Truncate = extern "C" fn(c_int, i64) -> c_int;
type OnFd = extern "C" fn(c_int) -> c_int;
type OnPath = extern "C" fn(*const c_char) -> c_int;
type Rename = extern "C" fn(*const c_char, *const c_char) -> c_int;
type MakeDir = extern "C" fn(*const c_char, u32) -> c_int;
type UnlinkAt = extern "C" fn(c_int, *const c_char, c_int) -> c_int;
type SyncRange = extern "C" fn(c_int, i64, i64, u32) -> c_int;

struct Recorder {
    root: Vec<u8>,
    log: c_int,
    order: Mutex<()>,
    tracked: Vec<AtomicBool>,
}

fn recorder() -> Option<&'static Recorder> {
    static RECORDER: OnceLock<Option<Recorder>> = OnceLock::new();
    let make = || {
        let root = std::env::var_os("HOST_TEST_DISK")?.as_bytes().to_vec();
        let mut log = std::env::var_os("HOST_TEST_DISK_LOG")?.as_bytes().to_vec();
        log.push(0);
        let log = real!(c"open64" as Open)(log.as_ptr().cast(), 0o1 | CREATE | APPEND, 0o600);
        let tracked = (0..FDS).map(|_| AtomicBool::new(false)).collect();
        let recorder = Recorder { root, log, order: Mutex::new(()), tracked };
        recorder.note(b'B', 0, 0, b"", b"");
        Some(recorder)
    };
    RECORDER.get_or_init(make).as_ref()
}

impl Recorder {
    fn is_below(&self, path: *const c_char) -> bool {
        bytes(path).starts_with(&self.root)
    }

    fn is_tracked(&self, fd: c_int) -> bool {
        usize::try_from(fd).is_ok_and(|fd| fd < FDS && self.tracked[fd].load(Ordering::SeqCst))
    }

    fn track(&self, fd: c_int, tracked: bool) {
        if let Some(it) = usize::try_from(fd).ok().and_then(|fd| self.tracked.get(fd)) {
            it.store(tracked, Ordering::SeqCst);
        }
    }

    /// kind (1), descriptor (4), number (8), two texts with their lengths (4) before them.
    fn note(&self, kind: u8, fd: c_int, number: i64, first: &[u8], second: &[u8]) {
        let mut note = vec![kind];
        note.extend_from_slice(&fd.to_le_bytes());
        note.extend_from_slice(&number.to_le_bytes());
        for text in [first, second] {
            note.extend_from_slice(&(text.len() as u32).to_le_bytes());
            note.extend_from_slice(text);
        }
        let written = real!(c"write" as Write)(self.log, note.as_ptr().cast(), note.len());
        assert_eq!(written, note.len() as isize, "the disk of the test is full");
    }
}

fn bytes<'a>(path: *const c_char) -> &'a [u8] {
    OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()).as_bytes()
}

fn data<'a>(data: *const c_void, length: usize) -> &'a [u8] {
    unsafe { std::slice::from_raw_parts(data.cast(), length) }
}

/// Does it, and notes it if it succeeded and is to be noted.
fn in_order<T: Copy + PartialOrd + From<i8>>(
    noted: impl FnOnce(&Recorder) -> bool,
    call: impl FnOnce() -> T,
    note: impl FnOnce(&Recorder, T),
) -> T {
    let Some(recorder) = recorder() else { return call() };
    if !noted(recorder) {
        return call();
    }
    let _order = recorder.order.lock().unwrap();
    let result = call();
    if result >= T::from(0) {
        note(recorder, result);
    }
    result
}

fn opened(recorder: &Recorder, fd: c_int, directory: c_int, path: *const c_char, flags: c_int) {
    recorder.track(fd, true);
    recorder.note(b'O', fd, i64::from(flags), bytes(path), &directory.to_le_bytes());
}

fn open_by(name: &CStr, path: *const c_char, flags: c_int, mode: u32) -> c_int {
    let open = || match name.to_bytes() {
        b"open" => real!(c"open" as Open)(path, flags, mode),
        _ => real!(c"open64" as Open)(path, flags, mode),
    };
    in_order(|it| it.is_below(path), open, |it, fd| opened(it, fd, -1, path, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn open(path: *const c_char, flags: c_int, mode: u32) -> c_int {
    open_by(c"open", path, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn open64(path: *const c_char, flags: c_int, mode: u32) -> c_int {
    open_by(c"open64", path, flags, mode)
}

fn open_at_by(wide: bool, directory: c_int, path: *const c_char, flags: c_int, mode: u32) -> c_int {
    let open = || {
        if wide {
            real!(c"openat64" as OpenAt)(directory, path, flags, mode)
        } else {
            real!(c"openat" as OpenAt)(directory, path, flags, mode)
        }
    };
    let noted = |it: &Recorder| it.is_below(path) || it.is_tracked(directory);
    in_order(noted, open, |it, fd| opened(it, fd, directory, path, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn openat(directory: c_int, path: *const c_char, flags: c_int, mode: u32) -> c_int {
    open_at_by(false, directory, path, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn openat64(directory: c_int, path: *const c_char, flags: c_int, mode: u32) -> c_int {
    open_at_by(true, directory, path, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn close(fd: c_int) -> c_int {
    let close = || real!(c"close" as OnFd)(fd);
    in_order(|it| it.is_tracked(fd), close, |it, _| it.track(fd, false))
}

#[unsafe(no_mangle)]
pub extern "C" fn write(fd: c_int, from: *const c_void, length: usize) -> isize {
    let write = || real!(c"write" as Write)(fd, from, length);
    in_order(
        |it| fd == STDOUT || it.is_tracked(fd),
        write,
        |it, written| {
            let written = data(from, written as usize);
            if fd == STDOUT {
                return it.note(b'T', fd, 0, written, b"");
            }
            let end = unsafe { lseek64(fd, 0, SEEK_CUR) };
            it.note(b'W', fd, end - written.len() as i64, written, b"");
        },
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite64(fd: c_int, from: *const c_void, length: usize, offset: i64) -> isize {
    let write = || real!(c"pwrite64" as PWrite)(fd, from, length, offset);
    in_order(
        |it| it.is_tracked(fd),
        write,
        |it, written| it.note(b'W', fd, offset, data(from, written as usize), b""),
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(fd: c_int, length: i64) -> c_int {
    let truncate = || real!(c"ftruncate64" as Truncate)(fd, length);
    in_order(|it| it.is_tracked(fd), truncate, |it, _| it.note(b'L', fd, length, b"", b""))
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    let sync = || real!(c"fsync" as OnFd)(fd);
    in_order(|it| it.is_tracked(fd), sync, |it, _| it.note(b'S', fd, 0, b"", b""))
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    let sync = || real!(c"fdatasync" as OnFd)(fd);
    in_order(|it| it.is_tracked(fd), sync, |it, _| it.note(b'S', fd, 0, b"", b""))
}

#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(fd: c_int, offset: i64, length: i64, flags: u32) -> c_int {
    let sync = || real!(c"sync_file_range" as SyncRange)(fd, offset, length, flags);
    in_order(|it| it.is_tracked(fd), sync, |it, _| it.note(b'G', fd, 0, b"", b""))
}

#[unsafe(no_mangle)]
pub extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let rename = || real!(c"rename" as Rename)(from, to);
    in_order(|it| it.is_below(to), rename, |it, _| it.note(b'R', 0, 0, bytes(from), bytes(to)))
}

#[unsafe(no_mangle)]
pub extern "C" fn mkdir(path: *const c_char, mode: u32) -> c_int {
    let make = || real!(c"mkdir" as MakeDir)(path, mode);
    in_order(|it| it.is_below(path), make, |it, _| it.note(b'D', 0, 0, bytes(path), b""))
}

#[unsafe(no_mangle)]
pub extern "C" fn unlink(path: *const c_char) -> c_int {
    let unlink = || real!(c"unlink" as OnPath)(path);
    in_order(|it| it.is_below(path), unlink, |it, _| it.note(b'U', -1, 0, bytes(path), b""))
}

#[unsafe(no_mangle)]
pub extern "C" fn rmdir(path: *const c_char) -> c_int {
    let remove = || real!(c"rmdir" as OnPath)(path);
    in_order(|it| it.is_below(path), remove, |it, _| it.note(b'U', -1, 0, bytes(path), b""))
}

#[unsafe(no_mangle)]
pub extern "C" fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    let unlink = || real!(c"unlinkat" as UnlinkAt)(directory, path, flags);
    let noted = |it: &Recorder| it.is_below(path) || it.is_tracked(directory);
    in_order(noted, unlink, |it, _| it.note(b'U', directory, 0, bytes(path), b""))
}
