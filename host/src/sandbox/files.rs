//! `wasi:filesystem` with the number of open files bounded and denials noted. What a path may reach is decided
//! by wasmtime-wasi, which resolves it below the granted directory, component by component.

use std::collections::VecDeque;

use serde_json::Value;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::handles::{Handles, Listing, stays_inside};
use super::log::CallLog;
use super::record::CallRecord;
use super::state::{Policy, State};
use crate::grants::{Access, DirGrant, Limit};
use crate::message::{Denial, Json, Remedy, ToolOutcome, toml_string};

/// Of a longer path a denial shows the beginning; no system opens it.
const PATH_SHOWN_BYTES_MAX: usize = 4 * 1024;

/// So many paths of a call's input are named in a denial.
const PATHS_NAMED_MAX: usize = 3;

/// What is denied of a call that looks for its directories where none are granted. It ends there: the guest does not say
/// which path it would have opened.
pub(super) const NO_DIRECTORY: &str = "files: no directory is granted";

/// For the linker.
pub(super) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = Files<'a>;
}

/// The files of one call.
pub(super) struct Files<'a> {
    wasi: WasiFilesystemCtxView<'a>,
    handles: &'a mut Handles,
    policy: &'a Policy,
    record: &'a CallRecord,
    log: &'a CallLog,
}

impl State {
    pub(super) fn files(&mut self) -> Files<'_> {
        // Borrowed field by field, because the view below takes the whole of the rest.
        let Self { handles, policy, record, log, wasi, table, .. } = self;
        let wasi = WasiFilesystemCtxView { ctx: wasi.filesystem(), table };
        Files { wasi, handles, policy, record, log }
    }
}

/// What a guest wanted to do with a path, by which handle.
struct Wanted<'a> {
    what: &'a str,
    handle: u32,
    path: &'a str,
    /// Whether it changes something.
    writes: bool,
}

impl Files<'_> {
    /// Notes a denial for the person; the guest gets the error as it is.
    fn hear<T>(&self, wanted: &Wanted<'_>, done: FsResult<T>) -> FsResult<T> {
        if let Err(error) = &done
            && let Some(
                types::ErrorCode::NotPermitted | types::ErrorCode::ReadOnly | types::ErrorCode::Access,
            ) = error.downcast_ref()
        {
            self.record.deny(self.denial(wanted));
        }
        done
    }

    /// Of something between two places, which is denied for one of them: for the one that is only read, or led out of.
    fn hear_of_two<T>(
        &self,
        what: &str,
        from: (u32, &str),
        to: (u32, &str),
        done: FsResult<T>,
    ) -> FsResult<T> {
        let is_good = |(handle, path): (u32, &str)| {
            let handle = self.handles.get(handle);
            let dir = handle.and_then(|it| self.policy.grants.dirs.get(it.dir));
            dir.is_some_and(|dir| dir.access == Access::Rw)
                && handle.is_some_and(|it| stays_inside(&it.join(path)))
        };
        let (handle, path) = if is_good(from) { to } else { from };
        self.hear(&Wanted { what, handle, path, writes: true }, done)
    }

    /// What a directory has in it, by name: the system has an order of its own, which is another one on another machine.
    /// A name that is not UTF-8 cannot be said to a guest. It is left out, and the others are not.
    async fn in_order(&mut self, listed: &Resource<types::DirectoryEntryStream>, handle: u32) -> Listing {
        let (mut entries, mut failures, mut has_unsayable) = (Vec::new(), Vec::new(), false);
        loop {
            let next = Resource::new_borrow(listed.rep());
            match types::HostDirectoryEntryStream::read_directory_entry(&mut self.wasi, next).await {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => break,
                Err(error) if matches!(error.downcast_ref(), Some(types::ErrorCode::IllegalByteSequence)) => {
                    has_unsayable = true;
                }
                Err(error) => failures.push(Err(error)),
            }
        }
        if has_unsayable {
            let dirs = &self.policy.grants.dirs;
            let handle = self.handles.get(handle);
            let path = handle.and_then(|it| Some(called(&dirs.get(it.dir)?.guest, &it.path)));
            let path = path.as_deref().unwrap_or("a directory");
            self.log
                .remark(&format!("{path} has a name in it that is not UTF-8; it is left out of the list"));
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        entries.into_iter().map(Ok).chain(failures).collect()
    }

    fn denial(&self, wanted: &Wanted<'_>) -> Denial {
        let Wanted { what, handle, path, writes } = *wanted;
        let path = path.get(..path.floor_char_boundary(PATH_SHOWN_BYTES_MAX)).unwrap_or_default();
        let handle = self.handles.get(handle);
        let Some((handle, dir)) = handle.and_then(|it| Some((it, self.policy.grants.dirs.get(it.dir)?)))
        else {
            return Denial::for_good(format!("{what} {path:?}"));
        };
        let DirGrant { written, guest, access, can_be_written, .. } = dir;
        let below = handle.join(path);
        let (what, name) = (format!("{what} {:?}", called(guest, &below)), format!("{guest:?}"));
        if path.starts_with('/') {
            let why = "the path is absolute, and WASI opens paths relative to a directory alone";
            return Denial::for_good(format!("{} {path:?}: {why}", wanted.what));
        }
        if !stays_inside(&below) {
            return Denial::for_good(format!("{what}: the path leads out of what is granted as {name}"));
        }
        match (access, writes) {
            (Access::Ro, true) if *can_be_written => Denial {
                what: format!("{what}: {name} is granted for reading alone"),
                grant: format!(
                    "[[tools.{}.permissions.dirs]]\npath = {}\nguest = {}\naccess = \"write\"",
                    self.policy.tool,
                    toml_string(written),
                    toml_string(guest)
                ),
                remedy: Remedy::Instead,
            },
            (Access::Ro, true) => Denial::for_good(format!(
                "{what}: {name} is granted for reading alone, and has a file in it that decides what tools may do"
            )),
            (Access::Ro | Access::Rw, _) => Denial::for_good(format!(
                "{what}: not within what is granted as {name}, or not for this user"
            )),
        }
    }
}

