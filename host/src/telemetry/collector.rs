use std::env::VarError;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_HEADERS,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use percent_encoding::percent_decode_str;
use url::Url;

use super::export::{Cause, Client, Counted};
use super::ids::Ids;
use super::tally::Tallies;

/// The environment variable that has what is said go into the spans.
pub(super) const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// The values of [`CAPTURE`] that do, in lower case. The other ones ask for events, or for nothing.
const CAPTURING: [&str; 3] = ["true", "span_only", "span_and_event"];

/// Where spans go below the address that is common to all signals.
const TRACES_PATH: &str = "v1/traces";

/// The only protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// The variable that says how many spans may wait for the collector, and how many may if it says nothing. One call
/// of a model can lead to 10,000 others, and nothing but spans that wait here is lost when more come at once.
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const QUEUE_SPANS_MAX: usize = 16_384;

/// The variables that say which spans are sampled, and what the first one may say.
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Where spans go, and whether what is said goes with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    endpoint: Url,
    captures_content: bool,
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// What should be the collector's address is none.
    #[error("{variable} is not the address of a collector, such as http://localhost:4318: {reason}")]
    Address {
        /// The environment variable, or the argument.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another protocol is asked for.
    #[error("{variable} asks for {protocol:?}, and only {PROTOCOL:?} is spoken")]
    Protocol {
        /// The environment variable.
        variable: &'static str,
        /// What it says.
        protocol: String,
    },
    /// What should be headers is not. Their values are nobody's business.
    #[error(
        "{variable} does not hold headers: {reason} in the {place}. of them\n  write NAME=VALUE, a comma between two, and %XX for blanks and commas, as in Authorization=Bearer%20TOKEN"
    )]
    Headers {
        /// The environment variable.
        variable: &'static str,
        /// Which of the headers, from 1.
        place: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Some other setting of the environment does not fit.
    #[error("{0}")]
    Setting(String),
}

impl Collector {
    /// The collector at an address, below which spans go to `v1/traces`; or the one that the environment names, as
    /// OpenTelemetry has it. None if neither is there, or the environment turns telemetry off.
    pub fn find(address: Option<&Url>) -> Result<Option<Self>, CollectorError> {
        Self::find_in(address, |variable| match std::env::var(variable) {
            Ok(value) => Some(value),
            Err(VarError::NotPresent) => None,
            // It is not the address, the protocol or the word that it should be, and the error shows it.
            Err(VarError::NotUnicode(value)) => Some(value.to_string_lossy().into_owned()),
        })
    }

    /// Reads an address; what is wrong with it, if it is none.
    pub fn address(text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        match url.scheme() {
            "http" | "https" => Ok(url),
            scheme => Err(format!("{scheme}: is neither http: nor https:")),
        }
    }

