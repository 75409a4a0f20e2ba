use std::sync::Arc;

use super::{Absent, Model, ModelConfig, ModelError, ModelRequest, Purpose, connect};
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

impl Models {
    /// The models of these settings, the first choice first, and the one for summaries, if there is one.
    pub fn connect<'a>(
        settings: impl IntoIterator<Item = &'a ModelConfig>,
        summary: Option<&ModelConfig>,
        retry: Retry,
    ) -> Result<Self, ModelError> {
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

    /// Asks the model whose turn it is, after so many models were given up and so many attempts of this one failed.
    /// Settings are those of the manifest.
    pub async fn ask(
        &self,
        request: &ModelRequest<'_>,
        manifest: &Manifest,
        fallbacks: u32,
        failures: u32,
    ) -> Result<Reply, ModelFailure> {
        let (models, identities) = self.asked_for(request.purpose, manifest);
        let last = models.len().saturating_sub(1);
        let choice = usize::try_from(fallbacks).unwrap_or(last).min(last);
        let (Some(model), Some(settings)) = (models.get(choice), identities.get(choice)) else {
            return Err(ModelError::Setup("there is no model".to_owned()).into());
        };
        model.ask(&request.with(settings)).await.map_err(|error| {
            let failure = ModelFailure::from(error);
            let spent = !failure.may_pass || failures.saturating_add(1) >= self.retry.max_attempts;
            ModelFailure { fall_back: spent && choice < last, streamed: model.streams(), ..failure }
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
