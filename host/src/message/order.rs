use serde::{Deserialize, Serialize};

use super::Digest;

/// How a run was ordered that a server accepted before it could begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// When it is to begin, in milliseconds since 1970-01-01T00:00:00Z; at once if that is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
    /// By what the same order is known when it comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<OrderKey>,
}

/// By what an order is known when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderKey {
    /// The digest of the key that its client chose, and of the client's name.
    pub key: Digest,
    /// The digest of the order itself: another one with the same key is a mistake of the client.
    pub body: Digest,
}
