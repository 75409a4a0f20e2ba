//! Who signed what a person adds from elsewhere: found, verified by the rules that there are, and told.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::exit::Misuse;
use super::words::one_line;
use crate::document::read_text;
use crate::message::shell_quoted;
use crate::registry::{BUNDLE_BYTES_MAX, Client, Fetched, FoundSignatures, Locked, LockedSignature, Remote};
use crate::trust::{Signed, Trust, gather, whoever};

/// A file that has the signature.
#[derive(Debug, Default, clap::Args)]
pub(super) struct BundleArg {
    /// The file that has its signature, if its registry does not: a bundle of Sigstore, as `cosign sign-blob --bundle` and
    /// `gh attestation download` write it.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

impl BundleArg {
    /// What is known of signatures beforehand, and what host.lock has had.
    pub(super) fn offered<'a>(&'a self, old: Option<&'a Locked>) -> Offered<'a> {
        Offered { bundle: self.bundle.as_deref(), old, looks: false }
    }

    /// Refuses the file where it is about nothing.
    pub(super) fn is_of_use(&self, is: bool) -> Result<(), Misuse> {
        if is || self.bundle.is_none() {
            return Ok(());
        }
        Err(Misuse(
            "--bundle is about one component from elsewhere\n  name that one, or leave it out".to_owned(),
        ))
    }
}

/// Where signatures may be, beside the registry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offered<'a> {
    bundle: Option<&'a Path>,
    old: Option<&'a Locked>,
    /// Whether signatures are looked at that no rule asks for.
    looks: bool,
}

impl Offered<'_> {
    /// The same, and tell who signed even if nobody asks for that.
    pub(super) fn and_look(self) -> Self {
        Self { looks: true, ..self }
    }
}

/// What there is to say of who signed a component.
#[derive(Debug)]
pub(super) enum Signers {
    /// They signed it, as rules ask.
    Asked(Vec<String>),
    /// No rule asks for a signature, and these made one: the identity, and who vouches for it.
    Unasked(Remote, Vec<(String, String)>),
    /// No rule asks for a signature, and none proves anything.
    Nobody(Vec<String>),
    /// No rule asks for a signature, and none was looked for.
    Unknown,
}

impl Signers {
    /// In words.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Asked(signers) => {
                signers.iter().map(|it| format!("\nsigned by {}, as it has to be", one_line(it))).collect()
            }
            Self::Unasked(remote, signers) => {
                let line = |(identity, issuer): &(String, String)| {
                    let (who, by) = (one_line(identity), one_line(issuer));
                    // Whoever signed chose these words, and somebody else pastes them into a shell.
                    let (place, id, url) =
                        (shell_quoted(&remote.place()), shell_quoted(&who), shell_quoted(&by));
                    [
                        format!("\nsigned by {who}, for whom {by} vouches. No rule asks for that."),
                        format!("ask for it with: host trust add {place} --identity {id} --issuer {url}"),
                    ]
                };
                signers.iter().flat_map(line).collect()
            }
            Self::Nobody(reasons) => {
                let reasons = reasons.iter().map(|it| format!("  {}", one_line(it)));
                std::iter::once("\nnobody is known to have signed it, and no rule asks for that".to_owned())
                    .chain(reasons)
                    .collect()
            }
            Self::Unknown => Vec::new(),
        }
    }

    /// For programs.
    pub(super) fn report(&self) -> Value {
        match self {
            Self::Asked(signers) => json!({ "asked_for": true, "signed_by": signers }),
            Self::Unasked(_, signers) => {
                let signers: Vec<Value> = signers
                    .iter()
                    .map(|(identity, issuer)| json!({ "identity": identity, "issuer": issuer }))
                    .collect();
                json!({ "asked_for": false, "signed_by": signers })
            }
            Self::Nobody(_) | Self::Unknown => json!({ "asked_for": false, "signed_by": [] }),
        }
    }
}

