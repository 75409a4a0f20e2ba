//! A JSON value that counts how often it is looked at.
//!
//! The validator reads values through a representation of ours, in which every look costs a step. When the steps are
//! used up, or the stack, or when nobody wants the result any more, the value has nothing in it from then on: whatever
//! the validator still has to do comes to an end at once, and what it says counts for nothing. So a schema that asks
//! for the same thing again and again costs what it may cost, and no more.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, unique};
use serde_json::{Map, Number, Value};

/// A text costs a step for so many bytes: searching that many for a pattern takes about as long as a look.
const BYTES_A_STEP: usize = 16;

/// After so many steps it is asked again whether anybody wants the result.
const STEPS_UNASKED: u64 = 1024;

/// What a check may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) steps: u64,
    /// How far the stack may grow, in bytes, from where the check begins.
    pub(super) stack_bytes: usize,
    /// What a look at a text costs besides.
    pub(super) text_steps: u64,
}

/// Why a check was not carried out to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    Steps,
    Stack,
    Cancelled,
}

/// Counts the steps of one check.
pub(super) struct Meter<'a> {
    allowance: Allowance,
    left: Cell<u64>,
    spent: Cell<Option<Spent>>,
    base: usize,
    cancelled: &'a AtomicBool,
}

impl<'a> Meter<'a> {
    pub(super) fn new(allowance: Allowance, cancelled: &'a AtomicBool) -> Self {
        let (left, spent) = (Cell::new(allowance.steps), Cell::new(None));
        Self { allowance, left, spent, base: here(), cancelled }
    }

    /// Why the check came to an end before its end, if it did.
    pub(super) fn spent(&self) -> Option<Spent> {
        self.spent.get()
    }

    fn charge(&self, steps: u64) {
        let left = self.left.get();
        if left / STEPS_UNASKED != left.saturating_sub(steps) / STEPS_UNASKED
            && self.cancelled.load(Ordering::Relaxed)
        {
            self.stop(Spent::Cancelled);
        }
        match left.checked_sub(steps) {
            Some(left) => self.left.set(left),
            None => self.stop(Spent::Steps),
        }
        if self.base.abs_diff(here()) > self.allowance.stack_bytes {
            self.stop(Spent::Stack);
        }
    }

    fn charge_bytes(&self, bytes: usize) {
        self.charge(1 + (bytes / BYTES_A_STEP) as u64);
    }

    fn stop(&self, why: Spent) {
        if self.spent.get().is_none() {
            self.spent.set(Some(why));
        }
    }
}

/// About where the stack ends.
#[inline(never)]
fn here() -> usize {
    let local = 0_u8;
    std::ptr::from_ref(&local).addr()
}

/// The representation.
pub(super) struct Metered;

/// A value, or a part of it.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    value: &'a Value,
    /// None for names, which are paid for where they are listed.
    meter: Option<&'a Meter<'a>>,
}

impl<'a> Part<'a> {
    pub(super) fn whole(value: &'a Value, meter: &'a Meter<'a>) -> Self {
        Self { value, meter: Some(meter) }
    }

    /// Looks, which costs a step. There is nothing to see when all steps are used up.
    fn look(self) -> &'a Value {
        static NOTHING: Value = Value::Null;
        let Some(meter) = self.meter else { return self.value };
        meter.charge(1);
        if meter.spent().is_some() { &NOTHING } else { self.value }
    }

    fn below(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }
}

impl Json for Metered {
    type Node<'a> = Part<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(Part<'_>) -> T) -> T {
        *buffer = Value::from(string);
        f(Part { value: buffer, meter: None })
    }
}

impl<'a> Node<'a, Metered> for Part<'a> {
    type Object = Members<'a>;
    type Array = Elements<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        self.look().as_object().map(|map| Members { part: *self, map })
    }

    fn as_array(&self) -> Option<Elements<'a>> {
        self.look().as_array().map(|items| Elements { part: *self, items })
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.look().as_str()?;
        if let Some(meter) = self.meter {
            meter.charge_bytes(text.len());
            meter.charge(meter.allowance.text_steps);
        }
        Some(Cow::Borrowed(text))
    }

    fn as_number(&self) -> Option<&'a Number> {
        self.look().as_number()
    }

    fn as_boolean(&self) -> Option<bool> {
        self.look().as_bool()
    }

    fn is_null(&self) -> bool {
        self.look().is_null()
    }

    fn json_type(&self) -> JsonType {
        match self.look() {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Borrowed(self.value)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.value).addr()))
    }
}

/// The members of an object.
pub(super) struct Members<'a> {
    part: Part<'a>,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a, Metered> for Members<'a> {
    type Node = Part<'a>;
    type MemberName = &'a str;
    type MembersIter = EachMember<'a>;

    fn len(&self) -> usize {
        self.map.len()
    }

    fn get(&self, key: &String) -> Option<Part<'a>> {
        self.map.get(key).map(|value| self.part.below(value))
    }

    fn members(&self) -> EachMember<'a> {
        EachMember { part: self.part, rest: self.map.iter() }
    }
}

pub(super) struct EachMember<'a> {
    part: Part<'a>,
    rest: serde_json::map::Iter<'a>,
}

impl<'a> Iterator for EachMember<'a> {
    type Item = (&'a str, Part<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.rest.next()?;
        if let Some(meter) = self.part.meter {
            meter.charge_bytes(name.len());
            if meter.spent().is_some() {
                return None;
            }
        }
        Some((name, self.part.below(value)))
    }
}

/// The items of an array.
pub(super) struct Elements<'a> {
    part: Part<'a>,
    items: &'a [Value],
}

impl<'a> Array<'a, Metered> for Elements<'a> {
    type Node = Part<'a>;
    type ElementsIter = EachElement<'a>;

    fn len(&self) -> usize {
        self.items.len()
    }

    fn elements(&self) -> EachElement<'a> {
        EachElement { part: self.part, rest: self.items.iter() }
    }

    fn is_unique(&self) -> bool {
        if let Some(meter) = self.part.meter {
            // It looks at all there is in each item, about twice.
            for item in self.items {
                meter.charge(2 * size(item));
                if meter.spent().is_some() {
                    return true;
                }
            }
        }
        let items: Vec<Cow<'a, Value>> = self.items.iter().map(Cow::Borrowed).collect();
        unique::is_unique(&items)
    }
}

pub(super) struct EachElement<'a> {
    part: Part<'a>,
    rest: std::slice::Iter<'a, Value>,
}

impl<'a> Iterator for EachElement<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let value = self.rest.next()?;
        if let Some(meter) = self.part.meter {
            meter.charge(1);
            if meter.spent().is_some() {
                return None;
            }
        }
        Some(self.part.below(value))
    }
}

/// How many steps all of a value takes.
fn size(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + (text.len() / BYTES_A_STEP) as u64,
        Value::Array(items) => 1 + items.iter().map(size).sum::<u64>(),
        Value::Object(entries) => {
            1 + entries
                .iter()
                .map(|(key, value)| size(value) + 1 + (key.len() / BYTES_A_STEP) as u64)
                .sum::<u64>()
        }
    }
}
