//! What a run has used, and what stops it.

use globset::GlobSet;

use super::repeats::Repeats;
use crate::grants::glob_set;
use crate::message::{
    Budgets, Ending, Manifest, ModelIdentity, Prices, Reply, Rules, Tokens, ToolCall, ToolOutcome,
    ToolResult, Used,
};
use crate::model::Purpose;

/// Keeps a run within its budgets. All it goes by is recorded, so that a replay stops at the same place.
pub(crate) struct Spending {
    budgets: Budgets,
    stop_on: GlobSet,
    used: Used,
    /// The models, the first choice first and the one for summaries last, and what each used.
    models: Vec<Spent>,
    /// The place of the one for summaries, if there is one.
    summary: Option<usize>,
    /// What each agent used that was called.
    called: Vec<Used>,
    repeats: Repeats,
}

/// What one model used.
struct Spent {
    model: ModelIdentity,
    prices: Option<Prices>,
    tokens: Tokens,
}

impl Spent {
    fn new(model: &ModelIdentity, prices: Option<Prices>) -> Self {
        Self { model: model.clone(), prices, tokens: Tokens::default() }
    }

    /// In US dollars, if that is known.
    fn cost_usd(&self) -> Option<f64> {
        match self.prices {
            Some(prices) => Some(prices.cost_usd(self.tokens)),
            None => (self.tokens == Tokens::default()).then_some(0.0),
        }
    }
}

impl Spending {
    pub(crate) fn new(manifest: &Manifest, rules: Rules) -> Self {
        let Manifest { model, budgets, fallbacks, summary, .. } = manifest;
        let others = fallbacks.iter().chain(summary).map(|it| Spent::new(&it.model, it.prices));
        let mut spending = Self {
            stop_on: glob_set(&budgets.stop_on_tools),
            used: Used::default(),
            models: std::iter::once(Spent::new(model, budgets.prices)).chain(others).collect(),
            summary: summary.as_ref().map(|_| fallbacks.len() + 1),
            called: Vec::new(),
            budgets: budgets.clone(),
            repeats: Repeats::new(manifest, rules),
        };
        spending.used.cost_usd = spending.cost_usd();
        spending
    }

    /// What was spent, if there is a price for anything, and for all that was used.
    fn cost_usd(&self) -> Option<f64> {
        let priced = self.models.iter().any(|it| it.prices.is_some())
            || self.called.iter().any(|it| it.cost_usd.is_some());
        // An agent that has no prices, and used nothing, cost nothing.
        let called = |it: &Used| it.cost_usd.or((it.tokens == Tokens::default()).then_some(0.0));
        let costs = self.models.iter().map(Spent::cost_usd).chain(self.called.iter().map(called));
        let cost = costs.into_iter().try_fold(0.0, |sum, cost| Some(sum + cost?));
        cost.filter(|_| priced)
    }

    /// What was used so far, as it is recorded.
    pub(crate) fn used(&self) -> Used {
        self.used.to_record()
    }

    /// Counts what agents used that were called: their tokens and what these cost at prices of their own. Each was
    /// counted as a call already, and what it called itself is its own.
    pub(crate) fn count_called(&mut self, called: impl IntoIterator<Item = Used>) {
        for used in called {
            self.used.tokens = self.used.tokens.plus(used.tokens);
            self.used.untold |= used.untold;
            self.called.push(used);
        }
        self.used.cost_usd = self.cost_usd();
    }

    /// The end of a run that may not go on.
    pub(super) fn stop(&self, why: &str) -> Ending {
        // Endings of runs that were recorded without budgets have no more than the reason.
        if self.budgets.is_none() {
            return Ending::Limit(why.to_owned());
        }
        Ending::Limit(format!("{why}; used: {}", self.used))
    }

    /// Counts a reply.
    pub(crate) fn count(&mut self, reply: &Reply) {
        self.used.turns += 1;
        self.repeats.count(reply);
        self.count_tokens(reply, Purpose::Reply);
    }

