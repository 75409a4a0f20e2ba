#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::Admission::{Begins, Waits};
use super::*;

const BOUNDS: Bounds = Bounds {
    runs: 3,
    runs_per_agent: 2,
    queued: 4,
    queued_per_agent: 3,
    queued_per_session: 2,
    scheduled: 2,
};

fn run(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

fn job(number: u8, agent: &str, session: Option<&str>) -> Job {
    Job { run: run(number), agent: agent.to_owned(), session: session.map(|key| key.parse().unwrap()) }
}

fn come(queue: &mut Queue, job: &Job) -> Result<Admission, Full> {
    let admission = queue.admit(job);
    if admission == Ok(Waits) {
        queue.add(job.run);
    }
    admission
}

#[test]
fn places_are_bounded_overall_and_by_agent_and_the_queue_is_bounded() {
    let mut queue = Queue::new(BOUNDS);
    let came: Vec<_> = [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "c"), (7, "c"), (8, "c")]
        .map(|(number, agent)| come(&mut queue, &job(number, agent, None)))
        .to_vec();
    let [begins, waits] = [Ok(Begins), Ok(Waits)];
    assert_eq!(came, [begins, begins, waits, begins, waits, waits, waits, Err(Full::Overall(4))]);
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
    assert_eq!(come(&mut queue, &job(1, "a", Some("ada"))), Ok(Begins));
    assert_eq!(come(&mut queue, &job(2, "a", Some("ada"))), Ok(Waits));
    assert_eq!(come(&mut queue, &job(3, "a", Some("ada"))), Ok(Waits));
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
    assert_eq!(come(&mut queue, &job(2, "a", Some("ada"))), Ok(Waits));
    queue.forget(run(1));
    assert_eq!(queue.next(0).unwrap().run, run(2));
}

#[test]
fn what_is_said_to_a_run_while_it_stops_is_not_lost() {
    let mut queue = Queue::new(BOUNDS);
    assert_eq!(come(&mut queue, &job(1, "a", None)), Ok(Begins));
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
    assert_eq!((queue.admit_later(), queue.admit_later()), (Ok(()), Ok(())));
    assert_eq!(queue.admit_later(), Err(Full::Scheduled(2)));
    queue.add_later(job(1, "a", None), 200);
    queue.give_up_later();
    assert_eq!(queue.admit_later(), Ok(()));
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

#[test]
fn an_agent_and_a_session_that_are_flooded_leave_room_for_the_others() {
    let mut queue = Queue::new(BOUNDS);
    let flood = |queue: &mut Queue, number, session| come(queue, &job(number, "a", session));
    assert_eq!(flood(&mut queue, 1, Some("ada")), Ok(Begins));
    assert_eq!(flood(&mut queue, 2, Some("ada")), Ok(Waits));
    assert_eq!(flood(&mut queue, 3, Some("ada")), Ok(Waits));
    assert_eq!(flood(&mut queue, 4, Some("ada")), Err(Full::Session(2)));
    assert_eq!(flood(&mut queue, 5, None), Ok(Begins));
    assert_eq!(flood(&mut queue, 6, None), Ok(Waits));
    assert_eq!(flood(&mut queue, 7, None), Err(Full::Agent(3)));
    assert_eq!(come(&mut queue, &job(8, "b", None)), Ok(Begins));
    assert_eq!(come(&mut queue, &job(9, "b", None)), Ok(Waits));
    assert_eq!(come(&mut queue, &job(10, "b", None)), Err(Full::Overall(4)));
}

#[test]
fn a_run_that_could_not_be_recorded_leaves_its_place_to_the_next_one_of_its_session() {
    let mut queue = Queue::new(BOUNDS);
    let ada = |number| job(number, "a", Some("ada"));
    assert_eq!(queue.admit(&ada(1)), Ok(Begins));
    assert_eq!(queue.admit(&ada(2)), Ok(Waits));
    assert_eq!(queue.admit(&ada(3)), Ok(Waits));
    queue.stopped(run(1), true);
    // Two are coming, so another one does not begin before them.
    assert_eq!(queue.admit(&ada(4)), Err(Full::Session(2)));
    queue.give_up(run(2));
    assert_eq!(queue.next(0), None);
    assert_eq!(queue.admit(&ada(4)), Ok(Waits));
    queue.add(run(3));
    queue.add(run(4));
    assert_eq!(queue.next(0).unwrap().run, run(3));
    queue.stopped(run(3), true);
    assert_eq!(queue.next(0).unwrap().run, run(4));
    queue.stopped(run(4), true);
    assert_eq!(queue.admit(&ada(5)), Ok(Begins));
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
                    let _ = come(&mut queue, &job(number, &format!("a{agent}"), session.as_deref()));
                }
                Step::Schedule(number, agent, due) if seen.insert(number) => {
                    if queue.admit_later().is_ok() {
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
                prop_assert!(queue.ready.values().all(|ready| !ready.is_empty()));
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
        prop_assert!(queue.sessions.is_empty() && queue.held.is_empty() && queue.ready.is_empty());
            prop_assert!(queue.scheduled.is_empty() && queue.due.is_empty() && queue.coming.is_empty());
            prop_assert!(queue.queued_by_agent.is_empty() && queue.working_by_agent.is_empty());
    }
}
