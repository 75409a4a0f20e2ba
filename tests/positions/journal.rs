//! A journal by positions: what is issued, and what ends, line by line. Effects end one at a time, and only when nothing
//! else moves, so that the order in which they end is all that there is to record besides the order of the program.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use host::message::{Digest, Ending, MessageRef, Moment, Outcome, Rules, RunId, Slot, Used};
use host::session::{
    Answered, Ask, Attempt, CarryOut, CarryOutChild, ChildEnded, Conduct, Effect, End, Execution, Facts,
    Performed, SessionError,
};
use tokio::sync::oneshot;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// An effect was issued.
    Issued(Slot, Digest),
    /// The effect that was issued at a position came to this.
    Ended(usize, Outcome, Option<Used>),
}

/// A run, or that of a child, over a journal of its own.
pub struct Positional {
    facts: Facts,
    pub state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    pub lines: Vec<Line>,
    /// How many of them have happened in this process.
    at: usize,
    /// The effects that go on, by where they were issued.
    open: BTreeMap<usize, oneshot::Sender<Option<Line>>>,
    /// Whether one of them is being carried out.
    busy: bool,
    /// The journals of the children, by the slot of the call.
    children: BTreeMap<Slot, Arc<Positional>>,
    /// Which effects were carried out in this process.
    pub carried_out: Vec<Slot>,
}

impl Positional {
    pub fn new(lines: Vec<Line>) -> Arc<Self> {
        let facts = Facts { run: RunId::from_bytes([7; 16]), rules: Rules::NOW, words: None, is_live: true };
        Arc::new(Self { facts, state: Mutex::new(State { lines, ..State::default() }) })
    }

    /// What happens next is this. Where something is recorded at the position it has to be the same.
    fn happens(&self, line: Line) -> usize {
        let mut state = self.state.lock().unwrap();
        let at = state.at;
        match state.lines.get(at) {
            Some(recorded) => assert_eq!(*recorded, line, "at position {at}"),
            None => state.lines.push(line),
        }
        state.at += 1;
        at
    }

    /// Issues an effect. It waits until it is let.
    fn issue(&self, effect: &Effect) -> (usize, oneshot::Receiver<Option<Line>>) {
        let at = self.happens(Line::Issued(effect.slot.clone(), effect.request.digest()));
        let (let_go, waits) = oneshot::channel();
        self.state.lock().unwrap().open.insert(at, let_go);
        (at, waits)
    }

    /// What an effect comes to once it is let: what is recorded, or what the work obtains.
    async fn ended(
        &self,
        (at, waits): (usize, oneshot::Receiver<Option<Line>>),
        slot: Slot,
        work: impl Future<Output = Result<(Outcome, Option<Used>), SessionError>>,
    ) -> Result<(Outcome, Option<Used>), SessionError> {
        let line = if let Some(recorded) = waits.await.unwrap() {
            recorded
        } else {
            self.state.lock().unwrap().carried_out.push(slot);
            let (outcome, used) = work.await?;
            Line::Ended(at, outcome, used)
        };
        self.happens(line.clone());
        self.state.lock().unwrap().busy = false;
        let Line::Ended(_, outcome, used) = line else { unreachable!("only ends are recorded as ends") };
        Ok((outcome, used))
    }

    /// When nothing moves any more: lets the effect end whose end is recorded next, or any one that goes on.
    fn let_one(&self, random: &mut u64) {
        let mut state = self.state.lock().unwrap();
        let recorded = state.lines.get(state.at).cloned();
        let at = match &recorded {
            Some(Line::Ended(at, ..)) => *at,
            Some(Line::Issued(slot, _)) => panic!("{slot} was issued here before"),
            None => {
                *random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let nth = usize::try_from(*random >> 33).unwrap() % state.open.len();
                *state.open.keys().nth(nth).unwrap()
            }
        };
        state.busy = true;
        state.open.remove(&at).unwrap().send(recorded).unwrap();
    }

