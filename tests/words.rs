//! What the host says to a model in its own name is part of what is recorded: a run that was told it in other words is
//! replayed in these, goes on in these, and is told from one that was told something else.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use host::agent::{Agent, RunError};
use host::dispatch::{Dispatcher, NoRunner, Person, Spoken};
use host::journal::{Durability, Entry, Event, JournalStore as _, MemoryStore};
use host::message::{
    Approvals, CallRule, Decision, Digest, Ending, Hasher, Json, Manifest, Message, MessageRef, ModelAsk,
    Outcome, Request, Retry, RunId, Said, Slot, Told, ToolAsk, Topic, Words,
};
use host::model::{Models, Script, Scripted};
use host::session::{Decisions, DivergenceKind, Mode, Session, SessionError};
use proptest::prelude::*;

use crate::interleavings::manifest;

/// A run in which the host says everything that it ever says.
const SCRIPT: &str = r#"
[[reply]]

[[reply]]
calls = [{ name = "nothing" }]
stop = "max_tokens"

[[reply]]
calls = [{ name = "nothing" }]
stop = "refusal"

[[reply]]
calls = [{ name = "echo", input = { a = 1 } }, { name = "leaf" }]

[[reply]]
calls = [{ name = "LONG" }]

[[reply]]
error = { message = "too long", too_long = true }

[[reply]]
summary = true
text = "a summary"

[[reply]]
calls = [{ name = "nothing", input = { a = 1 } }]
tokens = { input = 500, output = 50 }

[[reply]]
calls = [{ name = "nothing", input = { a = 2 } }]
tokens = { input = 900, output = 200 }

[[reply]]
summary = true
text = "another summary"

[[reply]]
text = "{}"

[[reply]]
text = '{"a":1}'
"#;

/// How the model reads that a call was not made, before the reason.
const NOT_CALLED: &str = "error (not called): ";

/// The topics of all notes, as they are said in that run.
const TOPICS: [Topic; 6] = [
    Topic::EmptyReply,
    Topic::CutOffCall,
    Topic::RefusedCall,
    Topic::Summary,
    Topic::Summary,
    Topic::UnfitAnswer,
];

/// Changes the input of every call that it decides on.
struct Changing;

impl Person for Changing {
    fn decide<'a>(&'a self, _: &'a Slot, _: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        let input = Some(Json::parse("{\"b\":2}".to_owned()).unwrap());
        Box::pin(std::future::ready(Some(Decision::Approved { input }.into())))
    }

    fn answer<'a>(&'a self, _: &'a Slot, _: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(std::future::ready(None))
    }
}

/// What that run is, by these rules and in these words.
fn told(rules: &str, words: Option<Words>) -> Manifest {
    let rule = CallRule { tool: "echo".to_owned(), input: std::collections::BTreeMap::new() };
    let mut manifest = Manifest {
        rules: serde_json::from_str(rules).unwrap(),
        words: words.map(Arc::new),
        output_schema: Some(Json::parse("{\"type\":\"object\",\"required\":[\"a\"]}".to_owned()).unwrap()),
        compact_at_tokens: Some(1000),
        max_turns: 20,
        approvals: Approvals { ask: vec![rule], ..Approvals::default() },
        said: vec![Said { turn: 3, text: "Go on.".to_owned() }],
        ..manifest()
    };
    // Less than the call comes to, so that the middle is left out.
    let mut tools = manifest.tools.to_vec();
    tools[1].shown_bytes_max = 40;
    manifest.tools = tools.into();
    manifest
}

fn id() -> RunId {
    RunId::from_bytes([9; 16])
}

async fn open(mode: Mode, entries: Vec<Entry>, manifest: &Manifest) -> Result<Session, SessionError> {
    Session::open(id(), mode, entries, manifest, Decisions::default(), Box::new(|_| {})).await
}

/// Carries a run out from where it stands, and gives how it ended and what is recorded then.
async fn carry_out(manifest: &Manifest, script: &str, before: Vec<Entry>) -> (Ending, Vec<Entry>) {
    let store = Arc::new(MemoryStore::default());
    for entry in &before {
        store.append(entry, Durability::Now).durable().await.unwrap();
    }
    let session = open(Mode::Live(Arc::clone(&store) as _), before, manifest).await.unwrap();
    let script = Script::parse(&script.replace("LONG", &"n".repeat(2000)), Path::new("script.toml")).unwrap();
    let dispatcher = Dispatcher::new(manifest, Arc::new(NoRunner), 4).attended_by(Arc::new(Changing));
    let agent = Agent {
        manifest: Arc::new(manifest.clone()),
        session: Arc::new(session),
        models: Models::only(Arc::new(Scripted::new(script)), Retry::NEVER),
        dispatcher: Arc::new(dispatcher),
        slot: Slot::RUN,
    };
    let ending = agent.run(None).await.unwrap().ending;
    (ending, store.read(id()).unwrap())
}

