//! Who may do what: bearer tokens, of which the server knows nothing but digests.
//!
//! Invariant: a token that was not given to anybody opens nothing, and a token opens what its scopes and agents say.
//! Tokens are compared by their digests, so that how long a comparison takes says nothing of a token.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::{By, Digest};

/// How a decision came that was made over HTTP.
const THROUGH: &str = "http";

/// Who it is where there are no tokens.
const ANYBODY: &str = "somebody without a token";

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Starting runs.
    Run,
    /// Reading runs, sessions and agents.
    Read,
    /// Deciding on what waits: approving, denying, answering, settling.
    Decide,
    /// Everything else: cancelling, resuming, forking, removing, and the state of the server.
    Admin,
}

/// A token's digest, and what it grants.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) digest: Digest,
    /// It is there as long as it counts.
    pub(super) grant: Arc<Grant>,
}

/// Who sends a request, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) name: String,
    pub(super) scopes: Vec<Scope>,
    /// The agents of which they may do it; all of them if there is no list.
    pub(super) agents: Option<Vec<String>>,
}

/// The tokens that open a server.
#[derive(Debug)]
pub(super) struct Tokens {
    /// The one by which commands on this machine find the server.
    own: Token,
    others: Others,
}

#[derive(Debug)]
enum Others {
    /// There are no tokens: anybody may do anything who reaches the server.
    Open(Arc<Grant>),
    /// By digest.
    Closed(HashMap<Digest, Arc<Grant>>),
}

/// What a request opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened<'a> {
    /// It comes from a command on this machine, which may say who speaks.
    Own(&'a Arc<Grant>),
    /// It comes from somebody who has a token, or needs no token.
    Given(&'a Arc<Grant>),
}

impl Tokens {
    /// The tokens of a configuration; `own` is the one by which commands on this machine find the server.
    pub(super) fn new(tokens: Vec<Token>, own: Token) -> Self {
        let others = if tokens.is_empty() {
            let scopes = vec![Scope::Run, Scope::Read, Scope::Decide, Scope::Admin];
            Others::Open(Arc::new(Grant { name: ANYBODY.to_owned(), scopes, agents: None }))
        } else {
            Others::Closed(tokens.into_iter().map(|token| (token.digest, token.grant)).collect())
        };
        Self { own, others }
    }

    /// The tokens of another configuration. What one grants that stays the same counts on, for whoever was let in by it.
    pub(super) fn renewed(&self, tokens: Vec<Token>) -> Self {
        let renewed = Self::new(tokens, self.own.clone());
        let others = match (&self.others, renewed.others) {
            (Others::Open(before), Others::Open(_)) => Others::Open(Arc::clone(before)),
            (Others::Closed(before), Others::Closed(mut now)) => {
                for (digest, grant) in &mut now {
                    if let Some(before) = before.get(digest).filter(|before| *before == grant) {
                        *grant = Arc::clone(before);
                    }
                }
                Others::Closed(now)
            }
            (Others::Open(_), now @ Others::Closed(_)) | (Others::Closed(_), now @ Others::Open(_)) => now,
        };
        Self { others, ..renewed }
    }

    /// What a request's `Authorization` header opens; `None` if nothing.
    pub(super) fn opened_by(&self, authorization: Option<&str>) -> Option<Opened<'_>> {
        let bearer = authorization.and_then(|it| it.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let digest = bearer.map(|(_, token)| Digest::of(token.trim().as_bytes()));
        if digest == Some(self.own.digest) {
            return Some(Opened::Own(&self.own.grant));
        }
        match &self.others {
            Others::Open(grant) => Some(Opened::Given(grant)),
            Others::Closed(tokens) => tokens.get(&digest?).map(Opened::Given),
        }
    }
}

impl Opened<'_> {
    /// Who sends the request, and what they may do.
    pub(super) fn grant(&self) -> &Arc<Grant> {
        match self {
            Self::Own(grant) | Self::Given(grant) => grant,
        }
    }
}