    /// Has the loop work until so much has happened, or to its end.
    pub async fn drive<T>(
        &self,
        lines_max: usize,
        random: &mut u64,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let mut still = 0;
        loop {
            let before = { self.state.lock().unwrap().at };
            if let Poll::Ready(done) = futures::poll!(&mut work) {
                return Some(done);
            }
            tokio::task::yield_now().await;
            let (at, busy) = {
                let state = self.state.lock().unwrap();
                (state.at, state.busy)
            };
            still = if at == before && !busy { still + 1 } else { 0 };
            // A result goes from its task to the loop in fewer turns than these.
            if still == 8 {
                if at >= lines_max {
                    return None;
                }
                self.let_one(random);
            }
        }
    }
}

impl Execution for Positional {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn perform<'a>(&'a self, effect: Effect, _: Conduct<'a>, carry_out: CarryOut<'a>) -> Performed<'a> {
        let issued = self.issue(&effect);
        Box::pin(async move {
            let attempt = Attempt::new(self.facts.run, 1, &effect.slot, 1, 0);
            let work = async { Ok((carry_out(attempt).await?.value, None)) };
            Ok(self.ended(issued, effect.slot, work).await?.0)
        })
    }

    fn wait<'a>(&'a self, effect: Effect, ask: Ask<'a>) -> Performed<'a> {
        let issued = self.issue(&effect);
        Box::pin(async move {
            let attempt = Attempt::new(self.facts.run, 1, &effect.slot, 1, 0);
            let work = async {
                match ask(attempt).await {
                    Answered::Now(done) => Ok((done.value, None)),
                    Answered::Later(wants) => panic!("nobody has to wait for {wants:?}"),
                }
            };
            Ok(self.ended(issued, effect.slot, work).await?.0)
        })
    }

    fn child<'a>(
        self: Arc<Self>,
        effect: Effect,
        _: Conduct<'a>,
        carry_out: CarryOutChild<'a>,
    ) -> BoxFuture<'a, Result<ChildEnded, SessionError>> {
        let issued = self.issue(&effect);
        Box::pin(async move {
            let child = {
                let mut state = self.state.lock().unwrap();
                let lines =
                    state.children.get(&effect.slot).map(|child| child.state.lock().unwrap().lines.clone());
                let child = Self::new(lines.unwrap_or_default());
                state.children.insert(effect.slot.clone(), Arc::clone(&child));
                child
            };
            let work = async {
                let attempt = Attempt::new(self.facts.run, 1, &effect.slot, 1, 0);
                let work = carry_out(attempt, Arc::clone(&child) as Arc<dyn Execution>);
                let done = child.drive(usize::MAX, &mut 5, work).await.unwrap()?;
                Ok((Outcome::Tool(done.value), done.usage.used))
            };
            let (outcome, used) = self.ended(issued, effect.slot.clone(), work).await?;
            let Outcome::Tool(outcome) = outcome else { panic!("{outcome:?}") };
            Ok(ChildEnded { outcome, used })
        })
    }

    fn end<'a>(
        &'a self,
        _run: &'a Slot,
        _end: End,
        ending: Ending,
        _used: Used,
    ) -> BoxFuture<'a, Result<Ending, SessionError>> {
        Box::pin(std::future::ready(Ok(ending)))
    }

    fn time_is_up(&self, _limit: Duration) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn ended_at(&self, _slot: &Slot) -> Option<Outcome> {
        None
    }

    fn end_of(&self, _: &Slot) -> Option<Moment> {
        None
    }

    fn said_at(&self, _slot: &Slot) -> Vec<MessageRef> {
        Vec::new()
    }

    fn heard(&self, _slot: &Slot, _text: &str) {}
}

/// The journal as the next process finds it.
pub fn reopened(journal: &Arc<Positional>) -> Arc<Positional> {
    let state = journal.state.lock().unwrap();
    let again = Positional::new(state.lines.clone());
    again.state.lock().unwrap().children = state.children.clone();
    again
}

pub fn issued(journal: &Positional) -> Vec<Slot> {
    let state = journal.state.lock().unwrap();
    let slot = |line: &Line| match line {
        Line::Issued(slot, _) => Some(slot.clone()),
        Line::Ended(..) => None,
    };
    state.lines.iter().filter_map(slot).collect()
}
