use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Request, Response};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;

use super::tally::Tallies;

/// One request to the collector, answer included. It holds up no run, only the spans that come after.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Why the last request failed. Batches are sent one after the other, so it is the cause of the batch that just failed.
pub(super) type Cause = Arc<Mutex<Option<String>>>;

/// An exporter that keeps the tallies of what arrives.
#[derive(Debug)]
pub(super) struct Counted<E> {
    pub(super) exporter: E,
    pub(super) tallies: Arc<Tallies>,
    pub(super) cause: Cause,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let tallies = self.tallies.of(&batch);
        let sent = self.exporter.export(batch).await;
        let cause = self.cause.lock().take();
        match &sent {
            Ok(()) => tallies.iter().for_each(|(tally, spans)| tally.arrived(*spans)),
            Err(error) => {
                let why = cause.unwrap_or_else(|| error.to_string());
                for (tally, _) in &tallies {
                    tally.fault(&why);
                }
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// A client that remembers why a request failed: the exporter itself says no more than that the network did.
///
/// It blocks, on the thread that exports, and is made there: to make one reads all certificates of the machine.
#[derive(Debug)]
pub(super) struct Client {
    client: OnceLock<reqwest::blocking::Client>,
    cause: Cause,
}

impl Client {
    pub(super) fn new(cause: Cause) -> Self {
        Self { client: OnceLock::new(), cause }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if let Some(client) = self.client.get() {
            return client.send_bytes(request).await;
        }
        let tls = Arc::unwrap_or_clone(crate::tls::config()?);
        let client = reqwest::blocking::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(REQUEST_MAX)
            .build()?;
        self.client.get_or_init(|| client).send_bytes(request).await
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let sent = self.send(request).await;
            if let Err(error) = &sent {
                // The first one says most: what follows from it is a retry that failed, too.
                let mut cause = self.cause.lock();
                cause.get_or_insert_with(|| innermost(&**error));
            }
            sent
        })
    }
}

/// What an error comes from in the end, such as "connection refused".
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
