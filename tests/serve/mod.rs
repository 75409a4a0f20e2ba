//! `host serve`, as its clients see it.

mod again;
pub mod beginning;

mod clients;
mod commands;
mod deciding;
mod deploying;
mod following;
mod holding;
mod importing;
mod naming;
mod operating;
mod refusing;
mod reloading;
mod seeing;
pub mod server;
mod soak;
mod surviving;
mod tools;
mod versions;
mod webhooks;
