/// The span in whose course something is done: this process, as `TRACEPARENT` and `TRACESTATE` name it, or a request. It
/// is told by W3C Trace Context (w3.org/TR/trace-context), in environment variables or headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    pub(crate) flags: u8,
    /// What the systems that traces go to pass on to each other; may be empty.
    pub(crate) state: String,
}

/// The environment variables.
const PARENT: &str = "TRACEPARENT";
const STATE: &str = "TRACESTATE";

/// The longest state that is passed on. Everybody has to pass on so much, and nobody more.
const STATE_BYTES_MAX: usize = 512;

/// That the trace is sampled, and that its number is random. Whoever does not know a flag passes it on as 0.
const FLAGS_KNOWN: u8 = 3;

/// What stands in `TRACEPARENT` is not a span.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "TRACEPARENT is {0:?}, which names no span; it has the form 00-TRACE-SPAN-FLAGS, with 32, 16 and 2 hexadecimal digits"
)]
pub struct CallerError(String);

impl Caller {
    /// The one that the environment names, if it does. An empty variable counts as not set.
    pub fn of_environment() -> Result<Option<Self>, CallerError> {
        Self::find_in(|variable| std::env::var_os(variable).map(|it| it.to_string_lossy().into_owned()))
    }

    fn find_in(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, CallerError> {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let Some(parent) = set(PARENT) else { return Ok(None) };
        let state = set(STATE).unwrap_or_default();
        Self::read(parent.trim(), state.trim()).map(Some).ok_or(CallerError(parent))
    }

    /// A state that cannot be passed on is left out, as the standard has it.
    fn read(parent: &str, state: &str) -> Option<Self> {
        let mut parts = parent.split('-');
        let [version] = digits(parts.next()?)?;
        let (trace, span) = (digits(parts.next()?)?, digits(parts.next()?)?);
        let [flags] = digits(parts.next()?)?;
        // Later versions may say more; this one does not.
        let is_known = version != 0xff && (version != 0 || parts.next().is_none());
        if !is_known || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        let can_be_passed_on =
            |state: &str| state.len() <= STATE_BYTES_MAX && state.bytes().all(|it| matches!(it, b' '..=b'~'));
        let state = if can_be_passed_on(state) { state.to_owned() } else { String::new() };
        Some(Self { trace, span, flags: flags & FLAGS_KNOWN, state })
    }

    /// The headers by which a request says that it is sent in the course of the span.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let Self { trace, span, flags, state } = self;
        let parent =
            format!("00-{:032x}-{:016x}-{flags:02x}", u128::from_be_bytes(*trace), u64::from_be_bytes(*span));
        let state = (!state.is_empty()).then(|| ("tracestate", state.clone()));
        std::iter::once(("traceparent", parent)).chain(state).collect()
    }
}

/// So many bytes, each as two hexadecimal digits; capital letters are not digits.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * N || !text.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
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
