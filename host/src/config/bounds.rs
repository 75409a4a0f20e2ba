//! The defaults of agent.toml and how far they can be changed, each with its reason.

use std::time::Duration;

/// A larger agent.toml is surely not one.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
/// Instructions go along with every model request; no model's context holds more than this.
pub(super) const INSTRUCTIONS_BYTES_MAX: u64 = 1 << 20;
/// What a tool may say of itself, too.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;

/// A program with more kinds of arguments than this needs a program around it.
pub(super) const ARGUMENTS_LIMIT: usize = 256;
/// Settings are read in each call that asks for them.
pub(super) const SETTINGS_LIMIT: usize = 256;
/// A longer setting is a file.
pub(super) const SETTING_BYTES_MAX: usize = 16 * 1024;

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
/// As many as the largest run can make.
pub(super) const MAX_TOOL_CALLS_LIMIT: u32 = MAX_TURNS_LIMIT * MAX_CALLS_PER_TURN_LIMIT;
/// A summary of a shorter conversation would be about as long.
pub(super) const COMPACT_AT_TOKENS_MIN: u64 = 1_000;
/// What TOML can write.
pub(super) const TOKENS_LIMIT: u64 = i64::MAX as u64;
/// A model that makes the same call, with the same result, in more turns than this is going in circles.
pub(super) const MAX_REPEATS: u32 = 3;
/// A run that takes longer than this is not waited for.
pub(super) const WALL_TIME_LIMIT: Duration = Duration::from_hours(30 * 24);

/// A model that takes longer than a day for an answer gives none.
pub(super) const MODEL_TIMEOUT_LIMIT: Duration = Duration::from_hours(24);

/// What stands around reasoning is a word of a model's vocabulary.
pub(super) const TAG_BYTES_MAX: usize = 64;

/// A call that takes longer than a day is not a call.
pub(super) const TIMEOUT_LIMIT: Duration = Duration::from_hours(24);
/// What a 32-bit memory can hold.
pub(super) const MEMORY_BYTES_LIMIT: u64 = 4 << 30;
/// Outputs and logs are kept in the host's memory while they are recorded.
pub(super) const RECORDED_BYTES_LIMIT: u64 = 256 << 20;

/// Providers accept tool names of at most 64 characters; half of that for a table's name or a prefix leaves
/// room for the tool's own.
pub(super) const NAME_CHARS_MAX: usize = 32;
/// The agent's name heads lists of runs, one line each.
pub(super) const AGENT_NAME_CHARS_MAX: usize = 64;
/// Nobody's client has longer names for what it sends.
pub(super) const MEMBER_CHARS_MAX: usize = 64;
/// A name of a secret is a name of an environment variable, too.
pub(super) const SECRET_NAME_CHARS_MAX: usize = 64;
/// What TOML can write.
pub(super) const FUEL_LIMIT: u64 = i64::MAX as u64;
/// Each request is recorded, and the record of a call is kept in memory while it runs.
pub(super) const HTTP_REQUESTS_LIMIT: u32 = 10_000;
/// A process of the system may have about as many, and there may be many calls at once.
pub(super) const OPEN_FILES_LIMIT: u32 = 1_000;
/// Bodies go through in pieces; one that carries secrets is kept in memory as a whole.
pub(super) const HTTP_BODY_BYTES_LIMIT: u64 = 1 << 30;
/// The host stops at this number whatever a tool is allowed, for all that one call of the model leads to.
pub(super) const CALLS_LIMIT: u32 = 10_000;
/// A tool that wants more makes noise.
pub(super) const RANDOM_BYTES_LIMIT: u64 = 1 << 30;

/// More attempts than this are no retry but a loop.
pub(super) const ATTEMPTS_LIMIT: u32 = 100;
/// What the providers' own clients wait.
pub(super) const MODEL_INITIAL_DELAY_MS: u64 = 500;
pub(super) const MODEL_MAX_DELAY_MS: u64 = 8_000;
/// Limits by the minute pass within one.
pub(super) const MODEL_MAX_RETRY_AFTER_MS: u64 = 60_000;
/// A call that waits longer is better asked for again by a person.
pub(super) const DELAY_LIMIT: Duration = Duration::from_hours(1);
