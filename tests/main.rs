//! What `host` does, from outside: one binary, so that it links once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "a test may panic, and nobody but tests uses it"
)]

mod accepted;
mod agent;
mod answer;
mod approval;
mod attacks;
mod attempts;
mod bad_input;
mod blocking;
mod budgets;
mod builds;
mod call;
mod calls;
mod cases;
mod changes;
mod chat;
mod cli;
mod compaction;
mod compile;
mod config;
mod corruption;
mod deciding;
mod denials;
mod display;
mod docs;
mod earlier;
mod engine;
mod events;
mod exact;
mod fallbacks;
mod faults;
mod fetch;
mod foreign;
mod gateway;
mod grants;
mod guests;
mod init;
mod interleavings;
mod journal;
mod kills;
mod languages;
mod loading;
mod mcp;
mod mistakes;
mod model_retry;
mod pages;
mod positions;
mod power;
mod prebuilt;
mod programs;
mod providers;
mod recorded;
mod registry;
mod replies;
mod requests;
mod rerun;
mod revived;
mod rules;
mod sandbox;
mod secure;
mod serve;
mod served;
mod services;
mod sessions;
mod shared;
mod shelf;
mod shells;
mod spelling;
mod states;
mod stores;
mod subagents;
mod summaries;
mod support;
mod telemetry;
mod terminal;
mod totals;
mod typed;
mod waiting;
mod words;
