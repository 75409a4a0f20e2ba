//! `host mcp --install CLIENT`: what a client's configuration has to say, printed or written.
//!
//! What is there in the file stays as it is. A file that does not read, or that has another server of the same name, is not
//! touched.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::exit::{Exit, Misuse};
use super::output::OutputFile;
use super::streams::{print, say};
use crate::config::{Config, table_name};
use crate::document::read_text;
use crate::message::toml_string;

/// The largest configuration of a client that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How long clients that let one say so wait for the first start, in seconds: tools may have to be built and compiled.
const START_S: u32 = 120;

/// How long goose waits for anything, in seconds: that is its default.
const CALL_S: u32 = 300;

/// A program that uses MCP servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Client {
    /// Claude Code: `.mcp.json`, in the directory of the project.
    ClaudeCode,
    /// Claude Desktop: `claude_desktop_config.json`
    ClaudeDesktop,
    /// Codex: `~/.codex/config.toml`
    Codex,
    /// Cursor: `~/.cursor/mcp.json`
    Cursor,
    /// goose: `~/.config/goose/config.yaml`
    Goose,
    /// VS Code: `.vscode/mcp.json`, in the directory of the project.
    Vscode,
}

#[derive(Debug, clap::Args)]
pub(super) struct InstallArgs {
    /// Print what this client's configuration has to say to start this command, and where.
    #[arg(long, value_name = "CLIENT")]
    install: Option<Client>,
    /// Write it there.
    #[arg(long, requires = "install")]
    write: bool,
    /// What the client calls the server; by default what the agent is called.
    #[arg(long, value_name = "NAME", requires = "install")]
    name: Option<String>,
}

impl InstallArgs {
    /// Installs what is to be installed. `None` if nothing is.
    pub(super) fn run(&self, config: &Config) -> anyhow::Result<Option<Exit>> {
        let Some(client) = self.install else { return Ok(None) };
        let name = self.name.as_deref().unwrap_or(&config.agent.name);
        let server = Server {
            name: table_name(name),
            command: text_of(&std::env::current_exe().context("this program has no path")?)?,
            agent: text_of(&config.path)?,
        };
        let path = client.path()?;
        if self.write {
            server.write(client, &path)?;
        } else {
            say(format_args!("in {}:", path.display()));
            print(server.written(client).trim_end())?;
        }
        Ok(Some(Exit::Ok))
    }
}

fn text_of(path: &Path) -> Result<String, Misuse> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Misuse(format!("{} is not UTF-8, as configurations of clients are\n  move it", path.display()))
    })
}

impl Client {
    fn path(self) -> anyhow::Result<PathBuf> {
        let home = || etcetera::home_dir().context("there is no home directory; set HOME");
        Ok(match self {
            Self::ClaudeCode => std::path::absolute(".mcp.json")?,
            Self::Vscode => std::path::absolute(".vscode/mcp.json")?,
            Self::ClaudeDesktop if cfg!(target_os = "macos") => {
                home()?.join("Library/Application Support/Claude/claude_desktop_config.json")
            }
            Self::ClaudeDesktop => home()?.join(".config/Claude/claude_desktop_config.json"),
            Self::Codex => match std::env::var_os("CODEX_HOME") {
                Some(directory) => PathBuf::from(directory).join("config.toml"),
                None => home()?.join(".codex/config.toml"),
            },
            Self::Cursor => home()?.join(".cursor/mcp.json"),
            Self::Goose => home()?.join(".config/goose/config.yaml"),
        })
    }

    /// The member of a file of JSON in which servers are.
    fn servers(self) -> Option<&'static str> {
        match self {
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor => Some("mcpServers"),
            Self::Vscode => Some("servers"),
            Self::Codex | Self::Goose => None,
        }
    }
}

/// What a client is to start.
struct Server {
    name: String,
    command: String,
    agent: String,
}

impl Server {
    fn args(&self) -> [&str; 2] {
        ["mcp", &self.agent]
    }

    fn json(&self, client: Client) -> Value {
        let mut server = json!({ "command": self.command, "args": self.args() });
        if matches!(client, Client::ClaudeCode | Client::Vscode) {
            server = json!({ "type": "stdio", "command": self.command, "args": self.args() });
        }
        server
    }

    fn toml(&self) -> toml_edit::Table {
        let mut table = toml_edit::Table::new();
        table["command"] = toml_edit::value(&*self.command);
        table["args"] = toml_edit::value(self.args().into_iter().collect::<toml_edit::Array>());
        table["startup_timeout_sec"] = toml_edit::value(i64::from(START_S));
        table
    }

