use std::fmt;

use serde::Serialize;
use url::{Host, Url};

use super::path::{below, check_path, spelled};
use super::site::{Scheme, Site};

/// Where requests of a tool may go, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkGrant {
    /// Where to.
    #[serde(rename = "host")]
    pub site: Site,
    /// Which methods, in upper case.
    pub methods: Vec<String>,
    /// The secrets that may be sent there.
    pub secrets: Vec<String>,
    /// Whether the host may be on this machine or in a private network.
    pub allow_private: bool,
}

/// The methods of HTTP that can be granted. CONNECT and TRACE are for proxies.
pub const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A request that a guest wants to make, as it says it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The method.
    pub method: &'a str,
    /// The scheme.
    pub scheme: &'a str,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query.
    pub path_and_query: &'a str,
}

/// A request that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed<'g> {
    /// How to speak.
    pub scheme: Scheme,
    /// To whom, in the form the URL standard gives a host.
    pub host: Host<String>,
    /// At which port.
    pub port: u16,
    /// The path that a grant of it has.
    pub path: &'g str,
    /// The secrets that may go along.
    pub secrets: Vec<&'g str>,
    /// Whether the host may turn out to be private.
    pub allow_private: bool,
}

/// Why a request is not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not say clearly where it goes.
    #[error("{0}")]
    Malformed(&'static str),
    /// No grant can have this method.
    #[error("no grant can allow the method {0}, which is not one of {methods}", methods = METHODS.join(", "))]
    Ungrantable(String),
    /// Nothing is granted for this scheme, host and port.
    #[error("no grant reaches {0}")]
    Elsewhere(Origin),
    /// The path is outside of what is granted there.
    #[error("the grant of {granted} does not reach the path {path}")]
    Path {
        /// What is granted.
        granted: Site,
        /// What was wanted.
        path: String,
    },
    /// The method is not granted there.
    #[error("the grant of {granted} does not allow {method}")]
    Method {
        /// What is granted.
        granted: Site,
        /// What was wanted.
        method: String,
    },
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: Host<String>,
    port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl Allowed<'_> {
    /// What it is granted for, of this host.
    #[must_use]
    pub fn site(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority(), self.path)
    }

    /// What the `Host` header says.
    #[must_use]
    pub fn authority(&self) -> String {
        let port = (self.port != self.scheme.default_port()).then(|| format!(":{}", self.port));
        format!("{}{}", self.host, port.unwrap_or_default())
    }
}

/// Decides on a request: granted if a single grant covers all of it.
pub fn allow<'g>(grants: &'g [NetworkGrant], wanted: &Wanted<'_>) -> Result<Allowed<'g>, Refusal> {
    let origin = origin(wanted)?;
    let path = wanted.path_and_query.split(['?', '#']).next().unwrap_or_default();
    check_path(path)?;
    if !METHODS.contains(&wanted.method) {
        return Err(Refusal::Ungrantable(wanted.method.to_owned()));
    }
    let here: Vec<&NetworkGrant> = grants.iter().filter(|grant| reaches(&grant.site, &origin)).collect();
    let spelt = spelled(path);
    let covers = |grant: &&&NetworkGrant| below(&spelt, &spelled(&grant.site.path));
    let with_path: Vec<&NetworkGrant> = here.iter().filter(covers).copied().collect();
    let fitting: Vec<&NetworkGrant> = with_path
        .iter()
        .filter(|grant| grant.methods.iter().any(|method| method == wanted.method))
        .copied()
        .collect();
    match (here.first(), with_path.first(), fitting.is_empty()) {
        (None, _, _) => Err(Refusal::Elsewhere(origin)),
        (Some(grant), None, _) => Err(Refusal::Path { granted: grant.site.clone(), path: path.to_owned() }),
        (Some(_), Some(grant), true) => {
            Err(Refusal::Method { granted: grant.site.clone(), method: wanted.method.to_owned() })
        }
        (Some(_), Some(_), false) => {
            let mut secrets: Vec<&str> =
                fitting.iter().flat_map(|grant| &grant.secrets).map(String::as_str).collect();
            secrets.sort_unstable();
            secrets.dedup();
            let Origin { scheme, host, port } = origin;
            let allow_private = fitting.iter().any(|grant| grant.allow_private);
            let path = fitting.first().map_or("", |grant| grant.site.path.as_str());
            Ok(Allowed { scheme, host, port, path, secrets, allow_private })
        }
    }
}

/// Where a request goes, in the form that the URL standard gives it: a host in decimal, hexadecimal or upper
/// case, or with a dot at its end, is the host it stands for.
pub(super) fn origin(wanted: &Wanted<'_>) -> Result<Origin, Refusal> {
    let scheme = Scheme::parse(wanted.scheme).ok_or(Refusal::Malformed("the scheme is not http or https"))?;
    let authority = wanted.authority;
    if authority.contains('@') {
        return Err(Refusal::Malformed("the address has a user name or password before the host"));
    }
    let malformed = Refusal::Malformed("the address has no valid host and port");
    if authority.is_empty() || authority.contains(['/', '\\', '?', '#', '%']) {
        return Err(malformed);
    }
    let Ok(url) = Url::parse(&format!("{}://{authority}/", scheme.as_str())) else { return Err(malformed) };
    let host = match url.host() {
        Some(Host::Domain(name)) => Host::Domain(name.strip_suffix('.').unwrap_or(name).to_owned()),
        Some(Host::Ipv4(address)) => Host::Ipv4(address),
        Some(Host::Ipv6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => Host::Ipv4(mapped),
            None => Host::Ipv6(address),
        },
        None => return Err(malformed),
    };
    Ok(Origin { scheme, host, port: url.port().unwrap_or(scheme.default_port()) })
}

