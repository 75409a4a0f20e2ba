//! The replies of a scripted model: read from a file, taken from a recorded run, written into a file.
//!
//! Owns the form of scripts ([`ScriptedReply`]) and what is said of one that does not fit. Invariant: of the
//! turns of a script only the last may have no reply, but failures alone. It fails with a [`ScriptError`].

mod form;
mod write;

pub(crate) use form::{ScriptedReply, turns};

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::document::{ConfigError, FileError, read, read_text, schema_of};
use crate::message::{ModelFailure, Reply};

/// A larger file is surely no script: no model says as much in one run.
const SCRIPT_BYTES_MAX: u64 = 64 << 20;

/// The replies, and the file they come from.
#[derive(Clone, Debug)]
pub struct Script {
    path: PathBuf,
    turns: Vec<Turn>,
}

/// What a scripted model does in one turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// What it replies when it is asked before that to sum the conversation up.
    pub summary: Option<Box<Turn>>,
    /// Texts that have to occur in what was said since the reply before.
    pub expect: Vec<String>,
    /// How its first attempts fail.
    pub failures: Vec<ModelFailure>,
    /// What it replies then; none where a script ends with failures.
    pub reply: Option<Reply>,
    /// Whether it says after its text what the calls before came to.
    pub results: bool,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    /// The replies, one a turn.
    #[schemars(with = "Vec<ScriptedReply>")]
    reply: Vec<Spanned<ScriptedReply>>,
}

/// A script that cannot be read, or does not fit the run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read the script {}: {reason}\n  `script` is relative to the file that names it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not a script.
    #[error("{} is not a script: {}", .0.path().display(), .0.in_lines())]
    Malformed(ConfigError),
    /// The run asks for more replies than there are.
    #[error("the script {} is exhausted: it has no [[reply]] for turn {replies}\n  add one; turns count from 0", path.display())]
    Exhausted {
        /// The file.
        path: PathBuf,
        /// How many it has.
        replies: usize,
    },
    /// The run ended before every reply was used.
    #[error("the script {} has {} left over: the run ended after {used} of {replies} replies\n  the last reply that is used has no calls; remove what follows it", path.display(), replies - used)]
    LeftOver {
        /// The file.
        path: PathBuf,
        /// How many were used.
        used: usize,
        /// How many it has.
        replies: usize,
    },
    /// The run asks for a summary that is not there.
    #[error("the script {} has no summary before its reply {turn}, and the run asks for one\n  put a [[reply]] with `summary = true` before it", path.display())]
    NoSummary {
        /// The file.
        path: PathBuf,
        /// The reply, from 0.
        turn: u32,
    },
    /// The run goes on without the summary that is there.
    #[error("the script {} has a summary before its reply {turn}, and the run did not ask for it\n  remove it, or set compact_at_tokens and the replies' `tokens` so that it does", path.display())]
    SummaryUnasked {
        /// The file.
        path: PathBuf,
        /// The reply, from 0.
        turn: u32,
    },
    /// The conversation is not the one the script was written for.
    #[error("the script {} expects {expected:?} before its reply {turn}, and it was not said; said was:\n{said}", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// The reply, from 0.
        turn: u32,
        /// The text that should have occurred.
        expected: String,
        /// What was said since the reply before.
        said: String,
    },
}

impl Script {
    /// Reads a script file.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let unreadable =
            |error: FileError| ScriptError::Unreadable { path: path.to_owned(), reason: error.to_string() };
        Self::parse(&read_text(path, SCRIPT_BYTES_MAX).map_err(unreadable)?, path)
    }

    /// Reads a script from its text; `path` is named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScriptError> {
        let keys = "`host schema --cases`, under `reply`,";
        let file = read::<ScriptFile>(text, &schema_of::<ScriptFile>(), keys);
        let turns = file.and_then(|file| turns(&file.reply));
        let malformed = |problems| ScriptError::Malformed(ConfigError::of_text(path, text, problems));
        Ok(Self::new(path, turns.map_err(malformed)?))
    }

    /// A script of these turns; `path` is named in errors.
    #[must_use]
    pub fn new(path: &Path, turns: Vec<Turn>) -> Self {
        Self { path: path.to_owned(), turns }
    }

    /// Where it comes from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What happens turn by turn.
    #[must_use]
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// How many turns have a reply.
    #[must_use]
    pub fn replies(&self) -> usize {
        self.turns.iter().filter(|turn| turn.reply.is_some()).count()
    }
}
