//! The byte layout of the journal, version 1. `docs/JOURNAL.md` describes it for other implementations.
//!
//! An event is one JSON text, cut into chunks; each chunk is one key and value of the store. Keys sort by
//! run, slot, event and chunk. Every value carries a checksum over its key and itself, so that a byte that
//! changed is noticed, wherever it stands.

use crate::journal::{Entry, Event, JournalError, Seq};
use crate::message::{RunId, Slot, Step};

/// The version this host writes, and the newest it reads.
pub const VERSION: u8 = 1;

/// The most payload bytes of one value: small enough for any store of keys and values. sled 0.34.7, for one, moves
/// values of about 128 KiB and more into files that it never syncs.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

const RUN_BYTES: usize = 16;
const END_OF_SLOT: u8 = 0x00;
const TURN: u8 = 0x01;
const CALL: u8 = 0x02;
const APPROVAL: u8 = 0x03;
const IN_TURN_SUMMARY: u8 = 0x00;
const IN_TURN_MODEL: u8 = 0x01;
const IN_TURN_TOOL: u8 = 0x02;
/// version, number of chunks, checksum.
const HEADER_BYTES: usize = 1 + 4 + 4;

/// What an event takes in general.
const EVENT_BYTES_USUAL: usize = 512;

/// A key and its value, as a store keeps them.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// The bytes of an event, chunk by chunk.
pub fn encode(entry: &Entry) -> Result<Vec<KeyValue>, JournalError> {
    // With room for the header before it: most events are one chunk, which is written where it stays.
    let mut payload = Vec::with_capacity(EVENT_BYTES_USUAL);
    payload.resize(HEADER_BYTES, 0);
    serde_json::to_writer(&mut payload, &entry.event).map_err(|error| JournalError::Corrupt {
        place: entry.slot.to_string(),
        reason: format!("the event cannot be written as JSON: {error}"),
    })?;
    if let Some(seq) = entry.seq {
        write_number(&mut payload, seq);
    }
    let stem = event_key(entry.run, &entry.slot, entry.event.ordinal());
    let count = (payload.len() - HEADER_BYTES).div_ceil(CHUNK_BYTES_MAX);
    if count == 1 {
        return Ok(vec![chunk(&stem, (0, count), payload)]);
    }
    let chunks = payload[HEADER_BYTES..].chunks(CHUNK_BYTES_MAX).enumerate();
    let chunks = chunks.map(|(index, part)| {
        let mut value = vec![0; HEADER_BYTES];
        value.extend_from_slice(part);
        chunk(&stem, (index, count), value)
    });
    Ok(chunks.collect())
}

/// A chunk, of whose value the header is still to be written.
fn chunk(stem: &[u8], (index, count): (usize, usize), mut value: Vec<u8>) -> KeyValue {
    let key = [stem, &be32(index)].concat();
    let count = be32(count);
    let checksum = checksum(&key, &count, &value[HEADER_BYTES..]);
    value[0] = VERSION;
    value[1..5].copy_from_slice(&count);
    value[5..HEADER_BYTES].copy_from_slice(&checksum);
    (key, value)
}

/// Reads events back from keys and values in key order.
pub fn decode(
    pairs: impl IntoIterator<Item = Result<(impl AsRef<[u8]>, impl AsRef<[u8]>), JournalError>>,
) -> Result<Vec<Entry>, JournalError> {
    let mut entries = Vec::new();
    let mut payload = Vec::new();
    let mut expected: Option<(Vec<u8>, usize, usize)> = None;
    for pair in pairs {
        let (key, value) = pair?;
        let (key, value) = (key.as_ref(), value.as_ref());
        let chunk = Chunk::read(key, value)?;
        let due = match &expected {
            Some((stem, next, count)) => *stem == chunk.stem && *next == chunk.index && *count == chunk.count,
            None => chunk.index == 0,
        };
        if !due {
            return Err(corrupt(key, "chunks of a record are missing or out of order"));
        }
        payload.extend_from_slice(chunk.bytes);
        if chunk.index + 1 < chunk.count {
            expected = Some((chunk.stem.to_vec(), chunk.index + 1, chunk.count));
            continue;
        }
        expected = None;
        entries.push(parse_event(key, chunk.stem, &payload)?);
        payload.clear();
    }
    match expected {
        Some((stem, ..)) => Err(corrupt(&stem, "the last chunks of a record are missing")),
        None => Ok(entries),
    }
}

fn parse_event(key: &[u8], stem: &[u8], payload: &[u8]) -> Result<Entry, JournalError> {
    let (run, slot, ordinal) =
        parse_key(stem).ok_or_else(|| corrupt(key, "the key is not one of a journal"))?;
    let event: Event = serde_json::from_slice(payload)
        .map_err(|error| corrupt(key, &format!("the record is not an event: {error}")))?;
    if event.ordinal() != ordinal {
        return Err(corrupt(key, "the record stands at the place of another one"));
    }
    Ok(Entry { run, slot, event, seq: read_number(payload) })
}

/// How the JSON of an event ends: the object in it, and its own.
const EVENT_ENDS: &[u8] = b"}}";

/// What stands before the number of an event, the last thing in its JSON.
const NUMBER: &[u8] = b",\"seq\":";

