//! Commands whose runs a server has: the same words, the same output and the same exit codes as without one.
//!
//! Owns the way to the server (`At`, `client`), what it says (`shown`, `error`), its events (`events`) and what is done
//! with them (`follow`, `watched`). The rest are the commands, one file each. Everything that a server sends is read within bounds,
//! and shown like anything else that somebody said.

mod again;
mod begin;
mod client;
mod decide;
mod error;
mod events;
mod follow;
mod list;
mod program;
mod shown;
mod watched;

pub(super) use again::{fork, rerun};
pub(super) use begin::{Asked, begin};
pub(super) use client::Remote;
pub(super) use decide::{answer, approve, cancel, deny, resume};
pub(super) use error::RemoteError;
pub(super) use list::{file, runs, session, sessions};
pub(super) use program::Start;
pub(super) use shown::Which;
pub(super) use watched::watched;

use url::Url;

use super::exit::Misuse;
use super::person::at_terminal;
use super::places::Places;
use crate::server::Address;

/// Where the token for a server is. It is no argument, because every user of the machine can read those.
const TOKEN: &str = "HOST_TOKEN";

/// The server whose runs a command is about.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct At {
    /// Work with the runs of the server there, as in `https://agents.example.com`, and not with those of this machine. The
    /// token for it is in `HOST_TOKEN`.
    #[arg(long, value_name = "URL", env = "HOST_SERVER", hide_env_values = true, global = true)]
    server: Option<String>,
}

impl At {
    /// The server that is named, if one is. An empty name counts for no name.
    pub(super) fn named(&self) -> anyhow::Result<Option<Remote>> {
        let Some(text) = self.server.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        let url = url.ok_or_else(|| {
            let help = "write it like http://127.0.0.1:8080, in --server or HOST_SERVER";
            Misuse(format!("{text:?} is not the URL of a server\n  {help}"))
        })?;
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        Ok(Some(Remote::new(url, token)?))
    }

    /// The server that is named, or else the one that has the state directory, if there is one.
    pub(super) fn found(&self, places: &Places) -> anyhow::Result<Option<Remote>> {
        if let Some(remote) = self.named()? {
            return Ok(Some(remote));
        }
        let Some(said) = Address::of(&places.state()?) else { return Ok(None) };
        let Ok(url) = Url::parse(&said.url) else { return Ok(None) };
        Ok(Some(Remote::new(url, Some(said.token))?.of_this_machine(&at_terminal().name)))
    }

    /// An error if a server is named: the command does not work with one.
    pub(super) fn nowhere(&self, what: &str) -> Result<(), Misuse> {
        match self.server.as_deref() {
            None | Some("") => Ok(()),
            Some(_) => Err(Misuse(format!(
                "{what} works on the machine of the server alone\n  leave --server out there, and HOST_SERVER unset"
            ))),
        }
    }
}
