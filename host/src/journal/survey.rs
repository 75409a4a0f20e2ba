//! What all segments of a journal's directory say of which run: read as far as it has changed since the last time.
//!
//! Changes nothing. Where a process writes, its survey is told of every commit. Where things stand in the segment that it
//! writes, it keeps itself, as it has to say so when the segment ends; of all other segments it keeps so much itself, and
//! has the rest in the index. Where nobody writes, it keeps all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::commits::Commits;
use super::end::End;
use super::extent::{Extent, fetch, missing};
use super::format::KeyValue;
use super::index::Index;
use super::moved::Moved;
use super::note::Claimed;
use super::parts::{Part, Parts};
use super::places::{self, Names};
use super::segment::{self, Reached};
use super::tail::Tail;
use super::{JournalError, RunSummary, io_error};
use crate::message::RunId;

/// How often something is read again that changed while it was read, or was seen half written.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(5);

/// What is known of a journal.
#[derive(Debug)]
pub(super) struct Survey {
    directory: PathBuf,
    segments: BTreeMap<u32, Known>,
    pub(super) moved: Moved,
    /// What this process has made durable. Nobody is told of more that it writes.
    commits: Arc<Commits>,
}

/// What is known of a segment.
#[derive(Debug, Default)]
struct Known {
    parts: Parts,
    reached: Reached,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// More may be written to it.
    #[default]
    Open,
    /// This process writes it.
    Own,
    /// Nothing more is written to it.
    Over,
    /// It cannot be told what it holds.
    Damaged(JournalError),
}

/// Where a run is, and how it stands.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The number of its last claim.
    pub(super) term: u32,
    /// The segments that hold all of it.
    pub(super) needed: BTreeSet<u32>,
    /// Whether nothing of it counts any more.
    pub(super) gone: bool,
    /// Whether any event of it is recorded.
    pub(super) has_begun: bool,
    pub(super) summary: Option<RunSummary>,
}

impl Head {
    /// The next claim, if the run goes on in a segment.
    pub(super) fn next(&self, segment: u32) -> Claimed {
        let from = self.needed.iter().copied().filter(|it| *it != segment).collect();
        Claimed { term: self.term.saturating_add(1), from }
    }
}

impl Survey {
    pub(super) fn new(directory: &Path, index: Option<Index>, commits: Arc<Commits>) -> Self {
        let (directory, segments) = (directory.to_owned(), BTreeMap::new());
        Self { directory, segments, moved: Moved::new(index), commits }
    }

    /// Reads what has changed.
    pub(super) fn refresh(&mut self) -> Result<(), JournalError> {
        for _ in 1..TRIES {
            if self.try_refresh()? {
                return Ok(());
            }
            std::thread::sleep(RETRY);
        }
        self.try_refresh().map(drop)
    }

    /// Says whether it all was there to the end.
    fn try_refresh(&mut self) -> Result<bool, JournalError> {
        let names = self.names()?;
        let there = names.segments();
        let gone: Vec<u32> = self.segments.keys().copied().filter(|it| !there.contains(it)).collect();
        for segment in gone {
            self.forget(segment)?;
        }
        let mut whole = true;
        for segment in there {
            if matches!(self.segments.get(&segment), Some(Known { state: State::Own | State::Over, .. })) {
                continue;
            }
            let end = if names.ends.contains(&segment) { self.end(segment)? } else { None };
            match end {
                Some(Ok(end)) => self.over(segment, end)?,
                Some(Err(error)) => self.known(segment).state = State::Damaged(error),
                None if names.logs.contains(&segment) => whole &= self.read_segment(segment)?,
                // Somebody removes it, and does not depend on it.
                None => {}
            }
        }
        Ok(whole)
    }

    pub(super) fn names(&self) -> Result<Names, JournalError> {
        Names::read(&self.directory).map_err(|error| io_error(&self.directory, &error))
    }

