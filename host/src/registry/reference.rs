//! What a remote reference says: `https://HOST/PATH`, or `oci://REGISTRY/REPOSITORY` with a tag or a digest.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

use crate::message::Digest;

/// The longest reference, in bytes.
const REFERENCE_BYTES_MAX: usize = 2048;
/// The longest name of a repository and the longest tag, in bytes, as the distribution specification has them.
const REPOSITORY_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

const FORMS: &str = "write https://HOST/PATH.wasm, or oci://REGISTRY/REPOSITORY:TAG, or oci://REGISTRY/REPOSITORY@sha256:DIGEST";

/// Where a component is, if it is no file of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A file that a web server has. The scheme is `https`, or `http` where the host is this machine.
    Web(Url),
    /// A name in an OCI registry.
    Oci(OciName),
}

/// A name in an OCI registry: it has a tag, or a digest, or both, and then the digest decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciName {
    /// The host of the registry, and its port if it is another than that of the protocol.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag, which may mean something else tomorrow.
    pub tag: Option<String>,
    /// SHA-256 of the manifest.
    pub digest: Option<Digest>,
}

/// A reference that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n  {help}")]
pub struct RemoteError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

fn wrong(message: impl Into<String>, help: impl Into<String>) -> RemoteError {
    RemoteError { message: message.into(), help: help.into() }
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(wrong("the reference is too long", format!("use up to {REFERENCE_BYTES_MAX} bytes")));
        }
        match text.split_once("://") {
            Some(("oci", name)) => name.parse().map(Self::Oci),
            Some(("https" | "http", _)) => web(text).map(Self::Web),
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
                Err(wrong(format!("{scheme}:// is not supported"), FORMS))
            }
            Some(_) | None => Err(wrong("it is no remote reference", FORMS)),
        }
    }
}

fn web(text: &str) -> Result<Url, RemoteError> {
    let url = Url::parse(text).map_err(|error| wrong(format!("it is no URL: {error}"), FORMS))?;
    if !url.username().is_empty() || url.password().is_some() {
        let help =
            "a password would stand in files that others read; fetch the file yourself, and name its path";
        return Err(wrong("the URL has a name or a password in it", help));
    }
    if url.fragment().is_some() {
        return Err(wrong("the URL has a fragment", "leave out the part from `#` on"));
    }
    if url.scheme() == "http" && !url.host().is_some_and(|host| is_this_machine(&host)) {
        return Err(wrong(
            "http:// is not encrypted, and only this machine is asked by it",
            "write https://",
        ));
    }
    Ok(url)
}

/// Whether a host is this machine by its very name: no name is looked up.
pub(super) fn is_this_machine<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref().eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl FromStr for OciName {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let Some((registry, rest)) = text.split_once('/') else {
            return Err(wrong("the reference names no repository", FORMS));
        };
        let (rest, digest) = match rest.split_once('@') {
            None => (rest, None),
            Some((rest, digest)) => {
                let digest = digest.strip_prefix("sha256:").and_then(|it| it.parse().ok());
                let help = "write sha256: and 64 hexadecimal digits behind the `@`";
                (rest, Some(digest.ok_or_else(|| wrong("the digest is no SHA-256", help))?))
            }
        };
        let (repository, tag) = match rest.split_once(':') {
            None => (rest, None),
            Some((repository, tag)) => (repository, Some(tag)),
        };
        base(registry)?;
        if !is_repository(repository) {
            let help = "a repository has the characters a-z 0-9 . _ - and / between its parts";
            return Err(wrong("the name of the repository is not well-formed", help));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            let help = format!("a tag has up to {TAG_BYTES_MAX} of the characters A-Z a-z 0-9 . _ -");
            return Err(wrong("the tag is not well-formed", help));
        }
        if tag.is_none() && digest.is_none() {
            let help = "add the version that is meant, such as `:1.0.0`, or `:latest` if that is meant";
            return Err(wrong("the reference has neither a tag nor a digest", help));
        }
        let (registry, repository) = (registry.to_owned(), repository.to_owned());
        Ok(Self { registry, repository, tag: tag.map(str::to_owned), digest })
    }
}

