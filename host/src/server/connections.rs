//! Connections: how many there may be, and how long one may be held for nothing.
//!
//! Stands between the listener and HTTP, below TLS. HTTP itself bounds how long the head of a request may take. What it
//! does not see is closed here: a connection on which no request goes on for a while, and one whose client does not read
//! what it asked for. Invariant: whatever a client does or leaves undone, a connection ends, and all that is held for it
//! with it, unless a request goes on whose answer is awaited, or is read as it comes.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use axum::response::IntoResponse as _;
use axum_server::ConnectionShutdown;
use axum_server::accept::Accept;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use super::bound::{Bound, Taken};
use super::problem::{Kind, Problem};

/// How many connections are told that there are too many; others are closed without a word.
const REFUSED_MAX: usize = 64;
/// After how many seconds a client that found no connection may try again.
const RETRY_S: u64 = 1;
/// The largest piece of an answer that is handed over at once: who does not read the rest is seen not to.
const PIECE_BYTES: usize = 64 << 10;

/// How long a connection may be held for nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// With no request.
    pub(super) idle: Duration,
    /// With an answer that is not read, or of which fewer bytes are read in this time than [`Patience::read_bytes_min`].
    pub(super) unread: Duration,
    pub(super) read_bytes_min: u64,
}

/// Lets connections in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    places: Arc<Bound>,
    refused: Arc<Bound>,
    patience: Arc<Mutex<Patience>>,
}

impl Door {
    /// One that goes by these as they are when a connection comes.
    pub(super) fn new(places: &Arc<Bound>, patience: &Arc<Mutex<Patience>>) -> Self {
        let (places, patience) = (Arc::clone(places), Arc::clone(patience));
        Self { places, refused: Bound::new(REFUSED_MAX), patience }
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Watched<TcpStream>;
    type Service = Served<S>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (place, is_refused) = match self.places.take() {
            Some(place) => (Some(place), false),
            None => (self.refused.take(), true),
        };
        let Some(place) = place else {
            return ready(Err(io::Error::other("there are too many connections")));
        };
        // An event that is told is to arrive at once; a system that cannot do so does what it can.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::new());
        let stream = Watched::new(stream, Arc::clone(&activity), *self.patience.lock(), place);
        ready(Ok((stream, Served { service, activity, is_refused })))
    }
}

/// What goes on over a connection.
#[derive(Debug)]
struct Activity(Mutex<Goes>);

#[derive(Debug)]
struct Goes {
    /// Requests whose answers are not handed over whole.
    requests: usize,
    /// When an answer was last handed over whole, or the client last read some of what waits to be sent.
    last: Instant,
    /// The answers of which a piece was handed over, and the next one not asked for since; by number.
    handed: HashMap<u64, Instant>,
    answers: u64,
}

/// A request that goes on.
#[derive(Debug)]
struct GoesOn {
    activity: Arc<Activity>,
    number: u64,
}

impl Activity {
    fn new() -> Self {
        let (requests, last, handed, answers) = (0, Instant::now(), HashMap::new(), 0);
        Self(Mutex::new(Goes { requests, last, handed, answers }))
    }

    fn begin(self: &Arc<Self>) -> GoesOn {
        let mut goes = self.0.lock();
        goes.requests += 1;
        goes.answers += 1;
        GoesOn { activity: Arc::clone(self), number: goes.answers }
    }

    fn moves(&self) {
        self.0.lock().last = Instant::now();
    }

    /// When the connection is to be closed, if nothing happens until then; `None` if an answer is awaited.
    fn closes(&self, patience: &Patience) -> Option<Instant> {
        let goes = self.0.lock();
        if goes.requests == 0 {
            return Some(goes.last + patience.idle);
        }
        goes.handed.values().min().map(|since| *since + patience.unread)
    }
}

impl GoesOn {
    fn handed_over(&self) {
        self.activity.0.lock().handed.insert(self.number, Instant::now());
    }

    fn asked_for(&self) {
        self.activity.0.lock().handed.remove(&self.number);
    }
}