async fn replay(manifest: &Manifest, entries: &[Entry]) -> Result<Ending, RunError> {
    let session = open(Mode::Replay, entries.to_vec(), manifest).await?;
    Ok(Agent::recorded(manifest.clone(), session).again().await?.0.ending)
}

pub fn ask(entry: &Entry) -> Option<&ModelAsk> {
    match &entry.event {
        Event::Started(started) => match &started.request {
            Request::Model(ask) => Some(ask),
            Request::Run(_) | Request::Api(_) | Request::Tool(_) | Request::Approval(_) => None,
        },
        Event::Failed(_) | Event::Finished(_) => None,
    }
}

/// Changes what was asked at the slots at which models were asked, each in turn.
fn change_asks(entries: &mut [Entry], mut change: impl FnMut(&Slot, &mut ModelAsk)) {
    for Entry { slot, event, .. } in entries {
        if let Event::Started(started) = event
            && let Request::Model(ask) = &mut started.request
        {
            change(slot, ask);
            started.digest = started.request.digest();
        }
    }
}

/// The words of all notes, in order, whether or not their topics are recorded.
pub fn notes(entries: &[Entry]) -> Vec<String> {
    let appended = entries.iter().filter_map(ask).flat_map(|ask| &ask.appended);
    let text = |at: &MessageRef| match at {
        MessageRef::Note(text) | MessageRef::Told(Told { text, .. }) => Some(text.clone()),
        MessageRef::Earlier
        | MessageRef::Compacted(_)
        | MessageRef::Prompt
        | MessageRef::Image(_)
        | MessageRef::Said(_)
        | MessageRef::At(_) => None,
    };
    appended.filter_map(text).collect()
}

/// Puts other words into the notes, in order, and leaves the digests as they are.
pub fn say_otherwise(entries: &mut [Entry], words: &[String]) {
    let mut words = words.iter();
    change_asks(entries, |_, ask| {
        for at in &mut ask.appended {
            if let MessageRef::Note(text) | MessageRef::Told(Told { text, .. }) = at {
                text.clone_from(words.next().unwrap());
            }
        }
    });
    assert!(words.next().is_none(), "there is a note for all of these words");
}

