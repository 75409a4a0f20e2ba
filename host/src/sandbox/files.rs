//! `wasi:filesystem` with the number of open files bounded and denials noted. What a path may reach is decided
//! by wasmtime-wasi, which resolves it below the granted directory, component by component.

use std::collections::HashSet;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::record::CallRecord;
use super::state::{Policy, State};
use crate::grants::{Access, Limit};
use crate::message::Denial;

/// For the linker.
pub(super) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = Files<'a>;
}

/// The files of one call.
pub(super) struct Files<'a> {
    wasi: WasiFilesystemCtxView<'a>,
    open: &'a mut HashSet<u32>,
    policy: &'a Policy,
    record: &'a CallRecord,
}

impl State {
    pub(super) fn files(&mut self) -> Files<'_> {
        // Borrowed field by field, because the view below takes the whole of the rest.
        let Self { open_files, policy, record, wasi, table, .. } = self;
        let wasi = WasiFilesystemCtxView { ctx: wasi.filesystem(), table };
        Files { wasi, open: open_files, policy, record }
    }
}

impl Files<'_> {
    /// Notes a denial for the person; the guest gets the error as it is.
    fn hear<T>(&self, what: &str, path: &str, done: FsResult<T>) -> FsResult<T> {
        if let Err(error) = &done
            && let Some(
                types::ErrorCode::NotPermitted | types::ErrorCode::ReadOnly | types::ErrorCode::Access,
            ) = error.downcast_ref()
        {
            self.record.deny(self.denial(what, path));
        }
        done
    }

    fn denial(&self, what: &str, path: &str) -> Denial {
        let dirs = &self.policy.grants.dirs;
        let what = format!("{what} {path:?}: not within what the directories grant");
        let writable = dirs.iter().find(|dir| dir.access == Access::Ro);
        let (host, guest, access) = match writable {
            Some(dir) => (dir.written.as_str(), dir.guest.as_str(), "rw"),
            None => ("…", "…", "ro"),
        };
        let tool = &self.policy.tool;
        let dir = format!("{{ host = {host:?}, guest = {guest:?}, access = \"{access}\" }}");
        Denial { what, grant: format!("[tools.{tool}.permissions]\ndirs = [{dir}]") }
    }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        if self.policy.grants.dirs.is_empty() {
            let tool = &self.policy.tool;
            self.record.deny(Denial {
                what: "files: no directory is granted".to_owned(),
                grant: format!(
                    "[tools.{tool}.permissions]\ndirs = [{{ host = \"…\", guest = \"…\", access = \"ro\" }}]"
                ),
            });
        }
        preopens::Host::get_directories(&mut self.wasi)
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
        self.wasi.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        types::HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}

/// Methods that are passed on as they are, with denials noted; `path` says which argument is the path.
macro_rules! pass_on {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $what:literal, path = $path:expr;)*) => {
        $(async fn $name(&mut self, fd: Resource<Descriptor>, $($arg: $ty),*) -> FsResult<$ret> {
            let path = String::from($path);
            let done = self.wasi.$name(fd, $($arg),*).await;
            self.hear($what, &path, done)
        })*
    };
}

impl types::HostDescriptor for Files<'_> {
    pass_on! {
        advise(offset: u64, len: u64, advice: types::Advice) -> (), "to advise on", path = "";
        sync_data() -> (), "to sync", path = "";
        get_flags() -> types::DescriptorFlags, "to look at", path = "";
        get_type() -> types::DescriptorType, "to look at", path = "";
        set_size(size: u64) -> (), "to resize", path = "";
        set_times(accessed: types::NewTimestamp, modified: types::NewTimestamp) -> (), "to set times of", path = "";
        read(len: u64, offset: u64) -> (Vec<u8>, bool), "to read", path = "";
        write(buffer: Vec<u8>, offset: u64) -> u64, "to write", path = "";
        read_directory() -> Resource<types::DirectoryEntryStream>, "to list", path = "";
        sync() -> (), "to sync", path = "";
        create_directory_at(path: String) -> (), "to make the directory", path = path.as_str();
        stat() -> types::DescriptorStat, "to look at", path = "";
        stat_at(flags: types::PathFlags, path: String) -> types::DescriptorStat, "to look at", path = path.as_str();
        set_times_at(
            flags: types::PathFlags,
            path: String,
            accessed: types::NewTimestamp,
            modified: types::NewTimestamp
        ) -> (), "to set times of", path = path.as_str();
        link_at(flags: types::PathFlags, old: String, other: Resource<Descriptor>, new: String) -> (),
            "to link", path = old.as_str();
        readlink_at(path: String) -> String, "to read the link", path = path.as_str();
        remove_directory_at(path: String) -> (), "to remove the directory", path = path.as_str();
        rename_at(old: String, other: Resource<Descriptor>, new: String) -> (), "to rename", path = old.as_str();
        symlink_at(target: String, path: String) -> (), "to make a symbolic link", path = path.as_str();
        unlink_file_at(path: String) -> (), "to remove", path = path.as_str();
        metadata_hash() -> types::MetadataHashValue, "to look at", path = "";
        metadata_hash_at(flags: types::PathFlags, path: String) -> types::MetadataHashValue,
            "to look at", path = path.as_str();
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        if self.open.len() >= self.policy.limits.open_files_max as usize {
            return Err(FsError::trap(self.record.exceed(Limit::OpenFiles)));
        }
        let opened = self.wasi.open_at(fd, path_flags, path.clone(), open_flags, flags).await;
        if let Ok(opened) = &opened {
            self.open.insert(opened.rep());
        }
        self.hear("to open", &path, opened)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.open.remove(&fd.rep());
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
        let done = self.wasi.write_via_stream(fd, offset);
        self.hear("to write", "", done)
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        let done = self.wasi.append_via_stream(fd);
        self.hear("to write", "", done)
    }

    async fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(a, b).await
    }
}
