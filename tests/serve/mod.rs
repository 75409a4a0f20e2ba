//! `host serve`, as its clients see it.

mod beginning;
mod deciding;
mod following;
mod operating;
mod refusing;
pub mod server;
mod surviving;
