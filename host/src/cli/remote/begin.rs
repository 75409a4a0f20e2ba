//! `host run` with a server: the run begins there, and is followed from here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::exit::Exit;
use super::super::screen::Screen;
use super::super::signals::Signals;
use super::client::Remote;
use super::error::RemoteError;
use super::follow::Follow;
use super::shown::Run;
use crate::message::{Image, SessionKey};

/// A run that is to begin, as the server takes it.
#[derive(Serialize)]
struct Order {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    parameters: BTreeMap<String, String>,
    images: Vec<Picture>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionKey>,
}

#[derive(Serialize)]
struct Picture {
    data: String,
}

/// What a server says of an agent, as far as it matters to a prompt.
#[derive(Deserialize)]
struct Agent {
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    default: Option<String>,
}

/// What is asked of an agent.
pub(in super::super) struct Asked {
    pub(in super::super) prompt: Option<String>,
    pub(in super::super) parameters: BTreeMap<String, String>,
    pub(in super::super) images: Vec<Image>,
    pub(in super::super) session: Option<SessionKey>,
}

/// Begins a run of an agent of the server, and follows it.
pub(in super::super) async fn begin(
    remote: &Remote,
    agent: &str,
    asked: Asked,
    screen: &Screen,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let Asked { prompt, parameters, images, session } = asked;
    let images = images.into_iter().map(|image| Picture { data: image.data }).collect();
    let order = Order { prompt, parameters, images, session };
    let Run { run, .. } = remote.post_once(&["agents", agent, "runs"], &order).await?;
    Follow::new_run(remote, run, screen).await?.on(signals).await
}

impl Remote {
    /// The values that parameters of an agent have if nobody gives others.
    pub(in super::super) async fn defaults(
        &self,
        agent: &str,
    ) -> Result<BTreeMap<String, String>, RemoteError> {
        let Agent { parameters } = self.get(&["agents", agent], &[]).await?;
        Ok(parameters.into_iter().filter_map(|(name, it)| Some((name, it.default?))).collect())
    }
}
