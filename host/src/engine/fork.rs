//! A run that shares the beginning of another run, and goes on from there with other words or results.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use super::Engine;
use super::catalog::Purpose;
use super::changes;
use super::drive::Work;
use super::handle::RunHandle;
use super::people::Front;
use super::plan::{Task, manifest};
use super::records::recorded_manifest;
use super::settle::fits;
use super::start::{StartError, recorded_config};
use super::watch::{Changed, Told};
use crate::journal::{
    Change, Entry, Event, Finished, JournalError, RunFile, RunState, RunSummary, Seq, Started, Status,
    is_over, kept, number, statuses,
};
use crate::message::{
    Caller, Fork, Json, Manifest, Moment, Outcome, Reply, Request, RunId, Said, Slot, Step, ToolOutcome,
};
use crate::session::{Decisions, SessionError};

/// A fork that is to be started.
#[derive(Default)]
pub struct NewFork {
    /// The first turn that is carried out anew, from 0. With an edit it may be left out: the fork begins after it.
    pub turn: Option<u32>,
    /// What is said before that turn; at turn 0, what is asked instead.
    pub prompt: Option<String>,
    /// Another result from which the run goes on.
    pub edit: Option<Edit>,
    /// Another agent.toml than the recorded one.
    pub config: Option<PathBuf>,
    /// In the course of which span the run goes on.
    pub caller: Option<Caller>,
}

/// A result that takes the place of a recorded one.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// The output of a call.
    Output(Slot, Json),
    /// The reply of a model.
    Reply(Slot, Box<Reply>),
}

/// Why there is no fork.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// A program carries the run out: nothing here can go on from its middle.
    #[error("run {run} is carried out by a program, and cannot be forked")]
    Outside {
        /// The run.
        run: RunId,
    },
    /// The run does not go as far as that.
    #[error("the run has {}, so it cannot be forked at turn {turn}", turns(*.ended))]
    TooFar {
        /// Where it was to be forked.
        turn: u32,
        /// How many turns of it have ended.
        ended: usize,
    },
    /// An effect before the turn has no end yet.
    #[error("{slot} has not ended")]
    Unfinished {
        /// The effect.
        slot: Slot,
    },
    /// No such result can be edited.
    #[error("{slot} has no result that can be edited; name a model(T) or a tool(T,I)")]
    NoResult {
        /// The slot.
        slot: Slot,
    },
    /// The fork begins after the edit, and not at another turn.
    #[error("an edit at {slot} forks the run at turn {after}, and not at {at}")]
    OtherTurn {
        /// The slot of the edit.
        slot: Slot,
        /// The turn after it.
        after: u32,
        /// The turn that was asked for.
        at: u32,
    },
    /// There is nothing to edit.
    #[error("nothing is recorded at {slot}")]
    Nothing {
        /// The slot.
        slot: Slot,
    },
    /// The tool could not have given this output.
    #[error("the edit of {slot} is not an output that this call could have given: {why}")]
    Unfit {
        /// The call.
        slot: Slot,
        /// The rule that the output breaks.
        why: String,
    },
    /// The new run does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// What is recorded cannot be read.
    #[error(transparent)]
    Recorded(#[from] SessionError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn turns(number: usize) -> String {
    if number == 1 { "1 turn".to_owned() } else { format!("{number} turns") }
}

/// A fork that is not recorded yet.
struct Forked {
    file: RunFile,
    manifest: Manifest,
}

impl Engine {
    /// Starts a run that shares the beginning of a recorded run, which stays as it is.
    pub async fn fork(
        &self,
        origin: RunId,
        entries: Vec<Entry>,
        mut fork: NewFork,
        front: Front,
    ) -> Result<RunHandle, ForkError> {
        let id = RunId::new();
        let (config, caller) = (fork.config.take(), fork.caller.take());
        let Forked { file, manifest: forked } = fork.forked(id, origin, entries)?;
        let config = recorded_config(&forked, config).await?;
        let agent = self.load(config, Purpose::Run, &*front.watcher).await.map_err(StartError::from)?;
        let manifest = manifest(&agent, Task::of(&forked)).map_err(StartError::from)?;
        let changes = changes::between(&forked, &manifest, &file.entries);
        if !changes.is_empty() {
            let told = Changed { run: id, changes, change: Change::Accepted, has_replied: true };
            front.watcher.tell(Told::Changed(&told));
        }
        let _door = self.0.live.door(id).await;
        let run = self.claim_new(id).await?;
        run.begin_with(&file).await?;
        // Whatever differs from the recorded run is what the fork is for.
        let decisions = Decisions { change: Change::Accepted, ..Decisions::default() };
        let (turn, instead_of, entries) = (None, None, file.entries);
        let work = Work { run, entries, agent, manifest, decisions, turn, instead_of, caller, desk: None };
        Ok(self.carry_out(work, front).await?)
    }

