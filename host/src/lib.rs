//! Runs AI agents whose tools are WebAssembly components.
//!
//! The agent loop is native. Every tool call runs in its own fresh component instance, the calls of one
//! turn in parallel, and each model reply and tool result is durable in a journal before the loop goes on.
//! Replay substitutes what is recorded and invokes nothing; a run that crashed resumes where it stopped.
//!
//! ```text
//! agent.toml ─ config ─► agent ─► session.effect(slot, request, …) ─┬─► model
//!                          ▲                 │                      └─► dispatch ─► sandbox ─► instance
//!                          └─ results in ◄── journal (sled) ◄── Started / Finished
//!                             slot order
//! ```
//!
//! Modules, in the order in which one run meets them:
//!
//! - [`engine`]: what a run is: started, resumed, decided, forked; every front end is thin over it.
//! - [`config`]: agent.toml, validated, by what [`grants`] and [`model`] say there is to be set.
//! - [`document`]: the way from a TOML file to a type, and what is wrong with it, shown.
//! - [`grants`]: what a tool may reach, and how much of it: the rules, without the doing.
//! - [`command`]: how a program is called that knows only arguments and a standard input.
//! - [`registry`]: components from elsewhere: what is pinned of them, fetched, kept, pushed.
//! - [`trust`]: who has to have signed them, and whether they did.
//! - [`toolbox`]: where components come from: built, checked, compiled, cached.
//! - [`agent`]: the loop: ask, record, stop or dispatch, append, repeat.
//! - [`gateway`]: a program outside in the place of the loop: its requests passed on, its calls made, both found again.
//! - [`session`]: record or substitute; the only place that knows about replay. The loop knows it by a trait, so that
//!   a journal of another kind can stand behind it.
//! - [`model`]: who replies; one file per provider, and `scripted`.
//! - [`schema`]: whether a value fits a JSON Schema, at a bounded cost.
//! - [`dispatch`]: calls in parallel, of a turn or of a tool; results placed by call index.
//! - [`sandbox`]: an instance per call, and everything that bounds it.
//! - `foreign`: MCP servers as tools: calls of what is not sandboxed.
//! - [`journal`]: what happened, durably; or in memory, as long as the process lives.
//! - [`telemetry`]: what happens, as OpenTelemetry spans; it watches the session, as the screen does.
//! - `blocking`: where a disk is waited for.
//! - `tls`: the one configuration that every connection is encrypted by.
//! - [`message`]: the plain data all of them speak.
//! - [`cases`]: what an agent is tested by.
//! - [`server`]: agents over HTTP: many runs at once, for other programs to use; thin over the engine.
//! - [`ui`]: a run as HTML: the pages of a server, and the file that is shared; it draws, and derives nothing.
//! - [`mcp`]: the tools of an agent for MCP clients, each call a run; thin over the engine.
//! - [`cli`]: the command `host`, one file per subcommand: words, screen, person, exit codes.
//!
//! Dependencies point one way: `cli → {server → ui, mcp} → engine → {toolbox → {config, dispatch, sandbox}, gateway → agent → {model, dispatch}}`,
//! `{dispatch, sandbox} → session → journal → schema → message`, and `config → {grants, model, trust → registry → document}`.

pub mod agent;
mod blocking;
pub mod cases;
#[cfg(feature = "cli")]
pub mod cli;
pub mod command;
pub mod config;
pub mod dispatch;
pub mod document;
pub mod engine;
#[cfg_attr(not(feature = "mcp"), path = "foreign/absent.rs")]
mod foreign;
pub mod gateway;
pub mod grants;
pub mod journal;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod message;
pub mod model;
mod process_group;
pub mod registry;
pub mod sandbox;
pub mod schema;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
#[cfg(feature = "otel")]
pub mod telemetry;
#[cfg(not(feature = "otel"))]
#[path = "telemetry/absent.rs"]
mod telemetry;
mod tls;
pub mod toolbox;
pub mod trust;
#[cfg(feature = "server")]
pub mod ui;