    fn find_in(
        address: Option<&Url>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, CollectorError> {
        // An empty variable counts as one that is not set.
        let set = |name| variable(name).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let word = |name| set(name).map(|it| it.to_ascii_lowercase());
        let off = word("OTEL_SDK_DISABLED").is_some_and(|it| it == "true")
            || word("OTEL_TRACES_EXPORTER").is_some_and(|it| it == "none");
        let endpoint =
            match (address, set(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT), set(OTEL_EXPORTER_OTLP_ENDPOINT)) {
                _ if off => return Ok(None),
                (Some(address), _, _) => below("--otlp", address.as_str())?,
                (None, Some(whole), _) => parse(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, &whole)?,
                (None, None, Some(address)) => below(OTEL_EXPORTER_OTLP_ENDPOINT, &address)?,
                (None, None, None) => return Ok(None),
            };
        let protocols = [OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL];
        if let Some((variable, protocol)) = protocols.into_iter().find_map(|name| Some((name, word(name)?)))
            && protocol != PROTOCOL
        {
            return Err(CollectorError::Protocol { variable, protocol });
        }
        for variable in [OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_HEADERS] {
            if let Some(headers) = set(variable) {
                check_headers(variable, &headers)?;
            }
        }
        check_sampler(set(SAMPLER).as_deref(), set(SAMPLER_ARG).as_deref())?;
        let captures_content = word(CAPTURE).is_some_and(|it| CAPTURING.contains(&it.as_str()));
        Ok(Some(Self { endpoint, captures_content }))
    }

    /// Whether what is said to and by the model and the tools goes into the spans.
    pub(super) fn captures_content(&self) -> bool {
        self.captures_content
    }

    /// The address, without what may be secret in it.
    pub(super) fn shown(&self) -> String {
        format!("{}{}", self.endpoint.origin().ascii_serialization(), self.endpoint.path())
    }

    /// What makes the spans of all runs and sends them, in batches, from a thread of its own.
    pub(super) fn provider(&self, tallies: &Arc<Tallies>) -> Result<SdkTracerProvider, CollectorError> {
        let (cause, tallies) = (Cause::default(), Arc::clone(tallies));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(self.endpoint.as_str())
            .with_http_client(Client::new(Arc::clone(&cause)))
            // A run's end waits for the last batch, so it is not sent often.
            .with_retry_policy(RetryPolicy::recommended().with_max_retries(1))
            .build()
            .map_err(|error| CollectorError::Setting(error.to_string()))?;
        let exporter = Counted { exporter, tallies, cause };
        let batches = BatchConfigBuilder::default();
        let batches = match std::env::var_os(QUEUE) {
            Some(_) => batches,
            None => batches.with_max_queue_size(QUEUE_SPANS_MAX),
        };
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_id_generator(Ids)
            .with_span_processor(processor);
        Ok(provider.build())
    }
}

/// Checks headers, of which the exporter would leave out those that it cannot read.
fn check_headers(variable: &'static str, headers: &str) -> Result<(), CollectorError> {
    for (place, header) in (1..).zip(headers.split_terminator(',')) {
        let fail = |reason| Err(CollectorError::Headers { variable, place, reason });
        let Some((name, value)) = header.split_once('=') else { return fail("there is no `=`") };
        if HeaderName::from_bytes(name.trim().as_bytes()).is_err() {
            return fail("what stands before the `=` cannot be a header's name");
        }
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        if value.is_empty() {
            return fail("there is no value");
        }
        if HeaderValue::from_bytes(&value).is_err() || std::str::from_utf8(&value).is_err() {
            return fail("what stands after the `=` cannot be a header's value");
        }
    }
    Ok(())
}

/// Checks which spans are to be sampled: the exporter would take all of them instead.
fn check_sampler(sampler: Option<&str>, ratio: Option<&str>) -> Result<(), CollectorError> {
    let Some(sampler) = sampler else { return Ok(()) };
    if !SAMPLERS.contains(&sampler) {
        let there = SAMPLERS.join(", ");
        return Err(CollectorError::Setting(format!("{SAMPLER} is {sampler:?}; it can be one of: {there}")));
    }
    let is_ratio = |text: &str| text.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio));
    if sampler.ends_with("traceidratio") && !ratio.is_some_and(is_ratio) {
        let why = format!("{SAMPLER_ARG} has to be a number from 0 to 1, because {SAMPLER} is {sampler:?}");
        return Err(CollectorError::Setting(why));
    }
    Ok(())
}

/// Who exports: this program, unless the environment says otherwise.
fn resource() -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        Ok(_) | Err(_) => resource.build(),
    }
}

/// Where spans go at the collector whose address this is; a whole address stays as it is.
fn below(variable: &'static str, address: &str) -> Result<Url, CollectorError> {
    let mut url = parse(variable, address)?;
    let path = url.path().trim_end_matches('/');
    if !path.ends_with(TRACES_PATH) {
        let path = format!("{path}/{TRACES_PATH}");
        url.set_path(&path);
    }
    Ok(url)
}