    /// Records a fork that is to go on later: it is on disk when this returns, and goes on when the run `id` is resumed,
    /// with changes accepted. Its `config` and `caller` count for nothing: how it is resumed says those.
    pub async fn accept_fork(
        &self,
        id: RunId,
        origin: RunId,
        entries: Vec<Entry>,
        fork: NewFork,
    ) -> Result<(), ForkError> {
        let Forked { file, .. } = fork.forked(id, origin, entries)?;
        let _door = self.0.live.door(id).await;
        let run = self.claim_new(id).await?;
        let begun = run.begin_with(&file).await;
        run.leave().await;
        Ok(begun?)
    }
}

impl NewFork {
    /// The fork of a run as it is to be recorded.
    fn forked(self, id: RunId, origin: RunId, mut entries: Vec<Entry>) -> Result<Forked, ForkError> {
        let recorded = recorded_manifest(origin, &entries)?.clone();
        if recorded.outside {
            return Err(ForkError::Outside { run: origin });
        }
        let turn = self.turn()?;
        number(&mut entries);
        let Self { prompt, edit, .. } = self;
        let kept = kept(&entries);
        let mut shared = shared(entries, turn)?;
        if let Some(edit) = edit {
            edit.apply(&mut shared, &recorded)?;
        }
        let manifest = forked(recorded, prompt, Fork { run: origin, turn });
        let entries = std::iter::once(begun(id, manifest.clone(), &kept, &shared))
            .chain(shared.into_iter().map(|entry| Entry { run: id, ..entry }));
        let mut entries: Vec<Entry> = entries.collect();
        number_anew(&mut entries);
        let summary = RunSummary::of(id, &entries).ok_or(JournalError::NotBegun { run: id })?;
        let summary = RunSummary { state: RunState::Interrupted, ..summary };
        Ok(Forked { file: RunFile { summary, entries }, manifest })
    }

    /// The first turn that is not shared.
    fn turn(&self) -> Result<u32, ForkError> {
        let Some(edit) = &self.edit else { return Ok(self.turn.unwrap_or_default()) };
        let slot = edit.slot();
        let after = Edit::turn_after(slot)?;
        match self.turn {
            Some(at) if at != after => Err(ForkError::OtherTurn { slot: slot.clone(), after, at }),
            Some(_) | None => Ok(after),
        }
    }
}

/// What is recorded of the turns before one, each of which has to have ended.
fn shared(entries: Vec<Entry>, turn: u32) -> Result<Vec<Entry>, ForkError> {
    let before = |slot: &Slot| match slot.steps().first() {
        Some(Step::Summary { turn: at } | Step::Model { turn: at } | Step::Tool { turn: at, .. }) => {
            *at < turn
        }
        Some(Step::Call { .. } | Step::Approval) | None => false,
    };
    // Read as the whole that they are part of: what the run was carried on with says which of it may have changed.
    let mut slots =
        statuses(entries.iter().cloned()).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    slots.retain(|slot, _| before(slot));
    let shared: Vec<Entry> = entries.into_iter().filter(|entry| before(&entry.slot)).collect();
    let ended = |slot: &Slot| matches!(slots.get(slot), Some(Status::Finished { .. }));
    let turns = (0..turn).take_while(|turn| ended(&Slot::model(*turn))).count();
    if turns < turn as usize {
        return Err(ForkError::TooFar { turn, ended: turns });
    }
    match slots.keys().find(|slot| !ended(slot) && !is_over(slot, &slots)) {
        Some(slot) => Err(ForkError::Unfinished { slot: slot.clone() }),
        None => Ok(shared),
    }
}

