//! Which spans the run waited for: had one of them been quicker, the run would have gone on sooner.
//!
//! Turns follow each other, and so do a request and the calls that its reply asks for; the calls of a turn are made at
//! once, so that the run waited for the last one to end. When a tool makes calls itself, only the clock says which it
//! waited for: from the last end back to whatever ended before that began.

use super::span::{Kind, Span};

/// Marks what the run waited for.
pub(super) fn mark(spans: &mut [Span<'_>]) {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut tops = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        match span.parent.and_then(|parent| below.get_mut(parent)) {
            Some(children) => children.push(index),
            None => tops.push(index),
        }
    }
    let mut enclosing = vec![(true, tops)];
    while let Some((are_calls_at_once, children)) = enclosing.pop() {
        for index in waited_for(spans, &children, are_calls_at_once) {
            let Some(span) = spans.get_mut(index) else { continue };
            span.is_critical = true;
            let is_turn = span.kind == Kind::Turn;
            enclosing.extend(below.get_mut(index).map(|children| (is_turn, std::mem::take(children))));
        }
    }
}

/// Those of the spans within one that it waited for.
fn waited_for(spans: &[Span<'_>], children: &[usize], are_calls_at_once: bool) -> Vec<usize> {
    let found = |index: &usize| spans.get(*index).map(|span| (*index, span));
    let (calls, others): (Vec<_>, Vec<_>) =
        children.iter().filter_map(found).partition(|(_, span)| match span.kind {
            Kind::Turn | Kind::Model | Kind::Summary | Kind::Approval => false,
            Kind::Tool | Kind::Agent | Kind::Person | Kind::Sleep => true,
        });
    let mut waited: Vec<usize> = others.into_iter().map(|(index, _)| index).collect();
    let mut calls = calls;
    calls.sort_by_key(|(_, span)| (span.until_us, span.began_us));
    let mut before_us = u64::MAX;
    for (index, span) in
        calls.into_iter().rev().filter(|(_, span)| span.until_us > 0 || !span.attempts.is_empty())
    {
        if span.until_us > before_us {
            continue;
        }
        waited.push(index);
        if are_calls_at_once {
            break;
        }
        before_us = span.began_us;
    }
    waited
}