    /// Counts what a reply took, and not what it says.
    pub(crate) fn count_tokens(&mut self, reply: &Reply, purpose: Purpose) {
        self.used.tokens = self.used.tokens.plus(reply.tokens);
        self.used.untold |= reply.tokens == Tokens::default();
        // A script says nothing of where its replies come from: it is the first choice.
        let gave = |it: &Spent| reply.origin.as_ref().is_none_or(|origin| it.model.gave(origin));
        // One model may be named twice, with other prices for summaries.
        let for_summary = self.summary.filter(|place| {
            let origin = reply.origin.as_ref();
            purpose == Purpose::Summary
                && origin.zip(self.models.get(*place)).is_some_and(|(origin, it)| it.model.gave(origin))
        });
        let place = for_summary.or_else(|| self.models.iter().position(gave)).unwrap_or_default();
        if let Some(spent) = self.models.get_mut(place) {
            spent.tokens = spent.tokens.plus(reply.tokens);
        }
        self.used.cost_usd = self.cost_usd();
    }

    /// Why the run may not go on after the reply that was counted last, if it may not.
    pub(crate) fn judge(&mut self, reply: &Reply) -> Option<Ending> {
        if let Some(limit) = self.judge_tokens(reply) {
            return Some(limit);
        }
        let calls = u32::try_from(reply.calls.len()).unwrap_or(u32::MAX);
        let made = self.used.tool_calls.saturating_add(calls);
        if let Some(max) = self.budgets.max_tool_calls.filter(|max| made > *max) {
            return Some(self.stop(&format!("the model asked for more than max_tool_calls = {max} calls")));
        }
        self.used.tool_calls = made;
        None
    }

    /// Why the run may not go on after what the reply took that was counted last, if it may not.
    pub(super) fn judge_tokens(&self, reply: &Reply) -> Option<Ending> {
        if let Some(counted) = self.counted().filter(|_| reply.tokens == Tokens::default()) {
            return Some(self.stop(&format!(
                "the provider does not say how many tokens a reply took, so {counted} cannot be kept"
            )));
        }
        self.judge_total()
    }

    /// Why the run may not go on after what the agents used that were called, if it may not.
    pub(super) fn judge_called(&self) -> Option<Ending> {
        if let Some(counted) = self.counted().filter(|_| self.called.iter().any(|used| used.untold)) {
            return Some(self.stop(&format!(
                "the provider of a called agent does not say how many tokens its replies took, so {counted} cannot \
                 be kept"
            )));
        }
        self.judge_total()
    }

    /// The budget for which tokens are counted, if there is one.
    fn counted(&self) -> Option<&'static str> {
        let Budgets { max_total_tokens, max_cost_usd, .. } = &self.budgets;
        max_cost_usd.map(|_| "max_cost_usd").or(max_total_tokens.map(|_| "max_total_tokens"))
    }

    fn judge_total(&self) -> Option<Ending> {
        let Used { tokens, cost_usd, .. } = self.used;
        let total = tokens.input.saturating_add(tokens.output);
        let Budgets { max_total_tokens, max_cost_usd, .. } = &self.budgets;
        if let Some(max) = max_total_tokens.filter(|max| total >= *max) {
            return Some(self.stop(&format!("the run reached max_total_tokens = {max}")));
        }
        if let (Some(max), Some(_)) = (max_cost_usd, cost_usd.filter(|cost| Some(*cost) >= *max_cost_usd)) {
            return Some(self.stop(&format!("the run reached max_cost_usd = {max}")));
        }
        None
    }

    /// The person, too, says something before the next reply.
    pub(super) fn interrupted(&mut self) {
        self.repeats.interrupted();
    }

    /// What the model is told of calls that it makes over and over, in call order; or the end, if it was told.
    pub(super) fn refuse(&self, calls: &[ToolCall]) -> Result<Vec<Option<ToolOutcome>>, Ending> {
        self.repeats.refuse(calls).map_err(|why| self.stop(&why))
    }

    /// Notes what a turn's calls came to; the end, if one of them ends the run.
    pub(super) fn results(
        &mut self,
        refused: &[Option<ToolOutcome>],
        results: &[ToolResult],
    ) -> Option<Ending> {
        self.repeats.note(refused, results);
        let last = results.iter().find(|result| self.stop_on.is_match(&result.name))?;
        let why = format!("the model called {}, which stop_on_tools names", last.name);
        Some(self.stop(&format!("{why}; it came to: {}", last.model_text())))
    }
}
