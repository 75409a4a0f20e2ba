//! How a request is recorded: without the beginning of its conversation, where an earlier request has that already.
//!
//! A program sends the whole conversation with every request. Recorded whole, a run of n turns would take n² room.

use serde_json::Value;

use super::body::conversation;
use crate::message::{ApiAfter, ApiAsk, Dialect, Digest, Json, Slot};

/// So many of the last requests are looked at for the beginning of a conversation.
const LOOKED_AT: usize = 16;

/// The conversation of a request that is recorded.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    slot: Slot,
    dialect: Dialect,
    items: Vec<Digest>,
}

impl Conversation {
    /// That of a body.
    pub(super) fn of(slot: Slot, dialect: Dialect, body: &Value) -> Self {
        let items = body[conversation(dialect)].as_array().map_or(&[][..], Vec::as_slice);
        Self {
            slot,
            dialect,
            items: items.iter().map(|item| Digest::of_json(&Json::canonical(item))).collect(),
        }
    }

    /// How many items another conversation begins with that are all of this one.
    fn begins(&self, other: &Self) -> Option<usize> {
        let is_beginning = self.dialect == other.dialect && other.items.starts_with(&self.items);
        (is_beginning && !self.items.is_empty()).then_some(self.items.len())
    }

    /// What of the body is recorded, where these are recorded already: the body without its beginning, and where that is.
    pub(super) fn shortened(&self, body: &Value, recorded: &[Self]) -> (Option<ApiAfter>, Json) {
        let looked_at = recorded.iter().rev().take(LOOKED_AT);
        let begins = looked_at.filter_map(|it| Some((it.begins(self)?, &it.slot)));
        let Some((items, slot)) = begins.max_by_key(|(items, _)| *items) else {
            return (None, Json::canonical(body));
        };
        let mut body = body.clone();
        if let Some(list) = body.get_mut(conversation(self.dialect)).and_then(Value::as_array_mut) {
            list.drain(..items);
        }
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        (Some(ApiAfter { slot: slot.clone(), items }), Json::canonical(&body))
    }
}

/// The body of a request as it was sent; none if what it goes on from is not recorded.
pub(super) fn whole<'a>(ask: &'a ApiAsk, at: &impl Fn(&Slot) -> Option<&'a ApiAsk>) -> Option<Value> {
    // From the last to the first: each has the end of the conversation.
    let (mut ends, mut ask) = (Vec::new(), ask);
    let mut body = ask.body.to_value();
    let member = conversation(ask.dialect);
    while let Some(ApiAfter { slot, items }) = &ask.after {
        let before = at(slot).filter(|before| before.dialect == ask.dialect)?;
        // A chain that comes back to itself would never end.
        if ends.len() >= usize::from(u16::MAX) {
            return None;
        }
        ends.push(before.body.to_value()[member].as_array()?.clone());
        let has = before.after.as_ref().map_or(0, |after| after.items) as usize + ends.last()?.len();
        if has != *items as usize {
            return None;
        }
        ask = before;
    }
    if let Some(list) = body.get_mut(member).and_then(Value::as_array_mut) {
        let end = std::mem::take(list);
        *list = ends.into_iter().rev().flatten().chain(end).collect();
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_recorded_of_a_conversation_is_its_end_and_all_of_it_can_be_read() {
        let said = |n: usize| json!({ "role": "user", "content": format!("word {n}") });
        let body =
            |turn: usize| json!({ "model": "m", "messages": (0..turn * 2).map(said).collect::<Vec<_>>() });
        let (mut recorded, mut asks) = (Vec::new(), HashMap::new());
        for turn in 1..20_u32 {
            let body = body(turn as usize);
            let slot = Slot::model(turn);
            let own = Conversation::of(slot.clone(), Dialect::ChatCompletions, &body);
            let (after, short) = own.shortened(&body, &recorded);
            assert_eq!(short.to_value()["messages"].as_array().unwrap().len(), 2, "turn {turn}");
            assert_eq!(after.is_some(), turn > 1);
            let key = Digest::of(b"");
            let (dialect, model, stream, occurrence) = (Dialect::ChatCompletions, "m".to_owned(), false, 0);
            asks.insert(slot, ApiAsk { dialect, model, stream, key, occurrence, after, body: short });
            recorded.push(own);
        }
        for (slot, ask) in &asks {
            let turn = slot.to_string().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            assert_eq!(whole(ask, &|slot| asks.get(slot)), Some(body(turn)));
        }
        let orphan = asks.remove(&Slot::model(1)).unwrap();
        assert_eq!(whole(&orphan, &|slot| asks.get(slot)), Some(body(1)));
        assert_eq!(whole(&asks[&Slot::model(9)], &|slot| asks.get(slot)), None);
    }

    #[test]
    fn another_conversation_is_recorded_whole() {
        let body = |text: &str| json!({ "messages": [{ "role": "user", "content": text }] });
        let of = |n, text| Conversation::of(Slot::model(n), Dialect::ChatCompletions, &body(text));
        let (after, short) = of(1, "b").shortened(&body("b"), &[of(0, "a")]);
        assert_eq!((after, short.to_value()), (None, body("b")));
    }
}