/// Names the paths of a call's input, if it can have any, in the denial of its files, if they were denied. A call that
/// names none and has succeeded missed no file: older runtimes look for their directories when they first print something.
pub(super) fn name_paths(record: &CallRecord, input: Option<&Json>, outcome: &ToolOutcome) {
    record.settle_denial(NO_DIRECTORY, || {
        let mut paths = Vec::new();
        if let Some(input) = input {
            find_paths(&input.to_value(), &mut paths);
        }
        match (paths.is_empty(), outcome) {
            (false, _) => Some(format!("; the call names {}", paths.join(", "))),
            (true, ToolOutcome::Error(_)) => Some(String::new()),
            (true, ToolOutcome::Output(_)) => None,
        }
    });
}

/// The texts in a value that are written like paths, as they are shown. How deep a value can be is bounded by its reader.
fn find_paths(value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::String(text) if is_written_like_a_path(text) => {
            let text = text.get(..text.floor_char_boundary(PATH_SHOWN_BYTES_MAX)).unwrap_or_default();
            if paths.len() < PATHS_NAMED_MAX {
                paths.push(format!("{text:?}"));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_paths(item, paths)),
        Value::Object(members) => members.values().for_each(|member| find_paths(member, paths)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_written_like_a_path(text: &str) -> bool {
    text.contains('/') && !text.contains("://") && !text.contains(char::is_whitespace)
}

/// What a guest calls a path below a directory.
fn called(guest: &str, below: &str) -> String {
    let guest = guest.trim_end_matches('/');
    if below.is_empty() && !guest.is_empty() { guest.to_owned() } else { format!("{guest}/{below}") }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let dirs = &self.policy.grants.dirs;
        if dirs.is_empty() {
            self.record.deny(Denial {
                what: NO_DIRECTORY.to_owned(),
                grant: format!(
                    "[[tools.{}.permissions.dirs]]\npath = \"…\"\nguest = \"…\"\naccess = \"read\"",
                    self.policy.tool
                ),
                remedy: Remedy::FillIn,
            });
        }
        let directories = preopens::Host::get_directories(&mut self.wasi)?;
        for (handle, name) in &directories {
            if let Some(dir) = dirs.iter().position(|dir| dir.guest == *name) {
                self.handles.grant(handle.rep(), dir);
            }
        }
        Ok(directories)
    }
}

impl types::Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        types::Host::convert_error_code(&mut self.wasi, error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.wasi, error)
    }
}

impl types::HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        self.handles.listing(stream.rep()).and_then(VecDeque::pop_front).transpose()
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.handles.end_listing(stream.rep());
        types::HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}

/// Methods that are passed on as they are, with denials noted; `path` says which argument is the path, `writes` whether
/// they change anything.
macro_rules! pass_on {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $what:literal, path = $path:expr, writes = $writes:literal;)*) => {
        $(async fn $name(&mut self, fd: Resource<Descriptor>, $($arg: $ty),*) -> FsResult<$ret> {
            let (handle, path) = (fd.rep(), String::from($path));
            let done = self.wasi.$name(fd, $($arg),*).await;
            self.hear(&Wanted { what: $what, handle, path: &path, writes: $writes }, done)
        })*
    };
}

