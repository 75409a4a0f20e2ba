//! `host token`: makes a token for a server.

use super::exit::Exit;
use super::{print, say};
use crate::message::toml_string;
use crate::server::{Scope, new_token};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose it is: what they decide is recorded with this name.
    name: String,
    /// What they may do: run, read, decide, admin. May be given several times.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope, default_values = ["run", "read"])]
    scopes: Vec<Scope>,
    /// The agents of which they may do it; all of them if none is given. May be given several times.
    #[arg(long = "agent", value_name = "NAME")]
    agents: Vec<String>,
}

fn scope(word: &str) -> Result<Scope, String> {
    serde_json::from_value(word.into()).map_err(|_| "this is not run, read, decide or admin".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Args { name, scopes, agents } = args;
    let (token, digest) = new_token()?;
    let scopes = serde_json::to_string(scopes)?;
    let mut lines = format!(
        "[[server.tokens]]\nname = {}\nsha256 = \"{digest}\"\nscopes = {scopes}\n",
        toml_string(name)
    );
    if !agents.is_empty() {
        let agents: Vec<String> = agents.iter().map(|agent| toml_string(agent)).collect();
        lines = format!("{lines}agents = [{}]\n", agents.join(", "));
    }
    say("this is the token; it is not shown again, and is kept nowhere:");
    print(&token)?;
    say(format_args!("add these lines to host.toml:\n{lines}"));
    Ok(Exit::Ok)
}
