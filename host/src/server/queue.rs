//! Which run is worked on next: the order of runs that wait for a moment, for their session, or for a place.
//!
//! Pure: it knows no clock and no engine, and is asked with the time. Invariants: no more runs work at once than there
//! are places, overall and of one agent; of one session one run is unfinished at a time, and the others follow in the
//! order in which they came; among runs that could begin, the one that came first does.

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
    /// Runs that wait for a moment.
    pub(super) scheduled: usize,
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
    /// There is no place in the queue.
    Full,
}

/// The runs that are to be worked on, and those that are.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    /// By when they are due, in milliseconds since 1970-01-01T00:00:00Z.
    scheduled: BTreeSet<(u64, RunId)>,
    /// How many more are to be scheduled, as soon as they are recorded.
    reserved: usize,
    /// What is scheduled.
    jobs: HashMap<RunId, Job>,
    /// Runs that could begin, by agent, each with its number in the order of all.
    ready: HashMap<String, VecDeque<(u64, Job)>>,
    sessions: HashMap<SessionKey, Line>,
    working: HashMap<RunId, Job>,
    working_by_agent: HashMap<String, usize>,
    /// Runs that are to go on once more when they stop: something was said to them meanwhile.
    again: HashSet<RunId>,
    /// How many wait for a place or for their session, those included that are still to be recorded.
    queued: usize,
    came: u64,
}

