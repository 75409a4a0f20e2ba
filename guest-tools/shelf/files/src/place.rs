//! Where a path leads: into a granted directory, or nowhere.

use std::io;
use std::path::{Component, Path, PathBuf};

use tool_sdk::ToolError;

/// A longer path is a mistake.
const PATH_BYTES_MAX: usize = 4 * 1024;

/// The directories that are granted, by the names that the tool sees.
pub(crate) struct Granted(Vec<PathBuf>);

impl Granted {
    /// Those of the call that is served.
    pub(crate) fn to_this_call() -> Self {
        #[cfg(target_arch = "wasm32")]
        let directories =
            wasip2::filesystem::preopens::get_directories().into_iter().map(|(_, path)| path.into());
        #[cfg(not(target_arch = "wasm32"))]
        let directories = std::iter::empty();
        Self(directories.collect())
    }

    #[cfg(test)]
    pub(crate) fn only(directory: &Path) -> Self {
        Self(vec![directory.to_owned()])
    }

    pub(crate) fn directories(&self) -> &[PathBuf] {
        &self.0
    }

    /// A path below a granted directory, as it is opened. A relative path starts in the only directory that is granted.
    pub(crate) fn place(&self, path: &str) -> Result<PathBuf, ToolError> {
        if path.is_empty() || path.len() > PATH_BYTES_MAX || path.contains('\0') {
            return Err(ToolError::invalid_input(format!(
                "a path has 1 to {PATH_BYTES_MAX} bytes, and no byte 0"
            )));
        }
        let mut plain = PathBuf::new();
        for component in Path::new(path).components() {
            match component {
                Component::ParentDir => {
                    return Err(ToolError::invalid_input(format!(
                        "write {path:?} without `..`; {}",
                        self.words()
                    )));
                }
                Component::CurDir => {}
                Component::Normal(_) | Component::RootDir | Component::Prefix(_) => plain.push(component),
            }
        }
        match &self.0[..] {
            [only] if plain.is_relative() => plain = only.join(plain),
            _ => {}
        }
        if self.0.iter().any(|directory| plain.starts_with(directory)) {
            return Ok(plain);
        }
        Err(ToolError::invalid_input(format!("{path:?} is in no granted directory; {}", self.words())))
    }

    fn words(&self) -> String {
        if self.0.is_empty() {
            return "no directory is granted to this tool; whoever runs the agent grants them".to_owned();
        }
        let names: Vec<_> = self.0.iter().map(|directory| directory.display().to_string()).collect();
        format!("granted are: {}", names.join(", "))
    }
}

/// What became of an operation on a path, for the model.
pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> ToolError {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "agent.toml does not grant this, or the path leads out of what it grants".to_owned()
        }
        _ => error.to_string(),
    };
    ToolError::failed(format!("cannot {what} {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_into_what_is_granted_or_is_refused() {
        let granted = Granted::only(Path::new("/data"));
        for (path, leads) in
            [("/data/a", "/data/a"), ("a/./b", "/data/a/b"), ("/data//a/", "/data/a"), (".", "/data")]
        {
            assert_eq!(granted.place(path), Ok(PathBuf::from(leads)), "{path}");
        }
        let long = "x".repeat(PATH_BYTES_MAX + 1);
        for path in ["/etc/passwd", "..", "/data/../etc", "a/../../b", "/database", "/", "", "a\0b", &long] {
            assert!(matches!(granted.place(path), Err(ToolError::InvalidInput(_))), "{path}");
        }
    }

    #[test]
    fn a_refusal_names_what_is_granted() {
        let refused = |granted: Granted| granted.place("/etc/passwd").map_err(|error| error.to_string());
        assert!(
            refused(Granted::only(Path::new("/data")))
                .is_err_and(|said| said.ends_with("granted are: /data"))
        );
        assert!(refused(Granted(Vec::new())).is_err_and(|said| said.contains("no directory is granted")));
    }
}