    /// The end of a segment, if it is written, or what is wrong with it.
    #[allow(clippy::type_complexity, reason = "damage is kept, and what the system says is not")]
    fn end(&self, segment: u32) -> Result<Option<Result<End, JournalError>>, JournalError> {
        match End::read(&self.directory, segment) {
            Ok(end) => Ok(end.map(Ok)),
            Err(error @ (JournalError::Corrupt { .. } | JournalError::Version { .. })) => {
                Ok(Some(Err(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads on in a segment to which more may be written. Says whether it was there.
    fn read_segment(&mut self, segment: u32) -> Result<bool, JournalError> {
        let path = places::log(&self.directory, segment);
        for again in (0..TRIES).rev() {
            let (directory, on_disk) = (self.directory.clone(), self.commits.on_disk(segment));
            let known = self.known(segment);
            let (from, parts) = (known.reached, &mut known.parts);
            let read = segment::read_on(&directory, segment, from, on_disk, |extent, payload| {
                parts.add_payload(extent, payload)
            });
            match read {
                Ok(reached) => {
                    known.reached = reached.unwrap_or(known.reached);
                    known.state = State::Open;
                    self.has_at_hand(segment)?;
                    return Ok(true);
                }
                Err(_) if !path.exists() => return Ok(false),
                // Its process is writing, and half of a commit was seen.
                Err(_) if again > 0 && places::is_locked(&path).unwrap_or_default() => {
                    (known.parts, known.reached) = (Parts::default(), Reached::START);
                    std::thread::sleep(RETRY);
                }
                Err(error @ (JournalError::Corrupt { .. } | JournalError::Version { .. })) => {
                    *known = Known { state: State::Damaged(error), ..Known::default() };
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn known(&mut self, segment: u32) -> &mut Known {
        self.segments.entry(segment).or_default()
    }

    /// Notes that the places of a segment are at hand, and moves what is too much into the index.
    fn has_at_hand(&mut self, segment: u32) -> Result<(), JournalError> {
        if let Some(known) = self.segments.get(&segment) {
            self.moved.has_at_hand(segment, &known.parts);
        }
        while self.move_some()? {}
        Ok(())
    }

    fn move_some(&mut self) -> Result<bool, JournalError> {
        let segments = &mut self.segments;
        self.moved.move_some(|segment| segments.get_mut(&segment).map(|known| &mut known.parts))
    }

    /// Takes in that a segment is over, and what it holds.
    pub(super) fn over(&mut self, segment: u32, end: End) -> Result<(), JournalError> {
        // More may have been read than counts.
        self.forget(segment)?;
        let known = self.known(segment);
        known.parts = end.runs;
        known.reached.end = end.at;
        known.state = State::Over;
        self.has_at_hand(segment)
    }

    /// Takes in that a segment is damaged.
    pub(super) fn damaged(&mut self, segment: u32, error: JournalError) {
        self.known(segment).state = State::Damaged(error);
    }

    /// Takes in that a segment is gone.
    pub(super) fn forget(&mut self, segment: u32) -> Result<(), JournalError> {
        let Some(known) = self.segments.remove(&segment) else { return Ok(()) };
        self.moved.forget(segment, &known.parts)
    }

    /// Takes in that this process has begun a segment.
    pub(super) fn begun(&mut self, segment: u32) {
        self.known(segment).state = State::Own;
    }

    /// Takes in what this process has committed.
    pub(super) fn committed<'a>(
        &mut self,
        segment: u32,
        extent: Extent,
        pairs: impl Iterator<Item = &'a KeyValue>,
    ) -> Result<(), JournalError> {
        let known = self.known(segment);
        let slices = pairs.map(|(key, value)| (key.as_slice(), value.as_slice()));
        let added = known.parts.add(extent, slices);
        added.map_err(|_| JournalError::Stopped {
            reason: "a commit holds what is not a record".to_owned(),
        })?;
        self.move_some().map(drop)
    }

    /// What a segment holds.
    pub(super) fn parts(&self, segment: u32) -> Option<&Parts> {
        self.segments.get(&segment).map(|known| &known.parts)
    }

    /// Takes in that nothing more is written to the segment of this process.
    pub(super) fn ended(&mut self, segment: u32, reached: Reached) {
        let known = self.known(segment);
        known.state = State::Over;
        known.reached = reached;
        // What is too much goes into the index with the commits that follow.
        if let Some(known) = self.segments.get(&segment) {
            self.moved.has_at_hand(segment, &known.parts);
        }
    }

    /// Takes in that a run has ended, and is elsewhere.
    pub(super) fn go(&mut self, run: RunId) {
        for (segment, known) in &mut self.segments {
            if let Some(part) = known.parts.0.get_mut(&run) {
                part.go();
                // What stays in the index is not asked for again.
                let _ = self.moved.index().map(|index| index.remove(run, *segment));
            }
        }
    }

    /// Whether another segment says something of a run, and not that it is gone.
    pub(super) fn is_elsewhere(&self, run: RunId, segment: u32) -> bool {
        let others = self.segments.iter().filter(|(other, _)| **other != segment);
        let mut parts = others.filter_map(|(_, known)| known.parts.0.get(&run));
        parts.any(|part| part.claimed.term > 0 && !part.gone)
    }

    /// Whether another process may still write to a segment.
    pub(super) fn is_open(&self, segment: u32) -> bool {
        matches!(self.segments.get(&segment), Some(Known { state: State::Open, .. }))
    }

    /// Whether nobody but this process writes to a segment.
    pub(super) fn is_closed(&self, segment: u32) -> bool {
        matches!(self.segments.get(&segment), Some(Known { state: State::Own | State::Over, .. }))
    }

    /// How large a segment is.
    pub(super) fn size(&self, segment: u32) -> u64 {
        self.segments.get(&segment).map_or(0, |known| known.reached.end)
    }

    /// Closes the index: nothing is read through it any more.
    pub(super) fn close(&mut self) {
        self.moved = Moved::new(None);
    }

    /// The segments to which nothing more is written.
    pub(super) fn over_segments(&self) -> Vec<u32> {
        let over = self.segments.iter().filter(|(_, known)| matches!(known.state, State::Over));
        over.map(|(segment, _)| *segment).collect()
    }

    /// An error, if there is a segment of which it cannot be told what it holds: it may hold more of any run.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        self.segments.values().try_for_each(|known| match &known.state {
            State::Damaged(error) => Err(error.clone()),
            State::Open | State::Own | State::Over => Ok(()),
        })
    }

    /// The runs that a segment says something of, gone or not.
    pub(super) fn runs(&self) -> BTreeSet<RunId> {
        self.segments.values().flat_map(|known| known.parts.0.keys().copied()).collect()
    }

    /// Where a run is; none if nothing is known of it.
    pub(super) fn head(&self, run: RunId) -> Result<Option<Head>, JournalError> {
        let parts =
            self.segments.iter().filter_map(|(segment, known)| Some((*segment, known.parts.0.get(&run)?)));
        let mut last: Option<(u32, &Part)> = None;
        for (segment, part) in parts.clone().filter(|(_, part)| part.claimed.term > 0) {
            match last {
                Some((other, it)) if it.claimed.term == part.claimed.term => {
                    let place = places::log(&self.directory, segment);
                    let reason = format!("run {run} goes on both in it and in {other}.log");
                    return Err(JournalError::Corrupt { place: place.display().to_string(), reason });
                }
                Some((_, it)) if it.claimed.term > part.claimed.term => {}
                Some(_) | None => last = Some((segment, part)),
            }
        }
        let Some((segment, part)) = last else { return Ok(None) };
        let Claimed { term, from } = part.claimed.clone();
        let needed: BTreeSet<u32> = from.into_iter().chain([segment]).collect();
        let mut head = Head { term, gone: part.gone, ..Head::default() };
        let mut summed = 0;
        for (_, part) in parts.filter(|(segment, _)| needed.contains(segment)) {
            head.has_begun |= part.has_begun;
            if let Some(summary) = part.summary.as_ref().filter(|it| it.term >= summed) {
                summed = summary.term;
                head.summary = Some(summary.summary.clone());
            }
        }
        if head.gone {
            return Ok(Some(Head { term, gone: true, ..Head::default() }));
        }
        Ok(Some(Head { needed, ..head }))
    }

    /// How many bytes of a segment hold something of a run.
    pub(super) fn bytes(&self, segment: u32, run: RunId) -> u64 {
        self.parts(segment).and_then(|parts| parts.0.get(&run)).map_or(0, |part| part.bytes)
    }

    /// Where everything stands that is recorded of a run, in the segments that it needs, and was not read yet with a tail.
    pub(super) fn places(
        &self,
        run: RunId,
        needed: &BTreeSet<u32>,
        tail: &Tail,
    ) -> Result<Vec<(u32, Extent)>, JournalError> {
        let mut places = Vec::new();
        for segment in needed.iter().copied() {
            let Some(parts) = self.parts(segment) else {
                return Err(missing(&self.directory, segment, run));
            };
            let Some(part) = parts.0.get(&run) else { continue };
            // The index still has what the run was in a segment before it was gone there.
            let from = tail.end(segment).max(part.from);
            let mut add = |extent: Extent| places.extend(extent.after(from).map(|extent| (segment, extent)));
            for extent in self.moved.index().into_iter().flat_map(|index| index.places(run, segment, from)) {
                add(extent?);
            }
            let first = part.places.partition_point(|extent| extent.end() <= from);
            part.places[first..].iter().copied().for_each(add);
        }
        Ok(places)
    }

    /// Everything that is recorded of a run, by what is there now; none if nothing is known of it.
    pub(super) fn read(&mut self, run: RunId) -> Result<Option<Vec<KeyValue>>, JournalError> {
        self.read_on(run, &mut Tail::default())
    }

    /// The same without what was read with a tail before.
    pub(super) fn read_on(
        &mut self,
        run: RunId,
        tail: &mut Tail,
    ) -> Result<Option<Vec<KeyValue>>, JournalError> {
        for again in (0..TRIES).rev() {
            self.refresh()?;
            self.check()?;
            let Some(head) = self.head(run)?.filter(|head| !head.gone) else { return Ok(None) };
            let places = self.places(run, &head.needed, tail);
            match places.and_then(|places| Ok((fetch(&self.directory, run, &places)?, places))) {
                // It may have been carried elsewhere, or sealed, meanwhile.
                Err(JournalError::Corrupt { .. }) if again > 0 => {}
                found => {
                    let (pairs, places) = found?;
                    tail.read(&places);
                    return Ok(Some(pairs));
                }
            }
        }
        Ok(None)
    }
}
