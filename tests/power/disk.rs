//! A disk as a model: what was asked of it, what it has to have kept, and what it may have made of the rest.
//!
//! What was written before a sync of its file, or done in a directory before a sync of that directory, is kept.
//! Of everything else any part may be: sectors of 512 bytes of a write, each on its own; the size without the
//! bytes; a name without the names made before it. A rename happens or does not.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;

const SECTOR_BYTES: usize = 512;
const CREATE: i64 = 0o100;
const TRUNCATE: i64 = 0o1000;
const APPEND_FD: i32 = -1;

/// Everything that was asked of a disk, in order.
#[derive(Debug)]
pub struct History {
    nodes: Vec<Node>,
    /// What was printed, and when.
    pub told: Vec<(usize, String)>,
    /// How many things were asked.
    pub length: usize,
}

#[derive(Debug)]
enum Node {
    File(Vec<Change<Content>>),
    Directory(Vec<Change<Names>>),
}

/// Which calls make a disk keep what it was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Syncs {
    /// `fsync` and `fdatasync`, as they promise.
    Heeded,
    /// `sync_file_range` as well, for all of the file, which is more than it promises.
    RangesToo,
    /// None: the disk lies.
    Ignored,
}

/// One change of a file or directory.
#[derive(Debug)]
struct Change<T> {
    at: usize,
    /// When it was made durable.
    synced: Option<usize>,
    what: T,
}

#[derive(Debug)]
enum Content {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// What becomes of names, all of it or nothing.
type Names = Vec<(Vec<u8>, Option<usize>)>;

/// What a crash makes of changes that no sync covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unsynced {
    /// All of them are lost.
    Lost,
    /// All of them are kept.
    Kept,
    /// Those before some moment are kept.
    InOrder(usize),
    /// This share of them is kept, in 256ths.
    Some(u32),
}

impl Unsynced {
    /// One of them, before call `length`.
    pub fn random(length: usize, random: &mut ChaCha8Rng) -> Self {
        match random.next_u32() % 4 {
            0 => Self::Lost,
            1 => Self::Kept,
            2 => Self::InOrder(length - (random.next_u32() as usize % length.min(40))),
            _ => Self::Some([8, 128, 248][random.next_u32() as usize % 3]),
        }
    }
}

const ROOT: usize = 0;

/// Follows the calls of the traced processes.
struct Reader {
    root: PathBuf,
    syncs: Syncs,
    history: History,
    /// The names as a running process sees them.
    names: Vec<BTreeMap<Vec<u8>, usize>>,
    open: HashMap<i32, usize>,
}

impl History {
    /// Reads what the shim noted of processes that ran one after the other on the directory `root`.
    pub fn read(log: &Path, root: &Path, syncs: Syncs) -> Self {
        let history = Self { nodes: vec![Node::Directory(Vec::new())], told: Vec::new(), length: 0 };
        let names = vec![BTreeMap::new()];
        let mut reader = Reader { root: root.to_owned(), syncs, history, names, open: HashMap::new() };
        let log = fs::read(log).unwrap();
        let mut rest = log.as_slice();
        while let Some((kind, after)) = rest.split_first() {
            let (fd, after) = after.split_first_chunk().unwrap();
            let (number, after) = after.split_first_chunk().unwrap();
            let (first, after) = text(after);
            let (second, after) = text(after);
            reader.note(*kind, i32::from_le_bytes(*fd), i64::from_le_bytes(*number), first, second);
            rest = after;
        }
        reader.history
    }

    /// Writes the disk, as a crash after `length` calls may leave it, into a directory.
    pub fn crash(&self, length: usize, [content, names]: [Unsynced; 2], random: &mut ChaCha8Rng, to: &Path) {
        let crash = Crash { history: self, length, content, names };
        crash.directory(ROOT, to, random);
    }
}

fn text(from: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = from.split_first_chunk().unwrap();
    rest.split_at(u32::from_le_bytes(*length) as usize)
}

impl Reader {
    fn note(&mut self, kind: u8, fd: i32, number: i64, first: &[u8], second: &[u8]) {
        let at = self.history.length;
        self.history.length += 1;
        match kind {
            // A process begins with nothing open.
            b'B' => self.open.clear(),
            b'T' => self.history.told.push((at, String::from_utf8(first.to_vec()).unwrap())),
            b'O' => {
                let directory = i32::from_le_bytes(second.try_into().unwrap());
                self.opened(fd, directory, first, number);
            }
            b'W' => {
                let offset = usize::try_from(number).unwrap();
                self.content(fd, Content::Write(offset, first.to_vec()));
            }
            b'L' => self.content(fd, Content::Length(usize::try_from(number).unwrap())),
            b'S' if self.syncs != Syncs::Ignored => self.sync(self.open[&fd], at),
            b'G' if self.syncs == Syncs::RangesToo => self.sync(self.open[&fd], at),
            b'S' | b'G' => {}
            b'R' => self.rename(first, second),
            b'D' => {
                let node = self.make(Node::Directory(Vec::new()));
                let (parent, name) = self.locate(APPEND_FD, first);
                self.change_names(parent, vec![(name, Some(node))]);
            }
            b'U' => {
                let (parent, name) = self.locate(fd, first);
                self.change_names(parent, vec![(name, None)]);
            }
            other => panic!("the shim notes no {other}"),
        }
    }