/// Where the API of a registry is.
fn base(registry: &str) -> Result<Url, RemoteError> {
    let refuse = || wrong("the registry is no host name", FORMS);
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if registry.is_empty() || !registry.chars().all(plain) {
        return Err(refuse());
    }
    let url = Url::parse(&format!("https://{registry}/v2/")).map_err(|_| refuse())?;
    if !url.host().is_some_and(|host| is_this_machine(&host)) {
        return Ok(url);
    }
    Url::parse(&format!("http://{registry}/v2/")).map_err(|_| refuse())
}

fn is_repository(text: &str) -> bool {
    let part = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().last())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
            && !part.contains("..")
    };
    text.len() <= REPOSITORY_BYTES_MAX && text.split('/').all(part)
}

fn is_tag(text: &str) -> bool {
    let first = text.chars().next();
    text.len() <= TAG_BYTES_MAX
        && first.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(feature = "registry")]
impl OciName {
    /// Where the API of the registry is. A registry on this machine is asked over plain HTTP.
    pub(super) fn base(&self) -> Result<Url, RemoteError> {
        match self.registry.as_str() {
            // The name that people write is that of a web site.
            "docker.io" | "index.docker.io" => base("registry-1.docker.io"),
            registry => base(registry),
        }
    }

    /// What docker's configuration calls the registry.
    pub(super) fn login(&self) -> &str {
        match self.registry.as_str() {
            "docker.io" | "index.docker.io" => "https://index.docker.io/v1/",
            registry => registry,
        }
    }

    /// What the manifest is asked for by: the digest if there is one, and else the tag.
    pub(super) fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => String::new(),
        }
    }
}

impl OciName {
    /// The same repository, by the digest of a manifest.
    #[must_use]
    pub fn at(&self, manifest: Digest) -> Self {
        Self { digest: Some(manifest), tag: None, ..self.clone() }
    }
}

impl Remote {
    /// What is compared with patterns of sources: one spelling of whatever spellings mean the same place, without a tag, a
    /// digest and a query.
    pub(crate) fn place(&self) -> String {
        let (scheme, url, path) = match self {
            Self::Web(url) => (url.scheme(), Some(url.clone()), url.path().to_owned()),
            Self::Oci(name) => ("oci", base(&name.registry).ok(), format!("/{}", name.repository)),
        };
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let host = match host.strip_suffix('.').unwrap_or(host) {
            "index.docker.io" | "registry-1.docker.io" if scheme == "oci" => "docker.io",
            host => host,
        };
        let port = url.as_ref().and_then(Url::port).map_or_else(String::new, |port| format!(":{port}"));
        let path = percent_decode_str(&path).decode_utf8_lossy();
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        format!("{scheme}://{host}{port}/{}", path.join("/"))
    }

    /// What a tool from there can be called: the last part of the name, without what stands behind a dot.
    #[must_use]
    pub fn stem(&self) -> String {
        let last = match self {
            Self::Web(url) => url.path_segments().and_then(|mut it| it.next_back()).unwrap_or_default(),
            Self::Oci(name) => name.repository.rsplit('/').next().unwrap_or_default(),
        };
        last.split('.').next().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for OciName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) => f.write_str(url.as_str()),
            Self::Oci(name) => name.fmt(f),
        }
    }
}

impl Serialize for Remote {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Remote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: RemoteError| serde::de::Error::custom(error.message))
    }
}

