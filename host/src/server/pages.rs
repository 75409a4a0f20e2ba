//! Pages to look at runs with, for one person on this machine, without a server of agents.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum_server::Handle;

use super::ServeError;
use super::address::new_token;
use super::guard::{Guard, Passed};
use super::settings::Settings;
use super::tokens::{Grant, Scope, Token};
use super::ui;
use crate::engine::Engine;

/// Pages on loopback that can be looked at alone. Whoever has the address that opens them sees every run.
pub struct Pages {
    /// It is there as long as the pages are: with it goes whoever was let in.
    grant: Arc<Grant>,
    keys: Arc<ui::Keys>,
    url: String,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Pages {
    /// Begins to serve pages of the runs of an engine. It has to be called in a tokio runtime.
    pub fn begin(engine: &Engine, name: &str) -> Result<Self, ServeError> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let failed = |error: std::io::Error| ServeError::Listen { listen, reason: error.to_string() };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let grant = Arc::new(Grant { name: name.to_owned(), scopes: vec![Scope::Read], agents: None });
        // There is a token, which nobody knows: nobody is let in who does not have a key.
        let (_, unknown) = new_token().map_err(failed)?;
        let token = Token { digest: unknown, grant: Arc::clone(&grant) };
        let settings = Settings { tokens: vec![token.clone()], ..Settings::default() };
        let guard = Guard::new(&settings, token, bound);
        let keys = Arc::<ui::Keys>::default();
        let router = ui::router(ui::Site::alone(engine.clone(), guard, Arc::clone(&keys)));
        let serving = axum_server::from_tcp(listener).map_err(failed)?.handle(Handle::new());
        let serving = tokio::spawn(serving.serve(router.into_make_service()));
        Ok(Self { grant, keys, url: format!("http://{bound}"), serving })
    }

    /// The address that opens the pages, once and within a minute: at a run, if one is named.
    pub fn address(&self, run: Option<crate::message::RunId>) -> std::io::Result<String> {
        let key = self.keys.make(Passed::of(&self.grant))?;
        Ok(ui::entrance(&self.url, &key, run))
    }

    /// Where the pages are.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until they fail, which they do not do by themselves.
    pub async fn failed(&mut self) -> String {
        match (&mut self.serving).await {
            Ok(Ok(())) => "the pages ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
