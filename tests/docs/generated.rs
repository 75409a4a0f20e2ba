//! The parts of pages that are made of what the program says of itself.

use super::config;
use super::page::Page;
use crate::support::root;

/// Stands on a line of its own; what is above it is written by hand.
const MARK: &str =
    "<!-- Generated from here on by: HOST_DOCS=write cargo test --release --test main docs::generated -->\n";

/// A page has this behind its mark. With `HOST_DOCS=write`, it gets it.
fn is_current(name: &str, generated: &str) {
    let Page { path, text } = Page::read(name);
    let (by_hand, there) = text.split_once(MARK).unwrap_or_else(|| panic!("{name} has the line {MARK}"));
    let generated = format!("\n{}\n", generated.trim());
    if std::env::var_os("HOST_DOCS").is_some_and(|how| how == "write") {
        std::fs::write(root().join(path), format!("{by_hand}{MARK}{generated}")).unwrap();
        return;
    }
    let other = generated.lines().zip(there.lines()).find(|(now, then)| now != then);
    assert!(generated == there, "{name} is not what is generated now; first difference: {other:#?}\n{MARK}");
}

#[test]
fn config_has_every_key_of_agent_toml() {
    is_current("docs/CONFIG.md", &config::tables(&host::config::schema()));
}

#[test]
fn serve_has_every_key_of_host_toml() {
    is_current("docs/SERVE.md", &config::tables_of_today(&host::server::schema()));
}

#[test]
fn cli_has_every_command() {
    let options = clap_markdown::MarkdownOptions::new().show_footer(false);
    let page = clap_markdown::help_markdown_command_custom(&host::cli::command(), &options);
    // It begins with a title and a sentence that says no more than the title.
    let (_, commands) = page.split_once("**Command Overview:**").unwrap();
    is_current("docs/CLI.md", commands);
}
