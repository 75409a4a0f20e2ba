//! How space comes back: segments that no run needs are removed, and the runs that keep old or small ones are carried
//! forward into the one that is written.
//!
//! Under the lock of the directory, so that nobody claims a run meanwhile; and segment by segment, so that whoever
//! waits for the lock waits for one. A copy is durable before what it was made from goes. A process that dies in
//! between leaves both, which say the same.

use std::collections::BTreeSet;

use super::extent::fetch;
use super::format::KeyValue;
use super::holder::Living;
use super::note::{self, Note};
use super::places::{self, Lock};
use super::survey::Survey;
use super::tail::Tail;
use super::writer::Writer;
use super::{JournalError, crash_point, setting, sync_directory};
use crate::message::RunId;

/// So many segments may stay that are needed and less than half as large as a segment can be: each one that another
/// process opens costs it the reading of one small file.
const SMALL_SEGMENTS_MAX: u64 = 16;

/// When there are more, so many of the smallest are carried forward at once. So what is recorded of a run is copied
/// no oftener than its segment grows eightfold.
const CARRIED_AT_ONCE: usize = 8;

/// A segment is small whose runs take up less than this.
const SMALL_BYTES: u64 = 32 * 1024 * 1024;

/// A segment of this size, less than half of which is needed, is carried forward whatever the number of segments.
const SPARSE_BYTES: u64 = 1024 * 1024;

/// A commit that carries runs forward is written when it has this size, or more by what belongs to its last run.
const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// A segment that is over, and what keeps it.
struct Kept {
    segment: u32,
    /// The runs that need it.
    runs: BTreeSet<RunId>,
    /// How much of it they need.
    bytes: u64,
    size: u64,
}

impl Writer {
    /// Removes what nobody needs, and carries forward what keeps too much.
    pub(super) fn tidy(&mut self) -> Result<(), JournalError> {
        // A segment that could not be carried forward is not tried again.
        let mut tried = BTreeSet::new();
        let mut next: Vec<u32> = Vec::new();
        loop {
            let lock = self.shared.lock()?;
            let living = self.shared.recover(&lock, &mut self.shared.survey())?;
            self.remove_unneeded(&living, &lock)?;
            let mut kept = self.kept(&living);
            if next.is_empty() {
                next = due(&kept, &tried);
            }
            let Some(segment) = next.pop() else { return Ok(()) };
            tried.insert(segment);
            if let Some(at) = kept.iter().position(|kept| kept.segment == segment) {
                self.carry(&kept.swap_remove(at), &living, &lock)?;
            }
        }
    }

    /// Removes every segment that is over and that nobody needs.
    fn remove_unneeded(&self, living: &[Living], lock: &Lock) -> Result<(), JournalError> {
        loop {
            let mut unneeded = self.shared.survey().over_segments();
            unneeded.retain(|segment| !self.is_needed(*segment, living));
            if unneeded.is_empty() {
                break;
            }
            for segment in unneeded {
                self.remove_segment(segment, lock)?;
            }
            // What says that a run is gone goes next, when the run's other segments have gone, and for good.
            sync_directory(&self.shared.directory).map_err(|error| self.shared.failed(&error))?;
        }
        // An end may have outlived its segment.
        let names = self.shared.survey().names()?;
        for segment in names.ends.difference(&names.logs) {
            if self.shared.survey().parts(*segment).is_none() {
                let removed = std::fs::remove_file(places::end(&self.shared.directory, *segment));
                removed.map_err(|error| self.shared.failed(&error))?;
            }
        }
        Ok(())
    }

    /// Whether anything in a segment has to stay.
    pub(super) fn is_needed(&self, segment: u32, living: &[Living]) -> bool {
        let survey = self.shared.survey();
        survey.parts(segment).is_some_and(|parts| {
            parts.0.iter().any(|(run, part)| {
                // What says that a run is gone has to outlast what it says it of.
                let outlasts = part.gone && survey.is_elsewhere(*run, segment) && self.counts(*run, living);
                outlasts || self.needs(&survey, *run, segment, living)
            })
        })
    }

    /// Whether a run needs a segment. One of which two segments say different things needs both.
    fn needs(&self, survey: &Survey, run: RunId, segment: u32, living: &[Living]) -> bool {
        match survey.head(run) {
            Ok(None) => false,
            Ok(Some(head)) => !head.gone && head.needed.contains(&segment) && self.counts(run, living),
            Err(_) => true,
        }
    }

    /// Whether what the journal has of a run counts, or may count in a moment: the file of a run that has ended goes
    /// while somebody holds the run.
    fn counts(&self, run: RunId, living: &[Living]) -> bool {
        !self.shared.is_sealed(run) || self.is_held(run, living)
    }

