//! Which run is worked on next: the order of runs that wait for a moment, for their session, or for a place.
//!
//! Pure: it knows no clock and no engine, and is asked with the time. Invariants: no more runs work at once than there
//! are places, overall and of one agent; of one session one run is unfinished at a time, and the others follow in the
//! order in which they came; among runs that could begin, the one that came first does. Every step costs the same,
//! however many runs wait.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::journal::RunState;
use crate::message::{RunId, SessionKey};

/// How much there may be of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Runs that work at once.
    pub(super) runs: usize,
    /// Runs of one agent that work at once.
    pub(super) runs_per_agent: usize,
    /// Runs that wait for a place or for their session.
    pub(super) queued: usize,
    /// Runs of one agent that do: the others can be used while one is flooded.
    pub(super) queued_per_agent: usize,
    /// Runs that wait for one session.
    pub(super) queued_per_session: usize,
    /// Runs that wait for a moment.
    pub(super) scheduled: usize,
}

/// Why there is no place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// Too many runs wait.
    #[error("{0} runs wait already")]
    Overall(usize),
    /// Too many runs of the agent wait.
    #[error("{0} runs of this agent wait already")]
    Agent(usize),
    /// Too many runs of the session wait.
    #[error("{0} runs of this session wait already")]
    Session(usize),
    /// Too many runs wait for their moment.
    #[error("{0} runs wait for their moment already")]
    Scheduled(usize),
}

/// A run that is to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) run: RunId,
    /// The agent's name.
    pub(super) agent: String,
    pub(super) session: Option<SessionKey>,
}

/// Where a run stands that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It has a place, and is to be worked on at once.
    Begins,
    /// It has a place in the queue, which it takes by [`Queue::add`] once it is recorded.
    Waits,
}

/// The runs that are to be worked on, and those that are.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    /// By when they are due, in milliseconds since 1970-01-01T00:00:00Z.
    due: BTreeSet<(u64, RunId)>,
    /// The same, by run.
    scheduled: HashMap<RunId, (u64, Job)>,
    /// How many more are to be scheduled, as soon as they are recorded.
    scheduling: usize,
    /// Runs that were admitted to wait, and are not recorded yet.
    coming: HashMap<RunId, Job>,
    /// Runs that wait for a place or for their session.
    queued: HashMap<RunId, Job>,
    /// How many of an agent wait, those included that are coming.
    queued_by_agent: HashMap<String, usize>,
    /// Those that could begin, by agent, each with its number in the order of all.
    ready: HashMap<String, VecDeque<(u64, RunId)>>,
    sessions: HashMap<SessionKey, Line>,
    /// The sessions that wait for a run, by that run.
    held: HashMap<RunId, SessionKey>,
    working: HashMap<RunId, Job>,
    working_by_agent: HashMap<String, usize>,
    /// Runs that are to go on once more when they stop: something was said to them meanwhile.
    again: HashSet<RunId>,
    came: u64,
}