    fn opened(&mut self, fd: i32, directory: i32, path: &[u8], flags: i64) {
        let (parent, name) = self.locate(directory, path);
        let there = if name.is_empty() { Some(parent) } else { self.names[parent].get(&name).copied() };
        let node = there.unwrap_or_else(|| {
            assert!(flags & CREATE != 0, "{} was opened", String::from_utf8_lossy(path));
            let node = self.make(Node::File(Vec::new()));
            self.change_names(parent, vec![(name, Some(node))]);
            node
        });
        self.open.insert(fd, node);
        if flags & TRUNCATE != 0 {
            self.content(fd, Content::Length(0));
        }
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) {
        let ((from_parent, from), (to_parent, to)) =
            (self.locate(APPEND_FD, from), self.locate(APPEND_FD, to));
        let node = self.names[from_parent][&from];
        if from_parent == to_parent {
            self.change_names(from_parent, vec![(to, Some(node)), (from, None)]);
        } else {
            // Two directories, each of which is synced on its own.
            self.change_names(to_parent, vec![(to, Some(node))]);
            self.change_names(from_parent, vec![(from, None)]);
        }
    }

    fn sync(&mut self, node: usize, at: usize) {
        fn sync<T>(changes: &mut [Change<T>], at: usize) {
            for change in changes.iter_mut().filter(|change| change.synced.is_none()) {
                change.synced = Some(at);
            }
        }
        match &mut self.history.nodes[node] {
            Node::File(changes) => sync(changes, at),
            Node::Directory(changes) => sync(changes, at),
        }
    }

    fn content(&mut self, fd: i32, what: Content) {
        let at = self.history.length - 1;
        match &mut self.history.nodes[self.open[&fd]] {
            Node::File(changes) => changes.push(Change { at, synced: None, what }),
            Node::Directory(_) => panic!("a directory is not written to"),
        }
    }

    fn change_names(&mut self, directory: usize, what: Names) {
        let at = self.history.length - 1;
        for (name, node) in &what {
            match node {
                Some(node) => drop(self.names[directory].insert(name.clone(), *node)),
                None => drop(self.names[directory].remove(name)),
            }
        }
        match &mut self.history.nodes[directory] {
            Node::Directory(changes) => changes.push(Change { at, synced: None, what }),
            Node::File(_) => panic!("a file has no names in it"),
        }
    }

    fn make(&mut self, node: Node) -> usize {
        self.history.nodes.push(node);
        self.names.push(BTreeMap::new());
        self.history.nodes.len() - 1
    }

    /// The directory of a path, and the name in it; no name for the root itself.
    fn locate(&self, directory: i32, path: &[u8]) -> (usize, Vec<u8>) {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let (mut node, path) = match path.strip_prefix(&self.root) {
            Ok(below) => (ROOT, below),
            Err(_) => (self.open[&directory], path),
        };
        let mut names = path.iter().map(|name| name.as_bytes().to_vec()).peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return (node, name);
            }
            node = self.names[node][&name];
        }
        (node, Vec::new())
    }
}

/// One moment, and what is to be made of it.
struct Crash<'a> {
    history: &'a History,
    length: usize,
    content: Unsynced,
    names: Unsynced,
}

impl Crash<'_> {
    fn directory(&self, node: usize, to: &Path, random: &mut ChaCha8Rng) {
        let Node::Directory(changes) = &self.history.nodes[node] else { panic!("it is a directory") };
        fs::create_dir_all(to).unwrap();
        let mut names = BTreeMap::new();
        for Change { at, synced, what } in changes.iter().filter(|change| change.at < self.length) {
            if self.keeps(*at, *synced, self.names, random) {
                names.extend(what.iter().cloned());
            }
        }
        for (name, node) in names {
            let to = to.join(std::ffi::OsStr::from_bytes(&name));
            match node.map(|node| (node, &self.history.nodes[node])) {
                Some((node, Node::Directory(_))) => self.directory(node, &to, random),
                Some((_, Node::File(changes))) => fs::write(to, self.file(changes, random)).unwrap(),
                None => {}
            }
        }
    }

    fn file(&self, changes: &[Change<Content>], random: &mut ChaCha8Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Change { at, synced, what } in changes.iter().filter(|change| change.at < self.length) {
            let durable = synced.is_some_and(|synced| synced < self.length);
            match what {
                Content::Length(length) => {
                    if self.keeps(*at, *synced, self.content, random) {
                        bytes.resize(*length, 0);
                    }
                }
                Content::Write(offset, data) if durable => write(&mut bytes, *offset, data),
                Content::Write(offset, data) => {
                    // The new size may be there without the data.
                    if self.keeps(*at, None, self.content, random) && bytes.len() < offset + data.len() {
                        bytes.resize(offset + data.len(), 0);
                    }
                    for (offset, data) in sectors(*offset, data) {
                        if self.keeps(*at, None, self.content, random) {
                            write(&mut bytes, offset, data);
                        }
                    }
                }
            }
        }
        bytes
    }

    fn keeps(&self, at: usize, synced: Option<usize>, unsynced: Unsynced, random: &mut ChaCha8Rng) -> bool {
        if synced.is_some_and(|synced| synced < self.length) {
            return true;
        }
        match unsynced {
            Unsynced::Lost => false,
            Unsynced::Kept => true,
            Unsynced::InOrder(until) => at < until,
            Unsynced::Some(share) => random.next_u32() % 256 < share,
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

/// A write, cut where the disk may tear it.
fn sectors(offset: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = offset + at;
        let part = data.get(at..)?.get(..SECTOR_BYTES - start % SECTOR_BYTES).unwrap_or(&data[at..]);
        at += part.len();
        (!part.is_empty()).then_some((start, part))
    })
}
