use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::grants::{Limit, Masker};
use crate::message::{Denial, HttpRecord};

/// Denials of one call that are kept; a tool that asks in a loop says nothing new.
const DENIALS_MAX: usize = 16;

/// A longer URL is cut in its record.
const URL_BYTES_MAX: usize = 2 * 1024;

/// What the host notes of one call while it runs: requests, denials, the first limit that was hit, and how
/// much data passed. Shared between the instance and the tasks that work for it.
#[derive(Clone, Debug, Default)]
pub(super) struct CallRecord(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    exceeded: Option<Limit>,
    http: Vec<HttpRecord>,
    /// When each request began, until it ended.
    begun: Vec<Option<Instant>>,
    denials: Vec<Denial>,
    denials_left_out: u64,
}

/// A limit that a call ran into, as the error that stops it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the call ran into limits.{}", .0.key())]
pub(super) struct LimitHit(pub(super) Limit);

impl CallRecord {
    /// Notes that the call ran into a limit. The first one is what the call is told of, if it fails.
    pub(super) fn exceed(&self, limit: Limit) -> LimitHit {
        let first = *self.notes().exceeded.get_or_insert(limit);
        LimitHit(first)
    }

    pub(super) fn exceeded(&self) -> Option<Limit> {
        self.notes().exceeded
    }

    /// Notes what was wanted and not granted; the same thing once.
    pub(super) fn deny(&self, denial: Denial) {
        let mut notes = self.notes();
        if notes.denials.contains(&denial) {
            return;
        }
        if notes.denials.len() < DENIALS_MAX {
            notes.denials.push(denial);
        } else {
            notes.denials_left_out += 1;
        }
    }

    /// Says more of something that was denied, if it was, or forgets it where there is nothing to say.
    pub(super) fn settle_denial(&self, what: &str, more: impl FnOnce() -> Option<String>) {
        let mut notes = self.notes();
        let Some(at) = notes.denials.iter().position(|denial| denial.what == what) else { return };
        match more() {
            Some(more) => notes.denials[at].what.push_str(&more),
            None => drop(notes.denials.remove(at)),
        }
    }

    /// Forgets that something was denied. What a runtime asks for when it starts, its tool may never miss.
    pub(super) fn forget_denial(&self, what: &str) {
        self.notes().denials.retain(|denial| denial.what != what);
    }

    /// Notes a request that begins; none if it would be one more than `requests_max`.
    pub(super) fn request(&self, method: &str, url: &str, requests_max: u32) -> Option<RequestRecord> {
        let mut notes = self.notes();
        if notes.http.len() >= requests_max as usize {
            return None;
        }
        let url = url.get(..url.floor_char_boundary(URL_BYTES_MAX)).unwrap_or_default().to_owned();
        notes.http.push(HttpRecord { method: method.to_owned(), url, ..HttpRecord::default() });
        notes.begun.push(Some(Instant::now()));
        let index = notes.http.len() - 1;
        drop(notes);
        Some(RequestRecord { call: self.clone(), index })
    }

    /// What was noted, without any secret in it.
    pub(super) fn finish(&self, masker: &Masker) -> (Vec<HttpRecord>, Vec<Denial>) {
        let mut notes = self.notes();
        for index in 0..notes.http.len() {
            notes.end(index);
        }
        let (mut http, mut denials) = (std::mem::take(&mut notes.http), std::mem::take(&mut notes.denials));
        if notes.denials_left_out > 0 {
            let what = format!("{} more that are left out here", notes.denials_left_out);
            denials.push(Denial::for_good(what));
        }
        if !masker.is_idle() {
            for record in &mut http {
                record.url = masker.text(&record.url).into_owned();
                record.method = masker.text(&record.method).into_owned();
            }
            for denial in &mut denials {
                denial.what = masker.text(&denial.what).into_owned();
                denial.grant = masker.text(&denial.grant).into_owned();
            }
        }
        (http, denials)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock()
    }
}

impl Notes {
    /// Notes how long a request took, unless that is known.
    fn end(&mut self, index: usize) {
        let begun = self.begun.get_mut(index).and_then(Option::take);
        if let (Some(begun), Some(record)) = (begun, self.http.get_mut(index)) {
            record.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        }
    }
}

/// The record of one request, kept up to date until it is dropped.
#[derive(Debug)]
pub(super) struct RequestRecord {
    call: CallRecord,
    index: usize,
}

impl RequestRecord {
    /// Changes the record; nothing happens when the call has ended meanwhile.
    pub(super) fn update(&self, change: impl FnOnce(&mut HttpRecord)) {
        if let Some(record) = self.call.notes().http.get_mut(self.index) {
            change(record);
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.call.notes().end(self.index);
    }
}
