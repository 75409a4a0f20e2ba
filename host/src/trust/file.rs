//! `[trust]` as it is written, in agent.toml and in trust.toml, and what it means. The comments here are the descriptions
//! in the JSON Schema.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use toml::Spanned;

use super::{Identity, Pattern, PublicKey, Root, Rule, Signer, Trust};
use crate::document::{ConfigError, FileError, Problem, VERSION, quote, read, read_text, schema_of};

/// The name of the user's own file.
#[cfg(feature = "cli")]
pub(crate) const TRUST_FILE: &str = "trust.toml";

/// The largest trust.toml, key and root of trust.
const FILE_BYTES_MAX: u64 = 1 << 20;
const KEY_BYTES_MAX: u64 = 64 * 1024;
const ROOT_BYTES_MAX: u64 = 4 << 20;

/// The rules of a user, for all agents. Paths are relative to this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "trust.toml")]
struct TrustToml {
    /// The version of the format of this file: 1.
    #[schemars(range(min = VERSION, max = VERSION), example = VERSION)]
    #[allow(dead_code, reason = "form compares it before the file is read into this type")]
    version: u32,
    /// Who has to have signed components that come from elsewhere.
    #[serde(default)]
    trust: RawTrust,
}

/// Who has to have signed components that come from elsewhere.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTrust {
    /// Rules, each about some sources. If several rules fit a source, all of them have to be met. If no rule fits it, no
    /// signature is asked for.
    #[serde(default)]
    require: Vec<RawRule>,
}

/// A rule: which sources it is about, and who may have signed what comes from there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({ "source": "oci://registry.example/*", "signers": [{ "key": "signer.pub" }] }))]
struct RawRule {
    /// The sources, as `oci://REGISTRY/REPOSITORY` or `https://HOST/PATH`, without tag and digest. `*` stands for any text,
    /// with slashes and without.
    #[schemars(with = "String", example = &"oci://registry.example/*")]
    source: Spanned<String>,
    /// Who may have signed: one of them is enough. Each has a `key`, or an `identity` and its `issuer`.
    #[schemars(with = "Vec<RawSigner>", extend("examples" = [[{"key": "signer.pub"}]]))]
    signers: Spanned<Vec<Spanned<RawSigner>>>,
}

/// Somebody who may have signed: a key, or an identity together with the issuer that vouches for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({ "key": "signer.pub" }))]
struct RawSigner {
    /// The file with the public key: PEM, as `cosign generate-key-pair` writes it.
    #[schemars(with = "Option<PathBuf>", example = &"signer.pub")]
    key: Option<Spanned<PathBuf>>,
    /// Who signed: an address of mail, or the URI of a workflow. In that of a workflow, `*` may stand last, behind the `@`.
    #[schemars(with = "Option<String>", example = &"release@example.com")]
    identity: Option<Spanned<String>>,
    /// Who vouches for the identity, such as `https://token.actions.githubusercontent.com` for workflows of GitHub.
    #[schemars(with = "Option<String>", example = &"https://accounts.example.com")]
    issuer: Option<Spanned<String>>,
    /// Whose certificates, logs and clocks are believed: `"sigstore"` (the default), which is the public instance,
    /// `"github"` for private repositories of GitHub, or the path of a trusted root, which is JSON.
    #[schemars(with = "Option<PathBuf>", example = &"trusted_root.json")]
    root: Option<Spanned<PathBuf>>,
    /// Whether the signature of a key has to be in a transparency log; true by default.
    #[schemars(with = "Option<bool>")]
    log: Option<Spanned<bool>>,
}

/// The user's own rules.
pub(super) fn read_own(path: &Path) -> Result<Trust, ConfigError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        let message = format!("cannot read {}: {error}", path.display());
        ConfigError::of_file(path, message, "make it readable: no component is loaded without it")
    };
    let text = match read_text(path, FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(FileError::Missing) => return Ok(Trust::default()),
        Err(error) => return Err(unreadable(&error)),
    };
    let path = &std::path::absolute(path).map_err(|error| unreadable(&error))?;
    parse_own(&text, path)
}

