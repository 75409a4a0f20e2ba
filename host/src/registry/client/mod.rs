//! Fetches components from web servers and OCI registries, and pushes them to registries.

mod http;
mod login;
mod referrers;

use parking_lot::Mutex;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::manifest::{self, Layer};
use super::{COMPONENT_BYTES_MAX, FetchError, Fetched, OciName, Pin, Remote};
use crate::message::Digest;
use http::{Ask, Http, shown};
use login::Access;

pub use http::Timeouts;
pub use referrers::FoundSignatures;

/// The longest manifest that is read: that of a component has less than a kilobyte.
const MANIFEST_BYTES_MAX: u64 = 256 * 1024;

const ITS_PUBLISHER: &str = "ask whoever publishes it for a smaller one";

/// Fetches and pushes components.
#[derive(Debug, Default)]
pub struct Client {
    timeouts: Timeouts,
}

/// What was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// SHA-256 of the manifest, which names the artifact whatever its tag will mean.
    pub manifest: Digest,
    /// SHA-256 of the component.
    pub sha256: Digest,
}

impl Client {
    /// A client that waits no longer than this.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts }
    }

    /// What a reference means now.
    pub async fn fetch(&self, remote: &Remote) -> Result<Fetched, FetchError> {
        let fetched = async {
            match remote {
                Remote::Web(url) => self.web_file(url).await,
                Remote::Oci(name) => Session::new(name, Access::Pull, self.timeouts)?.fetch(None).await,
            }
        };
        let fetched = self.in_time(remote, fetched).await?;
        manifest::is_component(&fetched.bytes)
            .map_err(|why| FetchError::NoComponent { from: remote.to_string(), why })?;
        Ok(fetched)
    }

    /// Exactly what is pinned. A tag is not asked for.
    pub async fn fetch_pinned(&self, pin: &Pin) -> Result<Fetched, FetchError> {
        let moved = |why: String| FetchError::Moved { from: pin.source.to_string(), why };
        let fetched = match &pin.source {
            Remote::Web(url) => self.in_time(&pin.source, self.web_file(url)).await?,
            Remote::Oci(name) => {
                let Some(digest) = pin.manifest else {
                    return Err(moved("it pins no manifest".to_owned()));
                };
                let name = name.at(digest);
                let session = Session::new(&name, Access::Pull, self.timeouts)?;
                self.in_time(&pin.source, session.fetch(Some(pin))).await?
            }
        };
        if fetched.sha256 != pin.sha256 {
            let (found, wanted) = (fetched.sha256, pin.sha256);
            return Err(moved(format!("the component has sha256 {found}, and {wanted} is pinned")));
        }
        Ok(fetched)
    }

    /// The signatures that refer to a manifest, where its registry has them: by the API for it, or below the tag that stands
    /// in for it. What they are worth is for others to say.
    pub async fn signatures(&self, name: &OciName, manifest: Digest) -> Result<FoundSignatures, FetchError> {
        let name = name.at(manifest);
        let session = Session::new(&name, Access::Pull, self.timeouts)?;
        self.in_time(&Remote::Oci(name.clone()), session.signatures(manifest)).await
    }

    /// Pushes a component, in the layout that other tools read. The same component gives the same manifest.
    pub async fn publish(&self, component: &[u8], name: &OciName) -> Result<Published, FetchError> {
        let target = |why| FetchError::Target { name: name.to_string(), why };
        if name.digest.is_some() {
            return Err(target("a digest is the outcome of a push, and not its target"));
        }
        if component.len() as u64 > COMPONENT_BYTES_MAX {
            return Err(target("the component is larger than a host takes"));
        }
        manifest::is_component(component)
            .map_err(|why| FetchError::NoComponent { from: "the file".to_owned(), why })?;
        let sha256 = Digest::of(component);
        let written = manifest::written(component, sha256)
            .map_err(|error| FetchError::Manifest { from: name.to_string(), why: error.to_string() })?;
        let push = async {
            let session = Session::new(name, Access::Push, self.timeouts)?;
            session.push_blob(component, sha256).await?;
            session.push_blob(&written.config, Digest::of(&written.config)).await?;
            session.push_manifest(&written.manifest).await
        };
        let manifest = self.in_time(&Remote::Oci(name.clone()), push).await?;
        Ok(Published { manifest, sha256 })
    }

    async fn web_file(&self, url: &Url) -> Result<Fetched, FetchError> {
        let http = Http::to(url, self.timeouts)?;
        let response = http.send(Ask::new(Method::GET, url.clone())).await?;
        if response.status() != StatusCode::OK {
            return Err(http.refused(response).await);
        }
        let bytes = http.body(response, COMPONENT_BYTES_MAX, "the component", ITS_PUBLISHER).await?;
        Ok(Fetched { sha256: Digest::of(&bytes), bytes, manifest: None, manifest_text: None })
    }

    async fn in_time<T>(
        &self,
        remote: &Remote,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let whole = self.timeouts.whole;
        match tokio::time::timeout(whole, work).await {
            Ok(done) => done,
            Err(_) => Err(FetchError::Slow { url: remote.to_string(), seconds: whole.as_secs() }),
        }
    }
}

