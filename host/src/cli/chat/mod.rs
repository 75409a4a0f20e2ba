//! `host chat`: a conversation with an agent, prompt by prompt.
//!
//! Owns what a person types and is shown between runs. Each prompt is a run of a session, as `host run --session` makes
//! one: recorded, resumed and replayed like any other. At a terminal lines are edited, and what the model says is drawn;
//! elsewhere each line of stdin is a prompt, and stdout has the answers alone, so that a script can hold a conversation.
//! Invariant: whatever ends the process, the conversation goes on from its key.

mod command;
mod conversation;
mod editing;
mod lines;
mod markdown;
mod talk;
mod there;
mod told;
mod unfinished;

pub(super) use talk::{Talk, below_answer, draw};

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::AgentArg;
use super::exit::{self, Exit, Misuse};
use super::front::front;
use super::layout::unbroken;
use super::places::Places;
use super::plain::Plain;
use super::prompt::Given;
use super::remote::At;
use super::screen::{Format, Screen};
use super::signals::Signals;
use super::traces::Traces;
use super::words::{beginning, counted, one_line};
use crate::config::{Config, Provider};
use crate::engine::Purpose;
use crate::message::{Digest, SessionKey, shell_quoted};
use command::{Command, Input};
use conversation::{Conversation, Partner};
use editing::{Editing, Words};
use lines::{Lines, Typed};
use there::There;
use unfinished::Becomes;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    /// Go on with the conversation of this key, or begin it; without a key a new one is made. A key has 1 to 64 of the
    /// characters A-Z a-z 0-9 _ - . @ :
    #[arg(long, value_name = "KEY")]
    session: Option<SessionKey>,
    #[command(flatten)]
    given: Given,
    /// Take each line of stdin for a prompt, and print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    traces: Traces,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    let Args { agent, session, given, json, traces, at } = args;
    let format = match json {
        true => Format::Json,
        false if is_interactive() => Format::Talk,
        false => Format::Text,
    };
    let screen = Screen::new(format);
    if let Some(remote) = at.named()? {
        let agent = agent.agent.to_string_lossy().into_owned();
        let lines = lines(
            format,
            &places.state()?,
            format!("{} {agent}", remote.url()).as_bytes(),
            &Words::default(),
        )?;
        signals.attend();
        let (parameters, signals) = (given.given()?, signals.clone());
        let there = There { remote, at, agent, parameters, key: session, screen, format, lines, signals };
        return there.hold().await;
    }
    let config = Config::load(&agent.agent)?;
    let parameters = given.parameters(&config)?;
    let engine = places.engine(traces.exporter(&screen))?;
    let front = front(&screen, places.verbose, &engine);
    let loaded = engine.load(config, Purpose::Run, &*front.watcher).await.map_err(Plain::plain)?;
    let partner = Partner { engine, agent: loaded, parameters, screen, front };
    let conversation = session.map_or_else(|| partner.begin(), |key| Ok(Conversation::of(key)))?;
    let of_agent = partner.agent.config().path.as_os_str().as_encoded_bytes().to_vec();
    let words = Words::default();
    let lines = lines(format, &places.state()?, &of_agent, &words)?;
    signals.attend();
    let agent = agent.agent;
    let mut chat = Chat { partner, conversation, lines, words, signals: signals.clone(), format, agent };
    chat.hold().await
}