/// The rules in the text of a trust.toml at an absolute path.
pub(crate) fn parse_own(text: &str, path: &Path) -> Result<Trust, ConfigError> {
    let fail = |problems| ConfigError::of_text(path, text, problems);
    let raw: TrustToml = read(text, &schema_of::<TrustToml>(), "`host trust --help`").map_err(fail)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let absolute = |written: &Path| {
        let home =
            written.strip_prefix("~").ok().and_then(|rest| Some(etcetera::home_dir().ok()?.join(rest)));
        Ok(home.unwrap_or_else(|| directory.join(written)))
    };
    let (trust, problems) = rules(raw.trust, path, &absolute);
    if problems.is_empty() { Ok(trust) } else { Err(fail(problems)) }
}

/// Makes an absolute path of one that is written, or says what is wrong with it and what to do.
pub(crate) type Absolute<'a> = dyn Fn(&Path) -> Result<PathBuf, (String, String)> + 'a;

/// What `[trust]` of a file means, and what is wrong with it. Keys and roots are read now.
pub(crate) fn rules(raw: RawTrust, file: &Path, absolute: &Absolute<'_>) -> (Trust, Vec<Problem>) {
    let mut reading = Reading { absolute, problems: Vec::new() };
    let rules = raw.require.into_iter().filter_map(|rule| reading.rule(rule, file)).collect();
    (Trust::new(rules), reading.problems)
}

struct Reading<'a> {
    absolute: &'a Absolute<'a>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn rule(&mut self, raw: RawRule, file: &Path) -> Option<Rule> {
        let RawRule { source, signers } = raw;
        let span = signers.span();
        let signers: Vec<Signer> =
            signers.into_inner().into_iter().filter_map(|signer| self.signer(signer)).collect();
        if signers.is_empty() && self.problems.is_empty() {
            let help = "name who may have signed, as in signers = [{ key = \"signer.pub\" }]";
            self.problems.push(Problem::new(span, "the rule names no signer", help));
        }
        let pattern = Pattern::parse(source.get_ref());
        let pattern = self.good("source", &source, pattern)?;
        Some(Rule { source: pattern, signers, file: file.to_owned() })
    }

    fn signer(&mut self, raw: Spanned<RawSigner>) -> Option<Signer> {
        let span = raw.span();
        let RawSigner { key, identity, issuer, root, log } = raw.into_inner();
        let root = self.root(root)?;
        match (key, identity, issuer) {
            (Some(key), None, None) => {
                let text = self.text("key", &key, KEY_BYTES_MAX)?;
                let parsed = PublicKey::from_pem(&text.0, &text.1);
                let help = "name a public key in the form PEM, as `cosign generate-key-pair` writes it";
                let key = self.good("key", &key, parsed.map_err(|why| (why, help.to_owned())))?;
                Some(Signer::Key { key, log: log.is_none_or(Spanned::into_inner), root })
            }
            (None, Some(identity), Some(issuer)) => {
                if let Some(log) = log.filter(|log| !log.get_ref()) {
                    let help =
                        "remove it: certificates are short-lived, and the log says when they were used";
                    let message = "`log = false` has a meaning for keys alone";
                    self.problems.push(Problem::new(log.span(), message, help));
                }
                let is_url = ["https://", "http://"].iter().any(|it| issuer.get_ref().starts_with(it));
                let help = "write the URL of the issuer, such as \"https://accounts.google.com\"";
                let url = if is_url { Ok(()) } else { Err(("it is no URL".to_owned(), help.to_owned())) };
                self.good("issuer", &issuer, url)?;
                let parsed = Identity::parse(identity.get_ref());
                let identity = self.good("identity", &identity, parsed)?;
                Some(Signer::Identity { identity, issuer: issuer.into_inner(), root })
            }
            (Some(_), _, _) => {
                let help = "keep `key`, or `identity` and `issuer`";
                self.problems.push(Problem::new(span, "both a key and an identity are given", help));
                None
            }
            (None, _, _) => {
                let message = "a signer has a `key`, or an `identity` and its `issuer`";
                let help = "add what is missing: anybody can have an identity with some issuer";
                self.problems.push(Problem::new(span, message, help));
                None
            }
        }
    }

    /// The root that is meant; `None` after a problem.
    fn root(&mut self, raw: Option<Spanned<PathBuf>>) -> Option<Root> {
        let Some(raw) = raw else { return Some(Root::Sigstore) };
        match raw.get_ref().to_str() {
            Some("sigstore") => return Some(Root::Sigstore),
            Some("github") => return Some(Root::GitHub),
            Some(_) | None => {}
        }
        let (path, json) = self.text("root", &raw, ROOT_BYTES_MAX)?;
        let help = "name a trusted root of Sigstore, as `cosign trusted-root create` writes it, or \"sigstore\" or \"github\"";
        let root = Root::from_json(&path, &json).map_err(|why| (why, help.to_owned()));
        self.good("root", &raw, root)
    }

    /// A file that is named, and its text.
    fn text(&mut self, key: &str, raw: &Spanned<PathBuf>, bytes_max: u64) -> Option<(PathBuf, String)> {
        let path = (self.absolute)(raw.get_ref());
        let shown = Spanned::new(raw.span(), raw.get_ref().to_string_lossy().into_owned());
        let path = self.good(key, &shown, path)?;
        let text = read_text(&path, bytes_max).map_err(|error| {
            (format!("cannot read it: {error}"), format!("it is looked for at {}", path.display()))
        });
        Some((path, self.good(key, &shown, text)?))
    }

    /// What something is, or a problem noted.
    fn good<T>(
        &mut self,
        key: &str,
        raw: &Spanned<impl Written>,
        parsed: Result<T, (String, String)>,
    ) -> Option<T> {
        let told = |(message, help)| {
            let text = quote(&raw.get_ref().written());
            self.problems.push(Problem::new(raw.span(), format!("{key} = \"{text}\": {message}"), help));
        };
        parsed.map_err(told).ok()
    }
}

