use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// One request to the collector, answer included. It holds up no run, only the spans that come after.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// How many spans were made, how many arrived, and what kept the others.
#[derive(Debug, Default)]
pub(super) struct Tally {
    made: AtomicUsize,
    arrived: AtomicUsize,
    fault: Mutex<Option<String>>,
}

impl Tally {
    /// So many spans were made, to be exported.
    pub(super) fn made(&self, spans: usize) {
        self.made.fetch_add(spans, Ordering::Relaxed);
    }

    /// How many of the spans did not arrive, and why; none if all did. `waited` is how long was waited for them.
    pub(super) fn lost(&self, waited: Duration) -> Option<(String, String)> {
        let (made, arrived) = (self.made.load(Ordering::Relaxed), self.arrived.load(Ordering::Relaxed));
        let lost = made.checked_sub(arrived).filter(|lost| *lost > 0)?;
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        let silent = || format!("it took longer than {} s to answer", waited.as_secs());
        Some((format!("{lost} of {made} spans"), fault.unwrap_or_else(silent)))
    }

    fn fault(&self, why: impl FnOnce() -> String) {
        // The first one says most: what follows from it is a retry that failed, too.
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(why);
    }
}

/// An exporter that keeps a tally of what arrives.
#[derive(Debug)]
pub(super) struct Counted<E> {
    pub(super) exporter: E,
    pub(super) tally: Arc<Tally>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        match &sent {
            Ok(()) => drop(self.tally.arrived.fetch_add(spans, Ordering::Relaxed)),
            Err(error) => self.tally.fault(|| error.to_string()),
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
    tally: Arc<Tally>,
}

impl Client {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self { client: OnceLock::new(), tally }
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
                self.tally.fault(|| cause(&**error));
            }
            sent
        })
    }
}

/// What an error comes from in the end, such as "connection refused".
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