/// What goes on with one repository of a registry.
struct Session<'a> {
    http: Http,
    name: &'a OciName,
    access: Access,
    base: Url,
    /// What the registry was shown, once it has asked.
    login: Mutex<Option<HeaderValue>>,
}

impl<'a> Session<'a> {
    fn new(name: &'a OciName, access: Access, timeouts: super::Timeouts) -> Result<Self, FetchError> {
        let base = name.base().map_err(|error| FetchError::Setup { reason: error.message })?;
        Ok(Self { http: Http::to(&base, timeouts)?, name, access, base, login: Mutex::default() })
    }

    /// The place of something in the repository.
    fn url(&self, rest: &str) -> Result<Url, FetchError> {
        let path = format!("{}/{rest}", self.name.repository);
        self.base.join(&path).map_err(|error| FetchError::Setup { reason: error.to_string() })
    }

    /// Asks the registry, and asks again with a login if it wants one.
    async fn ask(&self, ask: Ask) -> Result<Response, FetchError> {
        let login = self.login.lock().clone().filter(|_| ask.url.origin() == self.base.origin());
        let shown_one = login.is_some();
        let with = |ask: Ask, login: Option<HeaderValue>| match login {
            Some(login) => ask.with(AUTHORIZATION, login),
            None => ask,
        };
        let response = self.http.send(with(ask.clone(), login)).await?;
        let is_its_own = response.url().origin() == self.base.origin();
        if response.status() != StatusCode::UNAUTHORIZED || shown_one || !is_its_own {
            return Ok(response);
        }
        let login = login::answer(&self.http, self.name, self.access, response.headers()).await?;
        *self.login.lock() = Some(login.clone());
        self.http.send(with(ask, Some(login))).await
    }

    /// The same, where another status than this one is an error.
    async fn ask_for(&self, ask: Ask, status: StatusCode) -> Result<Response, FetchError> {
        let response = self.ask(ask).await?;
        if response.status() == status { Ok(response) } else { Err(self.refused(response).await) }
    }

    /// What an answer says that is no success.
    async fn refused(&self, response: Response) -> FetchError {
        if response.status() == StatusCode::UNAUTHORIZED {
            let said = "refuses this, with the login that docker's configuration has for it or without one"
                .to_owned();
            return FetchError::Login { registry: self.name.registry.clone(), said };
        }
        self.http.refused(response).await
    }

    /// The component that the name means. With a pin, a manifest of another one ends it before the component is read.
    async fn fetch(&self, pin: Option<&Pin>) -> Result<Fetched, FetchError> {
        let (manifest, text, layer) = self.manifest().await?;
        if let Some(pin) = pin
            && (layer.sha256, layer.bytes) != (pin.sha256, pin.bytes)
        {
            let why = format!(
                "its manifest names a component of {} bytes with sha256 {}, and one of {} bytes with sha256 {} is pinned",
                layer.bytes, layer.sha256, pin.bytes, pin.sha256
            );
            return Err(FetchError::Moved { from: pin.source.to_string(), why });
        }
        let bytes = self.blob(layer, "the component").await?;
        Ok(Fetched { bytes, sha256: layer.sha256, manifest: Some(manifest), manifest_text: Some(text) })
    }

