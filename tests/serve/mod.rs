//! `host serve`, as its clients see it.

mod again;
mod beginning;

mod clients;
mod commands;
mod deciding;
mod following;
mod refusing;
pub mod server;
mod surviving;
