//! A registry on loopback that speaks the distribution API, and that can be told to answer wrongly.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use host::message::Digest;
use serde_json::json;

/// An answer.
#[derive(Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub ending: Ending,
}

/// How the body of an answer ends.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// With its last byte.
    #[default]
    Whole,
    /// Half of it is missing, and the connection is closed.
    Cut,
    /// Never: it is sent again and again until nobody reads any more.
    Endless,
    /// Never: nothing more comes, until nobody waits any more.
    Stalled,
}

impl Reply {
    pub fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}

/// A request, as far as it matters.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: Vec<u8>,
}

/// The media type of a signature.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

type Rule = Box<dyn Fn(&Asked) -> Option<Reply> + Send>;

#[derive(Default)]
struct State {
    manifests: HashMap<String, Vec<u8>>,
    blobs: HashMap<String, Vec<u8>>,
    /// What refers to a manifest, by the digest of that, as the API for it tells.
    referrers: HashMap<String, Vec<u8>>,
    asked: Vec<Asked>,
    rule: Option<Rule>,
}

#[derive(Clone)]
pub struct Registry {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let state = Arc::clone(&registry.state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                // A client that goes away is no failure of the registry.
                std::thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        registry
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The reference of a repository, with a tag.
    pub fn reference(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.host())
    }

    /// Has requests answered by a rule, where it has an answer.
    pub fn rule(&self, rule: impl Fn(&Asked) -> Option<Reply> + Send + 'static) -> &Self {
        self.state.lock().unwrap().rule = Some(Box::new(rule));
        self
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Whether anything was asked for whose path has this in it.
    pub fn was_asked(&self, part: &str) -> bool {
        self.asked().iter().any(|it| it.path.contains(part))
    }

    pub fn forget(&self) {
        self.state.lock().unwrap().asked.clear();
    }

    /// Puts a component there, and gives the digest of its manifest.
    pub fn put(&self, tag: &str, component: &[u8]) -> Digest {
        let digest = Digest::of(component);
        let layer = json!({
            "mediaType": "application/wasm", "digest": format!("sha256:{digest}"), "size": component.len()
        });
        self.put_manifest(tag, &json!({ "schemaVersion": 2, "layers": [layer] }).to_string(), component)
    }

    /// Puts this manifest there, and these bytes.
    pub fn put_manifest(&self, tag: &str, manifest: &str, blob: &[u8]) -> Digest {
        let digest = Digest::of(manifest.as_bytes());
        let mut state = self.state.lock().unwrap();
        for name in [tag.to_owned(), format!("sha256:{digest}")] {
            state.manifests.insert(name, manifest.as_bytes().to_vec());
        }
        state.blobs.insert(format!("sha256:{}", Digest::of(blob)), blob.to_vec());
        digest
    }

    /// Puts a signature beside a manifest, which is listed by the API for it.
    pub fn sign(&self, manifest: Digest, bundle: &str) {
        let index = self.referring(bundle, BUNDLE);
        self.state.lock().unwrap().referrers.insert(format!("sha256:{manifest}"), index);
    }

    /// The same, where the tag of that list stands in for the API.
    pub fn sign_by_tag(&self, manifest: Digest, bundle: &str) {
        let index = self.referring(bundle, BUNDLE);
        self.state.lock().unwrap().manifests.insert(format!("sha256-{manifest}"), index);
    }

    /// The list of the one thing that refers to a manifest.
    pub fn referring(&self, bundle: &str, kind: &str) -> Vec<u8> {
        let bundle = bundle.as_bytes();
        let layer = json!({
            "mediaType": kind, "digest": format!("sha256:{}", Digest::of(bundle)), "size": bundle.len()
        });
        let manifest = json!({ "schemaVersion": 2, "artifactType": kind, "layers": [layer] }).to_string();
        let digest = self.put_manifest("a signature", &manifest, bundle);
        let referrer = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": kind,
            "digest": format!("sha256:{digest}"),
            "size": manifest.len()
        });
        json!({ "schemaVersion": 2, "manifests": [referrer] }).to_string().into_bytes()
    }

    pub fn manifest(&self, tag: &str) -> Vec<u8> {
        self.state.lock().unwrap().manifests[tag].clone()
    }

    /// Puts other bytes in the place of a blob.
    pub fn tamper(&self, blob: &[u8], with: &[u8]) {
        let name = format!("sha256:{}", Digest::of(blob));
        self.state.lock().unwrap().blobs.insert(name, with.to_vec());
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut asked = Asked { method, path, authorization: None, body: Vec::new() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => asked.authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body)?;
    let reply = {
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        let ruled = state.rule.as_ref().and_then(|rule| rule(&asked));
        ruled.unwrap_or_else(|| answer(&mut state, &asked))
    };
    send(stream, &reply, asked.method == "HEAD")
}

fn answer(state: &mut State, asked: &Asked) -> Reply {
    let missing = || Reply::of(404, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"it is not known"}]}"#);
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    match asked.method.as_str() {
        "GET" | "HEAD" if path.contains("/manifests/") => {
            state.manifests.get(&last).map_or_else(missing, |it| Reply::of(200, it.clone()))
        }
        "GET" if path.contains("/referrers/") => {
            state.referrers.get(&last).map_or_else(missing, |it| Reply::of(200, it.clone()))
        }
        "GET" | "HEAD" => state.blobs.get(&last).map_or_else(missing, |it| Reply::of(200, it.clone())),
        "POST" => Reply::of(202, "").header("location", format!("{path}7?state=a")),
        "PUT" if path.contains("/manifests/") => {
            let digest = format!("sha256:{}", Digest::of(&asked.body));
            for name in [last, digest.clone()] {
                state.manifests.insert(name, asked.body.clone());
            }
            Reply::of(201, "").header("docker-content-digest", digest)
        }
        "PUT" => {
            let digest = query.split("digest=").nth(1).unwrap_or_default().replace("%3A", ":");
            state.blobs.insert(digest, asked.body.clone());
            Reply::of(201, "")
        }
        _ => Reply::of(405, ""),
    }
}

fn send(mut stream: TcpStream, reply: &Reply, head: bool) -> std::io::Result<()> {
    let Reply { status, headers, body, ending } = reply;
    write!(stream, "HTTP/1.1 {status} said\r\nconnection: close\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    if *ending != Ending::Endless {
        write!(stream, "content-length: {}\r\n", body.len())?;
    }
    stream.write_all(b"\r\n")?;
    match ending {
        _ if head => Ok(()),
        Ending::Whole => stream.write_all(body),
        Ending::Cut => stream.write_all(&body[..body.len() / 2]),
        Ending::Endless => loop {
            stream.write_all(body)?;
        },
        Ending::Stalled => {
            stream.write_all(&body[..body.len() / 2])?;
            // Ends when the client does.
            stream.read(&mut [0]).map(|_| ())
        }
    }
}