/// The runs of a session.
#[derive(Debug, Default)]
struct Line {
    /// The one that has begun and not ended.
    unfinished: Option<RunId>,
    waiting: VecDeque<Job>,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            scheduled: BTreeSet::new(),
            reserved: 0,
            jobs: HashMap::new(),
            ready: HashMap::new(),
            sessions: HashMap::new(),
            working: HashMap::new(),
            working_by_agent: HashMap::new(),
            again: HashSet::new(),
            queued: 0,
            came: 0,
        }
    }

    /// Takes a new run in. One that has to wait is not in the queue before it is recorded: see [`Queue::add`] and
    /// [`Queue::give_up`].
    pub(super) fn admit(&mut self, job: &Job) -> Admission {
        let nobody_before = self.ready.get(&job.agent).is_none_or(VecDeque::is_empty);
        let is_next = job.session.as_ref().is_none_or(|key| self.is_free(key));
        if nobody_before && is_next && self.has_place(&job.agent) {
            self.begin_session(job);
            self.work(job.clone());
            return Admission::Begins;
        }
        if self.queued >= self.bounds.queued {
            return Admission::Full;
        }
        self.queued += 1;
        Admission::Waits
    }

    /// Takes in a run that was admitted to wait, and is recorded.
    pub(super) fn add(&mut self, job: Job) {
        self.queued -= 1;
        self.line_up(job);
    }

    /// Gives the place in the queue back of a run that could not be recorded.
    pub(super) fn give_up(&mut self) {
        self.queued -= 1;
    }

    /// Takes a new run in that is due later, unless there are too many. It is scheduled once it is recorded: see
    /// [`Queue::add_later`] and [`Queue::give_up_later`].
    pub(super) fn admit_later(&mut self) -> bool {
        let is_free = self.scheduled.len() + self.reserved < self.bounds.scheduled;
        self.reserved += usize::from(is_free);
        is_free
    }

    /// Takes in a run that was admitted to be due later, and is recorded.
    pub(super) fn add_later(&mut self, job: Job, due_ms: u64) {
        self.reserved -= 1;
        self.schedule(job, due_ms);
    }

    /// Gives the place back of a run that is due later and could not be recorded.
    pub(super) fn give_up_later(&mut self) {
        self.reserved -= 1;
    }

    /// Takes in a recorded run that is due at a moment, however many there are.
    pub(super) fn schedule(&mut self, job: Job, due_ms: u64) {
        self.scheduled.insert((due_ms, job.run));
        self.jobs.insert(job.run, job);
    }

    /// Takes in a run that was recorded before, however many there are: it goes on, or begins. One that is scheduled does so
    /// now, and one that works goes on once more when it stops.
    pub(super) fn line_up(&mut self, job: Job) {
        if self.working.contains_key(&job.run) {
            self.again.insert(job.run);
            return;
        }
        if self.jobs.remove(&job.run).is_some() {
            self.scheduled.retain(|(_, run)| *run != job.run);
        }
        if self.is_queued(job.run) {
            return;
        }
        self.queued += 1;
        if let Some(key) = &job.session {
            let line = self.sessions.entry(key.clone()).or_default();
            if line.unfinished.is_some_and(|run| run != job.run) {
                line.waiting.push_back(job);
                return;
            }
            line.unfinished = Some(job.run);
        }
        self.make_ready(job);
    }

    /// Notes that a run of a session has begun and not ended, though nothing is to be done for it: it waits for
    /// somebody.
    pub(super) fn hold_session(&mut self, key: &SessionKey, run: RunId) {
        self.sessions.entry(key.clone()).or_default().unfinished = Some(run);
    }

    /// The next run to be worked on, if one can begin.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<Job> {
        while let Some((due_ms, run)) =
            self.scheduled.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms)
        {
            self.scheduled.remove(&(due_ms, run));
            if let Some(job) = self.jobs.remove(&run) {
                self.line_up(job);
            }
        }
        let can_begin = |(agent, ready): (&String, &VecDeque<(u64, Job)>)| {
            let (came, _) = ready.front().filter(|_| self.has_place(agent))?;
            Some((*came, agent.clone()))
        };
        let (_, agent) = self.ready.iter().filter_map(can_begin).min()?;
        let (_, job) = self.ready.get_mut(&agent)?.pop_front()?;
        self.ready.retain(|_, ready| !ready.is_empty());
        self.queued -= 1;
        self.work(job.clone());
        Some(job)
    }

    /// When the next run is due, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.scheduled.first().map(|(due_ms, _)| *due_ms)
    }

    /// Takes in that a run is worked on no more. Unless it has ended, its session waits for it.
    pub(super) fn stopped(&mut self, run: RunId, has_ended: bool) {
        let Some(job) = self.working.remove(&run) else { return };
        if let Some(working) = self.working_by_agent.get_mut(&job.agent) {
            *working -= 1;
        }
        self.working_by_agent.retain(|_, working| *working > 0);
        let again = self.again.remove(&run);
        match (has_ended, &job.session) {
            (true, Some(key)) => self.end_session(key, run),
            (false, _) if again => self.line_up(job),
            (true, None) | (false, _) => {}
        }
    }

    /// Takes out a run on which nobody is to work any more: it was cancelled, or removed.
    pub(super) fn forget(&mut self, run: RunId) {
        self.scheduled.retain(|(_, it)| *it != run);
        self.jobs.remove(&run);
        let mut removed = 0;
        for ready in self.ready.values_mut() {
            let before = ready.len();
            ready.retain(|(_, job)| job.run != run);
            removed += before - ready.len();
        }
        for line in self.sessions.values_mut() {
            let before = line.waiting.len();
            line.waiting.retain(|job| job.run != run);
            removed += before - line.waiting.len();
        }
        self.queued -= removed;
        let of =
            self.sessions.iter().find(|(_, line)| line.unfinished == Some(run)).map(|(key, _)| key.clone());
        if let Some(key) = of {
            self.end_session(&key, run);
        }
    }

    /// How a run stands that is worked on, or is going to be as soon as it can.
    pub(super) fn stands(&self, run: RunId) -> Option<RunState> {
        if self.working.contains_key(&run) {
            Some(RunState::Running)
        } else {
            self.is_queued(run).then_some(RunState::Queued)
        }
    }

    /// The runs that are worked on.
    pub(super) fn working(&self) -> impl Iterator<Item = RunId> {
        self.working.keys().copied()
    }

    /// How many runs work, wait in the queue, and wait for a moment.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.working.len(), self.queued, self.scheduled.len())
    }

    fn is_queued(&self, run: RunId) -> bool {
        self.ready.values().flatten().any(|(_, job)| job.run == run)
            || self.sessions.values().flat_map(|line| &line.waiting).any(|job| job.run == run)
    }

    fn has_place(&self, agent: &str) -> bool {
        self.working.len() < self.bounds.runs
            && self.working_by_agent.get(agent).is_none_or(|count| *count < self.bounds.runs_per_agent)
    }

    fn is_free(&self, key: &SessionKey) -> bool {
        self.sessions.get(key).is_none_or(|line| line.unfinished.is_none() && line.waiting.is_empty())
    }

    fn begin_session(&mut self, job: &Job) {
        if let Some(key) = &job.session {
            self.hold_session(key, job.run);
        }
    }

    fn end_session(&mut self, key: &SessionKey, run: RunId) {
        let Some(line) = self.sessions.get_mut(key) else { return };
        if line.unfinished == Some(run) {
            line.unfinished = None;
            if let Some(job) = line.waiting.pop_front() {
                line.unfinished = Some(job.run);
                self.make_ready(job);
            }
        }
        self.sessions.retain(|_, line| line.unfinished.is_some() || !line.waiting.is_empty());
    }

    fn make_ready(&mut self, job: Job) {
        self.came += 1;
        self.ready.entry(job.agent.clone()).or_default().push_back((self.came, job));
    }

    fn work(&mut self, job: Job) {
        *self.working_by_agent.entry(job.agent.clone()).or_default() += 1;
        self.working.insert(job.run, job);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::Admission::{Begins, Full, Waits};
    use super::*;

    const BOUNDS: Bounds = Bounds { runs: 3, runs_per_agent: 2, queued: 4, scheduled: 2 };

    fn run(number: u8) -> RunId {
        RunId::from_bytes([number; 16])
    }

    fn job(number: u8, agent: &str, session: Option<&str>) -> Job {
        Job { run: run(number), agent: agent.to_owned(), session: session.map(|key| key.parse().unwrap()) }
    }

    fn come(queue: &mut Queue, job: Job) -> Admission {
        let admission = queue.admit(&job);
        if admission == Admission::Waits {
            queue.add(job);
        }
        admission
    }

    #[test]
    fn places_are_bounded_overall_and_by_agent_and_the_queue_is_bounded() {
        let mut queue = Queue::new(BOUNDS);
        let came: Vec<Admission> =
            [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "c"), (7, "c"), (8, "c")]
                .map(|(number, agent)| come(&mut queue, job(number, agent, None)))
                .to_vec();
        assert_eq!(came, [Begins, Begins, Waits, Begins, Waits, Waits, Waits, Full]);
        assert_eq!(queue.next(0), None);
        queue.stopped(run(4), true);
        // The first that came is one of an agent that has no place.
        assert_eq!(queue.next(0).map(|job| job.run), Some(run(5)));
        queue.stopped(run(1), true);
        assert_eq!(queue.next(0).map(|job| job.run), Some(run(3)));
        assert_eq!(queue.counts(), (3, 2, 0));
    }

    #[test]
    fn the_runs_of_a_session_follow_each_other_in_order() {
        let mut queue = Queue::new(BOUNDS);
        assert_eq!(come(&mut queue, job(1, "a", Some("ada"))), Admission::Begins);
        assert_eq!(come(&mut queue, job(2, "a", Some("ada"))), Admission::Waits);
        assert_eq!(come(&mut queue, job(3, "a", Some("ada"))), Admission::Waits);
        assert_eq!(queue.next(0), None);
        queue.stopped(run(1), false);
        assert_eq!(queue.next(0), None, "it waits for somebody");
        queue.line_up(job(1, "a", Some("ada")));
        assert_eq!(queue.next(0).unwrap().run, run(1));
        queue.stopped(run(1), true);
        assert_eq!(queue.next(0).unwrap().run, run(2));
        queue.forget(run(3));
        queue.stopped(run(2), true);
        assert_eq!(queue.next(0), None);
        assert!(queue.sessions.is_empty() && queue.ready.is_empty());
        assert_eq!(queue.counts(), (0, 0, 0));
    }

    #[test]
    fn a_run_that_is_cancelled_lets_the_next_one_of_its_session_begin() {
        let mut queue = Queue::new(BOUNDS);
        queue.hold_session(&"ada".parse().unwrap(), run(1));
        assert_eq!(come(&mut queue, job(2, "a", Some("ada"))), Admission::Waits);
        queue.forget(run(1));
        assert_eq!(queue.next(0).unwrap().run, run(2));
    }

    #[test]
    fn what_is_said_to_a_run_while_it_stops_is_not_lost() {
        let mut queue = Queue::new(BOUNDS);
        come(&mut queue, job(1, "a", None));
        queue.line_up(job(1, "a", None));
        assert_eq!(queue.next(0), None);
        queue.stopped(run(1), false);
        assert_eq!(queue.next(0).map(|job| job.run), Some(run(1)));
        queue.stopped(run(1), false);
        assert_eq!(queue.next(0), None);
        queue.schedule(job(1, "a", None), 1000);
        queue.line_up(job(1, "a", None));
        assert_eq!(queue.next(0).map(|job| job.run), Some(run(1)), "before its moment");
        assert_eq!(queue.due_ms(), None);
    }

    #[test]
    fn a_run_is_due_at_its_moment() {
        let mut queue = Queue::new(BOUNDS);
        assert!(queue.admit_later() && queue.admit_later());
        assert!(!queue.admit_later(), "there are too many");
        queue.add_later(job(1, "a", None), 200);
        queue.give_up_later();
        assert!(queue.admit_later());
        assert_eq!(queue.next(1000).map(|job| job.run), Some(run(1)));
        queue.stopped(run(1), false);
        queue.add_later(job(2, "a", None), 100);
        // What is recorded has to be woken, however much there is.
        queue.schedule(job(1, "a", None), 200);
        assert_eq!((queue.due_ms(), queue.next(99)), (Some(100), None));
        assert_eq!(queue.next(1000).unwrap().run, run(2));
        assert_eq!(queue.next(1000).unwrap().run, run(1));
        assert_eq!(queue.due_ms(), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Come(u8, u8, u8),
        Schedule(u8, u8, u8),
        Next(u8),
        Stop(bool),
        GoOn,
        Forget(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (any::<u8>(), 0..3u8, 0..4u8).prop_map(|(n, a, s)| Step::Come(n, a, s)),
            1 => (any::<u8>(), 0..3u8, any::<u8>()).prop_map(|(n, a, t)| Step::Schedule(n, a, t)),
            4 => any::<u8>().prop_map(Step::Next),
            4 => any::<bool>().prop_map(Step::Stop),
            1 => Just(Step::GoOn),
            1 => any::<u8>().prop_map(Step::Forget),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_the_bounds_hold_and_nothing_stays_behind(steps in steps()) {
            let mut queue = Queue::new(BOUNDS);
            let mut paused: Vec<Job> = Vec::new();
            let mut seen = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Come(number, agent, session) if seen.insert(number) => {
                        let session = (session > 0).then(|| format!("s{session}"));
                        come(&mut queue, job(number, &format!("a{agent}"), session.as_deref()));
                    }
                    Step::Schedule(number, agent, due) if seen.insert(number) => {
                        if queue.admit_later() {
                            queue.add_later(job(number, &format!("a{agent}"), None), due.into());
                        }
                    }
                    Step::Come(..) | Step::Schedule(..) => {}
                    Step::Next(now) => drop(queue.next(now.into())),
                    Step::Stop(has_ended) => {
                        let first = queue.working.values().min_by_key(|job| job.run).cloned();
                        if let Some(job) = first {
                            queue.stopped(job.run, has_ended);
                            paused.extend((!has_ended).then_some(job));
                        }
                    }
                    Step::GoOn => paused.pop().into_iter().for_each(|job| queue.line_up(job)),
                    Step::Forget(number) => {
                        // Who cancels a run has it stopped first.
                        queue.stopped(run(number), false);
                        queue.forget(run(number));
                        paused.retain(|job| job.run != run(number));
                    }
                }
                let (working, queued, scheduled) = queue.counts();
                prop_assert!(working <= 3 && scheduled <= 2);
                prop_assert!(queue.working_by_agent.values().all(|count| *count <= 2));
                let lined: usize = queue.ready.values().map(VecDeque::len).sum();
                let waiting: usize = queue.sessions.values().map(|line| line.waiting.len()).sum();
                prop_assert_eq!(queued, lined + waiting);
                let mut keys: Vec<_> = queue.working.values().filter_map(|job| job.session.as_ref()).collect();
                let before = keys.len();
                keys.sort();
                keys.dedup();
                prop_assert_eq!(keys.len(), before, "two runs of a session work at once");
            }
            // Everything ends in the end.
            for job in paused.drain(..) {
                queue.line_up(job);
            }
            loop {
                let working: Vec<RunId> = queue.working().collect();
                for run in working {
                    queue.stopped(run, true);
                }
                if queue.next(u64::MAX).is_none() && queue.working.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(queue.counts(), (0, 0, 0));
            prop_assert!(queue.sessions.is_empty() && queue.ready.is_empty() && queue.jobs.is_empty());
        }
    }
}
