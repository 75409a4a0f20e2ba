//! What turns out to be wrong with agent.toml when its models are set up, shown in the file.

use super::{Config, ConfigError, KeyPath, ModelConfig};
use crate::grants::{Secret, SecretError, SecretSource, read_secret};
use crate::model::{ModelError, ScriptError};

impl Config {
    /// An error of setting up a model, in the file where its cause stands; `None` if its cause is not in the file.
    #[must_use]
    pub fn misled(&self, error: &ModelError) -> Option<ConfigError> {
        match error {
            ModelError::Secret { kept_in, .. } => {
                let (message, help) = in_two(&error.to_string());
                Some(self.text.wrong(&self.names(kept_in), message, help))
            }
            ModelError::Script(ScriptError::Unreadable { .. }) => {
                let (message, help) = in_two(&error.to_string());
                Some(self.text.wrong(&KeyPath::new(["model", "script"]), message, help))
            }
            ModelError::Script(ScriptError::Malformed(error)) => Some(error.clone()),
            ModelError::Script(
                ScriptError::Exhausted { .. }
                | ScriptError::LeftOver { .. }
                | ScriptError::NoSummary { .. }
                | ScriptError::SummaryUnasked { .. }
                | ScriptError::Unexpected { .. },
            )
            | ModelError::Unreachable { .. }
            | ModelError::CutOff { .. }
            | ModelError::TooLong { .. }
            | ModelError::Proxy { .. }
            | ModelError::Unauthorized { .. }
            | ModelError::Status { .. }
            | ModelError::Malformed { .. }
            | ModelError::Setup(_)
            | ModelError::Given(_) => None,
        }
    }

    /// The secrets that a run needs and that are not at hand here, those of the models first, each where the file names
    /// it. One that is at hand and of no use is an error.
    pub fn secrets_missing(&self) -> Result<Vec<ConfigError>, ConfigError> {
        let mut missing = Vec::new();
        for source in self.all_models().flat_map(ModelConfig::secrets) {
            let Err(reason) = read_secret(source) else { continue };
            self.tell(source, &self.names(source), reason, "the model", &mut missing)?;
        }
        for (name, source) in &self.secrets {
            let Err(SecretError { reason, .. }) = Secret::load(name, source) else { continue };
            let key = if source.variable().is_some() { "env" } else { "file" };
            self.tell(
                source,
                &KeyPath::new(["secrets", name, key]),
                reason,
                &format!("[secrets.{name}]"),
                &mut missing,
            )?;
        }
        Ok(missing)
    }

    /// Where the tables of the models say where a secret is.
    fn names(&self, source: &SecretSource) -> KeyPath {
        let has = |model: &ModelConfig| model.secrets().contains(&source);
        let fallback = self.fallbacks.iter().position(has);
        let table = match fallback {
            _ if has(&self.model) => KeyPath::new(["model"]),
            Some(index) => KeyPath::new(["model", "fallback", &index.to_string()]),
            None => KeyPath::new(["model", "summary"]),
        };
        match source {
            SecretSource::Env(variable) => table.to(variable),
            SecretSource::File(path) => table.to(&path.to_string_lossy()),
        }
    }

    /// Notes a secret that is not there, or fails with one that is.
    fn tell(
        &self,
        source: &SecretSource,
        at: &KeyPath,
        reason: String,
        for_whom: &str,
        missing: &mut Vec<ConfigError>,
    ) -> Result<(), ConfigError> {
        if source.is_there() {
            return Err(self.text.wrong(at, reason, format!("{for_whom} needs another value")));
        }
        missing.push(self.text.wrong(at, reason, format!("{for_whom} needs it: set it before `host run`")));
        Ok(())
    }
}

/// What is wrong, and what to do.
fn in_two(text: &str) -> (String, String) {
    let (message, help) = text.split_once("\n  ").unwrap_or((text, ""));
    (message.to_owned(), help.to_owned())
}
