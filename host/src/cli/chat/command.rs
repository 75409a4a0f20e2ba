//! What a person types: a prompt, or a command of the conversation.

use crate::message::{SessionKey, spelled_out};

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It says nothing.
    Nothing,
    /// It is said to the agent.
    Prompt(String),
    /// It is about the conversation.
    Command(Command),
    /// It is wrong, and why.
    Mistake(String),
}

/// What can be done with a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    /// All tools, or one in full.
    Tools(Option<String>),
    /// From behind so many exchanges, or from behind the last one.
    Fork(Option<usize>),
    /// The list, or another conversation.
    Session(Option<SessionKey>),
    Retry,
    Runs,
    Cost,
    Clear,
    Quit,
}

/// The commands: name, what follows it, and what it does.
pub(super) const COMMANDS: [(&str, &str, &str); 9] = [
    ("/help", "", "list the commands"),
    (
        "/tools",
        "[TOOL]",
        "list what the agent can call and what each tool is granted, or show one tool in full",
    ),
    ("/fork", "[N]", "begin a new conversation that goes on from exchange N of this one, or from the last"),
    ("/session", "[KEY]", "list the conversations with this agent, or go to another one"),
    ("/retry", "", "go on with the last run if it has not ended; else ask for the last answer anew"),
    ("/runs", "", "list the exchanges of this conversation, with the ids of their runs"),
    ("/cost", "", "say what this conversation used so far"),
    ("/clear", "", "begin a new conversation"),
    ("/quit", "", "leave; Ctrl-D does the same"),
];

/// What somebody has to know who wants to say what begins like a command.
pub(super) const ESCAPED: &str = "a prompt that begins with `/` is typed with `//`";

impl Input {
    /// What a text means that was typed. A backslash at the end of a line has joined the next line to it.
    pub(super) fn of(typed: &str) -> Self {
        let text = typed.replace("\\\n", "\n");
        let text = text.trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        match text.strip_prefix('/') {
            None => Self::Prompt(text.to_owned()),
            Some(prompt) if prompt.starts_with('/') => Self::Prompt(prompt.to_owned()),
            Some(command) => Command::of(command).map_or_else(Self::Mistake, Self::Command),
        }
    }
}

impl Command {
    /// A command without its slash.
    fn of(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let argument = words.next();
        let command = match (name, argument) {
            ("help", None) => Self::Help,
            ("tools", tool) => Self::Tools(tool.map(str::to_owned)),
            ("fork", None) => Self::Fork(None),
            ("fork", Some(number)) => Self::Fork(Some(exchange(number)?)),
            ("session", None) => Self::Session(None),
            ("session", Some(key)) => Self::Session(Some(key.parse().map_err(|error| format!("{error}"))?)),
            ("retry", None) => Self::Retry,
            ("runs", None) => Self::Runs,
            ("cost", None) => Self::Cost,
            ("clear", None) => Self::Clear,
            ("quit" | "exit", None) => Self::Quit,
            (name, _) => return Err(unknown(name)),
        };
        match words.next() {
            Some(word) => {
                Err(format!("/{name} takes no more than one word, and not `{}`", spelled_out(word)))
            }
            None => Ok(command),
        }
    }
}

/// The number of an exchange.
fn exchange(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number
        .ok_or_else(|| format!("`{}` is not the number of an exchange; /runs lists them", spelled_out(text)))
}

fn unknown(name: &str) -> String {
    let slashed = format!("/{name}");
    let known = COMMANDS.iter().any(|(command, ..)| *command == slashed);
    if known {
        return format!("{slashed} takes nothing behind it");
    }
    let names: Vec<&str> = COMMANDS.iter().map(|(command, ..)| *command).collect();
    format!("there is no command {}; there are {}\n{ESCAPED}", spelled_out(&slashed), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_prompt_or_a_command() {
        for (typed, input) in [
            ("  ", Input::Nothing),
            (" What? ", Input::Prompt("What?".to_owned())),
            ("one\\\ntwo", Input::Prompt("one\ntwo".to_owned())),
            ("//etc/hosts?", Input::Prompt("/etc/hosts?".to_owned())),
            ("/help", Input::Command(Command::Help)),
            ("/tools  get_weather ", Input::Command(Command::Tools(Some("get_weather".to_owned())))),
            ("/fork 2", Input::Command(Command::Fork(Some(2)))),
            ("/session", Input::Command(Command::Session(None))),
            ("/exit", Input::Command(Command::Quit)),
        ] {
            assert_eq!(Input::of(typed), input, "{typed:?}");
        }
    }

    #[test]
    fn a_mistake_says_what_there_is() {
        for (typed, said) in [
            ("/nonsense", "there is no command /nonsense; there are /help, /tools"),
            ("/etc/hosts says what?", "is typed with `//`"),
            ("/x\u{1b}[2J", "/x\\u{1b}[2J"),
            ("/clear now", "/clear takes nothing behind it"),
            ("/fork 1 2", "/fork takes no more than one word, and not `2`"),
            ("/fork 0", "`0` is not the number of an exchange"),
            ("/session a/b", "a session's key has 1 to 64"),
        ] {
            let input = Input::of(typed);
            assert!(matches!(&input, Input::Mistake(mistake) if mistake.contains(said)), "{input:?}");
        }
    }

    #[test]
    fn every_command_that_is_listed_is_known() {
        for (name, ..) in COMMANDS {
            assert!(matches!(Input::of(name), Input::Command(_)), "{name}");
        }
    }
}
