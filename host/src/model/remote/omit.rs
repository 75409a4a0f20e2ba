//! What is left out of requests, because a server does not take it.

use std::iter::Peekable;
use std::str::Split;

use serde_json::Value;
use serde_json::value::to_raw_value;

use super::request::{Body, BoxError};

/// Takes members out of a request, each named by the way to it, such as `tools.function.strict`: lists on the way are gone
/// through item by item. What is not there is left out already.
pub(super) fn leave_out(body: &mut Body, ways: &[String]) -> Result<(), BoxError> {
    for way in ways {
        let Some((member, rest)) = way.split_once('.') else {
            body.remove(way);
            continue;
        };
        let Some(there) = body.get_mut(member) else { continue };
        let mut value: Value = serde_json::from_str(there.get())?;
        if take(&mut value, rest.split('.').peekable()) {
            *there = to_raw_value(&value)?;
        }
    }
    Ok(())
}

/// Whether anything was there.
fn take(value: &mut Value, way: Peekable<Split<'_, char>>) -> bool {
    match value {
        Value::Array(list) => {
            let mut taken = false;
            for item in list {
                taken |= take(item, way.clone());
            }
            taken
        }
        Value::Object(map) => {
            let mut way = way;
            match (way.next(), way.peek().is_some()) {
                (Some(last), false) => map.shift_remove(last).is_some(),
                (Some(next), true) => map.get_mut(next).is_some_and(|it| take(it, way)),
                (None, _) => false,
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
