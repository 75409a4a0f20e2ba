//! What whoever looks after the server is told of webhooks, in the log. An endpoint goes by its name: its URL may hold
//! what is nobody's business.

use std::path::Path;

use tracing::{info, warn};

use super::book::Delivery;
use crate::message::RunId;

/// Something that happened.
pub(super) enum Told<'a> {
    /// An endpoint does not take what it is sent. Told when it begins, and then once in a while.
    Fails { endpoint: &'a str, why: &'a str, pending: usize },
    /// An endpoint that did not takes again what it is sent.
    Takes { endpoint: &'a str },
    /// A delivery was tried for the last time.
    GivenUp { endpoint: &'a str, stop: Delivery, attempts: u32 },
    /// There was no room for a delivery.
    Dropped { endpoint: &'a str, stop: Delivery },
    /// An endpoint said that it wants nothing any more.
    Disabled { endpoint: &'a str, pending: usize },
    /// What is owed and due cannot be written.
    NotNoted { why: &'a str },
    /// Lines of the file cannot be read.
    Unread { path: &'a Path, lines: usize },
    /// It cannot be told how a run stands of which the next stop is owed.
    Unreadable { run: RunId, why: &'a str },
}

/// Logs what is told.
pub(super) fn log(told: &Told<'_>) {
    match told {
        Told::Fails { endpoint, why, pending } => {
            warn!(webhook = endpoint, error = why, pending, "the webhook does not take what it is sent");
        }
        Told::Takes { endpoint } => info!(webhook = endpoint, "the webhook takes again what it is sent"),
        Told::GivenUp { endpoint, stop: Delivery { run, .. }, attempts } => {
            warn!(%run, webhook = endpoint, attempts, "the webhook is not told of the run: all attempts failed");
        }
        Told::Dropped { endpoint, stop: Delivery { run, .. } } => {
            warn!(%run, webhook = endpoint, "the webhook is not told of the run: too much is pending");
        }
        Told::Disabled { endpoint, pending } => {
            warn!(webhook = endpoint, pending, "the webhook answered 410 and is told nothing any more");
        }
        Told::NotNoted { why } => {
            warn!(error = why, "what webhooks are owed cannot be written, and would not outlive the process");
        }
        Told::Unread { path, lines } => {
            warn!(file = %path.display(), lines, "some of what webhooks were owed cannot be read");
        }
        Told::Unreadable { run, why } => {
            warn!(%run, error = why, "webhooks are not told how the run stopped: it cannot be read");
        }
    }
}