impl Grant {
    /// Whether it grants something of the server as a whole.
    pub(super) fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether it grants something of an agent.
    pub(super) fn covers(&self, agent: &str) -> bool {
        self.agents.as_ref().is_none_or(|agents| agents.iter().any(|it| it == agent))
    }

    /// As what somebody decides is recorded.
    pub(super) fn by(&self) -> By {
        By { name: self.name.clone(), through: THROUGH.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, scopes: &[Scope], agents: Option<&[&str]>) -> Token {
        let agents = agents.map(|agents| agents.iter().map(ToString::to_string).collect());
        let grant = Arc::new(Grant { name: text.to_owned(), scopes: scopes.to_vec(), agents });
        Token { digest: Digest::of(text.as_bytes()), grant }
    }

    #[test]
    fn only_a_token_that_was_given_opens_something() {
        let tokens =
            Tokens::new(vec![token("ada", &[Scope::Read], None)], token("own", &[Scope::Admin], None));
        let opened = |header| tokens.opened_by(header).map(|opened| opened.grant().name.clone());
        assert!(matches!(tokens.opened_by(Some("Bearer own")), Some(Opened::Own(_))));
        assert!(matches!(tokens.opened_by(Some("Bearer ada")), Some(Opened::Given(_))));
        assert_eq!(opened(Some("Bearer ada")).as_deref(), Some("ada"));
        assert_eq!(opened(Some("bearer  own ")).as_deref(), Some("own"));
        for wrong in [
            None,
            Some(""),
            Some("ada"),
            Some("Basic ada"),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer Ada"),
        ] {
            assert_eq!(opened(wrong), None, "{wrong:?}");
        }
        let digest = format!("Bearer {}", Digest::of(b"ada"));
        assert_eq!(opened(Some(&digest)), None, "what the server keeps opens nothing");
    }

    #[test]
    fn without_tokens_anybody_may_do_anything() {
        let tokens = Tokens::new(vec![], token("own", &[Scope::Admin], None));
        let anybody = tokens.opened_by(None).map(|opened| opened.grant().clone());
        assert!(anybody.is_some_and(|grant| grant.has(Scope::Admin) && grant.covers("x")));
        assert!(matches!(tokens.opened_by(Some("Bearer own")), Some(Opened::Own(_))));
        assert!(matches!(tokens.opened_by(Some("Bearer other")), Some(Opened::Given(_))));
    }

    #[test]
    fn what_a_token_grants_counts_until_that_changes() {
        let both = vec![token("ada", &[Scope::Read], None), token("bob", &[Scope::Read], None)];
        let mut tokens = Tokens::new(both.clone(), token("own", &[], None));
        let weak = |tokens: &Tokens, header| {
            tokens.opened_by(header).map(|it| Arc::downgrade(it.grant())).unwrap_or_default()
        };
        let let_in = [weak(&tokens, Some("Bearer ada")), weak(&tokens, Some("Bearer bob"))];
        drop(both);
        let counts = || let_in.clone().map(|grant| grant.strong_count() > 0);
        let same = vec![token("ada", &[Scope::Read], None), token("bob", &[Scope::Read], None)];
        tokens = tokens.renewed(same);
        assert_eq!(counts(), [true, true]);
        let other = vec![token("ada", &[Scope::Read], None), token("bob", &[Scope::Run], None)];
        tokens = tokens.renewed(other);
        assert_eq!(counts(), [true, false]);
        tokens = tokens.renewed(vec![]);
        assert_eq!(counts(), [false, false]);
        assert!(tokens.opened_by(None).is_some());
    }

    #[test]
    fn a_token_is_good_for_its_scopes_and_its_agents() {
        let Token { grant, .. } = token("ada", &[Scope::Run], Some(&["weather"]));
        assert!(grant.has(Scope::Run) && !grant.has(Scope::Read) && !grant.has(Scope::Admin));
        assert!(grant.covers("weather") && !grant.covers("bank"));
        let Token { grant, .. } = token("root", &[Scope::Admin], None);
        assert!(grant.has(Scope::Decide) && grant.covers("bank"));
    }
}
