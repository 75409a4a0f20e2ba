//! `host trust`: who has to have signed components from elsewhere.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::add::replace;
use super::exit::{Exit, Misuse};
use super::output::OutputFile;
use super::places::Places;
use super::print_json;
use super::streams::{print, say};
use super::words::one_line;
use crate::config::Config;
use crate::trust::{Rule, Signer, Trust, parse_own};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The agent whose rules are shown beside the user's own, or the directory that it is in; by default that in the
    /// current directory, if there is one.
    #[arg(long, value_name = "AGENT.TOML")]
    agent: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Ask for a signature of what comes from some sources.
    ///
    /// The rule is added to the user's own, and holds for all agents of the user. If other rules fit the same source, all of
    /// them have to be met. To let one of several people sign, write them into one rule by hand.
    Add(Add),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The sources: `oci://REGISTRY/REPOSITORY` or `https://HOST/PATH`, without tag and digest, with `*` for any text.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The file with the public key of whoever has to have signed.
    #[arg(long, value_name = "FILE", required_unless_present = "identity", conflicts_with_all = ["identity", "issuer"])]
    key: Option<PathBuf>,
    /// Who has to have signed: an address of mail, or the URI of a workflow, which may end in `@*` or `@refs/tags/*`.
    #[arg(long, value_name = "IDENTITY", requires = "issuer")]
    identity: Option<String>,
    /// Who vouches for the identity, such as `https://token.actions.githubusercontent.com`.
    #[arg(long, value_name = "URL", requires = "identity")]
    issuer: Option<String>,
    /// Whose certificates, logs and clocks are believed: `sigstore` (the default), `github`, or a file with a trusted root.
    #[arg(long, value_name = "ROOT")]
    root: Option<PathBuf>,
    /// Take a signature of the key that is in no transparency log.
    #[arg(long, requires = "key")]
    no_log: bool,
    /// Add the rule to `[trust]` of this agent instead: everybody who runs the agent then keeps to it.
    #[arg(long, value_name = "AGENT.TOML")]
    agent: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    match args.action {
        Some(Action::Add(add)) => run_add(&add),
        None => show(args.agent.as_deref(), args.json),
    }
}

fn show(agent: Option<&Path>, as_json: bool) -> anyhow::Result<Exit> {
    let here = Path::new("agent.toml");
    let agent = agent.or_else(|| here.is_file().then_some(here));
    let of_agent = agent.map(Config::load).transpose()?.map(|config| config.trust).unwrap_or_default();
    let trust = Places::trust()?.and(&of_agent);
    let signers = |rule: &Rule| rule.signers.iter().map(ToString::to_string).collect::<Vec<_>>();
    if as_json {
        let rule = |rule: &Rule| {
            let signers: Vec<_> = rule.signers.iter().map(report).collect();
            json!({ "source": rule.source.to_string(), "signers": signers, "file": rule.file })
        };
        print_json(&trust.rules().map(rule).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    if trust.is_empty() {
        say("no rule asks for a signature: add one with `host trust add`");
    }
    for rule in trust.rules() {
        print(&format!("{} ({})", one_line(&rule.source.to_string()), rule.file.display()))?;
        for (at, signer) in signers(rule).iter().enumerate() {
            print(&format!("  {} {}", if at == 0 { "signed by" } else { "or by" }, one_line(signer)))?;
        }
    }
    Ok(Exit::Ok)
}

fn report(signer: &Signer) -> serde_json::Value {
    match signer {
        Signer::Key { key, log, root } => {
            json!({ "key": key.fingerprint(), "file": key.file, "log": log, "root": root.to_string() })
        }
        Signer::Identity { identity, issuer, root } => {
            json!({ "identity": identity.to_string(), "issuer": issuer, "root": root.to_string() })
        }
    }
}

fn run_add(add: &Add) -> anyhow::Result<Exit> {
    let (file, trust) = if let Some(agent) = &add.agent {
        let config = Config::load(agent)?;
        let text = with_rule(config.text.as_str(), &config.path, add, true)?;
        let trust = Config::parse(&text, &config.path)?.trust;
        replace(&config, &text)?;
        (config.path, trust)
    } else {
        let path = Places::trust_path()
            .context("no home directory, so that there is no place for rules; name an agent with --agent")?;
        (path.clone(), add_own(add, &path)?)
    };
    if let Some(rule) = trust.rules().last() {
        let signers: Vec<String> = rule.signers.iter().map(|it| one_line(&it.to_string())).collect();
        say(format_args!(
            "{} now asks that {} is signed by {}",
            file.display(),
            rule.source,
            signers.join(", ")
        ));
    }
    say("what is pinned already is refused until its signature is, too: look for it with `host update`");
    Ok(Exit::Ok)
}

/// Adds a rule to the user's own.
fn add_own(add: &Add, path: &Path) -> anyhow::Result<Trust> {
    let shown = path.display();
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "version = 1\n".to_owned(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    // What is wrong with it already is told as such.
    parse_own(&before, path)?;
    let text = with_rule(&before, path, add, false)?;
    let trust = parse_own(&text, path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    OutputFile::there(path)?.replace(text.as_bytes()).with_context(|| format!("cannot write {shown}"))?;
    Ok(trust)
}

/// The text of a file with one more rule; all else stays as it is.
fn with_rule(text: &str, file: &Path, add: &Add, has_variables: bool) -> anyhow::Result<String> {
    let path = file.display();
    let mut document: DocumentMut = text.parse().with_context(|| format!("{path} cannot be changed"))?;
    let refuse = || Misuse(format!("{path}: `trust.require` is no list of tables\n  write the rule by hand"));
    let mut empty = Table::new();
    empty.set_implicit(true);
    let trust = document.entry("trust").or_insert(Item::Table(empty));
    let rules = trust.as_table_like_mut().ok_or_else(refuse)?;
    let signers = Array::from_iter([Value::InlineTable(signer(add, file, has_variables)?)]);
    match rules.entry("require").or_insert(Item::ArrayOfTables(ArrayOfTables::new())) {
        Item::ArrayOfTables(rules) => {
            let mut rule = Table::new();
            rule.insert("source", value(&add.source));
            rule.insert("signers", value(signers));
            rule.decor_mut().set_prefix("\n");
            rules.push(rule);
        }
        Item::Value(Value::Array(rules)) => {
            let mut rule = InlineTable::new();
            rule.insert("source", Value::from(&add.source));
            rule.insert("signers", Value::Array(signers));
            rules.push(rule);
        }
        Item::None | Item::Value(_) | Item::Table(_) => return Err(refuse().into()),
    }
    Ok(document.to_string())
}

fn signer(add: &Add, file: &Path, has_variables: bool) -> anyhow::Result<InlineTable> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    let written = |path: &Path| {
        let path = std::path::absolute(path)?;
        let text = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned();
        let text = if text.starts_with('~') { format!("./{text}") } else { text };
        // They would mean a variable.
        anyhow::Ok(if has_variables { text.replace('$', "$$") } else { text })
    };
    let mut signer = InlineTable::new();
    if let Some(key) = &add.key {
        signer.insert("key", written(key)?.into());
    }
    for (name, text) in [("identity", &add.identity), ("issuer", &add.issuer)] {
        if let Some(text) = text {
            signer.insert(name, text.into());
        }
    }
    if let Some(root) = &add.root {
        let is_word = ["sigstore", "github"].iter().any(|word| root.as_os_str() == *word);
        let root = if is_word { root.to_string_lossy().into_owned() } else { written(root)? };
        signer.insert("root", root.into());
    }
    if add.no_log {
        signer.insert("log", false.into());
    }
    Ok(signer)
}
