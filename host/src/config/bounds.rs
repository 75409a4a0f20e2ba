//! The defaults of agent.toml and how far they can be changed, each with its reason.

use std::time::Duration;

/// The only version of the file's form so far.
pub(super) const VERSION: u32 = 1;
/// A larger agent.toml is surely not one.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
/// Instructions go along with every model request; no model's context holds more than this.
pub(super) const INSTRUCTIONS_BYTES_MAX: u64 = 1 << 20;
/// More problems than this are one mistake made often, and each costs a look at the whole file to show.
pub(super) const PROBLEMS_SHOWN_MAX: usize = 20;
/// Text quoted from the file in a message; a line holds no more.
pub(super) const QUOTE_CHARS_MAX: usize = 60;

/// Enough for a task of many steps, few enough that a model going in circles stays affordable.
pub(super) const MAX_TURNS: u32 = 25;
/// A run of more turns than this would not fit any model's context.
pub(super) const MAX_TURNS_LIMIT: u32 = 10_000;
/// Keeps a few cores busy even if most calls wait for something.
pub(super) const MAX_PARALLEL_TOOLS: u32 = 16;
/// More instances than the sandbox's pool has places cannot run at once.
pub(super) const MAX_PARALLEL_TOOLS_LIMIT: u32 = 128;
/// No model asks for more in one turn on purpose.
pub(super) const MAX_CALLS_PER_TURN: u32 = 128;
/// Each call costs memory before it runs, so the bound cannot be lifted altogether.
pub(super) const MAX_CALLS_PER_TURN_LIMIT: u32 = 10_000;
/// A run that takes longer than this is not waited for.
pub(super) const WALL_TIME_LIMIT: Duration = Duration::from_hours(30 * 24);

/// Longer than a person waits for one answer.
pub(super) const TIMEOUT_MS: u64 = 30_000;
/// A call that takes longer than a day is not a call.
pub(super) const TIMEOUT_LIMIT: Duration = Duration::from_hours(24);
/// Rust guests need 2 MiB; interpreters need tens of them.
pub(super) const MEMORY_BYTES: u64 = 64 << 20;
/// What a 32-bit memory can hold.
pub(super) const MEMORY_BYTES_LIMIT: u64 = 4 << 30;
/// About as much as a model can read.
pub(super) const OUTPUT_BYTES: u64 = 1 << 20;
/// About a thousand lines.
pub(super) const LOG_BYTES: u64 = 64 << 10;
/// Outputs and logs are kept in the host's memory while they are recorded.
pub(super) const RECORDED_BYTES_LIMIT: u64 = 256 << 20;

/// Providers accept tool names of at most 64 characters; half of that for a table's name or a prefix leaves
/// room for the tool's own.
pub(super) const NAME_CHARS_MAX: usize = 32;
/// The agent's name heads lists of runs, one line each.
pub(super) const AGENT_NAME_CHARS_MAX: usize = 64;
