//! The client of a call: who is asked while the call goes on, and who is told how far it is.

use std::convert::Infallible;
use std::sync::Arc;

use futures::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::model::ElicitationSchemaBuilder;
use rmcp::model::{
    ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, ProgressNotificationParam,
    ProgressToken,
};
use rmcp::service::{ElicitationMode, Peer, RequestContext};
use tokio::sync::mpsc;

use crate::dispatch::{Person, Spoken};
use crate::engine::{LoadedAgent, People, Told, Watcher};
use crate::message::{Arguments, By, Decision, Manifest, Request, Slot, ToolAsk, clean};
use crate::session::Notice;

/// So many steps may wait to be told; a client that does not read misses some.
const TOLD_MAX: usize = 64;

/// What is shown of a question, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// The person behind the client, if the client lets them be asked.
#[derive(Clone)]
pub(super) struct Client {
    peer: Peer<RoleServer>,
    name: String,
}

impl Client {
    pub(super) fn of(context: &RequestContext<RoleServer>) -> Self {
        let peer = context.peer.clone();
        let name = peer.peer_info().map(|info| clean(&info.client_info.name).into_owned());
        Self { peer, name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| "client".to_owned()) }
    }

    pub(super) fn by(&self) -> By {
        By { name: self.name.clone(), through: "mcp".to_owned() }
    }

    /// What the person says, if anybody can be asked.
    async fn ask(&self, message: String, form: ElicitationSchemaBuilder) -> Option<ElicitResult> {
        if !self.peer.supported_elicitation_modes().contains(&ElicitationMode::Form) {
            return None;
        }
        let message = clean(&message).into_owned();
        let requested_schema: ElicitationSchema = form.build().ok()?;
        let params = ElicitRequestParams::FormElicitationParams { meta: None, message, requested_schema };
        self.peer.create_elicitation(params).await.ok()
    }

    fn spoken<T>(&self, word: T) -> Spoken<T> {
        Spoken { word, by: Some(self.by()) }
    }
}

impl People for Client {
    fn attend(&self, _agent: &LoadedAgent, _manifest: &Manifest) -> Arc<dyn Person> {
        Arc::new(self.clone())
    }
}

impl Person for Client {
    fn decide<'a>(&'a self, slot: &'a Slot, ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        Box::pin(async move {
            let (name, input) = match (&ask.name, &ask.arguments) {
                (name, Arguments::Json(json)) => (name, json.as_str()),
                (name, Arguments::Malformed(text)) => (name, text.as_str()),
            };
            let input = input.get(..input.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default();
            let message = format!("May {name} be called at {slot} with {input}?");
            let form = ElicitationSchema::builder()
                .required_bool("allow")
                .string_property("reason", |text| text.description("Why not, for whoever wanted the call."));
            let said = self.ask(message, form).await?;
            let member = |key: &str| said.content.as_ref().and_then(|content| content.get(key));
            let reason = member("reason").and_then(|it| it.as_str()).map(str::to_owned);
            let allows = member("allow").and_then(serde_json::Value::as_bool);
            match (&said.action, allows) {
                (ElicitationAction::Accept, Some(true)) => {
                    Some(self.spoken(Decision::Approved { input: None }))
                }
                (ElicitationAction::Accept, Some(false)) | (ElicitationAction::Decline, _) => {
                    Some(self.spoken(Decision::Denied { reason }))
                }
                // They said nothing: the run waits.
                _ => None,
            }
        })
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(async move {
            let form = ElicitationSchema::builder().required_string("answer");
            let said = self.ask(question.to_owned(), form).await?;
            let answer =
                said.content.as_ref().and_then(|content| content.get("answer"))?.as_str()?.to_owned();
            if said.action == ElicitationAction::Accept { Some(self.spoken(answer)) } else { None }
        })
    }
}

/// Tells the client of each effect that begins or ends, if it wants to know.
pub(crate) struct Progress {
    sender: Option<mpsc::Sender<String>>,
}

/// What there is to tell.
pub(crate) struct ToTell {
    receiver: mpsc::Receiver<String>,
    to: Option<(Peer<RoleServer>, ProgressToken)>,
}

impl Progress {
    pub(crate) fn of(context: &RequestContext<RoleServer>) -> (Self, ToTell) {
        let to = context.meta.get_progress_token().map(|token| (context.peer.clone(), token));
        let (sender, receiver) = mpsc::channel(TOLD_MAX);
        (Self { sender: to.is_some().then_some(sender) }, ToTell { receiver, to })
    }
}

impl Watcher for Progress {
    fn tell(&self, told: Told<'_>) {
        let (Some(sender), Told::Effect(notice)) = (&self.sender, told) else { return };
        let said = match notice {
            Notice::Started { slot, request: Request::Tool(_), .. } => format!("{slot} began"),
            Notice::Finished { slot, request: Request::Tool(_), .. } => format!("{slot} has ended"),
            Notice::Failed { slot, request: Request::Tool(_), .. } => {
                format!("{slot} failed, and is tried again")
            }
            _ => return,
        };
        // A client that does not read misses some.
        let _ = sender.try_send(said);
    }
}

impl ToTell {
    /// Tells it, for as long as somebody waits for this.
    pub(crate) async fn forward(mut self) -> Infallible {
        let Some((peer, token)) = self.to else { return std::future::pending().await };
        let mut step = 0.0;
        while let Some(message) = self.receiver.recv().await {
            step += 1.0;
            let mut progress = ProgressNotificationParam::new(token.clone(), step);
            progress.message = Some(message);
            // A client that has gone away is told nothing.
            let _ = peer.notify_progress(progress).await;
        }
        std::future::pending().await
    }
}
