use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use url::{Host, Url};

use super::address::{AddressClass, classify};
use super::path::check_path;

/// Where a network grant leads: a scheme, a host, a port, and a path and everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Which hosts.
    pub host: HostPattern,
    /// The port; the scheme's own if none is written.
    pub port: u16,
    /// The path as it is written, without a slash at its end; empty for all of the site.
    pub path: String,
}

/// How to speak to a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// Which hosts a grant is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// The host of this name, in lower case.
    Name(String),
    /// Any host one label below this domain.
    Below(String),
    /// This address, written as such.
    Address(IpAddr),
}

/// Why a text does not name a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// There is no scheme, or another one.
    #[error("does not begin with https:// or http://")]
    Scheme,
    /// It has no host, or no proper one.
    #[error("has no valid host")]
    Host,
    /// A `*` in another place than the first label, or above too little.
    #[error("has a `*` that does not stand for one label of a domain, as in https://*.example.com")]
    Wildcard,
    /// An address in an unusual notation, which would hide what it is.
    #[error("has an address in an unusual notation; it is {0}")]
    Notation(IpAddr),
    /// A name or a password before the host.
    #[error("has a user name or password; use a secret instead")]
    UserInfo,
    /// A query or fragment.
    #[error("has a query or a fragment; a grant is for paths")]
    Query,
    /// A path that does not stand for itself.
    #[error(
        "has a path with `//`, `\\`, `.` or `..` in it, or a `%` without two hexadecimal digits after it"
    )]
    Path,
    /// A path with a `*`, which reads as if it stood for something.
    #[error(
        "has a `*` in its path, where it cannot stand for anything else; end the path before it, because a grant reaches everything below its path, or write %2A for a `*` that is meant"
    )]
    WildPath,
    /// Characters that no URL has.
    #[error("has spaces or control characters; in a path, write %20 for a space")]
    Characters,
}

impl Scheme {
    /// As a URL has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(super) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }
}

impl FromStr for Site {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(SiteError::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(SiteError::Scheme)?;
        let scheme = Scheme::parse(scheme).ok_or(SiteError::Scheme)?;
        if rest.contains(['?', '#']) {
            return Err(SiteError::Query);
        }
        // What the URL parser would quietly tidy up must not be in there to begin with.
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(SiteError::UserInfo);
        }
        let untidy = path.contains('\\') || path.contains("//");
        if untidy || !has_whole_escapes(path) || check_path(path).is_err() {
            return Err(SiteError::Path);
        }
        if path.contains('*') {
            return Err(SiteError::WildPath);
        }
        let url = Url::parse(&format!("{}://{authority}/", scheme.as_str())).map_err(|_| SiteError::Host)?;
        let host = host_pattern(&url.host().ok_or(SiteError::Host)?, authority)?;
        let port = url.port().unwrap_or(scheme.default_port());
        if port == 0 || authority.contains('\\') {
            return Err(SiteError::Host);
        }
        Ok(Self { scheme, host, port, path: path.trim_end_matches('/').to_owned() })
    }
}

/// Whether each `%` begins an escape.
fn has_whole_escapes(path: &str) -> bool {
    let is_whole =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    path.split('%').skip(1).all(is_whole)
}

impl Site {
    /// What kind of special address its host stands for, as far as that shows without asking.
    #[must_use]
    pub fn special(&self) -> Option<&'static str> {
        match &self.host {
            HostPattern::Address(address) => match classify(*address) {
                AddressClass::Public => None,
                AddressClass::Special(kind) => Some(kind),
            },
            // RFC 6761: names that always mean this machine.
            HostPattern::Name(name) | HostPattern::Below(name) => {
                (name == "localhost" || name.ends_with(".localhost")).then_some("loopback")
            }
        }
    }
}

fn host_pattern(host: &Host<&str>, authority: &str) -> Result<HostPattern, SiteError> {
    match *host {
        Host::Domain(name) => {
            let (wild, domain) = name.strip_prefix("*.").map_or((false, name), |domain| (true, domain));
            if domain.contains('*') || (wild && !domain.contains('.')) {
                return Err(SiteError::Wildcard);
            }
            if domain.split('.').any(str::is_empty) {
                return Err(SiteError::Host);
            }
            let domain = domain.to_owned();
            Ok(if wild { HostPattern::Below(domain) } else { HostPattern::Name(domain) })
        }
        Host::Ipv4(address) => {
            let plain = authority == address.to_string() || authority.starts_with(&format!("{address}:"));
            let address = IpAddr::V4(address);
            if plain { Ok(HostPattern::Address(address)) } else { Err(SiteError::Notation(address)) }
        }
        Host::Ipv6(address) => Ok(HostPattern::Address(IpAddr::V6(address))),
    }
}

impl HostPattern {
    /// Whether a host, in the form the URL standard gives it, is meant.
    #[must_use]
    pub fn matches(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Name(name), Host::Domain(host)) => name == host,
            (Self::Below(domain), Host::Domain(host)) => host
                .strip_suffix(domain.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty() && !label.contains('.')),
            (Self::Address(IpAddr::V4(address)), Host::Ipv4(host)) => address == host,
            (Self::Address(IpAddr::V6(address)), Host::Ipv6(host)) => address == host,
            (Self::Name(_) | Self::Below(_) | Self::Address(_), _) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl Serialize for Site {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn sites_are_read_and_written_alike() {
        for text in [
            "https://api.github.com",
            "http://localhost:8080",
            "https://*.example.com/v1/items",
            "https://example.com/docs/My%20Plan.txt",
            "https://example.com/a%2fb/%2A",
            "http://127.0.0.1:9000",
            "http://[::1]:80000".get(..12).unwrap(),
        ] {
            assert_eq!(text.parse::<Site>().unwrap().to_string(), text);
        }
        assert_eq!(
            "HTTPS://Api.GitHub.com:443/".parse::<Site>().unwrap().to_string(),
            "https://api.github.com"
        );
    }

    #[test]
    fn what_is_no_site() {
        for (text, error) in [
            ("api.github.com", SiteError::Scheme),
            ("ftp://a.b", SiteError::Scheme),
            ("https://", SiteError::Host),
            ("https://a..b", SiteError::Host),
            ("https://a.b:0", SiteError::Host),
            ("https://a.b.", SiteError::Host),
            ("https://*", SiteError::Wildcard),
            ("https://*.com", SiteError::Wildcard),
            ("https://a.*.com", SiteError::Wildcard),
            ("https://*.*.com", SiteError::Wildcard),
            ("https://u:p@a.b", SiteError::UserInfo),
            ("https://a.b?x", SiteError::Query),
            ("https://a.b/#x", SiteError::Query),
            ("https://a.b/../c", SiteError::Path),
            ("https://a.b/%2e", SiteError::Path),
            ("https://a.b/%25%32e%2E", SiteError::Path),
            ("https://a.b/50%", SiteError::Path),
            ("https://a.b/%zz", SiteError::Path),
            ("https://a.b/%00", SiteError::Path),
            ("https://a.b/repos/*/issues", SiteError::WildPath),
            ("https://a.b//c", SiteError::Path),
            ("https://a.b/ c", SiteError::Characters),
            ("http://2130706433", SiteError::Notation(IpAddr::from([127, 0, 0, 1]))),
            ("http://0x7f.1", SiteError::Notation(IpAddr::from([127, 0, 0, 1]))),
        ] {
            assert_eq!(text.parse::<Site>(), Err(error), "{text}");
        }
    }
}
