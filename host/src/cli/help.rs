//! What `host --help` and the help of each command say: commands by what they are for, and what all of them take once.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};
use console::Term;
use textwrap::{Options, WordSplitter};

use super::Cli;

/// The commands by what they are for. A command that is in no group is listed at the end.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Run an agent", &["run", "chat", "resume", "fork", "cancel"]),
    ("Decide what a run waits for", &["approve", "deny", "answer", "approvals"]),
    ("Look at runs", &["runs", "ui", "sessions", "replay"]),
    ("Serve agents to programs", &["serve", "exec", "mcp", "token"]),
    (
        "Build and test an agent",
        &["init", "new", "build", "wit", "inspect", "check", "fmt", "call", "test", "schema"],
    ),
    ("Use and share components", &["add", "update", "lock", "trust", "publish", "tools"]),
    ("Keep what is recorded", &["journal"]),
];

const REST: &str = "More";

/// Lines of help are no longer, however wide the terminal is.
const WIDTH_MAX: usize = 100;

/// The names of commands stand before a column of their own.
const NAME_WIDTH: usize = 13;

const TEMPLATE: &str = "{about}

{usage-heading} {usage}

{groups}

{options-heading}
{options}{after-help}";

/// Where the help of one command refers to.
const OPTIONS_ELSEWHERE: &str =
    "`host --help` lists the options of every command, such as where runs are kept";

/// The command line, with its help.
pub(super) fn command() -> Command {
    let command = Cli::command();
    let heading = command.get_styles().get_header();
    let groups = groups(&command, &format!("{heading}"), &format!("{heading:#}"));
    let options = format!("{heading}Options of every command:{heading:#}");
    let template = TEMPLATE.replace("{groups}", &groups).replace("{options-heading}", &options);
    let global = command.get_arguments().filter(|argument| argument.is_global_set());
    let hidden: Vec<Arg> = global.map(|argument| argument.clone().hide(true)).collect();
    command.help_template(template).mut_subcommands(|command| without_global(command, &hidden))
}

/// A command, and those below it, whose help does not repeat the options that every command takes.
fn without_global(command: Command, hidden: &[Arg]) -> Command {
    command
        .args(hidden)
        .after_help(OPTIONS_ELSEWHERE)
        .mut_subcommands(|command| without_global(command, hidden))
}

fn groups(command: &Command, heading: &str, end: &str) -> String {
    let find = |name: &str| command.get_subcommands().find(|command| command.get_name() == name);
    let is_grouped = |command: &&Command| GROUPS.iter().any(|(_, names)| names.contains(&command.get_name()));
    let rest = command.get_subcommands().filter(|command| !command.is_hide_set() && !is_grouped(command));
    let mut text = String::new();
    for (title, names) in GROUPS {
        let commands = names.iter().filter_map(|name| find(name));
        group(&mut text, &format!("{heading}{title}:{end}"), commands);
    }
    group(&mut text, &format!("{heading}{REST}:{end}"), rest);
    text.trim_end().to_owned()
}

fn group<'a>(text: &mut String, title: &str, commands: impl Iterator<Item = &'a Command>) {
    let width = usize::from(Term::stdout().size().1).min(WIDTH_MAX);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{title}");
    for command in commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let line = format!("  {:<NAME_WIDTH$}{about}", command.get_name());
        let indent = " ".repeat(NAME_WIDTH + 2);
        let options =
            Options::new(width).subsequent_indent(&indent).word_splitter(WordSplitter::NoHyphenation);
        let _ = writeln!(text, "{}", textwrap::fill(&line, options.break_words(false)));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_a_group_and_none_in_two() {
        let names: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len());
        let command = Cli::command();
        let rest: Vec<&str> = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(Command::get_name)
            .filter(|name| !names.contains(name))
            .collect();
        assert_eq!(rest, ["completions"]);
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }
}