    async fn manifest(&self) -> Result<(Digest, Vec<u8>, Layer), FetchError> {
        let url = self.url(&format!("manifests/{}", self.name.manifest()))?;
        let accept = HeaderValue::from_static(manifest::MANIFEST);
        let response =
            self.ask_for(Ask::new(Method::GET, url.clone()).with(ACCEPT, accept), StatusCode::OK).await?;
        let body = self.http.body(response, MANIFEST_BYTES_MAX, "the manifest", ITS_PUBLISHER).await?;
        let found = Digest::of(&body);
        if let Some(wanted) = self.name.digest.filter(|wanted| *wanted != found) {
            return Err(FetchError::OtherBytes { url: shown(&url), wanted, found });
        }
        let wrong = |why: String| FetchError::Manifest {
            from: self.name.to_string(),
            why: crate::message::clean(&why).into_owned(),
        };
        let layer = manifest::layer_of(&body).map_err(wrong)?;
        if layer.bytes > COMPONENT_BYTES_MAX {
            let (what, url) = ("the component", shown(&url));
            return Err(FetchError::TooLong {
                what,
                url,
                bytes_max: COMPONENT_BYTES_MAX,
                help: ITS_PUBLISHER,
            });
        }
        Ok((found, body, layer))
    }

    /// Bytes that a manifest names.
    async fn blob(&self, Layer { sha256, bytes }: Layer, what: &'static str) -> Result<Vec<u8>, FetchError> {
        let url = self.url(&format!("blobs/sha256:{sha256}"))?;
        let response = self.ask_for(Ask::new(Method::GET, url.clone()), StatusCode::OK).await?;
        let help = "its manifest says how long it is; the registry is damaged or hostile";
        let body = self.http.body(response, bytes, what, help).await?;
        if body.len() as u64 != bytes {
            return Err(FetchError::Truncated {
                url: shown(&url),
                bytes: body.len() as u64,
                expected: bytes,
            });
        }
        let found = Digest::of(&body);
        if found != sha256 {
            return Err(FetchError::OtherBytes { url: shown(&url), wanted: sha256, found });
        }
        Ok(body)
    }

    async fn push_blob(&self, bytes: &[u8], sha256: Digest) -> Result<(), FetchError> {
        let there = self.ask(Ask::new(Method::HEAD, self.url(&format!("blobs/sha256:{sha256}"))?)).await?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let upload = Ask::new(Method::POST, self.url("blobs/uploads/")?);
        let begun = self.ask_for(upload, StatusCode::ACCEPTED).await?;
        let location = begun.headers().get(LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let refuse = |why| FetchError::Redirect { url: shown(begun.url()), to: location.to_owned(), why };
        let mut url = begun.url().join(location).map_err(|_| refuse("it is no URL"))?;
        if url.scheme() != self.base.scheme() {
            return Err(refuse("what is pushed goes over a connection as safe as that to the registry"));
        }
        url.query_pairs_mut().append_pair("digest", &format!("sha256:{sha256}"));
        let kind = HeaderValue::from_static("application/octet-stream");
        let ask = Ask { body: bytes.to_vec(), ..Ask::new(Method::PUT, url).with(CONTENT_TYPE, kind) };
        self.ask_for(ask, StatusCode::CREATED).await.map(|_| ())
    }

    async fn push_manifest(&self, manifest: &[u8]) -> Result<Digest, FetchError> {
        let url = self.url(&format!("manifests/{}", self.name.manifest()))?;
        let kind = HeaderValue::from_static(manifest::MANIFEST);
        let ask =
            Ask { body: manifest.to_vec(), ..Ask::new(Method::PUT, url.clone()).with(CONTENT_TYPE, kind) };
        let response = self.ask_for(ask, StatusCode::CREATED).await?;
        let wanted = Digest::of(manifest);
        let said = response.headers().get("docker-content-digest").and_then(|it| it.to_str().ok());
        match said.and_then(|it| it.strip_prefix("sha256:")).and_then(|it| it.parse().ok()) {
            Some(found) if found != wanted => Err(FetchError::OtherBytes { url: shown(&url), wanted, found }),
            Some(_) | None => Ok(wanted),
        }
    }
}