fn parse(variable: &'static str, address: &str) -> Result<Url, CollectorError> {
    Collector::address(address).map_err(|reason| CollectorError::Address { variable, reason })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn find(address: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<Collector>, CollectorError> {
        let address = address.map(|it| it.parse().unwrap());
        Collector::find_in(address.as_ref(), |name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_argument_or_the_environment_names_the_collector() {
        let endpoint =
            |address, variables: &[_]| find(address, variables).unwrap().map(|it| it.endpoint.to_string());
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://b/x");
        assert_eq!(endpoint(None, &[]), None);
        assert_eq!(endpoint(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), None);
        assert_eq!(endpoint(None, &[all]).unwrap(), "http://a:4318/v1/traces");
        assert_eq!(endpoint(None, &[all, traces]).unwrap(), "https://b/x", "to the letter");
        assert_eq!(endpoint(Some("http://c/o"), &[all, traces]).unwrap(), "http://c/o/v1/traces");
        assert_eq!(endpoint(Some("http://c/v1/traces"), &[]).unwrap(), "http://c/v1/traces");
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(endpoint(Some("http://c"), &[all, off]), None);
        }
        assert!(endpoint(None, &[all, ("OTEL_SDK_DISABLED", "false")]).is_some());
    }

    #[test]
    fn what_is_not_a_collector_is_said() {
        let error = |variables: &[_]| find(None, variables).unwrap_err().to_string();
        let said = error(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")]);
        assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT is not the address of a collector"), "{said}");
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a");
        let said = error(&[all, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(said.contains("only \"http/protobuf\" is spoken"), "{said}");
        let both =
            [all, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", PROTOCOL)];
        assert!(find(None, &both).unwrap().is_some(), "what is said of traces counts");
    }

    #[test]
    fn settings_that_would_be_dropped_are_said_without_their_values() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a");
        for variable in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
            for fits in ["Authorization=Bearer%20x", "a=1, b = 2 ,", "Authorization=Bearer x", "a=b=c"] {
                assert!(find(None, &[all, (variable, fits)]).unwrap().is_some(), "{fits}");
            }
            for (wrong, place) in [
                ("Authorization: Bearer secret", 1),
                ("a=1,Authorization: secret=", 2),
                ("a=1,,b=secret", 2),
                ("=secret", 1),
                ("a=%0asecret", 1),
                ("secret=", 1),
                ("a=%ff", 1),
            ] {
                let said = find(None, &[all, (variable, wrong)]).unwrap_err().to_string();
                assert!(said.contains(variable) && said.contains(&format!("the {place}. of")), "{said}");
                assert!(!said.contains("secret"), "{said}");
            }
        }
        for (sampler, ratio, fits) in [
            ("always_on", "x", true),
            ("parentbased_traceidratio", "0.25", true),
            ("traceidratio", "half", false),
            ("traceidratio", "2", false),
            ("sometimes", "", false),
        ] {
            let variables = [all, (SAMPLER, sampler), (SAMPLER_ARG, ratio)];
            assert_eq!(find(None, &variables).is_ok(), fits, "{sampler} {ratio}");
        }
    }

    #[test]
    fn content_goes_with_them_only_if_asked_for() {
        for (value, captures) in [
            (None, false),
            (Some("false"), false),
            (Some("EVENT_ONLY"), false),
            (Some("1"), false),
            (Some("True"), true),
            (Some("SPAN_ONLY"), true),
            (Some("span_and_event"), true),
        ] {
            let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a")];
            variables.extend(value.map(|value| (CAPTURE, value)));
            assert_eq!(find(None, &variables).unwrap().unwrap().captures_content, captures, "{value:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let collector = find(Some("http://me:secret@c:4318?key=secret"), &[]).unwrap().unwrap();
        assert_eq!(collector.shown(), "http://c:4318/v1/traces");
    }
}