impl Drop for GoesOn {
    fn drop(&mut self) {
        let mut goes = self.activity.0.lock();
        goes.requests -= 1;
        goes.last = Instant::now();
        goes.handed.remove(&self.number);
    }
}

/// The bytes of a connection. It fails once its client has held it for nothing for too long.
#[derive(Debug)]
pub(super) struct Watched<I> {
    io: I,
    activity: Arc<Activity>,
    patience: Patience,
    /// Since when bytes cannot be sent, and how many were since.
    backlog: Option<(Instant, u64)>,
    alarm: Pin<Box<Sleep>>,
    _place: Taken,
}

impl<I> Watched<I> {
    fn new(io: I, activity: Arc<Activity>, patience: Patience, place: Taken) -> Self {
        let alarm = Box::pin(sleep(patience.idle.min(patience.unread)));
        Self { io, activity, patience, backlog: None, alarm, _place: place }
    }

    /// An error if the connection is held for nothing. Whoever asks is woken when that may have come about.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let unread = match &mut self.backlog {
                Some((since, sent)) if *since + self.patience.unread <= now => {
                    if *sent < self.patience.read_bytes_min {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    (*since, *sent) = (now, 0);
                    Some(now + self.patience.unread)
                }
                Some((since, _)) => Some(*since + self.patience.unread),
                None => None,
            };
            let closes = self.activity.closes(&self.patience);
            if closes.is_some_and(|closes| closes <= now) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // What may come about meanwhile takes at least as long.
            let latest = now + self.patience.idle.min(self.patience.unread);
            let next = [unread, closes].into_iter().flatten().fold(latest, Instant::min);
            self.alarm.as_mut().reset(next);
        }
        Ok(())
    }

    /// Takes in what became of bytes that were to be sent.
    fn sent(&mut self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &sent {
            Poll::Ready(Ok(bytes)) => {
                // Where nothing waits to be sent, what is sent is no answer: the server asks whether the client lives.
                if let Some((_, sent)) = &mut self.backlog {
                    *sent = sent.saturating_add(*bytes as u64);
                    self.activity.moves();
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.backlog.get_or_insert_with(|| (Instant::now(), 0));
            }
        }
        sent
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let sent = Pin::new(&mut self.io).poll_write(cx, buf);
        self.sent(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let sent = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        // It is asked for once everything is written that there was.
        self.backlog = None;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What answers the requests of one connection.
#[derive(Clone, Debug)]
pub(super) struct Served<S> {
    service: S,
    activity: Arc<Activity>,
    /// Whether there are too many connections for this one to be served.
    is_refused: bool,
}

impl<S> Service<Request<Incoming>> for Served<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let goes_on = self.activity.begin();
        if self.is_refused {
            let shutdown = request.extensions().get::<ConnectionShutdown>().cloned();
            return Box::pin(async move { Ok(refusal(shutdown.as_ref())) });
        }
        let answered = self.service.call(request);
        Box::pin(async move {
            let answer = answered.await?;
            // From here on it is the client's to ask for the body.
            goes_on.handed_over();
            Ok(answer.map(|body| Body::new(Pieces { body, rest: Bytes::new(), goes_on })))
        })
    }
}

/// That there are too many connections. This one ends with it.
fn refusal(shutdown: Option<&ConnectionShutdown>) -> Response<Body> {
    let problem = Problem::new(Kind::Unavailable, "there are too many connections")
        .help("send it again later, or raise `connections` under [server.limits] in host.toml")
        .retry_after(RETRY_S);
    let mut refusal = problem.into_response();
    match shutdown {
        Some(shutdown) => shutdown.graceful_shutdown(),
        None => drop(refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"))),
    }
    refusal
}

/// The body of an answer, in pieces that are asked for one after the other.
struct Pieces {
    body: Body,
    rest: Bytes,
    goes_on: GoesOn,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.goes_on.asked_for();
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(piece);
        self.goes_on.handed_over();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper().and_then(|upper| upper.checked_add(rest)) {
            whole.set_upper(upper);
        }
        whole
    }
}
