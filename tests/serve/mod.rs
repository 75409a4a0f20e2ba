//! `host serve`, as its clients see it.

mod beginning;
mod deciding;
mod deploying;
mod following;
mod operating;
mod refusing;
mod reloading;
pub mod server;
mod surviving;