    fn written(&self, client: Client) -> String {
        match (client, client.servers()) {
            (_, Some(servers)) => {
                let whole = json!({ servers: { &*self.name: self.json(client) } });
                format!("{whole:#}\n")
            }
            (Client::Goose, None) => {
                // A text in the quotes of TOML is one in YAML, too.
                let mut text = String::from("extensions:\n");
                let (name, command) = (toml_string(&self.name), toml_string(&self.command));
                let args: Vec<String> = self.args().into_iter().map(toml_string).collect();
                // Writing to a text does not fail.
                let _ = write!(
                    text,
                    "  {name}:\n    enabled: true\n    type: stdio\n    name: {name}\n    cmd: {command}\n    args: [{}]\n    timeout: {CALL_S}\n",
                    args.join(", ")
                );
                text
            }
            (_, None) => {
                let mut document = toml_edit::DocumentMut::new();
                let mut servers = toml_edit::Table::new();
                servers.set_implicit(true);
                servers.insert(&self.name, toml_edit::Item::Table(self.toml()));
                document.insert("mcp_servers", toml_edit::Item::Table(servers));
                document.to_string()
            }
        }
    }

    fn write(&self, client: Client, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        let by_hand = "add what is printed without --write by hand";
        if client == Client::Goose {
            let message =
                format!("{shown} is YAML, which is not edited here\n  {by_hand}, or use `goose configure`");
            return Err(Misuse(message).into());
        }
        let before = if path.exists() {
            let read = read_text(path, FILE_BYTES_MAX);
            read.map_err(|error| Misuse(format!("cannot read {shown}: {error}\n  {by_hand}")))?
        } else {
            String::new()
        };
        let after = match client.servers() {
            Some(servers) => self.in_json(client, servers, &before),
            None => self.in_toml(&before),
        };
        let after = after.map_err(|why| Misuse(format!("{shown}: {why}")))?;
        let Some(after) = after else {
            say(format_args!("{} is in {shown} already", self.name));
            return Ok(());
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let file = OutputFile::there(path)?;
        file.replace(after.as_bytes()).with_context(|| format!("cannot write {shown}"))?;
        say(format_args!("{} is in {shown}; start the client anew", self.name));
        Ok(())
    }

    /// The file with the server in it; `None` if it is there. The error is why it cannot be put there.
    fn in_json(&self, client: Client, servers: &str, before: &str) -> Result<Option<String>, String> {
        let unread = |why: &dyn std::fmt::Display| {
            format!("it is not plain JSON ({why})\n  add what is printed without --write by hand")
        };
        let mut whole: Value = match before.trim() {
            "" => json!({}),
            text => serde_json::from_str(text).map_err(|error| unread(&error))?,
        };
        let members = whole.as_object_mut().ok_or_else(|| unread(&"no object"))?;
        let there = members.entry(servers).or_insert_with(|| json!({}));
        let there = there.as_object_mut().ok_or_else(|| unread(&format!("`{servers}` is no object")))?;
        let server = self.json(client);
        match there.get(&self.name) {
            Some(before) if *before == server => return Ok(None),
            Some(_) => return Err(self.taken()),
            None => there.insert(self.name.clone(), server),
        };
        Ok(Some(format!("{whole:#}\n")))
    }

    fn in_toml(&self, before: &str) -> Result<Option<String>, String> {
        let by_hand = "add what is printed without --write by hand";
        let mut document: toml_edit::DocumentMut =
            before.parse().map_err(|error: toml_edit::TomlError| {
                format!("it does not read: {}\n  {by_hand}", error.message())
            })?;
        let implicit = || {
            let mut table = toml_edit::Table::new();
            table.set_implicit(true);
            toml_edit::Item::Table(table)
        };
        let servers = document.entry("mcp_servers").or_insert_with(implicit);
        let servers =
            servers.as_table_like_mut().ok_or_else(|| format!("`mcp_servers` is no table\n  {by_hand}"))?;
        if let Some(there) = servers.get(&self.name) {
            let same = |key: &str, new: &toml_edit::Item| {
                there.get(key).is_some_and(|old| old.to_string().trim() == new.to_string().trim())
            };
            let is_same = self.toml().iter().all(|(key, new)| same(key, new));
            return if is_same { Ok(None) } else { Err(self.taken()) };
        }
        servers.insert(&self.name, toml_edit::Item::Table(self.toml()));
        Ok(Some(document.to_string()))
    }

    fn taken(&self) -> String {
        format!(
            "it has another server named {}\n  choose another name with --name, or remove that server",
            self.name
        )
    }
}
