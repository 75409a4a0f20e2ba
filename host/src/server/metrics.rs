//! What the server counts and measures, as Prometheus reads it: `GET /metrics`.
//!
//! Owns the names and their units; `docs/SERVE.md` has them in a table. What others know (the queue, the journal, the
//! sandbox, the system) is asked for when somebody reads; only events are counted as they come. Invariant: no label takes
//! a text that a client, a model or a guest chose, so that the numbers of series is bounded by the agents that are served.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::problem::Kind;
use super::shown::Run;
use crate::engine::{Engine, Outcome, Told};
use crate::journal::COMMIT_BOUNDS;
use crate::message::{self, ToolOutcome};
use crate::session::Notice;

/// The media type of the text that [`Metrics::text`] gives.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A counter of what cannot be counted in whole ones.
type Amounts = Family<OfAgent, Counter<f64, std::sync::atomic::AtomicU64>>;

/// What the server counts as it happens.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    stopped: Family<Stopped, Counter>,
    tool_calls: Family<ToolCalls, Counter>,
    model_calls: Family<ModelCalls, Counter>,
    tokens: Family<Tokens, Counter>,
    cost: Amounts,
    requests: Family<Requests, Counter>,
    refused: Family<Refused, Counter>,
    webhooks: Family<Webhook, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAgent {
    agent: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stopped {
    agent: String,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolCalls {
    agent: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelCalls {
    agent: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    agent: String,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requests {
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Webhook {
    webhook: String,
    outcome: &'static str,
}

/// What is known elsewhere, at the moment when somebody reads it.
pub(super) struct Seen {
    /// Runs that work, wait in the queue, and wait for a moment.
    pub(super) runs: (usize, usize, usize),
    /// Connections, and requests that wait for a run or follow one.
    pub(super) clients: (usize, usize),
    /// Whether the journal takes what is to be recorded.
    pub(super) records: bool,
    /// Deliveries that are pending, by webhook.
    pub(super) webhooks: Vec<(String, usize)>,
    pub(super) engine: Engine,
}

impl Metrics {
    /// Counts what happens to a run.
    pub(super) fn effect(&self, agent: &str, told: &Told<'_>) {
        let Told::Effect(Notice::Finished { finished, substituted: false, .. }) = told else { return };
        match &finished.outcome {
            message::Outcome::Tool(outcome) => {
                let outcome = match outcome {
                    ToolOutcome::Output(_) => "output".to_owned(),
                    ToolOutcome::Error(error) => word(&error.kind),
                };
                self.tool_calls.get_or_create(&ToolCalls { agent: agent.to_owned(), outcome }).inc();
            }
            message::Outcome::Model(reply) => {
                self.model_call(agent, "reply");
                for (direction, tokens) in [("input", reply.tokens.input), ("output", reply.tokens.output)] {
                    self.tokens.get_or_create(&Tokens { agent: agent.to_owned(), direction }).inc_by(tokens);
                }
            }
            message::Outcome::NoReply(_) => self.model_call(agent, "failure"),
            message::Outcome::Run(_) | message::Outcome::Decision(_) => {}
        }
    }

    fn model_call(&self, agent: &str, outcome: &'static str) {
        self.model_calls.get_or_create(&ModelCalls { agent: agent.to_owned(), outcome }).inc();
    }

    /// Counts a run that stopped.
    pub(super) fn stopped(&self, run: &Run, outcome: &Outcome) {
        let agent = run.agent.clone();
        self.stopped.get_or_create(&Stopped { agent: agent.clone(), state: word(&run.state) }).inc();
        if let Outcome::Ended { used: Some(used), .. } = outcome
            && let Some(cost) = used.cost_usd
        {
            self.cost.get_or_create(&OfAgent { agent }).inc_by(cost);
        }
    }

    /// Counts an answer to a request.
    pub(super) fn answered(&self, status: u16, refused: Option<Kind>) {
        self.requests.get_or_create(&Requests { status }).inc();
        if let Some(kind) = refused {
            self.refused.get_or_create(&Refused { kind: kind.name() }).inc();
        }
    }

    /// Counts what came of a delivery, or of an attempt.
    pub(super) fn webhook(&self, webhook: &str, outcome: &'static str) {
        self.webhooks.get_or_create(&Webhook { webhook: webhook.to_owned(), outcome }).inc();
    }

    /// Everything that is counted and measured.
    pub(super) fn text(&self, seen: Seen) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        let Self { stopped, tool_calls, model_calls, tokens, cost, requests, refused, webhooks } =
            self.clone();
        registry.register(
            "host_runs_stopped",
            "Runs that stopped, by the state in which they did; a run that goes on stops again",
            stopped,
        );
        registry.register("host_tool_calls", "Tool calls that ended, by what they came to", tool_calls);
        registry.register("host_model_calls", "Requests to models that ended", model_calls);
        registry.register("host_model_tokens", "Tokens, as models' providers report them", tokens);
        registry.register_with_unit(
            "host_model_cost",
            "What runs cost that ended, where every model has prices",
            Unit::Other("usd".to_owned()),
            cost,
        );
        registry.register("host_http_requests", "Requests that were answered, by status", requests);
        registry.register("host_http_refused", "Requests that were refused, by kind of problem", refused);
        registry.register("host_webhooks", "What came of deliveries, and attempts that failed", webhooks);
        registry.register_collector(Box::new(seen));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("runs", &self.runs)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (working, queued, scheduled) = self.runs;
        let mut runs = encoder.encode_descriptor(
            "host_runs",
            "Runs that work, wait for a place, and wait for a moment",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in [("working", working), ("queued", queued), ("scheduled", scheduled)] {
            runs.encode_family(&[("state", state)])?.encode_gauge(&whole(count))?;
        }
        let (connections, waits) = self.clients;
        for (name, help, count) in [
            ("host_http_connections", "Connections", connections),
            ("host_http_waits", "Requests that wait for a run, or follow one", waits),
        ] {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&whole(count))?;
        }
        let journal = i64::from(self.records);
        encoder
            .encode_descriptor("host_journal_up", "Whether runs can be recorded", None, MetricType::Gauge)?
            .encode_gauge(&journal)?;
        let mut pending = encoder.encode_descriptor(
            "host_webhooks_pending",
            "Deliveries that have not arrived yet",
            None,
            MetricType::Gauge,
        )?;
        for (webhook, count) in &self.webhooks {
            pending.encode_family(&[("webhook", webhook.as_str())])?.encode_gauge(&whole(*count))?;
        }
        self.places(&mut encoder)?;
        self.commits(&mut encoder)?;
        if let Some(bytes) = resident_bytes() {
            let help = "Memory of the process";
            let unit = Unit::Bytes;
            encoder
                .encode_descriptor("process_resident_memory", help, Some(&unit), MetricType::Gauge)?
                .encode_gauge(&bytes)?;
        }
        Ok(())
    }
}

impl Seen {
    fn places(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let places = self.engine.places();
        let named = [
            ("host_instances", "Places for instances that are taken, by how many callers wait for each"),
            ("host_instance_places", "Places for instances, by how many callers wait for each"),
        ];
        for (name, help) in named {
            let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (depth, (there, free)) in places.iter().enumerate() {
                let count = if name == "host_instances" { there.saturating_sub(*free) } else { *there };
                gauges.encode_family(&[("depth", depth.to_string())])?.encode_gauge(&whole(count))?;
            }
        }
        Ok(())
    }

    fn commits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(commits) = self.engine.runs().commits() else { return Ok(()) };
        encoder
            .encode_descriptor(
                "host_journal_events",
                "Events that were made durable",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, u64>(&commits.events(), None)?;
        let by_time = commits.by_time();
        let bounds = COMMIT_BOUNDS.iter().map(std::time::Duration::as_secs_f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(by_time).collect();
        encoder
            .encode_descriptor(
                "host_journal_commit",
                "How long commits of the journal took, each with one sync",
                Some(&Unit::Seconds),
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(
                commits.time().as_secs_f64(),
                by_time.iter().sum(),
                &buckets,
                None,
            )
    }
}

/// The name of something in JSON.
fn word(named: &impl serde::Serialize) -> String {
    serde_json::to_value(named).ok().and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default()
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How much memory the process has, as the system says; `None` if it does not.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = kilobytes.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}
