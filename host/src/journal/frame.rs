//! Commits as bytes: one frame a commit, and what a crash or a bad disk can make of it.
//!
//! Pure. A disk keeps or loses sectors of 512 bytes, and the space that a frame is written to holds zeros
//! before. So a frame of which sectors are missing was torn by a crash, before anybody was told that it is
//! safe; one that is wrong in any other way was whole once, and is damaged.

use super::format::KeyValue;

/// What frames are aligned to, so that a header never lies across two sectors.
pub(super) const ALIGNMENT: usize = 32;

/// mark, length, sequence number, checksum of the payload, checksum of the header, zeros.
const HEADER_BYTES: usize = 32;
const HEADER_CHECKED_BYTES: usize = 20;

/// What a disk keeps or loses as a whole.
pub(super) const SECTOR_BYTES: usize = 512;

/// What a header begins with; no byte of it is zero.
const MARK: [u8; 4] = *b"hfr1";

/// A commit that no frame can hold.
#[derive(Debug)]
pub(super) struct TooLarge;

/// The bytes of a commit. A frame is a header, and then per pair the length of the key (4), the length of the
/// value (4), key and value; zeros fill it up to the alignment. Numbers are big-endian.
pub(super) fn encode<'a>(
    sequence: u64,
    pairs: impl Iterator<Item = &'a KeyValue>,
) -> Result<Vec<u8>, TooLarge> {
    let be32 = |n: usize| u32::try_from(n).map(u32::to_be_bytes).map_err(|_| TooLarge);
    let mut frame = vec![0; HEADER_BYTES];
    for (key, value) in pairs {
        for part in [key, value] {
            frame.extend_from_slice(&be32(part.len())?);
        }
        frame.extend_from_slice(key);
        frame.extend_from_slice(value);
    }
    let payload_crc = crc32fast::hash(&frame[HEADER_BYTES..]);
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MARK);
    header.extend_from_slice(&be32(frame.len() - HEADER_BYTES)?);
    header.extend_from_slice(&sequence.to_be_bytes());
    header.extend_from_slice(&payload_crc.to_be_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
    frame[..header.len()].copy_from_slice(&header);
    frame.resize(frame.len().next_multiple_of(ALIGNMENT), 0);
    Ok(frame)
}

/// What stands at a place where a frame is due.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    /// The frame.
    Frame {
        /// Its sequence number.
        sequence: u64,
        /// Its pairs, still together.
        payload: &'a [u8],
        /// Where the next one is due.
        end: usize,
    },
    /// Nothing: the log ends here.
    Nothing,
    /// A frame of which not everything reached the disk.
    Torn,
    /// Something that was never written like this.
    Damaged(&'static str),
}

/// Reads the frame at an offset.
pub(super) fn read(bytes: &[u8], at: usize) -> Found<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
        return Found::Nothing;
    }
    let Some((header, payload)) = rest.split_at_checked(HEADER_BYTES) else { return Found::Torn };
    let number = |field: &[u8]| field.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let crc = |bytes: &[u8]| u64::from(crc32fast::hash(bytes));
    let (checked, check) = header.split_at(HEADER_CHECKED_BYTES);
    if header[..4] != MARK || crc(checked) != number(&check[..4]) || check[4..].iter().any(|byte| *byte != 0)
    {
        return Found::Damaged("the header of a commit is not what was written");
    }
    let length = usize::try_from(number(&header[4..8])).unwrap_or(usize::MAX);
    let Some(payload) = payload.get(..length) else { return Found::Torn };
    let start = at + HEADER_BYTES;
    let end = at + (HEADER_BYTES + length).next_multiple_of(ALIGNMENT);
    if crc(payload) == number(&header[16..20]) {
        return Found::Frame { sequence: number(&header[8..16]), payload, end };
    }
    let sectors = (start / SECTOR_BYTES..).map(|sector| sector * SECTOR_BYTES);
    let missing = sectors.take_while(|sector| *sector < start + length).any(|sector| {
        let part = &bytes[sector.max(at)..(sector + SECTOR_BYTES).min(start + length)];
        part.iter().all(|byte| *byte == 0)
    });
    if missing { Found::Torn } else { Found::Damaged("a commit is not what was written") }
}

/// A payload that does not hold whole pairs.
#[derive(Debug)]
pub(super) struct Damage;

/// A key and its value.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// The pairs of a payload.
pub(super) fn pairs(payload: &[u8]) -> Result<Vec<Pair<'_>>, Damage> {
    let (mut pairs, mut payload) = (Vec::new(), payload);
    while !payload.is_empty() {
        let (pair, rest) = split_pair(payload).ok_or(Damage)?;
        pairs.push(pair);
        payload = rest;
    }
    Ok(pairs)
}

fn split_pair(payload: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let (key, rest) = payload.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*key) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value) as usize)?;
    Some(((key, value), rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
    use super::*;

    fn frame(bytes: usize) -> Vec<u8> {
        encode(7, [(b"key".to_vec(), vec![b'x'; bytes])].iter()).unwrap()
    }

    #[test]
    fn a_frame_comes_back() {
        for bytes in [0, 1, 500, 5000] {
            let mut log = vec![0; 64];
            log.extend(frame(bytes));
            let Found::Frame { sequence, payload, end } = read(&log, 64) else { panic!("{bytes}") };
            assert_eq!((sequence, end), (7, log.len()));
            assert_eq!(pairs(payload).unwrap(), [(&b"key"[..], &vec![b'x'; bytes][..])]);
            assert_eq!(read(&log, end), Found::Nothing);
        }
    }

    #[test]
    fn a_frame_without_some_of_its_sectors_is_torn_or_not_there() {
        // It begins in the middle of a sector and ends in another.
        let start = 480;
        let whole: Vec<u8> = [vec![0; start], frame(3000)].concat();
        let sectors = whole.len().div_ceil(SECTOR_BYTES);
        for lost in 1_u32..1 << sectors {
            let mut torn = whole.clone();
            for sector in (0..sectors).filter(|sector| lost >> sector & 1 == 1) {
                let end = ((sector + 1) * SECTOR_BYTES).min(torn.len());
                torn[sector * SECTOR_BYTES..end].fill(0);
            }
            let expected = if lost & 1 == 1 { Found::Nothing } else { Found::Torn };
            assert_eq!(read(&torn, start), expected, "{lost:b}");
            torn.truncate(torn.len() - 100);
            assert_eq!(read(&torn, start), expected, "{lost:b}, and the end of the file");
        }
    }

    #[test]
    fn a_frame_with_any_byte_changed_is_damaged() {
        let whole = [vec![0; 32], frame(700), vec![0; 1000]].concat();
        for at in 32..32 + HEADER_BYTES + 8 + 3 + 700 {
            let mut changed = whole.clone();
            changed[at] ^= 0x20;
            assert!(matches!(read(&changed, 32), Found::Damaged(_)), "byte {at}");
        }
    }
}
