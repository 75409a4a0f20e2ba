//! `host serve`, as its clients see it.

mod again;
mod beginning;

mod clients;
mod commands;
mod deciding;
mod deploying;
mod following;
mod operating;
mod refusing;
mod reloading;
pub mod server;
mod surviving;
mod webhooks;