impl types::HostDescriptor for Files<'_> {
    pass_on! {
        advise(offset: u64, len: u64, advice: types::Advice) -> (), "to advise on", path = "", writes = false;
        sync_data() -> (), "to sync", path = "", writes = false;
        get_flags() -> types::DescriptorFlags, "to look at", path = "", writes = false;
        get_type() -> types::DescriptorType, "to look at", path = "", writes = false;
        set_size(size: u64) -> (), "to resize", path = "", writes = true;
        set_times(accessed: types::NewTimestamp, modified: types::NewTimestamp) -> (), "to set times of", path = "", writes = true;
        read(len: u64, offset: u64) -> (Vec<u8>, bool), "to read", path = "", writes = false;
        write(buffer: Vec<u8>, offset: u64) -> u64, "to write", path = "", writes = true;
        sync() -> (), "to sync", path = "", writes = false;
        create_directory_at(path: String) -> (), "to make the directory", path = path.as_str(), writes = true;
        stat() -> types::DescriptorStat, "to look at", path = "", writes = false;
        stat_at(flags: types::PathFlags, path: String) -> types::DescriptorStat, "to look at", path = path.as_str(), writes = false;
        set_times_at(
            flags: types::PathFlags,
            path: String,
            accessed: types::NewTimestamp,
            modified: types::NewTimestamp
        ) -> (), "to set times of", path = path.as_str(), writes = true;
        readlink_at(path: String) -> String, "to read the link", path = path.as_str(), writes = false;
        remove_directory_at(path: String) -> (), "to remove the directory", path = path.as_str(), writes = true;
        symlink_at(target: String, path: String) -> (), "to make a symbolic link", path = path.as_str(), writes = true;
        unlink_file_at(path: String) -> (), "to remove", path = path.as_str(), writes = true;
        metadata_hash() -> types::MetadataHashValue, "to look at", path = "", writes = false;
        metadata_hash_at(flags: types::PathFlags, path: String) -> types::MetadataHashValue,
            "to look at", path = path.as_str(), writes = false;
    }

    async fn read_directory(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<types::DirectoryEntryStream>> {
        let handle = fd.rep();
        let listed = self.wasi.read_directory(fd).await;
        let listed = self.hear(&Wanted { what: "to list", handle, path: "", writes: false }, listed)?;
        let listing = self.in_order(&listed, handle).await;
        self.handles.list(listed.rep(), listing);
        Ok(listed)
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: types::PathFlags,
        old: String,
        other: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        let (from, to) = (fd.rep(), other.rep());
        let done = self.wasi.link_at(fd, flags, old.clone(), other, new.clone()).await;
        self.hear_of_two("to link", (from, &old), (to, &new), done)
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        old: String,
        other: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        let (from, to) = (fd.rep(), other.rep());
        let done = self.wasi.rename_at(fd, old.clone(), other, new.clone()).await;
        self.hear_of_two("to rename", (from, &old), (to, &new), done)
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        if self.handles.opened() >= self.policy.limits.open_files_max as usize {
            return Err(FsError::trap(self.record.exceed(Limit::OpenFiles)));
        }
        let handle = fd.rep();
        let makes = types::OpenFlags::CREATE | types::OpenFlags::TRUNCATE;
        let changes = types::DescriptorFlags::WRITE | types::DescriptorFlags::MUTATE_DIRECTORY;
        let writes = open_flags.intersects(makes) || flags.intersects(changes);
        let opened = self.wasi.open_at(fd, path_flags, path.clone(), open_flags, flags).await;
        if let Ok(opened) = &opened {
            self.handles.open(opened.rep(), handle, &path);
        }
        self.hear(&Wanted { what: "to open", handle, path: &path, writes }, opened)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.handles.close(fd.rep());
        types::HostDescriptor::drop(&mut self.wasi, fd)
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        self.wasi.read_via_stream(fd, offset)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynOutputStream>> {
        let handle = fd.rep();
        let done = self.wasi.write_via_stream(fd, offset);
        self.hear(&Wanted { what: "to write", handle, path: "", writes: true }, done)
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        let handle = fd.rep();
        let done = self.wasi.append_via_stream(fd);
        self.hear(&Wanted { what: "to write", handle, path: "", writes: true }, done)
    }

    async fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(a, b).await
    }
}
