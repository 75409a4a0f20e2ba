use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// The span in whose course something is done: this process, as `TRACEPARENT` and `TRACESTATE` name it, or a request. It
/// is told by W3C Trace Context, in environment variables or headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(SpanContext);

/// The environment variables, and the headers that have the same.
const PARENT: (&str, &str) = ("TRACEPARENT", "traceparent");
const STATE: (&str, &str) = ("TRACESTATE", "tracestate");

/// What stands in `TRACEPARENT` is not a span.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "TRACEPARENT is {0:?}, which names no span; it has the form 00-TRACE-SPAN-FLAGS, with 32, 16 and 2 hexadecimal digits"
)]
pub struct CallerError(String);

impl From<SpanContext> for Caller {
    fn from(span: SpanContext) -> Self {
        Self(span)
    }
}

impl Caller {
    /// The one that the environment names, if it does. An empty variable counts as not set.
    pub fn of_environment() -> Result<Option<Self>, CallerError> {
        Self::find_in(|variable| std::env::var_os(variable).map(|it| it.to_string_lossy().into_owned()))
    }

    fn find_in(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, CallerError> {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let Some(parent) = set(PARENT.0) else { return Ok(None) };
        let mut carrier = HashMap::from([(PARENT.1.to_owned(), parent.clone())]);
        carrier.extend(set(STATE.0).map(|state| (STATE.1.to_owned(), state)));
        let span = TraceContextPropagator::new().extract(&carrier).span().span_context().clone();
        if span.is_valid() { Ok(Some(Self(span))) } else { Err(CallerError(parent)) }
    }

    /// The span.
    #[must_use]
    pub fn span(&self) -> &SpanContext {
        &self.0
    }

    /// The headers by which a request says that it is sent in the course of the span.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let Self(span) = self;
        let parent = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8());
        let state = span.trace_state().header();
        let state = (!state.is_empty()).then_some((STATE.1, state));
        std::iter::once((PARENT.1, parent)).chain(state).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    const SPAN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn find(parent: &str, state: &str) -> Result<Option<Caller>, CallerError> {
        Caller::find_in(|name| Some(if name == "TRACEPARENT" { parent } else { state }.to_owned()))
    }

    #[test]
    fn a_span_is_passed_on_as_it_came() {
        let caller = find(SPAN, "a=1,b=2").unwrap().unwrap();
        let headers = [("traceparent", SPAN.to_owned()), ("tracestate", "a=1,b=2".to_owned())];
        assert_eq!(caller.headers(), headers);
        assert_eq!(find(SPAN, "").unwrap().unwrap().headers(), headers[..1]);
        assert_eq!(find("", "a=1"), Ok(None));
        assert_eq!(Caller::find_in(|_| None), Ok(None));
    }

    #[test]
    fn what_names_no_span_is_refused() {
        for wrong in ["x", "00-0-0-01", &SPAN[..52], &SPAN.replace('4', "g"), &SPAN.to_uppercase()] {
            assert_eq!(find(wrong, ""), Err(CallerError(wrong.to_owned())));
        }
        let nothing = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        assert!(find(&nothing, "").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_answered(parent in "\\PC{0,60}|[0-9a-f-]{50,60}", state in "\\PC{0,40}") {
            if let Ok(Some(caller)) = find(&parent, &state) {
                let whole = caller.headers().into_iter().all(|(_, value)| value.bytes().all(|it| it >= b' '));
                prop_assert!(whole);
            }
        }
    }
}
