//! A collector on loopback that decodes what it gets, and what is asked of a span.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message as _;
use serde_json::Value;
use tokio::runtime::Runtime;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Agent, Ran};

pub(super) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// A collector that decodes what it gets.
pub(super) struct Collector {
    pub(super) server: MockServer,
    pub(super) runtime: Runtime,
}

/// A span, with its attributes as JSON.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) trace: Vec<u8>,
    pub(super) id: Vec<u8>,
    pub(super) parent: Vec<u8>,
    pub(super) kind: proto::span::SpanKind,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) events: Vec<(String, BTreeMap<String, Value>)>,
    /// The trace and the span of each.
    pub(super) links: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) failed: bool,
    pub(super) says: String,
    pub(super) resource: BTreeMap<String, Value>,
}

impl Collector {
    pub(super) fn start() -> Self {
        Self::answering(200)
    }

    pub(super) fn answering(status: u16) -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            Mock::given(path("/v1/traces")).respond_with(ResponseTemplate::new(status)).mount(&server).await;
            server
        });
        Self { server, runtime }
    }

    pub(super) fn requests(&self) -> Vec<wiremock::Request> {
        self.runtime.block_on(self.server.received_requests()).unwrap()
    }

    /// All spans so far, in the order in which they began.
    pub(super) fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for request in self.requests() {
            assert_eq!(request.headers["content-type"], "application/x-protobuf");
            let request = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
            for of in request.resource_spans {
                let resource = attributes(of.resource.unwrap().attributes);
                let all = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(all.map(|span| Span::new(span, resource.clone())));
            }
        }
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// The spans of a run that has ended: every one well-formed, in one trace, each id once.
    #[track_caller]
    pub(super) fn trace(&self) -> Vec<Span> {
        let spans = self.spans();
        let ids: BTreeSet<_> = spans.iter().map(|span| &span.id).collect();
        assert_eq!(ids.len(), spans.len(), "each id once: {spans:#?}");
        for span in &spans {
            let run: host::message::RunId = span.text("host.run.id").parse().unwrap();
            assert_eq!(span.trace, run.to_bytes(), "the trace is the run");
            assert_eq!(span.trace, spans[0].trace, "one trace");
            assert!(span.start <= span.end, "{span:#?}");
            assert_eq!(span.failed, span.attributes.contains_key("error.type"), "{span:#?}");
            if let Some(parent) = spans.iter().find(|parent| parent.id == span.parent) {
                assert!(parent.start <= span.start && span.end <= parent.end, "{span:#?} within {parent:#?}");
            }
        }
        spans
    }

    /// All that came, to look for what should not be in it.
    pub(super) fn bytes(&self) -> String {
        let bodies = self.requests().into_iter().flat_map(|request| request.body);
        String::from_utf8_lossy(&bodies.collect::<Vec<u8>>()).into_owned()
    }

    /// The binary, set to export to this collector.
    pub(super) fn command(&self, agent: &Agent, args: &[&str]) -> Command {
        let mut command = agent.command(args);
        command.env(ENDPOINT, self.server.uri());
        command
    }

    pub(super) fn host(&self, agent: &Agent, args: &[&str]) -> Ran {
        self.command(agent, args).output().unwrap().into()
    }

    /// Waits until spans with these names are there.
    pub(super) fn wait_for(&self, names: &[&str]) {
        let started = Instant::now();
        while !names.iter().all(|name| self.spans().iter().any(|span| span.name == *name)) {
            assert!(started.elapsed() < crate::support::PATIENCE, "{names:?} in {:#?}", self.spans());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Span {
    fn new(span: proto::Span, resource: BTreeMap<String, Value>) -> Self {
        let kind = span.kind();
        let status = span.status.unwrap_or_default();
        let event = |event: proto::span::Event| (event.name, attributes(event.attributes));
        Self {
            name: span.name,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            kind,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: attributes(span.attributes),
            events: span.events.into_iter().map(event).collect(),
            links: span.links.into_iter().map(|link| (link.trace_id, link.span_id)).collect(),
            failed: status.code() == proto::status::StatusCode::Error,
            says: status.message,
            resource,
        }
    }

    #[track_caller]
    pub(super) fn text(&self, key: &str) -> &str {
        self.attributes.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("{key} in {self:#?}"))
    }

    /// An attribute that holds JSON.
    #[track_caller]
    pub(super) fn json(&self, key: &str) -> Value {
        serde_json::from_str(self.text(key)).unwrap()
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let count = pairs.len();
    let map: BTreeMap<String, Value> =
        pairs.into_iter().map(|pair| (pair.key, value(pair.value.unwrap()))).collect();
    assert_eq!(map.len(), count, "each attribute once: {map:#?}");
    map
}

fn value(of: AnyValue) -> Value {
    match of.value.unwrap() {
        any_value::Value::StringValue(text) => text.into(),
        any_value::Value::BoolValue(it) => it.into(),
        any_value::Value::IntValue(number) => number.into(),
        any_value::Value::DoubleValue(number) => number.into(),
        any_value::Value::ArrayValue(array) => array.values.into_iter().map(value).collect(),
        other => panic!("{other:?} is no attribute of ours"),
    }
}

/// The only span with a name.
#[track_caller]
pub(super) fn span<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "one {name} in {:#?}", spans.iter().map(|it| &it.name).collect::<Vec<_>>());
    found[0]
}

/// The span of a slot.
#[track_caller]
pub(super) fn at<'a>(spans: &'a [Span], slot: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.text("host.slot") == slot).collect();
    assert_eq!(found.len(), 1, "one span at {slot} in {spans:#?}");
    found[0]
}

/// Each span's slot with that of the span above it.
pub(super) fn tree(spans: &[Span]) -> BTreeMap<&str, Option<&str>> {
    let above = |span: &Span| spans.iter().find(|it| it.id == span.parent).map(|it| it.text("host.slot"));
    spans.iter().map(|span| (span.text("host.slot"), above(span))).collect()
}
