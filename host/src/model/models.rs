use std::sync::Arc;

use super::{Absent, Model, ModelConfig, ModelError, ModelRequest, connect};
use crate::message::{Json, ModelFailure, ModelIdentity, Reply, Retry, ToolSpec};

/// The models of an agent: the one it is meant for, and those that stand in for it, in order.
#[derive(Clone)]
pub struct Models {
    choices: Vec<Arc<dyn Model>>,
    /// When a request that failed is sent again, to the same model.
    pub retry: Retry,
}

impl Models {
    /// The models of these settings, the first choice first.
    pub fn connect<'a>(
        settings: impl IntoIterator<Item = &'a ModelConfig>,
        retry: Retry,
    ) -> Result<Self, ModelError> {
        let choices = settings.into_iter().map(connect);
        Ok(Self { choices: choices.collect::<Result<_, _>>()?, retry })
    }

    /// One model alone.
    #[must_use]
    pub fn only(model: Arc<dyn Model>, retry: Retry) -> Self {
        Self { choices: vec![model], retry }
    }

    /// Those of a replay, where none is asked.
    #[must_use]
    pub fn absent() -> Self {
        Self::only(Arc::new(Absent), Retry::NEVER)
    }

    /// Asks the model whose turn it is, after so many models were given up and so many attempts of this one failed.
    /// Settings are those of the models' identities, in the same order.
    pub async fn ask(
        &self,
        request: &ModelRequest<'_>,
        identities: &[&ModelIdentity],
        fallbacks: u32,
        failures: u32,
    ) -> Result<Reply, ModelFailure> {
        let last = self.choices.len().saturating_sub(1);
        let choice = usize::try_from(fallbacks).unwrap_or(last).min(last);
        let (Some(model), Some(settings)) = (self.choices.get(choice), identities.get(choice)) else {
            return Err(ModelError::Setup("there is no model".to_owned()).into());
        };
        model.ask(&request.with(settings)).await.map_err(|error| {
            let failure = ModelFailure::from(error);
            let spent = !failure.may_pass || failures.saturating_add(1) >= self.retry.max_attempts;
            ModelFailure { fall_back: spent && choice < last, streamed: model.streams(), ..failure }
        })
    }

    /// Whether each of them can be offered these tools, and held to this form of an answer if it is to be.
    pub fn take(&self, tools: &[ToolSpec], form: Option<&Json>) -> Result<(), ModelError> {
        self.choices.iter().try_for_each(|model| model.takes(tools, form))
    }

    /// Whether any request leaves this process.
    #[must_use]
    pub fn reach_outside(&self) -> bool {
        self.choices.iter().any(|model| model.reaches_outside())
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