/// Whether a person types and reads, at a terminal on which lines can be edited.
fn is_interactive() -> bool {
    let are_terminals =
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    are_terminals && std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// A conversation as it is held.
struct Chat {
    partner: Partner,
    conversation: Conversation,
    lines: Lines,
    words: Words,
    signals: Signals,
    format: Format,
    /// The agent, as it was named on the command line.
    agent: PathBuf,
}

/// What comes after a line.
enum Next {
    /// Another line.
    Line,
    /// The end.
    Leave(Exit),
}

impl Chat {
    /// Takes one line after the other until there is an end.
    async fn hold(&mut self) -> anyhow::Result<Exit> {
        self.greet();
        if let Next::Leave(exit) = self.come_back().await? {
            return Ok(exit);
        }
        let mut was_interrupted = false;
        loop {
            self.begin_round();
            self.offer_words();
            let typed = tokio::select! {
                typed = self.lines.next() => typed?,
                () = self.signals.asked_to_end() => return Ok(self.leave(Exit::Interrupted)),
            };
            self.begin_round();
            let next = match typed {
                Typed::End => Next::Leave(Exit::Ok),
                Typed::Interrupted if was_interrupted => Next::Leave(Exit::Ok),
                Typed::Interrupted => {
                    self.partner.screen.say("(Ctrl-C again, or Ctrl-D, leaves)");
                    was_interrupted = true;
                    continue;
                }
                Typed::Text(text) => self.answer(Input::of(&text)).await?,
            };
            was_interrupted = false;
            if let Next::Leave(exit) = next {
                return Ok(self.leave(exit));
            }
            if self.signals.has_to_end() {
                return Ok(self.leave(Exit::Interrupted));
            }
        }
    }

    /// Has Tab complete what there is now. A conversation that cannot be read is not offered, and stops no other.
    fn offer_words(&self) {
        if let Lines::Edited(_) = self.lines {
            let keys = self.partner.keys().unwrap_or_default();
            self.words.set(self.partner.tools(), keys.into_iter().map(|(key, _)| key.into()).collect());
        }
    }

    /// Begins a round, which Ctrl-C ends alone: what a script says is one piece of work, which it ends whole.
    fn begin_round(&self) {
        match self.lines {
            Lines::Edited(_) => self.signals.begin_round(),
            Lines::Piped => {}
        }
    }

    fn greet(&self) {
        let Partner { agent, screen, .. } = &self.partner;
        let config = agent.config();
        if self.format == Format::Json {
            return;
        }
        let tools = counted(agent.tools().iter().filter(|tool| !tool.hidden).count(), "tool");
        screen.say(&format!(
            "talking with {}, {tools}; /help lists the commands",
            one_line(&config.agent.name)
        ));
        if config.models().all(|model| matches!(&model.provider, Provider::Remote(remote) if !remote.stream))
        {
            screen.say("replies are shown when they are whole; `stream = true` under [model] shows them as they come");
        }
        self.say_key();
    }

    fn say_key(&self) {
        let key = &self.conversation.key;
        let command = format!("host chat {} --session {key}", quoted(&self.agent));
        self.partner.screen.say(&format!("conversation {key}; come back to it with: {}", unbroken(&command)));
    }

    /// Shows what was said last, and asks about a run that has not ended.
    async fn come_back(&mut self) -> anyhow::Result<Next> {
        let Self { partner, conversation, signals, .. } = self;
        let key = &conversation.key;
        let last = partner.last(key)?;
        if last.is_some_and(|last| last.summary.agent != partner.agent.config().agent.name) {
            let message = format!("the session {key} is with another agent; choose another key");
            return Err(Misuse(message).into());
        }
        if self.format != Format::Talk {
            return Ok(Next::Line);
        }
        partner.tell_last(key)?;
        signals.begin_round();
        if let Some(last) = partner.unfinished(key)? {
            let settled = partner.settle_last(key, &last, signals).await;
            return self.after_settling(settled.map(|_| Exit::Ok));
        }
        Ok(Next::Line)
    }

    /// What comes after work that may have failed: at a terminal the error is shown, and another line can be typed.
    fn after_settling(&self, done: anyhow::Result<Exit>) -> anyhow::Result<Next> {
        match done {
            Err(error) if self.format == Format::Talk => {
                exit::report(&error);
                Ok(Next::Line)
            }
            Err(error) => Err(error),
            Ok(_) if self.signals.has_to_end() => Ok(Next::Leave(Exit::Interrupted)),
            // A script has to know that there is no answer, and what it says next would go elsewhere.
            Ok(exit) if self.format != Format::Talk && exit != Exit::Ok => Ok(Next::Leave(exit)),
            Ok(_) => Ok(Next::Line),
        }
    }

    async fn answer(&mut self, input: Input) -> anyhow::Result<Next> {
        let done = match input {
            Input::Nothing => Ok(Exit::Ok),
            Input::Prompt(prompt) => self.say(prompt).await,
            Input::Command(Command::Quit) => return Ok(Next::Leave(Exit::Ok)),
            Input::Command(command) => self.obey(command).await,
            Input::Mistake(mistake) => Err(Misuse(mistake).into()),
        };
        self.after_settling(done)
    }

    /// Says something to the agent, once the run before has ended.
    async fn say(&mut self, prompt: String) -> anyhow::Result<Exit> {
        let Self { partner, conversation, signals, format, .. } = self;
        if *format == Format::Talk
            && let Some(last) = partner.unfinished(&conversation.key)?
        {
            match partner.settle_last(&conversation.key, &last, signals).await? {
                Becomes::Settled => {}
                Becomes::Open(exit) => return Ok(exit),
            }
        }
        partner.say(conversation, prompt, None, signals).await
    }

    async fn obey(&mut self, command: Command) -> anyhow::Result<Exit> {
        let key = self.conversation.key.clone();
        match command {
            Command::Help => self.partner.tell_help(),
            Command::Tools(name) => self.partner.tell_tools(name.as_deref())?,
            Command::Fork(number) => {
                let (fork, number) = self.partner.fork(&self.conversation, number)?;
                self.conversation = fork;
                self.partner
                    .screen
                    .say(&format!("goes on from exchange {number} of {key}, which stays as it is"));
                self.say_key();
            }
            Command::Session(None) => self.partner.tell_sessions(&key)?,
            Command::Session(Some(key)) => {
                let before = std::mem::replace(&mut self.conversation, Conversation::of(key));
                let came = self.come_back().await;
                if came.is_err() {
                    self.conversation = before;
                }
                came?;
                self.say_key();
            }
            Command::Retry => return self.retry().await,
            Command::Runs => self.partner.tell_runs(&self.conversation)?,
            Command::Cost => self.partner.tell_cost(&key)?,
            Command::Clear => {
                self.conversation = self.partner.begin()?;
                self.say_key();
            }
            Command::Quit => {}
        }
        Ok(Exit::Ok)
    }

    /// Goes on with the last run, or asks for its answer anew.
    async fn retry(&mut self) -> anyhow::Result<Exit> {
        let Self { partner, conversation, signals, .. } = self;
        let Some(last) = partner.last(&conversation.key)? else {
            return Err(Misuse("nothing was said yet".to_owned()).into());
        };
        if last.ending.is_none() {
            return partner.go_on(last.run, signals).await;
        }
        partner.screen.say(&format!("asking again: {}", beginning(&last.summary.prompt)));
        partner.say(conversation, last.summary.prompt, Some(last.run), signals).await
    }

    /// Says how to come back, if there is something to come back to.
    fn leave(&self, exit: Exit) -> Exit {
        let said = self.partner.engine.sessions().runs(&self.conversation.key);
        if self.format == Format::Talk && said.is_ok_and(|runs| !runs.is_empty()) {
            self.say_key();
        }
        exit
    }
}

/// Where lines are typed. What is typed at a terminal is kept in a file below the state directory, of this agent.
fn lines(format: Format, state: &Path, of_agent: &[u8], words: &Words) -> anyhow::Result<Lines> {
    match format {
        Format::Talk => {
            let history = format!("{}.history", Digest::of(of_agent).short());
            Ok(Lines::Edited(Editing::begin(state.join("chat").join(history), words.clone())?))
        }
        Format::Text | Format::Json => Ok(Lines::Piped),
    }
}

/// A path, as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if path.chars().all(is_plain) { one_line(&path) } else { shell_quoted(&one_line(&path)) }
}