    /// Whether somebody works on a run: this process, or one of these.
    fn is_held(&self, run: RunId, living: &[Living]) -> bool {
        self.shared.holder.has(run) || living.iter().any(|it| it.runs.contains(&run))
    }

    /// The segments that are over, and what keeps them.
    fn kept(&self, living: &[Living]) -> Vec<Kept> {
        let survey = self.shared.survey();
        let kept = |segment| {
            let runs = survey.parts(segment).into_iter().flat_map(|parts| parts.0.keys().copied());
            let runs: BTreeSet<RunId> =
                runs.filter(|run| self.needs(&survey, *run, segment, living)).collect();
            let bytes = runs.iter().map(|run| survey.bytes(segment, *run)).sum();
            Kept { segment, runs, bytes, size: survey.size(segment) }
        };
        survey.over_segments().into_iter().map(kept).collect()
    }

    /// Copies what keeps a segment into the one that is written, and removes it; unless somebody works on one of its runs.
    fn carry(&mut self, kept: &Kept, living: &[Living], lock: &Lock) -> Result<(), JournalError> {
        if kept.runs.iter().any(|run| self.is_held(*run, living)) {
            return Ok(());
        }
        if self.segment.is_none() {
            self.begin_segment(lock)?;
        }
        let mut pairs = Vec::new();
        let mut bytes = 0;
        for run in &kept.runs {
            let copied = match self.copied(*run) {
                // What is damaged stays where it is, and is an error for who reads it.
                Err(JournalError::Corrupt { .. } | JournalError::Version { .. }) => continue,
                copied => copied?,
            };
            bytes += copied.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            pairs.extend(copied);
            if bytes >= COMMIT_BYTES {
                self.write_copies(&std::mem::take(&mut pairs))?;
                bytes = 0;
            }
        }
        self.write_copies(&pairs)?;
        crash_point("journal-before-removal");
        if self.is_needed(kept.segment, living) {
            return Ok(());
        }
        self.remove_segment(kept.segment, lock)?;
        sync_directory(&self.shared.directory).map_err(|error| self.shared.failed(&error))
    }

    /// Everything that is recorded of a run, to be written once more. Its claim comes after it, so that what was
    /// written of it counts when all of it is there.
    fn copied(&self, run: RunId) -> Result<Vec<KeyValue>, JournalError> {
        let own = self.segment.as_ref().map(|segment| segment.number);
        let (head, places) = {
            let survey = self.shared.survey();
            let head = survey.head(run)?.unwrap_or_default();
            let mut places = survey.places(run, &head.needed, &Tail::default())?;
            places.retain(|(segment, _)| Some(*segment) != own);
            (head, places)
        };
        let mut pairs = fetch(&self.shared.directory, run, &places)?;
        let claimed = note::Claimed { term: head.term.saturating_add(1), from: Vec::new() };
        pairs.push(note::encode(run, &Note::Claimed(claimed))?);
        if let Some(summary) = head.summary {
            pairs.push(note::encode(run, &Note::Summary(summary))?);
        }
        Ok(pairs)
    }

    fn write_copies(&mut self, pairs: &[KeyValue]) -> Result<(), JournalError> {
        let Some(segment) = self.segment.as_mut().filter(|_| !pairs.is_empty()) else { return Ok(()) };
        let began = std::time::Instant::now();
        let extent = segment.commit(pairs.iter(), || crash_point("journal-before-carried"))?;
        if self.shared.holder.is_fenced().map_err(|error| self.shared.failed(&error))? {
            return Err(JournalError::Fenced);
        }
        self.shared.commits.count(0, began.elapsed());
        self.shared.survey().committed(segment.number, extent, pairs.iter())
    }
}

/// Which segments are carried forward next.
fn due(kept: &[Kept], tried: &BTreeSet<u32>) -> Vec<u32> {
    let mut kept: Vec<&Kept> =
        kept.iter().filter(|it| !tried.contains(&it.segment) && !it.runs.is_empty()).collect();
    if let Some(sparse) = kept.iter().find(|it| it.size >= SPARSE_BYTES && it.bytes < it.size / 2) {
        return vec![sparse.segment];
    }
    kept.retain(|it| it.bytes < SMALL_BYTES);
    if kept.len() as u64 <= setting("journal-small-segments", SMALL_SEGMENTS_MAX) {
        return Vec::new();
    }
    kept.sort_by_key(|it| it.bytes);
    kept.into_iter().take(CARRIED_AT_ONCE).map(|it| it.segment).collect()
}