/// What stands in a file between quotes.
trait Written {
    fn written(&self) -> String;
}

impl Written for String {
    fn written(&self) -> String {
        self.clone()
    }
}

impl Written for PathBuf {
    fn written(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// A key that anybody can have.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
        6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
        -----END PUBLIC KEY-----\n";

    fn parsed(rule: &str) -> Result<Trust, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.pub"), KEY).unwrap();
        std::fs::write(dir.path().join("bad.pub"), "-----BEGIN PUBLIC KEY-----\nAA\n-----END").unwrap();
        std::fs::write(dir.path().join("root.json"), "{}").unwrap();
        let path = dir.path().join("trust.toml");
        std::fs::write(&path, format!("version = 1\n[[trust.require]]\nsource = \"*\"\n{rule}\n")).unwrap();
        Trust::read(&path)
    }

    #[test]
    fn who_may_have_signed_is_a_key_or_an_identity_with_its_issuer() {
        for rule in [
            "signers = [{ key = \"a.pub\" }]",
            "signers = [{ key = \"a.pub\", log = false }, { key = \"a.pub\", root = \"github\" }]",
            "signers = [{ identity = \"me@example.com\", issuer = \"https://example.com\" }]",
        ] {
            assert_eq!(parsed(rule).unwrap().rules().count(), 1, "{rule}");
        }
        assert!(Trust::read(Path::new("/nowhere/trust.toml")).unwrap().is_empty());
    }

    #[test]
    fn a_rule_that_asks_for_nobody_is_refused_where_it_stands() {
        for (rule, said) in [
            ("signers = []", "names no signer"),
            ("signers = [{}]", "a `key`, or an `identity`"),
            ("signers = [{ identity = \"me@example.com\" }]", "its `issuer`"),
            ("signers = [{ issuer = \"https://example.com\" }]", "an `identity`"),
            ("signers = [{ key = \"a.pub\", issuer = \"https://example.com\" }]", "both a key and"),
            ("signers = [{ identity = \"*\", issuer = \"https://example.com\" }]", "leave open who"),
            ("signers = [{ identity = \"a@b.c\", issuer = \"b.c\" }]", "no URL"),
            ("signers = [{ identity = \"a@b.c\", issuer = \"https://b.c\", log = false }]", "keys alone"),
            ("signers = [{ key = \"gone.pub\" }]", "does not exist"),
            ("signers = [{ key = \"root.json\" }]", "PUBLIC KEY"),
            ("signers = [{ key = \"bad.pub\" }]", "bad.pub"),
            ("signers = [{ key = \"a.pub\", root = \"gone.json\" }]", "does not exist"),
            ("signers = [{ key = \"a.pub\", kez = 1 }]", "kez"),
            ("signers = \"a.pub\"", "has to be a list"),
            ("", "signers"),
        ] {
            let error = parsed(rule).unwrap_err();
            assert!(error.in_lines().contains(said), "{rule}: {}", error.in_lines());
        }
    }
}
