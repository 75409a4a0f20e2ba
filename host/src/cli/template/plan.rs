//! What is to be written, looked at as a whole before the first byte is.
//!
//! Owns what stands in the way, and that files are written all or not at all: every one is written beside its place
//! first, then all are moved there; when a move fails, those before it are undone. Invariant: nothing that a person
//! wrote is lost, unless that person said so; and nothing is written through a link.

use std::fmt;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, TempPath};

/// What a file gets for permissions that nothing else gives it, less what the person's umask takes away.
const MODE: u32 = 0o666;

/// Files to write below a directory.
#[derive(Debug)]
pub(in crate::cli) struct Plan {
    root: PathBuf,
    files: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Whether the bytes are what the file has already, and more.
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    New,
    Extended,
}

/// What is where something is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Obstacle {
    path: PathBuf,
    found: Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    File,
    Link,
    Directory,
    /// A pipe, a socket or a device.
    Special,
    /// Something else than a directory, where a directory has to be.
    NoDirectory,
}

impl Obstacle {
    /// Whether it can be replaced, if the person says so.
    pub(in crate::cli) fn can_be_replaced(&self) -> bool {
        match self.found {
            Found::File | Found::Link => true,
            Found::Directory | Found::Special | Found::NoDirectory => false,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.found {
            Found::File => Ok(()),
            Found::Link => f.write_str(" (a link)"),
            Found::Directory => f.write_str(" (a directory, and a file has to be there)"),
            Found::Special => f.write_str(" (neither a file nor a directory)"),
            Found::NoDirectory => f.write_str(" (a directory has to be there)"),
        }
    }
}

/// Files that are written and not yet in their places.
struct Staged {
    files: Vec<(TempPath, PathBuf)>,
    /// Where they are, and where what they replace goes.
    folder: TempDir,
    made: Vec<PathBuf>,
}

impl Plan {
    pub(in crate::cli) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), files: Vec::new() }
    }

    /// A file that is not there yet.
    pub(in crate::cli) fn write(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.push(Planned { path: self.root.join(path), bytes, kind: Kind::New });
    }

    /// A file that may be there already, and then gets more.
    pub(in crate::cli) fn extend(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.push(Planned { path: self.root.join(path), bytes, kind: Kind::Extended });
    }

    /// Everything that is in the way, in the order of the files, each once.
    pub(in crate::cli) fn obstacles(&self) -> io::Result<Vec<Obstacle>> {
        let mut found: Vec<Obstacle> = Vec::new();
        for file in &self.files {
            if let Some(obstacle) = self.obstacle(file)?
                && !found.contains(&obstacle)
            {
                found.push(obstacle);
            }
        }
        Ok(found)
    }

    fn obstacle(&self, file: &Planned) -> io::Result<Option<Obstacle>> {
        // The person named the root, so that it may be a link to a directory.
        match look(|| fs::metadata(&self.root), &self.root)? {
            Some(root) if !root.is_dir() => {
                return Ok(Some(Obstacle { path: self.root.clone(), found: Found::NoDirectory }));
            }
            Some(_) => {}
            None if look(|| fs::symlink_metadata(&self.root), &self.root)?.is_some() => {
                return Ok(Some(Obstacle { path: self.root.clone(), found: Found::NoDirectory }));
            }
            None => return Ok(None),
        }
        let below = file.path.ancestors().skip(1).take_while(|path| *path != self.root);
        let mut below: Vec<&Path> = below.collect();
        below.reverse();
        for path in below {
            match look(|| fs::symlink_metadata(path), path)? {
                Some(metadata) if !metadata.is_dir() => {
                    return Ok(Some(Obstacle { path: path.to_owned(), found: Found::NoDirectory }));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
        let Some(metadata) = look(|| fs::symlink_metadata(&file.path), &file.path)? else { return Ok(None) };
        let kind = metadata.file_type();
        let found = match file.kind {
            Kind::Extended if kind.is_file() => return Ok(None),
            Kind::New if kind.is_file() => Found::File,
            Kind::New | Kind::Extended if kind.is_symlink() => Found::Link,
            Kind::New | Kind::Extended if kind.is_dir() => Found::Directory,
            Kind::New | Kind::Extended => Found::Special,
        };
        Ok(Some(Obstacle { path: file.path.clone(), found }))
    }

    /// Writes all files, in the place of those that are there; on an error everything is as it was.
    pub(in crate::cli) fn carry_out(&self) -> io::Result<()> {
        self.stage()?.move_into_place()
    }

    /// Writes all files, but none into its place.
    fn stage(&self) -> io::Result<Staged> {
        let made = make_directory(&self.root).map_err(|error| about(&self.root, &error))?;
        let staged = tempfile::Builder::new().prefix(".host-init-").tempdir_in(&self.root);
        let folder = staged.map_err(|error| {
            undo_directories(&made);
            about(&self.root, &error)
        })?;
        let mut staged = Staged { files: Vec::new(), folder, made };
        for file in &self.files {
            match write_beside(file, staged.folder.path()) {
                Ok(written) => staged.files.push((written, file.path.clone())),
                Err(error) => {
                    staged.forget();
                    return Err(about(&file.path, &error));
                }
            }
        }
        Ok(staged)
    }
}

impl Staged {
    fn move_into_place(mut self) -> io::Result<()> {
        let files = std::mem::take(&mut self.files);
        let (mut placed, mut replaced) = (Vec::new(), Vec::new());
        for (number, (file, place)) in files.into_iter().enumerate() {
            let moved = self.place(file, &place, number, &mut replaced);
            match moved {
                Ok(()) => placed.push(place),
                Err(error) => {
                    let error = about(&place, &error);
                    return Err(self.undo(&placed, &replaced, error));
                }
            }
        }
        Ok(())
    }

    /// Moves one file into its place, and what is there aside.
    fn place(
        &mut self,
        file: TempPath,
        place: &Path,
        number: usize,
        replaced: &mut Vec<(PathBuf, PathBuf)>,
    ) -> io::Result<()> {
        self.made.extend(make_directory(place.parent().unwrap_or(Path::new(".")))?);
        match fs::symlink_metadata(place) {
            Ok(metadata) if metadata.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Ok(_) => {
                let aside = self.folder.path().join(format!("replaced-{number}"));
                fs::rename(place, &aside)?;
                replaced.push((aside, place.to_owned()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        file.persist_noclobber(place).map_err(|error| error.error)
    }

    /// Takes everything back.
    fn undo(self, placed: &[PathBuf], replaced: &[(PathBuf, PathBuf)], error: io::Error) -> io::Error {
        for place in placed {
            // What cannot be removed is a file too many, and the first error matters more.
            let _ = fs::remove_file(place);
        }
        let lost = replaced.iter().filter(|(aside, place)| fs::rename(aside, place).is_err()).count();
        if lost > 0 {
            let folder = self.folder.keep();
            return io::Error::other(format!(
                "{error}; {lost} files that were replaced are in {}",
                folder.display()
            ));
        }
        self.forget();
        error
    }

    fn forget(self) {
        let Self { files, folder, made } = self;
        drop(files);
        // The directories are only empty without it.
        drop(folder);
        undo_directories(&made);
    }
}

/// What is at a path; none if nothing is.
fn look(at: impl Fn() -> io::Result<Metadata>, path: &Path) -> io::Result<Option<Metadata>> {
    match at() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(about(path, &error)),
    }
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}

/// Makes a directory with all above it, and tells which were made, the outermost first.
fn make_directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    let missing = path.ancestors().filter(|path| !path.as_os_str().is_empty());
    let mut missing: Vec<&Path> = missing.take_while(|path| !path.exists()).collect();
    missing.reverse();
    let mut made = Vec::new();
    for path in missing {
        match fs::create_dir(path) {
            Ok(()) => made.push(path.to_owned()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => {
                undo_directories(&made);
                return Err(error);
            }
        }
    }
    Ok(made)
}

/// Removes directories that were made, unless somebody else has put something into them.
fn undo_directories(made: &[PathBuf]) {
    for path in made.iter().rev() {
        let _ = fs::remove_dir(path);
    }
}

fn write_beside(file: &Planned, folder: &Path) -> io::Result<TempPath> {
    let permissions = match (file.kind, fs::metadata(&file.path)) {
        (Kind::Extended, Ok(metadata)) => metadata.permissions(),
        (Kind::New, _) | (Kind::Extended, Err(_)) => Permissions::from_mode(MODE),
    };
    let mut written = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
    io::Write::write_all(&mut written, &file.bytes)?;
    Ok(written.into_temp_path())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::collections::BTreeMap;

    use super::*;

    fn plan(root: &Path) -> Plan {
        let mut plan = Plan::new(root);
        for path in ["a", "b/c", "b/d/e", "f"] {
            plan.write(path, format!("new {path}").into());
        }
        plan
    }

    /// Everything below a directory, with what it is or holds.
    fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
        let Ok(entries) = fs::read_dir(root) else { return BTreeMap::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut tree = BTreeMap::new();
        for path in paths {
            let what = fs::read_link(&path).map(|to| format!("link to {}", to.display()));
            let what = what.or_else(|_| fs::read_to_string(&path)).unwrap_or_else(|_| "directory".to_owned());
            tree.extend(self::tree(&path));
            tree.insert(path, what);
        }
        tree
    }

    #[test]
    fn a_move_that_fails_half_way_is_undone() {
        // Something comes into the way of each of the files in turn, after they were looked at.
        for (in_the_way, replaces) in
            [("a", false), ("b/c", true), ("b/d/e", true), ("f", true), ("f", false)]
        {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("new");
            if replaces {
                fs::create_dir_all(root.join("b")).unwrap();
                fs::write(root.join("a"), "mine").unwrap();
            }
            let plan = plan(&root);
            assert_eq!(plan.obstacles().unwrap().len(), usize::from(replaces));
            let staged = plan.stage().unwrap();
            fs::create_dir_all(root.join(in_the_way)).unwrap();
            let before = tree(&root);
            let hidden = |(path, _): &(PathBuf, String)| !path.to_string_lossy().contains(".host-init-");
            let before: BTreeMap<_, _> = before.into_iter().filter(hidden).collect();
            let error = staged.move_into_place().unwrap_err();
            assert!(error.to_string().contains(&format!("new/{in_the_way}")), "{error}");
            assert_eq!(tree(&root), before, "{in_the_way}");
        }
    }

    #[test]
    fn what_is_replaced_is_replaced_in_its_place_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (dir.path().join("new"), dir.path().join("elsewhere"));
        fs::create_dir(&root).unwrap();
        fs::write(&elsewhere, "precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join("a")).unwrap();
        let plan = plan(&root);
        let [link] = plan.obstacles().unwrap().try_into().unwrap();
        assert!(link.can_be_replaced());
        plan.carry_out().unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "new a");
        assert!(fs::symlink_metadata(root.join("a")).unwrap().is_file());
        assert_eq!(tree(&root).len(), 6, "four files in two directories, and nothing else");
    }
}