impl Edit {
    /// Where.
    #[must_use]
    pub fn slot(&self) -> &Slot {
        match self {
            Self::Output(slot, _) | Self::Reply(slot, _) => slot,
        }
    }

    /// The turn after that of a slot whose result can be edited.
    pub fn turn_after(slot: &Slot) -> Result<u32, ForkError> {
        match slot.steps() {
            [Step::Model { turn } | Step::Tool { turn, .. }] => Ok(turn.saturating_add(1)),
            _ => Err(ForkError::NoResult { slot: slot.clone() }),
        }
    }

    /// Puts the result at its slot, and drops what came of the recorded one.
    fn apply(self, shared: &mut Vec<Entry>, recorded: &Manifest) -> Result<(), ForkError> {
        let slot = self.slot().clone();
        if matches!(slot.steps(), [Step::Model { .. }]) {
            // The calls of that turn are those of the reply as it was.
            shared.retain(|entry| entry.slot <= slot);
        } else {
            // What the tool itself called belongs to the output as it was.
            shared.retain(|entry| entry.slot == slot || !entry.slot.steps().starts_with(slot.steps()));
        }
        let at = || shared.iter().filter(|entry| entry.slot == slot);
        let ask = at().find_map(|entry| match &entry.event {
            Event::Started(started) => Some(started.request.clone()),
            Event::Failed(_) | Event::Finished(_) => None,
        });
        let outcome = match (self, ask) {
            (_, None) => return Err(ForkError::Nothing { slot }),
            (Self::Output(slot, output), Some(Request::Tool(ask))) => {
                fits(&output, &ask, &recorded.tools).map_err(|why| ForkError::Unfit { slot, why })?;
                Outcome::Tool(ToolOutcome::Output(output))
            }
            (Self::Reply(_, reply), Some(Request::Model(_))) => Outcome::Model(*reply),
            (Self::Output(slot, _) | Self::Reply(slot, _), Some(_)) => {
                return Err(ForkError::NoResult { slot });
            }
        };
        for entry in shared.iter_mut().filter(|entry| entry.slot == slot) {
            if let Event::Finished(finished) = &mut entry.event {
                *finished = Finished { outcome: outcome.clone(), settled: true, ..finished.clone() };
            }
        }
        Ok(())
    }
}

/// What the new run is.
fn forked(recorded: Manifest, prompt: Option<String>, fork: Fork) -> Manifest {
    let mut manifest = recorded;
    let turn = fork.turn;
    manifest.forked = Some(fork);
    // What was said before stays with it; the conversation goes on from the run that it leaves.
    manifest.session = None;
    manifest.order = None;
    // It holds all of it itself: who removes a run looks for those that need it in its session.
    manifest.before = None;
    // What was said before the turn stays; what is said at it is said anew, if anything is.
    manifest.said.retain(|said| said.turn < turn || (said.turn == turn && prompt.is_none()));
    match prompt {
        Some(prompt) if turn == 0 => manifest.prompt = prompt,
        Some(text) => manifest.said.push(Said { turn, text }),
        None => {}
    }
    manifest
}

/// The new run's beginning. What was kept in the run that it leaves although it is asked for otherwise now, is kept
/// in what they share, too.
fn begun(run: RunId, manifest: Manifest, kept: &HashSet<Slot>, shared: &[Entry]) -> Entry {
    let kept: BTreeSet<&Slot> =
        shared.iter().map(|entry| &entry.slot).filter(|slot| kept.contains(slot)).collect();
    let kept = (!kept.is_empty()).then(|| kept.into_iter().cloned().collect());
    let at_ms = Moment::now().0;
    let request = Request::Run(Box::new(manifest));
    let started = Started { attempt: 1, at_ms, digest: request.digest(), request, kept, by: None };
    Entry::new(run, Slot::RUN, Event::Started(started))
}

/// Numbers what a new run shares with the run that it leaves in the order that it has there, after the beginning.
fn number_anew(entries: &mut [Entry]) {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|index| entries[*index].seq.filter(|_| entries[*index].slot != Slot::RUN));
    for (index, seq) in order.into_iter().zip(1..) {
        entries[index].seq = Some(Seq(seq));
    }
}
