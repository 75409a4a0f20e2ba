//! From how an instance ended to the outcome that the model reads: each limit has its own.

use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap};

use super::bindings::exports::host::tool::tools::ToolError as WitError;
use super::engine::WASM_STACK_BYTES;
use super::guest::HANDLES_MAX;
use super::limiter::Refused;
use super::link::UnknownImport;
use super::record::LimitHit;
use super::state::State;
use crate::grants::{Limit, ToolLimits};
use crate::message::{ErrorKind, Json, JsonError, LogLine, ToolOutcome};

/// A guest's error message is cut to this, as `wit/tool.wit` says for its own world.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The outcome of a call that ran into a limit.
pub(super) fn limited(limit: Limit, limits: &ToolLimits) -> ToolOutcome {
    let kind = match limit {
        Limit::Timeout => ErrorKind::Timeout,
        Limit::Cpu => ErrorKind::Cpu,
        Limit::Memory => ErrorKind::Memory,
        Limit::Fuel => ErrorKind::Fuel,
        Limit::Output => ErrorKind::OutputSize,
        Limit::HttpBody => ErrorKind::HttpBody,
        Limit::HttpRequests => ErrorKind::HttpRequests,
        Limit::OpenFiles => ErrorKind::OpenFiles,
        Limit::Random => ErrorKind::RandomBytes,
        Limit::Calls => ErrorKind::TooManyCalls,
    };
    ToolOutcome::error(kind, limit.message(limits))
}

/// An output within its limit that is JSON.
pub(super) fn output(output: String, limits: &ToolLimits) -> ToolOutcome {
    output_by(Json::parse, output, limits)
}

/// The same of an output that the host wrote itself, from a value.
pub(super) fn written(output: String, limits: &ToolLimits) -> ToolOutcome {
    output_by(Json::written, output, limits)
}

fn output_by(
    take: fn(String) -> Result<Json, JsonError>,
    output: String,
    limits: &ToolLimits,
) -> ToolOutcome {
    if output.len() as u64 > limits.output_bytes_max {
        return limited(Limit::Output, limits);
    }
    match take(output) {
        Ok(json) => ToolOutcome::Output(json),
        Err(error) => {
            ToolOutcome::error(ErrorKind::InvalidOutput, format!("the output is not JSON: {error}"))
        }
    }
}

/// A failure, as the guest itself says it.
pub(super) fn failed(message: String) -> ToolOutcome {
    ToolOutcome::error(ErrorKind::Failed, cut(message))
}

/// What a guest of the contract says of its failure.
pub(super) fn said(error: WitError) -> ToolOutcome {
    let (kind, message) = match error {
        WitError::InvalidInput(message) => (ErrorKind::InvalidInput, message),
        WitError::Transient(message) => (ErrorKind::Transient, message),
        WitError::Failed(message) => (ErrorKind::Failed, message),
    };
    ToolOutcome::error(kind, cut(message))
}

/// What a guest that broke off came to.
pub(super) fn broke_off(store: &Store<State>, log: &[LogLine], error: &wasmtime::Error) -> ToolOutcome {
    let state = store.data();
    let limits = &state.policy.limits;
    if let Some(LimitHit(limit)) = error.downcast_ref().copied() {
        return limited(limit, limits);
    }
    if state.memory.refused() == Refused::Yes {
        return limited(Limit::Memory, limits);
    }
    if let Some(UnknownImport(import)) = error.downcast_ref() {
        let message = format!(
            "the tool called `{import}`, which this host does not have; nothing in agent.toml can grant it"
        );
        return ToolOutcome::error(ErrorKind::Denied, message);
    }
    let cause = error.root_cause().to_string();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return limited(Limit::Fuel, limits),
        Some(Trap::StackOverflow) => {
            let message = format!(
                "the tool's calls were nested deeper than a stack of {WASM_STACK_BYTES} bytes holds; the call was stopped"
            );
            return ToolOutcome::error(ErrorKind::Stack, message);
        }
        Some(_) | None => {}
    }
    let table_full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
    // wasmtime says these two in words only; the attacks test them.
    if table_full || cause.contains("handle limit exceeded") {
        let message = format!("the call held more than {HANDLES_MAX} handles at once; the call was stopped");
        return ToolOutcome::error(ErrorKind::Handles, message);
    }
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        let message = format!(
            "the tool passed more data at once than limits.output ({} bytes) and what goes along with it; the call was stopped",
            limits.output_bytes_max
        );
        return ToolOutcome::error(ErrorKind::HostCall, message);
    }
    let message = match last_words(log) {
        Some(words) => format!("the tool broke off: {cause}; the last it wrote was: {words}"),
        None => format!("the tool broke off: {cause}"),
    };
    ToolOutcome::error(ErrorKind::Trap, cut(message))
}

/// A Rust guest that panics says why on stderr before it traps.
pub(super) fn last_words(log: &[LogLine]) -> Option<String> {
    let words: Vec<&str> =
        log.iter().filter(|line| line.from == "stderr").map(|line| line.text.as_str()).collect();
    (!words.is_empty()).then(|| words[words.len().saturating_sub(3)..].join(" "))
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push_str(" [cut]");
    }
    message
}