pub(super) fn reaches(site: &Site, origin: &Origin) -> bool {
    site.scheme == origin.scheme && site.port == origin.port && site.host.matches(&origin.host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn grant(host: &str, methods: &[&str]) -> NetworkGrant {
        NetworkGrant {
            site: host.parse().unwrap(),
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            secrets: vec![format!("KEY_{}", methods.len())],
            allow_private: false,
        }
    }

    fn decide(grants: &[NetworkGrant], method: &str, url: &str) -> Result<String, String> {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path_and_query) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        allow(grants, &Wanted { method, scheme, authority, path_and_query })
            .map(|allowed| allowed.authority())
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_single_grant_has_to_cover_all_of_a_request() {
        let grants = [
            grant("https://api.example.com/v1", &["GET"]),
            grant("https://*.cdn.example.com:8443", &["GET", "POST"]),
            grant("http://127.0.0.1", &["GET"]),
            grant("https://docs.example.com/My%20Plan%2A", &["GET"]),
        ];
        for (method, url, host) in [
            ("GET", "https://api.example.com/v1", "api.example.com"),
            ("GET", "https://API.example.com./v1/a%2Fb?x=../y", "api.example.com"),
            ("GET", "https://api.example.com:443/v1/", "api.example.com"),
            ("GET", "https://api.example.com/%761/x", "api.example.com"),
            ("GET", "https://docs.example.com/My%20Plan%2a/x", "docs.example.com"),
            ("POST", "https://a.cdn.example.com:8443/x", "a.cdn.example.com:8443"),
            // The notation does not matter where the address itself is granted.
            ("GET", "http://2130706433/", "127.0.0.1"),
            ("GET", "http://0x7f.0.0.1/", "127.0.0.1"),
            ("GET", "http://[::ffff:127.0.0.1]/", "127.0.0.1"),
        ] {
            assert_eq!(decide(&grants, method, url), Ok(host.to_owned()), "{url}");
        }
        for (method, url, why) in [
            ("GET", "https://evil.com/v1", "no grant reaches https://evil.com"),
            ("GET", "http://api.example.com/v1", "no grant reaches http://api.example.com"),
            ("GET", "https://api.example.com:444/v1", "no grant reaches https://api.example.com:444"),
            ("GET", "https://api.example.com.evil.com/v1", "no grant reaches"),
            ("GET", "https://cdn.example.com:8443/", "no grant reaches"),
            ("GET", "https://a.b.cdn.example.com:8443/", "no grant reaches"),
            ("GET", "https://api.example.com/v2", "does not reach the path /v2"),
            ("GET", "https://api.example.com/v1x", "does not reach the path"),
            ("GET", "https://api.example.com/v1%2Fx", "does not reach the path"),
            ("GET", "https://docs.example.com/My%2520Plan%2A", "does not reach the path"),
            ("GET", "https://api.example.com//v1", "does not reach the path"),
            ("DELETE", "https://api.example.com/v1", "does not allow DELETE"),
            ("get", "https://api.example.com/v1", "no grant can allow the method get"),
            (
                "PURGE",
                "https://evil.com/v1",
                "no grant can allow the method PURGE, which is not one of GET, HEAD",
            ),
            ("GET", "https://api.example.com/v1/../admin", "as a segment"),
            ("GET", "https://api.example.com/v1/%2e%2e/admin", "as a segment"),
            ("GET", "https://api.example.com/v1/%252e%252e%252fadmin", "as a segment"),
            ("GET", "https://api.example.com/v1\\..\\admin", "as a segment"),
            ("GET", "https://api.example.com/v1/..;/admin", "as a segment"),
            ("GET", "https://api.example.com/v1/%00", "control characters"),
            ("GET", "https://api.example.com@evil.com/v1", "user name"),
            ("GET", "https://evil.com#@api.example.com/v1", "user name"),
            ("GET", "https://api.example.com%2eevil.com/v1", "no valid host"),
            ("GET", "ftp://api.example.com/v1", "not http or https"),
            ("GET", "https:///v1", "no valid host"),
        ] {
            let refused = decide(&grants, method, url).unwrap_err();
            assert!(refused.contains(why), "{url}: {refused}");
        }
    }

    #[test]
    fn secrets_come_from_the_grants_that_fit_and_no_others() {
        let grants = [grant("https://a.com/x", &["GET"]), grant("https://a.com", &["GET", "POST"])];
        let wanted = Wanted { method: "POST", scheme: "https", authority: "a.com", path_and_query: "/x" };
        assert_eq!(allow(&grants, &wanted).unwrap().secrets, ["KEY_2"]);
        let wanted = Wanted { method: "GET", ..wanted };
        assert_eq!(allow(&grants, &wanted).unwrap().secrets, ["KEY_1", "KEY_2"]);
    }
}