/// The signatures to pin of what was fetched, so that every rule about it is met, and what to say of them.
pub(super) async fn signatures(
    remote: &Remote,
    trust: &Trust,
    fetched: &Fetched,
    offered: Offered<'_>,
) -> anyhow::Result<(Vec<LockedSignature>, Signers)> {
    let trust = trust.about(remote);
    let signed = Signed {
        source: remote,
        component: &fetched.bytes,
        sha256: fetched.sha256,
        manifest: fetched.manifest,
    };
    let manifest = fetched.manifest_text.as_deref().and_then(|it| std::str::from_utf8(it).ok());
    let same = |old: &&Locked| old.sha256 == fetched.sha256 && old.manifest == fetched.manifest;
    let kept = offered.old.filter(same).map_or(&[][..], |old| &old.signatures);
    if trust.is_empty() {
        let signers = if offered.looks || offered.bundle.is_some() {
            unasked(remote, &signed, manifest, offered.bundle).await?
        } else {
            Signers::Unknown
        };
        return Ok((kept.to_vec(), signers));
    }
    if offered.bundle.is_none()
        && let Ok(chosen) = gather(&trust, &signed, manifest, (kept, &[]))
    {
        let signers = chosen.into_iter().map(|it| it.signer).collect();
        return Ok((kept.to_vec(), Signers::Asked(signers)));
    }
    let FoundSignatures { bundles, passed_over } = found(remote, fetched, offered.bundle).await?;
    let chosen =
        gather(&trust, &signed, manifest, (kept, &bundles)).map_err(|error| error.and(passed_over))?;
    let signers = Signers::Asked(chosen.iter().map(|it| it.signer.clone()).collect());
    // What other people's rules ask for stays as long as the component does.
    let others = kept.iter().filter(|it| !chosen.iter().any(|other| other.signer == it.signer));
    let pinned = chosen.iter().chain(others).cloned().collect();
    Ok((pinned, signers))
}

/// Bundles from the file, or else from the registry.
async fn found(remote: &Remote, fetched: &Fetched, file: Option<&Path>) -> anyhow::Result<FoundSignatures> {
    if let Some(file) = file {
        let shown = file.display();
        let text = read_text(file, BUNDLE_BYTES_MAX)
            .map_err(|error| Misuse(format!("cannot read --bundle {shown}: {error}")))?;
        // `gh attestation download` writes one bundle a line.
        let is_lines = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .all(|line| line.starts_with('{') && line.ends_with('}'));
        let bundles = if is_lines { text.lines().map(str::to_owned).collect() } else { vec![text] };
        return Ok(FoundSignatures { bundles, passed_over: Vec::new() });
    }
    match (remote, fetched.manifest) {
        (Remote::Oci(name), Some(manifest)) => Client::default()
            .signatures(name, manifest)
            .await
            .with_context(|| format!("cannot look for signatures of {remote}")),
        (Remote::Oci(_) | Remote::Web(_), _) => Ok(FoundSignatures::default()),
    }
}

/// Who signed it, where nobody asks for that.
async fn unasked(
    remote: &Remote,
    signed: &Signed<'_>,
    manifest: Option<&str>,
    file: Option<&Path>,
) -> anyhow::Result<Signers> {
    let fetched =
        Fetched { bytes: Vec::new(), sha256: signed.sha256, manifest: signed.manifest, manifest_text: None };
    let found = match found(remote, &fetched, file).await {
        Ok(found) => found,
        Err(error) if file.is_none() => return Ok(Signers::Nobody(vec![format!("{error:#}")])),
        Err(error) => return Err(error),
    };
    let (mut signers, mut reasons) = (Vec::new(), found.passed_over);
    for bundle in &found.bundles {
        match whoever(signed, manifest, bundle) {
            Ok(who) if signers.contains(&who) => {}
            Ok(who) => signers.push(who),
            Err(why) => reasons.push(why),
        }
    }
    Ok(if signers.is_empty() { Signers::Nobody(reasons) } else { Signers::Unasked(remote.clone(), signers) })
}
