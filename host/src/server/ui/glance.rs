//! What a list says of a run besides its summary: looked up in what is recorded of it, and kept, because a list is looked
//! at again and again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use maud::{Markup, html};
use parking_lot::Mutex;

use crate::engine::timeline::{Kind, Stand, Timeline};
use crate::journal::RunState;
use crate::message::{RunId, duration};
use crate::ui;

/// What is known of so many runs is kept.
const KEPT_MAX: usize = 20_000;
/// What is known of a run that may go on is looked up again after this time.
const FRESH: Duration = Duration::from_secs(10);
/// As much of a reason as stands in a list, in bytes.
const REASON_BYTES_MAX: usize = 160;

/// What was seen of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Glance {
    pub(super) cost_usd: Option<f64>,
    took_us: u64,
    denied: usize,
    failed: usize,
    /// Why it stands as it does, where that is not good.
    reason: Option<String>,
    /// What a fork was told besides what the run before it was asked.
    told: Option<String>,
    is_fork: bool,
}

impl Glance {
    pub(super) fn of(timeline: &Timeline<'_>) -> Self {
        let calls = || timeline.spans.iter().filter(|span| matches!(span.kind, Kind::Tool | Kind::Agent));
        let cut = |text: &str| text.get(..text.floor_char_boundary(REASON_BYTES_MAX)).map(str::to_owned);
        let reason = timeline.reason().and_then(|reason| cut(reason.lines().next().unwrap_or_default()));
        Self {
            cost_usd: timeline.used.cost_usd,
            took_us: timeline.own_us(),
            denied: calls().map(|span| span.denials().count()).sum(),
            failed: calls().filter(|span| span.stand == Stand::Failed).count(),
            reason,
            told: timeline.manifest.said.last().and_then(|said| cut(&said.text)),
            is_fork: timeline.manifest.forked.is_some(),
        }
    }

    pub(super) fn reason(&self) -> Markup {
        html! { @if let Some(reason) = &self.reason { br; small.bad { (ui::line(reason)) } } }
    }

    /// What is worth a look before the run is opened.
    pub(super) fn marks(&self) -> Markup {
        html! {
            @if self.is_fork { " " span.tag { "a fork" } }
            @if let Some(told) = &self.told { " " small { "then: " (ui::line(told)) } }
            @if self.denied > 0 { " " span.tag.warn { (self.denied) " denied" } }
            @if self.failed > 0 { " " span.tag.warn { (self.failed) " failed" } }
        }
    }

    pub(super) fn took(&self) -> String {
        duration(self.took_us)
    }
}

/// What is known of the runs that were looked at.
#[derive(Default)]
pub(super) struct Glances(Mutex<HashMap<RunId, (RunState, Instant, Glance)>>);

impl Glances {
    /// What is known of a run that stands so.
    pub(super) fn get(&self, run: RunId, state: RunState) -> Option<Glance> {
        let known = self.0.lock();
        let (was, at, glance) = known.get(&run)?;
        let is_good = *was == state && (is_final(state) || at.elapsed() < FRESH);
        is_good.then(|| glance.clone())
    }

    pub(super) fn keep(&self, run: RunId, state: RunState, glance: Glance) {
        let mut known = self.0.lock();
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        known.insert(run, (state, Instant::now(), glance));
    }
}

/// Whether a run stays as it is. One that was cancelled may go on.
fn is_final(state: RunState) -> bool {
    state.has_ended() && state != RunState::Cancelled
}
