use serde::{Deserialize, Serialize};

use super::{Digest, Message, RunId};

/// Where the beginning of what was said before a run is kept: with the run from which it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The other run.
    pub run: RunId,
    /// How many messages of what was said before that run were said before this one as well, and come first.
    pub messages: u32,
    /// Digest of all that was said before this run.
    pub conversation: Digest,
}

impl Before {
    /// The digest of what was said.
    #[must_use]
    pub fn digest_of(said: &[Message]) -> Digest {
        Digest::of_json(&said)
    }
}
