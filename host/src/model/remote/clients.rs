use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::{Client, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::http::{CONNECT_TIMEOUT, reason};
use super::proxy::Between;
use crate::model::ModelError;

/// The most requests that one provider is sent at once, by whatever runs and agents: a server of HTTP/2 should take 100
/// streams of one connection (RFC 9113, 6.5.2), and a server of HTTP/1.1 gets a connection for each.
const REQUESTS_AT_ONCE_MAX: usize = 100;

/// What requests to providers share: the connections, and how many of them are sent at once. A clone shares the same.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By the proxy that stands in between.
    clients: Mutex<HashMap<Option<Between>, Client>>,
    /// By the origin of the provider.
    rooms: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Clients {
    /// The client for requests through a proxy, or without one.
    pub(super) fn client(&self, proxy: Option<&Between>) -> Result<Client, ModelError> {
        let mut clients = self.0.clients.lock();
        let proxy = proxy.cloned();
        if let Some(client) = clients.get(&proxy) {
            return Ok(client.clone());
        }
        let client = client(proxy.as_ref())?;
        clients.insert(proxy, client.clone());
        Ok(client)
    }

    /// The room for requests to the server at a URL.
    pub(super) fn room(&self, base: &Url) -> Arc<Semaphore> {
        let origin = base.origin().ascii_serialization();
        let room = || Arc::new(Semaphore::new(REQUESTS_AT_ONCE_MAX));
        Arc::clone(self.0.rooms.lock().entry(origin).or_insert_with(room))
    }
}

/// Waits until one more request may be sent.
pub(super) async fn enter(room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // It is never closed, and without a permit requests would only be less bounded.
    Arc::clone(room).acquire_owned().await.ok()
}

fn client(proxy: Option<&Between>) -> Result<Client, ModelError> {
    let client =
        crate::tls::client().map_err(|reason| ModelError::Setup(format!("cannot set up HTTPS: {reason}")))?;
    let client = client.connect_timeout(CONNECT_TIMEOUT).no_proxy();
    let client = match proxy {
        Some(between) => client.proxy(between.connector()?),
        None => client,
    };
    client.build().map_err(|error| ModelError::Setup(format!("cannot set up HTTPS: {}", reason(error))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn requests_to_one_server_share_its_room_and_those_to_another_do_not() {
        let clients = Clients::default();
        let room = |url: &str| clients.room(&Url::parse(url).unwrap());
        let one = room("http://localhost:1/v1/models/a");
        let taken: Vec<_> =
            (0..REQUESTS_AT_ONCE_MAX).map(|_| enter(&one).now_or_never().unwrap().unwrap()).collect();
        assert!(enter(&room("http://localhost:1/other")).now_or_never().is_none());
        assert!(enter(&room("http://localhost:2/v1")).now_or_never().is_some());
        assert!(
            enter(&Clients::default().room(&Url::parse("http://localhost:1").unwrap()))
                .now_or_never()
                .is_some()
        );
        drop(taken);
        assert!(enter(&one).now_or_never().is_some());
    }
}
