//! Lines for the person who runs the agent; the model never sees them.

use crate::__private::bindings::host::tool::log::{Level, log};

/// Every step, for whoever debugs the tool.
pub fn trace(message: &str) {
    log(Level::Trace, message);
}

/// Details that explain a result.
pub fn debug(message: &str) {
    log(Level::Debug, message);
}

/// Ordinary progress.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Something is off, and the call goes on.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Something failed.
pub fn error(message: &str) {
    log(Level::Error, message);
}