#[cfg(all(test, feature = "registry"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_what_is_shown() {
        let digest = Digest::of(b"manifest");
        for text in [
            "https://example.com/tools/x.wasm".to_owned(),
            "http://127.0.0.1:8080/x.wasm".to_owned(),
            "oci://registry.example/a/b:1.0".to_owned(),
            "oci://localhost:5000/a/b_c:latest".to_owned(),
            format!("oci://registry.example/a/b@sha256:{digest}"),
            format!("oci://registry.example/a/b:1@sha256:{digest}"),
        ] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_to_write() {
        for (text, said) in [
            ("http://example.com/x.wasm", "not encrypted"),
            ("http://127.0.0.1.example.com/x.wasm", "not encrypted"),
            ("https://me:secret@example.com/x.wasm", "password"),
            ("https://example.com/x.wasm#y", "fragment"),
            ("ftp://example.com/x", "ftp:// is not supported"),
            ("oci://registry.example", "names no repository"),
            ("oci://registry.example/a/b", "neither a tag nor a digest"),
            ("oci://registry.example/A/b:1", "repository"),
            ("oci://registry.example/a/../b:1", "repository"),
            ("oci://registry.example/a//b:1", "repository"),
            ("oci://me:secret@registry.example/a:1", "host name"),
            ("oci://registry.example/a:b/c", "tag"),
            ("oci://registry.example/a@sha256:12", "no SHA-256"),
            ("oci://gh%63r.io/a:1", "host name"),
            ("tools/x", "no remote reference"),
        ] {
            let error = text.parse::<Remote>().unwrap_err();
            assert!(error.message.contains(said) && !error.help.is_empty(), "{text}: {error}");
        }
    }

    #[test]
    fn a_place_has_one_spelling() {
        for (text, place) in [
            ("oci://Registry.Example:443/a/b:1.0", "oci://registry.example/a/b"),
            ("oci://registry.example./a/b:1.0", "oci://registry.example/a/b"),
            ("oci://index.docker.io/a/b:1", "oci://docker.io/a/b"),
            ("oci://localhost:5000/a:1", "oci://localhost:5000/a"),
            ("https://Files.Example:443/x/../tools//%74.wasm?v=1", "https://files.example/tools/t.wasm"),
            ("https://files.example/", "https://files.example/"),
            ("http://127.1:80/x.wasm", "http://127.0.0.1/x.wasm"),
        ] {
            assert_eq!(text.parse::<Remote>().unwrap().place(), place, "{text}");
        }
        let digest = format!("oci://registry.example/a/b@sha256:{}", Digest::of(b"manifest"));
        assert_eq!(digest.parse::<Remote>().unwrap().place(), "oci://registry.example/a/b");
    }

    #[test]
    fn only_this_machine_is_asked_over_plain_http() {
        let base = |text: &str| text.parse::<OciName>().unwrap().base().unwrap().to_string();
        assert_eq!(base("localhost:5000/a:1"), "http://localhost:5000/v2/");
        assert_eq!(base("127.8.8.8/a:1"), "http://127.8.8.8/v2/");
        assert_eq!(base("[::1]:5000/a:1"), "http://[::1]:5000/v2/");
        assert_eq!(base("localhost.example.com/a:1"), "https://localhost.example.com/v2/");
        assert_eq!(base("10.0.0.1/a:1"), "https://10.0.0.1/v2/");
        assert_eq!(base("docker.io/a/b:1"), "https://registry-1.docker.io/v2/");
    }

    proptest! {
        /// Whatever is taken is written again as something that means the same, and names one host over an encrypted
        /// connection, or this machine.
        #[test]
        fn whatever_is_taken_means_one_thing(text in "(oci|https|http)://[a-z0-9.:@/\\[\\]%#-]{0,40}") {
            if let Ok(remote) = text.parse::<Remote>() {
                prop_assert_eq!(&remote.to_string().parse::<Remote>().unwrap(), &remote);
                let url = match &remote {
                    Remote::Web(url) => url.clone(),
                    Remote::Oci(name) => name.base().unwrap(),
                };
                let local = is_this_machine(&url.host().unwrap());
                prop_assert!(url.scheme() == "https" || local, "{}", url);
            }
        }
    }
}
