use std::fmt;

use serde::Serialize;

use crate::message::SHOWN_BYTES_MAX;

/// Calls of other tools: a few full batches.
const CALLS_MAX: u32 = 1000;

/// What bounds one call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ToolLimits {
    /// Wall-clock time, in milliseconds.
    pub timeout_ms: u64,
    /// Time on a processor, in milliseconds.
    pub cpu_ms: u64,
    /// All memories and tables of the instance together.
    pub memory_bytes_max: u64,
    /// WebAssembly instructions, roughly; unlimited and not counted if none. Counting costs time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// The output, as JSON text.
    pub output_bytes_max: u64,
    /// What of an output the model is shown; the journal has all of it.
    pub shown_bytes_max: u64,
    /// Log lines, stdout and stderr together.
    pub log_bytes_max: u64,
    /// The body of one request, and that of one response.
    pub http_body_bytes_max: u64,
    /// Requests.
    pub http_requests_max: u32,
    /// Files and directories open at once.
    pub open_files_max: u32,
    /// Random bytes.
    pub random_bytes_max: u64,
    /// Calls of other tools.
    #[serde(skip_serializing_if = "is_default_calls_max")]
    pub calls_max: u32,
}

impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            // Longer than a person waits for one answer.
            timeout_ms: 30_000,
            // A tool that computes for longer than this is stuck; an interpreter starts in about one second.
            cpu_ms: 10_000,
            // Rust guests need 2 MiB; interpreters need tens of them.
            memory_bytes_max: 64 << 20,
            fuel: None,
            output_bytes_max: 1 << 20,
            shown_bytes_max: SHOWN_BYTES_MAX,
            // About a thousand lines.
            log_bytes_max: 64 << 10,
            http_body_bytes_max: 10 << 20,
            http_requests_max: 100,
            // A tool that needs more at once is leaking them.
            open_files_max: 64,
            // Keys and nonces take tens of bytes each.
            random_bytes_max: 1 << 20,
            calls_max: CALLS_MAX,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_default_calls_max(calls: &u32) -> bool {
    *calls == CALLS_MAX
}

/// A bound that a call can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Wall-clock time.
    Timeout,
    /// Time on a processor.
    Cpu,
    /// Memories and tables.
    Memory,
    /// WebAssembly instructions.
    Fuel,
    /// The output's size.
    Output,
    /// The body of a request or response.
    HttpBody,
    /// The number of requests.
    HttpRequests,
    /// Files open at once.
    OpenFiles,
    /// Random bytes.
    Random,
    /// The number of calls of other tools.
    Calls,
}

impl Limit {
    /// Its key in `[tools.NAME.limits]`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Fuel => "fuel",
            Self::Output => "output",
            Self::HttpBody => "http_body",
            Self::HttpRequests => "http_requests",
            Self::OpenFiles => "open_files",
            Self::Random => "random_bytes",
            Self::Calls => "tool_calls",
        }
    }

    /// What a call that ran into it is told: the limit, its value, and its key.
    #[must_use]
    pub fn message(self, limits: &ToolLimits) -> String {
        let key = self.key();
        let said: &dyn fmt::Display = match self {
            Self::Timeout => &format_args!("no result within {} ms", limits.timeout_ms),
            Self::Cpu => &format_args!("the call used more than {} ms of processor time", limits.cpu_ms),
            Self::Memory => {
                &format_args!("the call wanted more than {} bytes of memory", limits.memory_bytes_max)
            }
            Self::Fuel => {
                &format_args!("the call ran more than {} instructions", limits.fuel.unwrap_or(u64::MAX))
            }
            Self::Output => &format_args!("the output has more than {} bytes", limits.output_bytes_max),
            Self::HttpBody => &format_args!(
                "a request or response had a body of more than {} bytes",
                limits.http_body_bytes_max
            ),
            Self::HttpRequests => {
                &format_args!("the call made more than {} requests", limits.http_requests_max)
            }
            Self::OpenFiles => {
                &format_args!("the call had more than {} files open at once", limits.open_files_max)
            }
            Self::Random => {
                &format_args!("the call wanted more than {} random bytes", limits.random_bytes_max)
            }
            Self::Calls => &format_args!("the call made more than {} calls of other tools", limits.calls_max),
        };
        format!("{said} (limits.{key}); the call was stopped")
    }
}
