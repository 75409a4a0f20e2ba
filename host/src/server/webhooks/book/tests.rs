#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

const HORIZON: Horizon = Horizon { wait_ms: 1000, age_ms: 10_000 };

fn stop(run: u8, seq: u64) -> Delivery {
    Delivery { run: RunId::from_bytes([run; 16]), seq: Seq(seq), kind: Kind::Ended }
}

fn stopped(it: Delivery, at_ms: u64, to: &[&str]) -> Record {
    Record::Stopped { stop: it, at_ms, to: to.iter().map(|it| (*it).to_owned()).collect() }
}

fn tried(it: Delivery, to: &str, attempts: u32, due_ms: u64) -> Record {
    Record::Tried { to: to.to_owned(), stop: it, attempts, due_ms }
}

fn settled(it: Delivery, to: &str) -> Record {
    Record::Settled { to: to.to_owned(), stop: it }
}

#[test]
fn a_delivery_is_sent_until_it_is_settled_and_to_each_endpoint_by_itself() {
    let (mut book, one) = (Book::default(), stop(1, 7));
    book.apply(&Record::Works(one.run));
    assert!(book.is_owed(one.run));
    book.apply(&stopped(one, 100, &["a", "b"]));
    assert!(!book.is_owed(one.run));
    assert_eq!(book.next("a", 100, HORIZON), Next::Send(one, 0));
    assert_eq!(book.next("a", 100, HORIZON), Next::Nothing, "it is being sent");
    assert!(book.is_busy("a", 100));
    book.apply(&tried(one, "a", 1, 300));
    assert_eq!(book.next("a", 120, HORIZON), Next::In(180));
    assert!(!book.is_busy("a", 120) && book.is_busy("b", 120));
    assert_eq!(book.next("a", 300, HORIZON), Next::Send(one, 1));
    book.broke_off("a");
    assert_eq!(book.next("a", 300, HORIZON), Next::Send(one, 1));
    book.apply(&settled(one, "a"));
    assert_eq!((book.pending("a"), book.pending("b")), ((0, None), (1, Some(100))));
    // What comes after that changes nothing.
    book.apply(&tried(one, "a", 2, 500));
    assert_eq!(book.next("a", 900, HORIZON), Next::Nothing);
}

#[test]
fn what_is_too_old_or_due_by_another_clock_does_not_stay() {
    let (mut book, one) = (Book::default(), stop(1, 7));
    book.apply(&stopped(one, 100, &["a"]));
    book.apply(&tried(one, "a", 1, 50_000));
    assert_eq!(book.next("a", 200, HORIZON), Next::Send(one, 1), "the clock was set back since");
    book.broke_off("a");
    assert_eq!(book.next("a", 60_000, HORIZON), Next::Late(one, 1));
}

#[test]
fn the_oldest_that_waits_goes_if_there_are_too_many() {
    let mut book = Book::default();
    for n in 1..=3 {
        book.apply(&stopped(stop(n, 1), u64::from(n), &["a"]));
    }
    assert_eq!(book.beyond("a", 3), None);
    assert_eq!(book.beyond("a", 2), Some(stop(1, 1)));
    assert_eq!(book.next("a", 10, HORIZON), Next::Send(stop(1, 1), 0));
    assert_eq!(book.beyond("a", 2), Some(stop(2, 1)), "the other one is being sent");
}

#[test]
fn an_endpoint_that_is_disabled_has_nothing_pending() {
    let mut book = Book::default();
    book.apply(&stopped(stop(1, 1), 1, &["a"]));
    book.apply(&Record::Disabled("a".to_owned()));
    assert!(book.is_disabled("a") && book.pending("a").0 == 0);
    book.apply(&Record::Enabled("a".to_owned()));
    assert!(!book.is_disabled("a"));
    book.apply(&Record::Removed("a".to_owned()));
    assert_eq!(book.records(), []);
}

fn any_record() -> impl Strategy<Value = Record> {
    let names = || prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
    let stops = || (0..4_u8, 1..3_u64).prop_map(|(run, seq)| stop(run, seq));
    prop_oneof![
        (0..4_u8).prop_map(|run| Record::Works(RunId::from_bytes([run; 16]))),
        (0..4_u8).prop_map(|run| Record::Rests(RunId::from_bytes([run; 16]))),
        (stops(), 0..9_u64, proptest::collection::vec(names(), 0..3))
            .prop_map(|(stop, at_ms, to)| Record::Stopped { stop, at_ms, to }),
        (names(), stops(), 0..5_u32, 0..99_u64).prop_map(|(to, stop, attempts, due_ms)| Record::Tried {
            to,
            stop,
            attempts,
            due_ms
        }),
        (names(), stops()).prop_map(|(to, stop)| Record::Settled { to, stop }),
        names().prop_map(Record::Disabled),
        names().prop_map(Record::Enabled),
        names().prop_map(Record::Removed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is written anew of a state makes the same state, and so does each record in its written form.
    #[test]
    fn a_state_comes_back_from_its_records(records in proptest::collection::vec(any_record(), 0..40)) {
        let mut book = Book::default();
        let mut read = Book::default();
        for record in &records {
            book.apply(record);
            let written = serde_json::to_string(record).unwrap();
            read.apply(&serde_json::from_str(&written).unwrap());
        }
        let mut again = Book::default();
        book.records().iter().for_each(|record| again.apply(record));
        for other in [&again, &read] {
            prop_assert_eq!(&other.owed, &book.owed);
            for name in ["a", "b"] {
                prop_assert_eq!(other.is_disabled(name), book.is_disabled(name));
                let line = |book: &Book| book.lines.get(name).map(|line| (line.due.clone(), line.age.clone()));
                prop_assert_eq!(line(other).unwrap_or_default(), line(&book).unwrap_or_default());
            }
        }
    }
}