/// The runs of a session.
#[derive(Debug, Default)]
struct Line {
    /// The one that has begun and not ended.
    unfinished: Option<RunId>,
    waiting: VecDeque<RunId>,
    /// How many more are coming.
    coming: usize,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            due: BTreeSet::new(),
            scheduled: HashMap::new(),
            scheduling: 0,
            coming: HashMap::new(),
            queued: HashMap::new(),
            queued_by_agent: HashMap::new(),
            ready: HashMap::new(),
            sessions: HashMap::new(),
            held: HashMap::new(),
            working: HashMap::new(),
            working_by_agent: HashMap::new(),
            again: HashSet::new(),
            came: 0,
        }
    }

    /// Goes by other bounds from now on. What is in the queue stays.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Takes a new run in. One that has to wait is not in the queue before it is recorded: see [`Queue::add`] and
    /// [`Queue::give_up`].
    pub(super) fn admit(&mut self, job: &Job) -> Result<Admission, Full> {
        let nobody_before = !self.ready.contains_key(&job.agent);
        let line = job.session.as_ref().and_then(|key| self.sessions.get(key));
        if nobody_before && line.is_none() && self.has_place(&job.agent) {
            if let Some(key) = &job.session {
                self.hold_session(key, job.run);
            }
            self.work(job.clone());
            return Ok(Admission::Begins);
        }
        let waiting = self.queued.len() + self.coming.len();
        let of_agent = self.queued_by_agent.get(&job.agent).copied().unwrap_or_default();
        let of_session = line.map_or(0, |line| line.waiting.len() + line.coming);
        if waiting >= self.bounds.queued {
            return Err(Full::Overall(waiting));
        } else if of_agent >= self.bounds.queued_per_agent {
            return Err(Full::Agent(of_agent));
        } else if of_session >= self.bounds.queued_per_session {
            return Err(Full::Session(of_session));
        }
        self.coming.insert(job.run, job.clone());
        *self.queued_by_agent.entry(job.agent.clone()).or_default() += 1;
        if let Some(key) = &job.session {
            self.sessions.entry(key.clone()).or_default().coming += 1;
        }
        Ok(Admission::Waits)
    }

    /// Takes in a run that was admitted to wait, and is recorded.
    pub(super) fn add(&mut self, run: RunId) {
        if let Some(job) = self.came(run) {
            self.line_up(job);
        }
    }

    /// Gives the place in the queue back of a run that could not be recorded.
    pub(super) fn give_up(&mut self, run: RunId) {
        let session = self.came(run).and_then(|job| job.session);
        if let Some(key) = session {
            self.go_on_with(&key);
        }
    }

    /// Takes in that a run that was coming has come, or does not come.
    fn came(&mut self, run: RunId) -> Option<Job> {
        let job = self.coming.remove(&run)?;
        decrease(&mut self.queued_by_agent, &job.agent);
        if let Some(line) = job.session.as_ref().and_then(|key| self.sessions.get_mut(key)) {
            line.coming -= 1;
        }
        Some(job)
    }

    /// Takes a new run in that is due later, unless there are too many. It is scheduled once it is recorded: see
    /// [`Queue::add_later`] and [`Queue::give_up_later`].
    pub(super) fn admit_later(&mut self) -> Result<(), Full> {
        let waiting = self.scheduled.len() + self.scheduling;
        if waiting >= self.bounds.scheduled {
            return Err(Full::Scheduled(waiting));
        }
        self.scheduling += 1;
        Ok(())
    }

    /// Takes in a run that was admitted to be due later, and is recorded.
    pub(super) fn add_later(&mut self, job: Job, due_ms: u64) {
        self.scheduling -= 1;
        self.schedule(job, due_ms);
    }

    /// Gives the place back of a run that is due later and could not be recorded.
    pub(super) fn give_up_later(&mut self) {
        self.scheduling -= 1;
    }

    /// Takes in a recorded run that is due at a moment, however many there are.
    pub(super) fn schedule(&mut self, job: Job, due_ms: u64) {
        self.unschedule(job.run);
        self.due.insert((due_ms, job.run));
        self.scheduled.insert(job.run, (due_ms, job));
    }

    fn unschedule(&mut self, run: RunId) -> Option<Job> {
        let (due_ms, job) = self.scheduled.remove(&run)?;
        self.due.remove(&(due_ms, run));
        Some(job)
    }

    /// Takes in a run that was recorded before, however many there are: it goes on, or begins. One that is scheduled does so
    /// now, and one that works goes on once more when it stops.
    pub(super) fn line_up(&mut self, job: Job) {
        if self.working.contains_key(&job.run) {
            self.again.insert(job.run);
            return;
        }
        self.unschedule(job.run);
        if self.queued.contains_key(&job.run) {
            return;
        }
        *self.queued_by_agent.entry(job.agent.clone()).or_default() += 1;
        self.queued.insert(job.run, job.clone());
        if let Some(key) = &job.session {
            let line = self.sessions.entry(key.clone()).or_default();
            if line.unfinished.is_some_and(|run| run != job.run) {
                line.waiting.push_back(job.run);
                return;
            }
            self.hold_session(key, job.run);
        }
        self.make_ready(job.agent, job.run);
    }

    /// Notes that a run of a session has begun and not ended, though nothing is to be done for it: it waits for
    /// somebody.
    pub(super) fn hold_session(&mut self, key: &SessionKey, run: RunId) {
        let before = self.sessions.entry(key.clone()).or_default().unfinished.replace(run);
        before.map(|before| self.held.remove(&before));
        self.held.insert(run, key.clone());
    }

    /// The next run to be worked on, if one can begin.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<Job> {
        while let Some((_, run)) = self.due.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms) {
            if let Some(job) = self.unschedule(run) {
                self.line_up(job);
            }
        }
        let can_begin = |(agent, ready): (&String, &VecDeque<(u64, RunId)>)| {
            let (came, _) = ready.front().filter(|_| self.has_place(agent))?;
            Some((*came, agent.clone()))
        };
        let (_, agent) = self.ready.iter().filter_map(can_begin).min()?;
        let ready = self.ready.get_mut(&agent)?;
        let (_, run) = ready.pop_front()?;
        if ready.is_empty() {
            self.ready.remove(&agent);
        }
        let job = self.unqueue(run)?;
        self.work(job.clone());
        Some(job)
    }

    fn unqueue(&mut self, run: RunId) -> Option<Job> {
        let job = self.queued.remove(&run)?;
        decrease(&mut self.queued_by_agent, &job.agent);
        Some(job)
    }

    /// When the next run is due, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Takes in that a run is worked on no more. Unless it has ended, its session waits for it.
    pub(super) fn stopped(&mut self, run: RunId, has_ended: bool) {
        let Some(job) = self.working.remove(&run) else { return };
        decrease(&mut self.working_by_agent, &job.agent);
        let again = self.again.remove(&run);
        if has_ended {
            self.end_session(run);
        } else if again {
            self.line_up(job);
        }
    }

    /// Takes out a run on which nobody is to work any more: it was cancelled, or removed.
    pub(super) fn forget(&mut self, run: RunId) {
        self.unschedule(run);
        if let Some(job) = self.unqueue(run) {
            if let Some(ready) = self.ready.get_mut(&job.agent) {
                ready.retain(|(_, it)| *it != run);
                if ready.is_empty() {
                    self.ready.remove(&job.agent);
                }
            }
            if let Some(line) = job.session.as_ref().and_then(|key| self.sessions.get_mut(key)) {
                line.waiting.retain(|it| *it != run);
            }
        }
        self.end_session(run);
    }

    /// How a run stands that is worked on, or is going to be as soon as it can.
    pub(super) fn stands(&self, run: RunId) -> Option<RunState> {
        if self.working.contains_key(&run) {
            Some(RunState::Running)
        } else {
            self.queued.contains_key(&run).then_some(RunState::Queued)
        }
    }

    /// The runs that are worked on.
    pub(super) fn working(&self) -> impl Iterator<Item = RunId> {
        self.working.keys().copied()
    }

    /// How many runs work, wait in the queue, and wait for a moment.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.working.len(), self.queued.len() + self.coming.len(), self.scheduled.len())
    }

    fn has_place(&self, agent: &str) -> bool {
        self.working.len() < self.bounds.runs
            && self.working_by_agent.get(agent).is_none_or(|count| *count < self.bounds.runs_per_agent)
    }

    /// Takes in that the session which waits for a run waits for it no more, if there is one.
    fn end_session(&mut self, run: RunId) {
        let Some(key) = self.held.remove(&run) else { return };
        if let Some(line) = self.sessions.get_mut(&key) {
            line.unfinished = None;
        }
        self.go_on_with(&key);
    }

    /// Lets the next run of a session begin, unless one is unfinished.
    fn go_on_with(&mut self, key: &SessionKey) {
        let Some(line) = self.sessions.get_mut(key) else { return };
        if line.unfinished.is_some() {
            return;
        }
        match line.waiting.pop_front() {
            Some(run) => {
                self.hold_session(key, run);
                if let Some(job) = self.queued.get(&run) {
                    self.make_ready(job.agent.clone(), run);
                }
            }
            None if line.coming == 0 => drop(self.sessions.remove(key)),
            None => {}
        }
    }

    fn make_ready(&mut self, agent: String, run: RunId) {
        self.came += 1;
        self.ready.entry(agent).or_default().push_back((self.came, run));
    }

    fn work(&mut self, job: Job) {
        *self.working_by_agent.entry(job.agent.clone()).or_default() += 1;
        self.working.insert(job.run, job);
    }
}

/// Counts one less, and forgets what is counted no more.
fn decrease(counts: &mut HashMap<String, usize>, of: &str) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}
