//! Which granted directory a handle of a guest leads into, for whoever reads about a denial.

use std::collections::{HashMap, VecDeque};

use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::DirectoryEntry;

/// Of a longer path only the beginning is remembered: a guest can go down as deep as it likes.
const PATH_BYTES_MAX: usize = 4 * 1024;

/// The files and directories that a guest holds, by their handles.
#[derive(Debug, Default)]
pub(super) struct Handles {
    by_number: HashMap<u32, Handle>,
    /// How many of them were opened by the guest.
    opened: usize,
    /// The directories that are being listed, by the handles of their listings.
    listings: HashMap<u32, Listing>,
}

/// Where a handle leads.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    /// The number of the grant.
    pub(super) dir: usize,
    /// The path below the granted directory, without `.` and `..`.
    pub(super) path: String,
    is_opened: bool,
}

/// What a directory has in it, as far as the guest has not read it.
pub(super) type Listing = VecDeque<FsResult<DirectoryEntry>>;

impl Handle {
    /// Where a path leads that is relative to this.
    pub(super) fn join(&self, path: &str) -> String {
        match (self.path.as_str(), path) {
            ("", path) => path.to_owned(),
            (own, "") => own.to_owned(),
            (own, path) => format!("{own}/{path}"),
        }
    }
}

impl Handles {
    /// How many the guest has opened and not closed.
    pub(super) fn opened(&self) -> usize {
        self.opened
    }

    pub(super) fn get(&self, number: u32) -> Option<&Handle> {
        self.by_number.get(&number)
    }

    /// Notes the handle of a granted directory.
    pub(super) fn grant(&mut self, number: u32, dir: usize) {
        self.by_number.insert(number, Handle { dir, path: String::new(), is_opened: false });
    }

    /// Notes a handle that the guest opened by a path, relative to another one.
    pub(super) fn open(&mut self, number: u32, from: u32, path: &str) {
        let Some(from) = self.get(from) else { return };
        let path = plain(&from.join(path));
        let path = if path.len() <= PATH_BYTES_MAX { path } else { from.path.clone() };
        let handle = Handle { dir: from.dir, path, is_opened: true };
        self.by_number.insert(number, handle);
        self.opened += 1;
    }

    pub(super) fn close(&mut self, number: u32) {
        if self.by_number.remove(&number).is_some_and(|handle| handle.is_opened) {
            self.opened -= 1;
        }
    }

    pub(super) fn list(&mut self, number: u32, listing: Listing) {
        self.listings.insert(number, listing);
    }

    pub(super) fn listing(&mut self, number: u32) -> Option<&mut Listing> {
        self.listings.get_mut(&number)
    }

    pub(super) fn end_listing(&mut self, number: u32) {
        self.listings.remove(&number);
    }
}

/// A path without the parts that lead nowhere, or back.
fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            (part, _) => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a path stays below where it begins, by what is written: links are for the system to follow.
pub(super) fn stays_inside(path: &str) -> bool {
    let mut depth = 0_usize;
    !path.starts_with('/')
        && path.split('/').all(|part| match part {
            "" | "." => true,
            ".." => depth.checked_sub(1).is_some_and(|above| {
                depth = above;
                true
            }),
            _ => {
                depth += 1;
                true
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_a_path_does_not_grow_without_end() {
        let mut handles = Handles::default();
        handles.grant(0, 0);
        handles.open(1, 0, "a");
        for _ in 0..10_000 {
            handles.open(2, 1, "././/b/../.");
            handles.close(1);
            handles.open(1, 2, ".");
            handles.close(2);
        }
        assert_eq!((handles.get(1).map(|it| it.path.as_str()), handles.opened()), (Some("a"), 1));
        for number in 1..10_000 {
            handles.open(number + 1, number, "deeper");
        }
        assert!(handles.get(10_000).is_some_and(|it| it.path.len() <= PATH_BYTES_MAX));
    }

    #[test]
    fn a_path_that_climbs_out_and_one_that_does_not() {
        for path in ["", "a", "a/../b", "./a//b/../..", "a/b/../../c"] {
            assert!(stays_inside(path), "{path}");
        }
        for path in ["..", "a/../..", "/a", "a/../../a", "./../x"] {
            assert!(!stays_inside(path), "{path}");
        }
    }
}
