//! One start of a program: what it has asked for so far, and what it was given.
//!
//! A program that is started again asks for the same as before, from the beginning. Its requests are counted anew with
//! every start, so that the second of two equal requests is told from the first one that comes again.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::body::{Outcome, Round};
use super::book::{Book, Wanted};
use crate::message::{Arguments, Digest, Slot, Step};

/// What one start of a program has asked for.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// Whether it is one that is told from others. Of one that is not, any request may be one that comes again.
    pub(super) is_told: bool,
    /// Whether it went on otherwise than what is recorded.
    pub(super) diverged: bool,
    asked: HashMap<Digest, Vec<Place>>,
    served: HashSet<Slot>,
    open: Vec<Opened>,
    /// The places of calls in `open`, and those of each tool that nobody waits for and whose results did not arrive.
    places: HashMap<Slot, usize>,
    free: HashMap<String, BTreeSet<usize>>,
}

/// One of several equal requests.
#[derive(Debug, Default)]
struct Place {
    /// How many connections wait for it.
    waiting: u32,
    /// Whether its reply has arrived.
    done: bool,
}

/// A call that the program may make, or made without being asked to.
#[derive(Debug)]
struct Opened {
    slot: Slot,
    wanted: Wanted,
    waiting: u32,
    /// Whether its result has arrived.
    delivered: bool,
}

impl Opened {
    fn is_free(&self) -> bool {
        self.waiting == 0 && !self.delivered
    }
}

impl Start {
    pub(super) fn new(is_told: bool) -> Self {
        Self { is_told, ..Self::default() }
    }

