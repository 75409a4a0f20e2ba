//! The `[tools.NAME.permissions]` and `[secrets.NAME]` tables: what is granted, and whether that makes sense.
//!
//! A grant that would never allow anything, or that would give away what another table keeps, is a mistake.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use toml::Spanned;

use super::bounds::SECRET_NAME_CHARS_MAX;
use super::paths::looked_for_at;
use super::raw;
use super::validate::Check;
use crate::document::{can_name_secret, quote, suggest};
use crate::grants::{
    Access, ClockSource, DirGrant, Grants, METHODS, NetworkGrant, RandomSource, SecretSource, Site,
};

/// What a site is granted for that stands alone.
const READING: &str = "GET";

/// What no tool may get at.
pub(super) struct Kept<'a> {
    /// The agent's secrets.
    pub(super) secrets: &'a BTreeMap<String, SecretSource>,
    /// Where the keys of the models are.
    pub(super) keys: &'a [&'a SecretSource],
    /// The files that decide what tools may do: agent.toml, and where the tools come from.
    pub(super) deciding: &'a [PathBuf],
}

impl Check<'_> {
    pub(super) fn secrets(
        &mut self,
        raw: BTreeMap<Spanned<String>, raw::Secret>,
    ) -> BTreeMap<String, SecretSource> {
        raw.into_iter()
            .filter_map(|(name, secret)| {
                let source = self.secret(&name, secret)?;
                Some((name.into_inner(), source))
            })
            .collect()
    }

    fn secret(&mut self, name: &Spanned<String>, raw: raw::Secret) -> Option<SecretSource> {
        if !can_be_variable(name.get_ref()) || name.get_ref().len() > SECRET_NAME_CHARS_MAX {
            let message = format!("a secret cannot be named \"{}\"", quote(name.get_ref()));
            let help =
                format!("use 1 to {SECRET_NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _, no digit first");
            self.problem(name.span(), message, help);
        }
        match (raw.env, raw.file) {
            (Some(env), None) => {
                if !can_name_secret(env.get_ref()) {
                    // The message does not repeat the value: it may be the secret itself.
                    let help = "write the variable's name, as in \"GITHUB_TOKEN\", not the secret";
                    self.problem(env.span(), "env is not the name of a variable, in capitals", help);
                }
                Some(SecretSource::Env(env.into_inner()))
            }
            (None, Some(file)) => Some(SecretSource::File(self.path("file", &file)?)),
            (Some(_), Some(file)) => {
                self.problem(file.span(), "both `env` and `file` are given", "keep one of them");
                None
            }
            (None, None) => {
                let help = "add `env = \"…\"`, the variable that holds it, or `file = \"…\"`";
                self.problem(
                    name.span(),
                    format!("[secrets.{}] does not say where it is", name.get_ref()),
                    help,
                );
                None
            }
        }
    }

    pub(super) fn grants(&mut self, raw: raw::Permissions, kept: &Kept<'_>) -> Grants {
        let raw::Permissions { dirs, env, network, random, clock, calls } = raw;
        let mut granted: Vec<DirGrant> = Vec::new();
        for dir in dirs {
            let guest = dir.guest.clone();
            let Some(dir) = self.dir(dir, kept) else { continue };
            let same = |other: &&DirGrant| Path::new(&other.guest) == Path::new(&dir.guest);
            if let Some(other) = granted.iter().find(same) {
                let (name, other) = (quote(&dir.guest), quote(&other.guest));
                let message = if name == other {
                    format!("two directories are called \"{name}\"")
                } else {
                    format!("two directories are called the same: \"{other}\" and \"{name}\"")
                };
                self.problem(guest.span(), message, "give one of them another `guest` name");
            }
            granted.push(dir);
        }
        Grants {
            dirs: granted,
            env: env.into_iter().map(|name| self.variable(name, kept)).collect(),
            network: network.into_iter().filter_map(|site| self.granted_site(site, kept)).collect(),
            random: match random {
                None | Some(raw::Random::Seeded) => RandomSource::Seeded,
                Some(raw::Random::Os) => RandomSource::Os,
            },
            clock: clock.map(|clock| match clock {
                raw::Clock::Steps => ClockSource::Steps,
                raw::Clock::Os => ClockSource::Os,
            }),
            calls: self.globs(calls),
            config: BTreeMap::new(),
        }
    }

    fn dir(&mut self, raw: raw::Dir, kept: &Kept<'_>) -> Option<DirGrant> {
        let raw::Dir { path: raw, guest, access } = raw;
        let path = self.path("path", &raw);
        self.guest_name(&guest);
        let path = path?;
        let mut can_be_written = false;
        let written = raw.get_ref().to_string_lossy().into_owned();
        match path.canonicalize() {
            Ok(real) if !real.is_dir() => {
                let message = format!("\"{}\" is not a directory", quote(&written));
                self.problem(raw.span(), message, "grant the directory that it is in");
            }
            Ok(real) => can_be_written = self.holds_nothing_kept(&raw, &real, access, kept),
            Err(error) => {
                let message = format!("the directory \"{}\" cannot be granted: {error}", quote(&written));
                self.problem(raw.span(), message, looked_for_at(&path));
            }
        }
        let access = match access {
            raw::Access::Read => Access::Ro,
            raw::Access::Write => Access::Rw,
        };
        Some(DirGrant { written, path, guest: guest.into_inner(), access, can_be_written })
    }

    fn guest_name(&mut self, guest: &Spanned<String>) {
        let name = guest.get_ref();
        let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        let absolute = name.starts_with('/') && Path::new(name).components().all(plain);
        if !absolute || name.contains(char::is_control) || name.split('/').any(|part| part == ".") {
            let message = format!("guest = \"{}\" is not an absolute path without `.` and `..`", quote(name));
            self.problem(guest.span(), message, "write what the tool shall call it, as in \"/data\"");
        }
    }

    /// Notes that there is no secret of this name, if there is none.
    pub(super) fn known_secret(&mut self, secret: &Spanned<String>, kept: &Kept<'_>) {
        if kept.secrets.contains_key(secret.get_ref()) {
            return;
        }
        let known: Vec<&str> = kept.secrets.keys().map(String::as_str).collect();
        let message = format!("there is no [secrets.{}]", quote(secret.get_ref()));
        let help = if known.is_empty() {
            "add the table, with `env = \"…\"` or `file = \"…\"`".to_owned()
        } else {
            suggest(secret.get_ref(), &known)
        };
        self.problem(secret.span(), message, help);
    }

    /// Notes what a tool must not reach in a directory; whether it could be granted to write there.
    fn holds_nothing_kept(
        &mut self,
        dir: &Spanned<PathBuf>,
        real: &Path,
        access: raw::Access,
        kept: &Kept<'_>,
    ) -> bool {
        let deciding =
            kept.deciding.iter().find(|file| file.canonicalize().is_ok_and(|file| file.starts_with(real)));
        if let (raw::Access::Write, Some(file)) = (access, deciding) {
            let message = format!("{} is in this directory", file.display());
            let help = "a tool that can change it could grant itself anything; grant a directory of its own, or `read`";
            self.problem(dir.span(), message, help);
        }
        let named = kept.secrets.iter().map(|(name, source)| (format!("of [secrets.{name}]"), source));
        let keys = kept.keys.iter().map(|source| ("with the key of a model".to_owned(), *source));
        for (what, source) in named.chain(keys) {
            let SecretSource::File(file) = source else { continue };
            if file.canonicalize().is_ok_and(|file| file.starts_with(real)) {
                let message = format!("the file {what} is in this directory");
                let help = "a tool would read the secret itself; keep the file elsewhere, or grant another directory";
                self.problem(dir.span(), message, help);
            }
        }
        deciding.is_none()
    }

    pub(super) fn variable(&mut self, name: Spanned<String>, kept: &Kept<'_>) -> String {
        let text = name.get_ref();
        let secret = kept.secrets.iter().find(|(secret, source)| {
            *secret == text || matches!(source, SecretSource::Env(variable) if variable == text)
        });
        if !can_be_variable(text) {
            let help = "write the variable's name, as in \"LANG\"";
            self.problem(
                name.span(),
                "env has an entry that is not the name of an environment variable",
                help,
            );
        } else if kept.keys.iter().any(|key| matches!(key, SecretSource::Env(name) if name == text)) {
            let message = format!("{text} is the key of a model");
            self.problem(name.span(), message, "no tool may see it; take it out of the list");
        } else if let Some((secret, _)) = secret {
            let message = format!("{text} is what [secrets.{secret}] keeps");
            let help =
                "no tool may see it; grant it to a host with `secrets = [\"…\"]` in [[…permissions.network]]";
            self.problem(name.span(), message, help);
        }
        name.into_inner()
    }

    /// A site alone is granted for the method that reads.
    fn granted_site(
        &mut self,
        raw: Spanned<raw::TextOr<raw::Network>>,
        kept: &Kept<'_>,
    ) -> Option<NetworkGrant> {
        let at = raw.span();
        match raw.into_inner() {
            raw::TextOr::Table(table) => self.network(table, kept),
            raw::TextOr::Text(url) => {
                let url = Spanned::new(at, url);
                let more = format!(
                    "write {{ url = \"{}\", methods = [\"GET\"], allow_private = true }}",
                    quote(url.get_ref())
                );
                let site = self.site(&url, false, &format!("{more} if that is meant"))?;
                let methods = vec![READING.to_owned()];
                Some(NetworkGrant { site, methods, secrets: Vec::new(), allow_private: false })
            }
        }
    }

    fn network(&mut self, raw: raw::Network, kept: &Kept<'_>) -> Option<NetworkGrant> {
        let raw::Network { url, methods, secrets, allow_private } = raw;
        if methods.get_ref().is_empty() {
            self.problem(
                methods.span(),
                "methods is empty, so nothing is granted",
                "add one, as in [\"GET\"]",
            );
        }
        for method in methods.get_ref() {
            if !METHODS.contains(&method.get_ref().as_str()) {
                let message = format!("\"{}\" is not a method that can be granted", quote(method.get_ref()));
                self.problem(method.span(), message, suggest(method.get_ref(), METHODS));
            }
        }
        for secret in &secrets {
            self.known_secret(secret, kept);
        }
        let site = self.site(&url, allow_private, "add `allow_private = true` if that is meant")?;
        let names = |list: Vec<Spanned<String>>| list.into_iter().map(Spanned::into_inner).collect();
        Some(NetworkGrant {
            site,
            methods: names(methods.into_inner()),
            secrets: names(secrets),
            allow_private,
        })
    }

    /// The site of a grant. A private address has to be asked for, and `how` says how.
    fn site(&mut self, url: &Spanned<String>, allow_private: bool, how: &str) -> Option<Site> {
        let site: Site = match url.get_ref().parse() {
            Ok(site) => site,
            Err(error) => {
                let help = "write a scheme and a host, as in \"https://api.github.com\" or \"https://*.example.com/v1\"";
                self.problem(url.span(), format!("the site \"{}\" {error}", quote(url.get_ref())), help);
                return None;
            }
        };
        if let Some(kind) = site.special().filter(|_| !allow_private) {
            let message =
                format!("{} is a {kind} address, which is never reached without `allow_private`", site.host);
            self.problem(url.span(), message, how);
        }
        Some(site)
    }
}

/// The portable form of a variable's name.
fn can_be_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}
