//! Lines as a person types them: edited, completed, and found again in the history.
//!
//! The editor blocks, so that it has a thread of its own. Invariant: while it takes keys, whoever ends the process can
//! make the terminal what it was. A history that cannot be read or written is said once, and stops nobody.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use anyhow::Context as _;
use parking_lot::Mutex;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Editor, Helper};
use tokio::sync::oneshot;

use super::command::COMMANDS;
use super::lines::Typed;
use crate::cli::typed::KeysElsewhere;

/// What stands before a line that is typed.
const PROMPT: &str = "> ";

/// So many texts a history keeps: months of them, and a file that opens at once.
const HISTORY_TEXTS_MAX: usize = 1000;

/// What can be completed besides commands.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    tools: Vec<String>,
    keys: Vec<String>,
}

impl Words {
    pub(super) fn set(&self, tools: Vec<String>, keys: Vec<String>) {
        *self.0.lock() = Known { tools, keys };
    }

    /// Where the word begins that stands before the cursor, and what it can become.
    fn complete(&self, before: &str) -> (usize, Vec<String>) {
        let known = self.0.lock();
        let (start, words): (usize, Vec<&str>) = match before.split_once(' ') {
            None if before.starts_with('/') => (0, COMMANDS.iter().map(|(name, ..)| *name).collect()),
            Some(("/tools", rest)) => {
                (before.len() - rest.len(), known.tools.iter().map(String::as_str).collect())
            }
            Some(("/session", rest)) => {
                (before.len() - rest.len(), known.keys.iter().map(String::as_str).collect())
            }
            None | Some(_) => (before.len(), Vec::new()),
        };
        let begun = before.get(start..).unwrap_or_default();
        let words = words.into_iter().filter(|word| word.starts_with(begun)).map(str::to_owned);
        (start, words.collect())
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(Words::complete(self, line.get(..cursor).unwrap_or_default()))
    }
}

impl Validator for Words {
    /// A backslash at the end of a line asks for another line.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let goes_on = context.input().ends_with('\\');
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Helper for Words {}

/// Who edits lines.
pub(super) struct Editing {
    ask: mpsc::Sender<oneshot::Sender<anyhow::Result<Typed>>>,
}

impl Editing {
    /// An editor whose history is in this file.
    pub(super) fn begin(history: PathBuf, words: Words) -> anyhow::Result<Self> {
        let (ask, asked) = mpsc::channel::<oneshot::Sender<_>>();
        let edit = move || {
            let mut lines = match Lines::new(history, words) {
                Ok(lines) => lines,
                Err(error) => return answer_all(&asked, &error),
            };
            while let Ok(answer) = asked.recv() {
                // Nobody is there any more if the process was asked to end meanwhile.
                let _ = answer.send(lines.next());
            }
        };
        std::thread::Builder::new().name("lines".to_owned()).spawn(edit)?;
        Ok(Self { ask })
    }

    /// The next text that is typed.
    pub(super) async fn next(&self) -> anyhow::Result<Typed> {
        let (answer, answered) = oneshot::channel();
        self.ask.send(answer).ok().context("the editor of lines has ended")?;
        answered.await.context("the editor of lines has ended")?
    }
}

fn answer_all(asked: &mpsc::Receiver<oneshot::Sender<anyhow::Result<Typed>>>, error: &anyhow::Error) {
    while let Ok(answer) = asked.recv() {
        let _ = answer.send(Err(anyhow::anyhow!("cannot edit lines here: {error:#}")));
    }
}

/// The editor, and the file of its history, as long as that can be used.
struct Lines {
    editor: Editor<Words, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Lines {
    fn new(history: PathBuf, words: Words) -> anyhow::Result<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY_TEXTS_MAX)?
            .completion_type(CompletionType::List)
            .bracketed_paste(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(words));
        let mut lines = Self { editor, history: None };
        let loaded = make_private(&history).and_then(|()| Ok(lines.editor.load_history(&history)?));
        match loaded {
            Ok(()) => lines.history = Some(history),
            Err(error) => lines.without_history(&history, &error),
        }
        Ok(lines)
    }

    fn next(&mut self) -> anyhow::Result<Typed> {
        let _remembered = KeysElsewhere::begin()?;
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                self.keep(&text);
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupted),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(error).context("cannot read from the terminal"),
        }
    }

    /// Keeps a text at once: the process may be killed while the agent answers.
    fn keep(&mut self, text: &str) {
        let is_new = !text.trim().is_empty() && self.editor.add_history_entry(text).unwrap_or(false);
        let Some(history) = self.history.clone().filter(|_| is_new) else { return };
        if let Err(error) = self.editor.append_history(&history) {
            self.without_history(&history, &error.into());
        }
    }

    fn without_history(&mut self, history: &Path, error: &anyhow::Error) {
        crate::cli::say(format_args!("what is typed is not kept in {}: {error:#}", history.display()));
        self.history = None;
    }
}

/// Makes the file, if it is not there, for this user alone: before the editor would make it for everybody.
fn make_private(file: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(directory) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_tools_and_keys_are_completed() {
        let words = Words::default();
        words.set(vec!["get_weather".to_owned(), "get_time".to_owned()], vec!["ada".to_owned()]);
        let complete = |before: &str| words.complete(before);
        assert_eq!(complete("/to"), (0, vec!["/tools".to_owned()]));
        assert_eq!(complete("/").1.len(), COMMANDS.len());
        assert_eq!(complete("/tools get_w"), (7, vec!["get_weather".to_owned()]));
        assert_eq!(complete("/session "), (9, vec!["ada".to_owned()]));
        for nothing in ["", "get", "tell me about /to", "/fork g"] {
            assert!(complete(nothing).1.is_empty(), "{nothing:?}");
        }
    }
}