    /// Takes in a request, and says how many equal ones came before it in this start. One whose reply did not arrive comes
    /// again.
    pub(super) fn ask(&mut self, key: Digest) -> u32 {
        let places = self.asked.entry(key).or_default();
        let again = places.iter().position(|place| !self.is_told || (!place.done && place.waiting == 0));
        let index = again.unwrap_or(places.len());
        if index == places.len() {
            places.push(Place::default());
        }
        places[index].waiting += 1;
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Takes in that a request is not waited for any more, and whether its reply has arrived.
    pub(super) fn asked(&mut self, key: Digest, occurrence: u32, done: bool) {
        let place = self.asked.get_mut(&key).and_then(|places| places.get_mut(occurrence as usize));
        if let Some(place) = place {
            place.waiting = place.waiting.saturating_sub(1);
            place.done |= done;
        }
    }

    /// Takes in that the program is given the reply at a slot: it may make its calls.
    pub(super) fn serve(&mut self, slot: &Slot, wanted: &[Wanted]) {
        let Some(Step::Model { turn }) = slot.steps().last().copied() else { return };
        if !self.served.insert(slot.clone()) {
            if !self.is_told {
                // Another start, as far as anybody knows: it makes all of them again.
                let calls = self.open.iter().filter(|it| is_of_turn(&it.slot, turn));
                for slot in calls.map(|it| it.slot.clone()).collect::<Vec<_>>() {
                    self.change(&slot, |it| it.delivered = false);
                }
            }
            return;
        }
        for (index, wanted) in (0..).zip(wanted) {
            self.open(Opened {
                slot: Slot::tool(turn, index),
                wanted: wanted.clone(),
                waiting: 0,
                delivered: false,
            });
        }
    }

    /// Takes in what the program may have been given by an earlier process of the host: the last reply, and those of which
    /// calls have not ended.
    pub(super) fn serve_what_may_be(&mut self, book: &Book) {
        let last = book.replies().last().cloned();
        let is_open = |slot: &Slot, wanted: &[Wanted]| {
            let Some(Step::Model { turn }) = slot.steps().last().copied() else { return false };
            let slots = (0..).zip(wanted).map(|(index, _)| Slot::tool(turn, index));
            slots.into_iter().any(|slot| book.call_at(&slot).is_none_or(|called| called.outcome.is_none()))
        };
        for slot in book.replies() {
            let wanted = book.wanted_at(slot).unwrap_or_default();
            if Some(slot) == last.as_ref() || is_open(slot, wanted) {
                self.serve(slot, wanted);
            }
        }
    }

    /// Takes in which replies the program tells back, and so was given.
    pub(super) fn serve_told_back(&mut self, book: &Book, rounds: &[Round]) {
        for round in rounds.iter().filter(|round| round.reply.is_some()) {
            let told = book.told_back(round);
            let served = told.iter().any(|slot| self.served.contains(slot));
            if let Some(slot) = told.first().filter(|_| !served) {
                self.serve(slot, book.wanted_at(slot).unwrap_or_default());
            }
        }
    }

    /// Takes in which results the program sends on, and so was given.
    pub(super) fn deliver(&mut self, rounds: &[Round]) {
        for round in rounds {
            for (_, slot, _) in self.results_of(round) {
                self.change(&slot, |it| it.delivered = true);
            }
        }
    }

    fn open(&mut self, opened: Opened) {
        let (slot, place) = (opened.slot.clone(), self.open.len());
        self.places.insert(slot.clone(), place);
        self.open.push(opened);
        self.change(&slot, |_| {});
    }

    /// Changes what is known of a call, if it is one that the program may make or made.
    fn change(&mut self, slot: &Slot, change: impl FnOnce(&mut Opened)) {
        let Some((place, open)) =
            self.places.get(slot).and_then(|place| Some((*place, self.open.get_mut(*place)?)))
        else {
            return;
        };
        change(open);
        let free = self.free.entry(open.wanted.name.clone()).or_default();
        if open.is_free() {
            free.insert(place);
        } else {
            free.remove(&place);
        }
    }

    /// The results of a turn that are of calls which the program was asked for: their places among the results, the calls,
    /// and whether their results were given to it.
    pub(super) fn results_of(&self, round: &Round) -> Vec<(usize, Slot, bool)> {
        let inputs: Vec<Arguments> = round.calls.iter().map(|call| Arguments::parse(&call.input)).collect();
        let calls = round.calls.iter().zip(&inputs);
        let calls: Vec<_> =
            calls.map(|(call, input)| (call.id.as_deref(), call.name.as_str(), input.as_written())).collect();
        let meant = self.meant(&calls);
        let results = round.results.iter().enumerate();
        let of = |(place, result): (usize, &Outcome)| {
            let (slot, delivered) = meant.get(result.call?)?.clone()?;
            Some((place, slot, delivered))
        };
        results.filter_map(of).collect()
    }

    /// The first reply that is recorded and that the program has not asked for yet.
    pub(super) fn unserved(&self, book: &Book) -> Option<Slot> {
        book.replies().find(|slot| !self.served.contains(slot)).cloned()
    }

    /// Which call the program means. `None` if no reply that it was given asks for such a call, and it made none like it
    /// before.
    pub(super) fn call(
        &mut self,
        book: &Book,
        name: &str,
        input: &str,
        client_id: Option<&str>,
    ) -> Option<Slot> {
        let of = |it: &Opened| book.call_at(&it.slot).cloned();
        let is_same = |it: &Opened| {
            let recorded = of(it).map_or_else(|| it.wanted.input.clone(), |called| called.input);
            recorded == input
        };
        let is_own = |it: &Opened| {
            of(it).is_some_and(|it| client_id.is_some() && it.client_id.as_deref() == client_id)
        };
        let is_new = |it: &Opened| book.call_at(&it.slot).is_none();
        let free = || self.free.get(name).into_iter().flatten().filter_map(|place| self.open.get(*place));
        // The very call, the next one like it, and one whose input the program has changed.
        let found = free()
            .find(|it| is_same(it) && is_own(it))
            .or_else(|| free().find(|it| is_same(it) && is_new(it)))
            .or_else(|| free().find(|it| is_same(it)))
            .or_else(|| free().find(|it| is_new(it)))
            .map(|it| it.slot.clone());
        if let Some(slot) = found {
            self.change(&slot, |it| it.waiting += 1);
            return Some(slot);
        }
        let is_free = |slot: &&Slot| {
            let open = self.places.get(*slot).and_then(|place| self.open.get(*place));
            open.is_none_or(Opened::is_free)
        };
        let slot = book.free_calls(name, input).iter().find(is_free)?.clone();
        self.open_free(slot.clone(), name, input);
        Some(slot)
    }

    /// Takes in a call that no reply asked for.
    pub(super) fn open_free(&mut self, slot: Slot, name: &str, input: &str) {
        if self.places.contains_key(&slot) {
            self.change(&slot, |it| it.waiting += 1);
            return;
        }
        let wanted = Wanted { id: String::new(), name: name.to_owned(), input: input.to_owned() };
        self.open(Opened { slot, wanted, waiting: 1, delivered: false });
    }

    /// Takes in that a call is not waited for any more, and whether its result has arrived.
    pub(super) fn called(&mut self, slot: &Slot, delivered: bool) {
        self.change(slot, |it| {
            it.waiting = it.waiting.saturating_sub(1);
            it.delivered |= delivered;
        });
    }

    /// The calls that the program means which it sends results of, in order: each by its id, or else by what it is.
    fn meant(&self, calls: &[(Option<&str>, &str, &str)]) -> Vec<Option<(Slot, bool)>> {
        let mut taken = HashSet::new();
        let mut meant = |(id, name, input): &(Option<&str>, &str, &str)| {
            let by_id = |it: &&Opened| id.is_some_and(|id| !id.is_empty() && it.wanted.id == id);
            let alike = |it: &&Opened| it.wanted.name == *name && it.wanted.input == *input;
            // The last turn comes first: ids may be used again.
            let mut open = self.open.iter().rev();
            let found = open.find(by_id).or_else(|| {
                let free = self.open.iter().filter(|it| !taken.contains(&it.slot));
                free.rev().find(alike)
            })?;
            taken.insert(found.slot.clone());
            Some((found.slot.clone(), found.delivered))
        };
        calls.iter().map(&mut meant).collect()
    }
}

fn is_of_turn(slot: &Slot, turn: u32) -> bool {
    matches!(slot.steps().last(), Some(Step::Tool { turn: of, .. }) if *of == turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::book::Called;

    fn wanted(name: &str, input: &str) -> Wanted {
        Wanted { id: format!("{name}{input}"), name: name.to_owned(), input: input.to_owned() }
    }

    fn called(input: &str, client_id: &str) -> Called {
        let (name, input) = ("f".to_owned(), input.to_owned());
        Called { name, input, client_id: Some(client_id.to_owned()), outcome: None }
    }

    fn told() -> Start {
        Start { is_told: true, ..Start::default() }
    }

    #[test]
    fn equal_requests_are_counted_and_one_that_did_not_arrive_comes_again() {
        let (mut start, key) = (told(), Digest::of(b"k"));
        assert_eq!(start.ask(key), 0);
        assert_eq!(start.ask(key), 1, "while the first one is waited for");
        start.asked(key, 0, false);
        assert_eq!(start.ask(key), 0, "it did not arrive");
        start.asked(key, 0, true);
        start.asked(key, 1, true);
        assert_eq!(start.ask(key), 2);
        let mut untold = Start::default();
        assert_eq!([untold.ask(key), untold.ask(key)], [0, 0]);
    }

    #[test]
    fn identical_calls_have_places_of_their_own_in_whatever_order_they_come() {
        let mut book = Book::default();
        let calls = [wanted("f", "{}"), wanted("f", "{}"), wanted("f", "{\"n\":1}")];
        let mut first = told();
        first.serve(&Slot::model(0), &calls);
        let slots: Vec<Slot> = ["10", "11"]
            .iter()
            .filter_map(|id| {
                let slot = first.call(&book, "f", "{}", Some(id))?;
                book.call(slot.clone(), called("{}", id));
                Some(slot)
            })
            .collect();
        assert_eq!(slots, [Slot::tool(0, 0), Slot::tool(0, 1)]);
        // In the next start they come the other way round.
        let mut second = told();
        second.serve(&Slot::model(0), &calls);
        assert_eq!(second.call(&book, "f", "{}", Some("11")), Some(Slot::tool(0, 1)));
        assert_eq!(second.call(&book, "f", "{}", Some("10")), Some(Slot::tool(0, 0)));
        // A changed input takes what is left.
        assert_eq!(second.call(&book, "f", "{\"n\":2}", None), Some(Slot::tool(0, 2)));
        assert_eq!(second.call(&book, "f", "{}", None), None);
        assert_eq!(second.call(&book, "g", "{}", None), None);
        // Whose result did not arrive is asked for again.
        second.called(&Slot::tool(0, 1), false);
        assert_eq!(second.call(&book, "f", "{}", Some("12")), Some(Slot::tool(0, 1)));
    }

    #[test]
    fn results_are_of_the_calls_that_the_program_was_asked_for() {
        let mut start = told();
        start.serve(&Slot::model(0), &[wanted("f", "1"), Wanted { id: String::new(), ..wanted("f", "2") }]);
        start.called(&Slot::tool(0, 1), true);
        let meant = start.meant(&[(Some("drawn"), "f", "2"), (Some("f1"), "f", "changed"), (None, "g", "1")]);
        assert_eq!(meant, [Some((Slot::tool(0, 1), true)), Some((Slot::tool(0, 0), false)), None]);
    }

    #[test]
    fn a_start_that_nobody_tells_from_others_makes_all_calls_again() {
        let book = Book::default();
        let calls = [wanted("f", "{}")];
        for (is_told, again) in [(true, None), (false, Some(Slot::tool(0, 0)))] {
            let mut start = Start { is_told, ..Start::default() };
            start.serve(&Slot::model(0), &calls);
            assert_eq!(start.call(&book, "f", "{}", None), Some(Slot::tool(0, 0)));
            start.called(&Slot::tool(0, 0), true);
            start.serve(&Slot::model(0), &calls);
            assert_eq!(start.call(&book, "f", "{}", None), again);
        }
    }
}