/// What differs where a run diverges: the slot, what is recorded there, and what is asked for.
fn divergence(replayed: Result<Ending, RunError>) -> (Slot, ModelAsk, ModelAsk) {
    match replayed {
        Err(RunError::Session(SessionError::Diverged(divergence))) => match divergence.kind {
            DivergenceKind::OtherRequest { recorded, attempted } => match (*recorded, *attempted) {
                (Request::Model(recorded), Request::Model(attempted)) => {
                    (divergence.slot, recorded, attempted)
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        },
        other => panic!("it diverged: {other:?}"),
    }
}

/// Sets the digests as a host that speaks in these words would have recorded them; how many differed. Nothing else does.
pub async fn set_digests(manifest: &Manifest, entries: &mut [Entry]) -> usize {
    let mut changed = 0;
    while let Err(error) = replay(manifest, entries).await {
        let (at, recorded, attempted) = divergence(Err(error));
        assert_eq!(
            (recorded.messages, &recorded.appended),
            (attempted.messages, &attempted.appended),
            "{at}"
        );
        change_asks(entries, |slot, ask| {
            if *slot == at {
                ask.conversation = attempted.conversation;
            }
        });
        changed += 1;
    }
    changed
}

/// What is recorded of a run that was killed while the model was asked at a slot.
pub fn killed_at(entries: &[Entry], slot: &Slot) -> Vec<Entry> {
    let began = |entry: &Entry| matches!(entry.event, Event::Started(_));
    let before = |entry: &&Entry| {
        (entry.slot < *slot && entry.slot != Slot::RUN)
            || ((entry.slot == *slot || entry.slot == Slot::RUN) && began(entry))
    };
    entries.iter().filter(before).cloned().collect()
}

/// What the script says at a slot, it says at the first attempt alone.
fn may_be_asked_twice(entries: &[Entry], slot: &Slot) -> bool {
    entries.iter().filter(|entry| entry.slot == *slot).all(|entry| match &entry.event {
        Event::Finished(finished) => !matches!(finished.outcome, Outcome::NoReply(_)),
        Event::Started(_) | Event::Failed(_) => true,
    })
}

fn sentence() -> impl Strategy<Value = String> {
    "[a-zü .\n]{1,60}"
}

fn words() -> impl Strategy<Value = Words> {
    (sentence(), sentence(), sentence(), sentence(), sentence()).prop_map(
        |(form, summary, before, behind, input)| Words {
            form: form.into(),
            summary: summary.into(),
            left_out: [before.into(), behind.into()],
            changed_input: input.into(),
        },
    )
}

/// Words for all notes of the run.
fn other_notes() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(sentence(), TOPICS.len()).prop_map(|sentences| {
        let as_read = |(topic, text): (&Topic, String)| match topic {
            Topic::CutOffCall | Topic::RefusedCall => format!("{NOT_CALLED}{text}"),
            Topic::EmptyReply | Topic::UnfitAnswer | Topic::Summary => text,
        };
        TOPICS.iter().zip(sentences).map(as_read).collect()
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn fits() -> Ending {
    Ending::Answer("{\"a\":1}".to_owned())
}

/// A run that was told these notes, and around other texts these words, is replayed, and goes on wherever it was killed.
async fn holds(manifest: &Manifest, said: &[String]) {
    let (ending, mut entries) = carry_out(manifest, SCRIPT, vec![]).await;
    assert_eq!(ending, fits());
    say_otherwise(&mut entries, said);
    assert!(set_digests(manifest, &mut entries).await > 0, "what is said is part of the digest");
    assert_eq!(replay(manifest, &entries).await.unwrap(), fits());
    let slots: Vec<Slot> =
        entries.iter().filter(|entry| ask(entry).is_some()).map(|entry| entry.slot.clone()).collect();
    for slot in slots.iter().filter(|slot| may_be_asked_twice(&entries, slot)) {
        let killed = killed_at(&entries, slot);
        let (ending, resumed) = carry_out(manifest, SCRIPT, killed.clone()).await;
        assert_eq!(ending, fits(), "killed at {slot}");
        let mut asked: Vec<&ModelAsk> = Vec::new();
        for ask in resumed.iter().filter(|entry| entry.slot <= *slot).filter_map(ask) {
            if asked.last() != Some(&ask) {
                asked.push(ask);
            }
        }
        assert_eq!(asked, killed.iter().filter_map(self::ask).collect::<Vec<_>>(), "killed at {slot}");
        assert_eq!(replay(manifest, &resumed).await.unwrap(), fits(), "killed at {slot}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_run_is_replayed_and_goes_on_in_the_words_that_are_recorded(words in words(), said in other_notes()) {
        runtime().block_on(holds(&told("4", Some(words)), &said));
    }

    #[test]
    fn so_is_one_of_rules_that_recorded_no_topics(said in other_notes()) {
        runtime().block_on(holds(&told("3", None), &said));
    }
}

#[test]
fn the_host_says_all_that_it_can_say() {
    runtime().block_on(async {
        let (_, entries) = carry_out(&told("4", Some(Words::now())), SCRIPT, vec![]).await;
        let topics = entries.iter().filter_map(ask).flat_map(|ask| &ask.appended).filter_map(|at| match at {
            MessageRef::Told(told) => Some(told.topic),
            MessageRef::Earlier
            | MessageRef::Compacted(_)
            | MessageRef::Prompt
            | MessageRef::Image(_)
            | MessageRef::Said(_)
            | MessageRef::At(_)
            | MessageRef::Note(_) => None,
        });
        assert_eq!(topics.collect::<Vec<_>>(), TOPICS);
        // Each of the words around other texts is in what is compared: with another one the run is another run.
        let said = |words: Words| told("4", Some(words));
        let asked = |entries: &[Entry]| entries.iter().filter_map(ask).cloned().collect::<Vec<_>>();
        for changed in [
            Words { form: "Say: ".into(), ..Words::now() },
            Words { summary: "So far: ".into(), ..Words::now() },
            Words { left_out: ["<".into(), ">".into()], ..Words::now() },
            Words { changed_input: "changed to ".into(), ..Words::now() },
        ] {
            let (_, other) = carry_out(&said(changed.clone()), SCRIPT, vec![]).await;
            assert_ne!(asked(&other), asked(&entries), "{changed:?}");
        }
    });
}

#[test]
fn a_note_about_something_else_is_a_divergence() {
    runtime().block_on(async {
        let manifest = told("4", Some(Words::now()));
        let (_, entries) = carry_out(&manifest, SCRIPT, vec![]).await;
        for place in 0..TOPICS.len() {
            let (mut other, mut at) = (entries.clone(), 0);
            change_asks(&mut other, |_, ask| {
                for told in &mut ask.appended {
                    if let MessageRef::Told(told) = told {
                        if at == place {
                            told.topic =
                                if told.topic == Topic::Summary { Topic::EmptyReply } else { Topic::Summary };
                        }
                        at += 1;
                    }
                }
            });
            let (_, recorded, attempted) = divergence(replay(&manifest, &other).await);
            assert_ne!(recorded.appended, attempted.appended, "the diff shows it");
        }
        // Where no topics are recorded, the words of then say what they are about.
        let before = told("3", None);
        let (_, mut entries) = carry_out(&before, SCRIPT, vec![]).await;
        let mut said = notes(&entries);
        said.swap(0, 5);
        say_otherwise(&mut entries, &said);
        let (slot, recorded, attempted) = divergence(replay(&before, &entries).await);
        assert_eq!(slot, Slot::model(1));
        assert_ne!(recorded.appended, attempted.appended);
    });
}

#[test]
fn an_answer_that_is_of_no_use_is_so_whatever_the_checker_said_of_it() {
    let script = "[[reply]]\ntext = '{}'\n[[reply]]\ntext = '[]'";
    runtime().block_on(async {
        let manifest = Manifest { said: vec![], ..told("4", Some(Words::now())) };
        let (ending, mut entries) = carry_out(&manifest, script, vec![]).await;
        let Ending::Unfit { answer, why } = ending else { panic!("{ending:?}") };
        assert!(answer == "[]" && !why.is_empty());
        let mut ends = |ending: Ending| {
            for entry in entries.iter_mut().filter(|entry| entry.slot == Slot::RUN) {
                if let Event::Finished(finished) = &mut entry.event {
                    finished.outcome = Outcome::Run(ending.clone());
                }
            }
            entries.clone()
        };
        let otherwise = Ending::Unfit { answer, why: "It is a list.".to_owned() };
        assert_eq!(replay(&manifest, &ends(otherwise.clone())).await.unwrap(), otherwise);
        for other in
            [Ending::Unfit { answer: "[0]".to_owned(), why }, Ending::Empty(String::new())].map(&mut ends)
        {
            let diverged = replay(&manifest, &other).await.unwrap_err();
            assert!(diverged.to_string().contains("ended otherwise than recorded"), "{diverged}");
        }
    });
}

#[test]
fn the_digest_is_that_of_what_was_said() {
    let script = "[[reply]]\n[[reply]]\ntext = '{\"a\":1}'";
    runtime().block_on(async {
        let manifest = Manifest { said: vec![], ..told("4", Some(Words::now())) };
        let (_, mut entries) = carry_out(&manifest, script, vec![]).await;
        say_otherwise(&mut entries, &["You were silent.".to_owned()]);
        assert_eq!(set_digests(&manifest, &mut entries).await, 1);
        let reply = entries.iter().find_map(|entry| match &entry.event {
            Event::Finished(finished) if entry.slot == Slot::model(0) => match &finished.outcome {
                Outcome::Model(reply) => Some(reply.clone()),
                other => panic!("{other:?}"),
            },
            Event::Finished(_) | Event::Started(_) | Event::Failed(_) => None,
        });
        let instructions = Words::now().instructed("", manifest.output_schema.as_ref());
        let beginning = Digest::of_json(&(&instructions, &manifest.model, &manifest.offered()));
        let said = [
            Message::User("go".to_owned()),
            Message::Assistant(reply.unwrap()),
            Message::User("You were silent.".to_owned()),
        ];
        let chained = said.iter().fold(beginning, |digest, message| {
            let message = Digest::of_json(message);
            Hasher::default().part(digest.as_bytes()).part(message.as_bytes()).finish()
        });
        let asked = entries.iter().filter(|entry| entry.slot == Slot::model(1)).find_map(ask).unwrap();
        assert_eq!(asked.conversation, chained);
    });
}