/// Adds the number to the JSON of an event. An older host passes over what it does not know there.
fn write_number(json: &mut Vec<u8>, seq: Seq) {
    json.truncate(json.len().saturating_sub(EVENT_ENDS.len()));
    json.extend_from_slice(NUMBER);
    json.extend_from_slice(seq.to_string().as_bytes());
    json.extend_from_slice(EVENT_ENDS);
}

/// The number in the JSON of an event, if it has one. It is read from the end, so that the event is parsed once: digits
/// that two braces follow stand outside of every string, and in the object of the event itself.
fn read_number(json: &[u8]) -> Option<Seq> {
    let json = json.strip_suffix(EVENT_ENDS)?;
    let digits = json.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, digits) = json.split_at(json.len() - digits);
    let number = str::from_utf8(digits).ok()?.parse().ok()?;
    before.ends_with(NUMBER).then_some(Seq(number))
}

struct Chunk<'a> {
    stem: &'a [u8],
    index: usize,
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn read(key: &'a [u8], value: &'a [u8]) -> Result<Self, JournalError> {
        let version = *value.first().ok_or_else(|| corrupt(key, "the value is empty"))?;
        if version != VERSION {
            return Err(JournalError::Version { place: place(key), version });
        }
        let (header, bytes) =
            value.split_at_checked(HEADER_BYTES).ok_or_else(|| corrupt(key, "the value is cut short"))?;
        let (stem, index) = key
            .split_last_chunk::<4>()
            .ok_or_else(|| corrupt(key, "the key is too short to be one of a journal"))?;
        if header[5..] != checksum(key, &header[1..5], bytes) {
            return Err(corrupt(key, "the checksum does not fit"));
        }
        let count = header[1..5].iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        Ok(Self { stem, index: u32::from_be_bytes(*index) as usize, count, bytes })
    }
}

/// What every key of a run begins with.
#[must_use]
pub fn run_prefix(run: RunId) -> [u8; RUN_BYTES] {
    run.to_bytes()
}

/// The run a key belongs to.
#[must_use]
pub fn run_of(key: &[u8]) -> Option<RunId> {
    key.first_chunk().map(|bytes| RunId::from_bytes(*bytes))
}

fn event_key(run: RunId, slot: &Slot, ordinal: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(40);
    key.extend_from_slice(&run.to_bytes());
    for step in slot.steps() {
        match step {
            Step::Summary { turn } => {
                key.push(TURN);
                key.extend_from_slice(&turn.to_be_bytes());
                key.push(IN_TURN_SUMMARY);
            }
            Step::Model { turn } => {
                key.push(TURN);
                key.extend_from_slice(&turn.to_be_bytes());
                key.push(IN_TURN_MODEL);
            }
            Step::Tool { turn, index } => {
                key.push(TURN);
                key.extend_from_slice(&turn.to_be_bytes());
                key.push(IN_TURN_TOOL);
                key.extend_from_slice(&index.to_be_bytes());
            }
            Step::Approval => key.push(APPROVAL),
            Step::Call { index } => {
                key.push(CALL);
                key.extend_from_slice(&index.to_be_bytes());
            }
        }
    }
    key.push(END_OF_SLOT);
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

fn parse_key(stem: &[u8]) -> Option<(RunId, Slot, u32)> {
    let (run, mut rest) = stem.split_first_chunk::<RUN_BYTES>()?;
    let mut steps = Vec::new();
    loop {
        let (tag, after) = rest.split_first()?;
        if *tag == END_OF_SLOT {
            let ordinal = u32::from_be_bytes(after.try_into().ok()?);
            return Some((RunId::from_bytes(*run), Slot::from_steps(steps), ordinal));
        }
        if *tag == APPROVAL {
            steps.push(Step::Approval);
            rest = after;
            continue;
        }
        let (number, after) = after.split_first_chunk::<4>()?;
        let number = u32::from_be_bytes(*number);
        rest = match *tag {
            CALL => {
                steps.push(Step::Call { index: number });
                after
            }
            TURN => {
                let (kind, after) = after.split_first()?;
                if *kind == IN_TURN_SUMMARY {
                    steps.push(Step::Summary { turn: number });
                    after
                } else if *kind == IN_TURN_MODEL {
                    steps.push(Step::Model { turn: number });
                    after
                } else if *kind == IN_TURN_TOOL {
                    let (index, after) = after.split_first_chunk::<4>()?;
                    steps.push(Step::Tool { turn: number, index: u32::from_be_bytes(*index) });
                    after
                } else {
                    return None;
                }
            }
            _ => return None,
        };
    }
}

fn checksum(key: &[u8], count: &[u8], payload: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(count);
    crc.update(payload);
    crc.finalize().to_be_bytes()
}

fn be32(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes()
}

fn corrupt(key: &[u8], reason: &str) -> JournalError {
    JournalError::Corrupt { place: place(key), reason: reason.to_owned() }
}

/// Two records at one place that say different things.
pub(super) fn written_twice(key: &[u8]) -> JournalError {
    corrupt(key, "two records at this place differ")
}

/// The slot in a key, or the key itself where it is not one of ours.
fn place(key: &[u8]) -> String {
    let stem = key.get(..key.len().saturating_sub(4)).unwrap_or_default();
    match parse_key(stem).or_else(|| parse_key(key)) {
        Some((run, slot, _)) => format!("run {run}, {slot}"),
        None => key.iter().fold("key ".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}
