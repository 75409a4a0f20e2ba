use std::sync::Arc;

use super::{Absent, Clients, Model, ModelConfig, ModelError, ModelRequest, Purpose, connect_by};
use crate::message::{Json, Manifest, ModelFailure, ModelIdentity, Reply, Retry, ToolSpec};

/// The models of an agent: the one it is meant for, those that stand in for it, in order, and the one for summaries.
#[derive(Clone)]
pub struct Models {
    choices: Vec<Arc<dyn Model>>,
    /// The one that is asked before them for a summary, if there is one for that.
    summary: Option<Arc<dyn Model>>,
    /// When a request that failed is sent again, to the same model.
    pub retry: Retry,
}

/// Which of the models is asked. The one that comes first in a turn is followed by those after it, and these by the ones
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhoseTurn {
    /// The place of the model that is asked first.
    pub first: usize,
    /// How many models were given up since.
    pub given_up: usize,
    /// How many attempts of this one failed.
    pub failures: u32,
}

impl WhoseTurn {
    /// The model's place, among so many.
    #[must_use]
    pub fn among(self, models: usize) -> usize {
        let others = models.saturating_sub(1);
        (self.first.min(others) + self.given_up.min(others)) % models.max(1)
    }
}

impl Models {
    /// The models of these settings, the first choice first, and the one for summaries, if there is one. They send their
    /// requests by these clients.
    pub fn connect<'a>(
        settings: impl IntoIterator<Item = &'a ModelConfig>,
        summary: Option<&'a ModelConfig>,
        retry: Retry,
        clients: &Clients,
    ) -> Result<Self, ModelError> {
        let connect = |config| connect_by(clients, config);
        let choices = settings.into_iter().map(connect).collect::<Result<_, _>>()?;
        Ok(Self { choices, summary: summary.map(connect).transpose()?, retry })
    }

    /// One model alone.
    #[must_use]
    pub fn only(model: Arc<dyn Model>, retry: Retry) -> Self {
        Self { choices: vec![model], summary: None, retry }
    }

    /// Those of a replay, where none is asked.
    #[must_use]
    pub fn absent() -> Self {
        Self::only(Arc::new(Absent), Retry::NEVER)
    }

    /// Asks the model whose turn it is. Settings are those of the manifest.
    pub async fn ask(
        &self,
        request: &ModelRequest<'_>,
        manifest: &Manifest,
        turn: WhoseTurn,
    ) -> Result<Reply, ModelFailure> {
        let WhoseTurn { given_up, failures, .. } = turn;
        let (models, identities) = self.asked_for(request.purpose, manifest);
        let choice = turn.among(models.len());
        let others_left = given_up.saturating_add(1) < models.len();
        let (Some(model), Some(settings)) = (models.get(choice), identities.get(choice)) else {
            return Err(ModelError::Setup("there is no model".to_owned()).into());
        };
        model.ask(&request.with(settings)).await.map_err(|error| {
            let failure = ModelFailure::from(error);
            let spent = !failure.may_pass || failures.saturating_add(1) >= self.retry.max_attempts;
            ModelFailure { fall_back: spent && others_left, streamed: model.streams(), ..failure }
        })
    }

    /// Who is asked, one after the other, and with which settings.
    fn asked_for<'a>(
        &'a self,
        purpose: Purpose,
        manifest: &'a Manifest,
    ) -> (Vec<&'a Arc<dyn Model>>, Vec<&'a ModelIdentity>) {
        match (purpose, &self.summary) {
            (Purpose::Summary, Some(summary)) => {
                (std::iter::once(summary).chain(&self.choices).collect(), manifest.summary_models())
            }
            // A script, which stands for all models, has the summaries, too.
            (Purpose::Summary, None) | (Purpose::Reply, _) => {
                (self.choices.iter().collect(), manifest.models())
            }
        }
    }

    /// Whether each of them can be offered these tools, and held to this form of an answer if it is to be. A summary
    /// has no form, but what was said is said with the tools.
    pub fn take(&self, tools: &[ToolSpec], form: Option<&Json>) -> Result<(), ModelError> {
        self.choices.iter().try_for_each(|model| model.takes(tools, form))?;
        self.summary.iter().try_for_each(|model| model.takes(tools, None))
    }

    /// Whether any request leaves this process.
    #[must_use]
    pub fn reach_outside(&self) -> bool {
        self.choices.iter().chain(&self.summary).any(|model| model.reaches_outside())
    }

    /// The request to the first choice as it would be sent, without the key: JSON.
    pub fn written(&self, request: &ModelRequest<'_>) -> Result<String, ModelError> {
        self.choices.first().map_or_else(|| Ok(String::new()), |model| model.written(request))
    }

    /// Called once when a run ends by itself, with the number of turns it took.
    pub fn finish(&self, turns: u32) -> Result<(), ModelError> {
        // Only one that is a script minds.
        self.choices.first().map_or(Ok(()), |model| model.finish(turns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_its_turn_once_whoever_comes_first() {
        for models in 1..6 {
            for first in 0..8 {
                let turn = |given_up| WhoseTurn { first, given_up, failures: 0 }.among(models);
                let mut asked: Vec<usize> = (0..models).map(turn).collect();
                assert_eq!(asked[0], first.min(models - 1), "one that is gone was the last");
                assert!(asked.windows(2).all(|two| two[1] == (two[0] + 1) % models), "{asked:?}");
                asked.sort_unstable();
                assert!(asked.into_iter().eq(0..models));
                assert_eq!(turn(usize::MAX), turn(models - 1));
            }
        }
    }
}
