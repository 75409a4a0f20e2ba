//! The login that a registry asks for: a token, or a name and a password, from what docker's configuration has.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use http_auth::ChallengeRef;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::super::reference::is_this_machine;
use super::super::{FetchError, OciName};
use super::http::{Ask, Http, shown};
use crate::message::clean;

/// The longest answer of a server of tokens.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;
/// How long a program that keeps passwords may take; it may ask a person.
const HELPER_TIME_MAX: Duration = Duration::from_mins(1);

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Pull,
    Push,
}

/// What a registry wants to see.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// The header that answers a refusal for lack of a login.
pub(super) async fn answer(
    http: &Http,
    name: &OciName,
    access: Access,
    refusal: &HeaderMap,
) -> Result<HeaderValue, FetchError> {
    let login = |said: &str| FetchError::Login { registry: name.registry.clone(), said: said.to_owned() };
    let challenge =
        challenge(refusal).ok_or_else(|| login("asks for a login of a kind that is not known here"))?;
    let credential = credential(name).await?;
    let value = match (challenge, credential) {
        (Challenge::Basic, None) => return Err(login("asks for a login")),
        (Challenge::Basic, Some(DockerCredential::UsernamePassword(user, password))) => {
            basic(&user, &password)
        }
        (Challenge::Basic, Some(DockerCredential::IdentityToken(_))) => {
            return Err(login("asks for a name and a password, and docker's login for it is a token"));
        }
        (Challenge::Bearer { realm, service }, credential) => {
            let ask = token_ask(name, access, (&realm, service.as_deref()), credential.as_ref())?;
            format!("Bearer {}", token(http, name, ask, credential.is_some()).await?)
        }
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| login("gave a token that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn challenge(refusal: &HeaderMap) -> Option<Challenge> {
    let texts = refusal.get_all(WWW_AUTHENTICATE).iter().filter_map(|it| it.to_str().ok());
    let challenges: Vec<ChallengeRef<'_>> =
        texts.filter_map(|it| http_auth::parse_challenges(it).ok()).flatten().collect();
    let of = |scheme: &str| challenges.iter().find(|it| it.scheme.eq_ignore_ascii_case(scheme));
    if let Some(bearer) = of("bearer") {
        let param = |name: &str| {
            let found = bearer.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        return Some(Challenge::Bearer { realm: param("realm")?, service: param("service") });
    }
    of("basic").map(|_| Challenge::Basic)
}

/// The request for a token.
fn token_ask(
    name: &OciName,
    access: Access,
    (realm, service): (&str, Option<&str>),
    credential: Option<&DockerCredential>,
) -> Result<Ask, FetchError> {
    let login = |said: &str| FetchError::Login { registry: name.registry.clone(), said: said.to_owned() };
    let mut url = Url::parse(realm).map_err(|_| login("names a server of tokens that is no URL"))?;
    let is_local = url.host().is_some_and(|host| is_this_machine(&host));
    let registry_is_local = name.base().is_ok_and(|base| base.scheme() == "http");
    let is_safe = match url.scheme() {
        "https" => !is_local || registry_is_local,
        "http" => is_local && registry_is_local,
        _ => false,
    };
    if !is_safe {
        return Err(login(
            "wants the login sent over a connection that is not encrypted, or to this machine",
        ));
    }
    let actions = match access {
        Access::Pull => "pull",
        Access::Push => "pull,push",
    };
    let scope = format!("repository:{}:{actions}", name.repository);
    let service = service.map(|it| ("service", it));
    if let Some(DockerCredential::IdentityToken(token)) = credential {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", "host"),
            ("refresh_token", token),
            ("scope", &scope),
        ];
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(pairs).extend_pairs(service);
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        return Ok(Ask {
            body: form.finish().into_bytes(),
            ..Ask::new(Method::POST, url).with(CONTENT_TYPE, kind)
        });
    }
    url.query_pairs_mut().append_pair("scope", &scope).extend_pairs(service);
    let ask = Ask::new(Method::GET, url);
    Ok(match credential {
        Some(DockerCredential::UsernamePassword(user, password)) => {
            let mut value = HeaderValue::from_str(&basic(user, password))
                .map_err(|_| login("cannot be sent the name and password of docker's login"))?;
            value.set_sensitive(true);
            ask.with(AUTHORIZATION, value)
        }
        Some(DockerCredential::IdentityToken(_)) | None => ask,
    })
}

async fn token(http: &Http, name: &OciName, ask: Ask, known: bool) -> Result<String, FetchError> {
    let login = |said: &str| FetchError::Login { registry: name.registry.clone(), said: said.to_owned() };
    let response = http.send(ask).await?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if known => {
            return Err(login("refuses the login that docker's configuration has for it"));
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(login("asks for a login")),
        _ => return Err(http.refused(response).await),
    }
    let url = response.url().clone();
    let body = http.body(response, TOKEN_BYTES_MAX, "the token", "tell whoever runs the registry").await?;
    let token: Option<Token> = serde_json::from_slice(&body).ok();
    let token = token.and_then(|it| it.token.or(it.access_token)).filter(|it| !it.is_empty());
    token.ok_or_else(|| login(&format!("gave no token at {}", shown(&url))))
}

/// What docker's configuration, or the program that it names, has for a registry.
async fn credential(name: &OciName) -> Result<Option<DockerCredential>, FetchError> {
    let failed = |reason: String| FetchError::Credentials { registry: name.registry.clone(), reason };
    let server = name.login().to_owned();
    let read = tokio::task::spawn_blocking(move || docker_credential::get_credential(&server));
    let read = tokio::time::timeout(HELPER_TIME_MAX, read).await;
    let read =
        read.map_err(|_| failed(format!("its helper took longer than {} s", HELPER_TIME_MAX.as_secs())))?;
    match read.map_err(|error| failed(error.to_string()))? {
        Ok(credential) => Ok(Some(credential)),
        Err(CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound) => {
            Ok(None)
        }
        // It says the same of a file that is not there.
        Err(CredentialRetrievalError::ConfigReadError) if !has_config() => Ok(None),
        // What a helper prints may hold a password.
        Err(CredentialRetrievalError::HelperFailure { helper, stderr, stdout }) => {
            // So does a helper say that it has nothing.
            if stdout.contains("credentials not found") {
                return Ok(None);
            }
            Err(failed(format!("`{helper}` failed: {}", clean(stderr.trim()))))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

fn has_config() -> bool {
    let directory = std::env::var_os("DOCKER_CONFIG").map(std::path::PathBuf::from);
    let directory = directory.or_else(|| Some(std::env::home_dir()?.join(".docker")));
    directory.is_some_and(|it| it.join("config.json").exists())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_challenge_is_read_wherever_it_stands() {
        let read = |text: &str| {
            challenge(&HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_str(text).unwrap())]))
        };
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        assert_eq!(read("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(
            read("Bearer realm=\"https://a/token\",service=\"a\",scope=\"x\""),
            bearer("https://a/token", Some("a"))
        );
        assert_eq!(read("basic realm=\"x\", bearer Realm=\"https://a\""), bearer("https://a", None));
        assert_eq!(read("Bearer service=\"a\""), None);
        assert_eq!(read("Negotiate"), None);
        assert_eq!(challenge(&HeaderMap::new()), None);
    }

    #[test]
    fn a_login_is_sent_over_nothing_weaker_than_the_registry_is_asked_by() {
        let login = DockerCredential::UsernamePassword("me".to_owned(), "secret".to_owned());
        let ask = |registry: &str, realm: &str| {
            let name: OciName = format!("{registry}/a:1").parse().unwrap();
            token_ask(&name, Access::Pull, (realm, Some("s")), Some(&login)).is_ok()
        };
        assert!(ask("registry.example", "https://registry.example/token"));
        assert!(ask("registry.example", "https://auth.example/token"));
        assert!(ask("localhost:1", "http://127.0.0.1:2/token"));
        assert!(!ask("registry.example", "http://registry.example/token"));
        assert!(!ask("registry.example", "http://localhost/token"));
        assert!(!ask("registry.example", "https://127.0.0.1/token"));
        assert!(!ask("localhost:1", "http://auth.example/token"));
        assert!(!ask("registry.example", "file:///etc"));
    }
}
