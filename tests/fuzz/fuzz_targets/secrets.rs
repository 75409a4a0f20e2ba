//! Placeholders are swapped for granted secrets only, and whatever holds a secret, in whatever mixture of encodings, holds
//! none after masking, in one piece or in several.
#![no_main]

use std::sync::LazyLock;

use host::grants::{Masker, Placeholders, Secret, Secrets, Within};
use libfuzzer_sys::fuzz_target;

const VALUE: &str = "vALUE-of/the+secret\" é%2&\\";

static SECRETS: LazyLock<Secrets> =
    LazyLock::new(|| Secrets::new(vec![Secret::new("S", VALUE).expect("a secret")]));
static MASKER: LazyLock<Masker> = LazyLock::new(|| SECRETS.masker());
static PLACEHOLDERS: LazyLock<Placeholders> = LazyLock::new(|| Placeholders::new(&[9; 32], &["S"]));

/// A character in one of the ways that docs/SECURITY.md lists.
fn encoded(c: char, way: u8) -> String {
    let bytes = |form: fn(u8) -> String| c.to_string().bytes().map(form).collect::<String>();
    let units = c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
    match way % 8 {
        1 => bytes(|byte| format!("%{byte:02X}")),
        2 => bytes(|byte| format!("%{byte:02x}")),
        3 if c == ' ' => "+".to_owned(),
        4 => units,
        5 if c.is_ascii_punctuation() => format!("\\{c}"),
        6 => format!("&#{};", u32::from(c)),
        7 => format!("&#x{:05X};", u32::from(c)),
        _ => c.to_string(),
    }
}

fn mixture(text: &str, ways: &[u8]) -> String {
    let mut ways = ways.iter().cycle();
    text.chars().map(|c| encoded(c, ways.next().copied().unwrap_or_default())).collect()
}

fn in_pieces(text: &[u8], cuts: &[u8]) -> Vec<u8> {
    let (mut stream, mut masked, mut rest) = (MASKER.stream(), Vec::new(), text);
    for cut in cuts {
        let (piece, more) = rest.split_at(usize::from(*cut).min(rest.len()));
        masked.extend(stream.push(piece));
        rest = more;
    }
    masked.extend(stream.push(rest));
    masked.extend(stream.finish());
    masked
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>, [Vec<u8>; 2], bool)| {
    let (before, after, cuts, [ways, again], granted) = input;
    let (secrets, masker, placeholders) = (&*SECRETS, &*MASKER, &*PLACEHOLDERS);
    let (_, placeholder) = placeholders.iter().next().expect("a placeholder");
    let granted: &[&str] = if granted { &["S"] } else { &[] };
    let holds = |text: &[u8], part: &str| text.windows(part.len()).any(|window| window == part.as_bytes());

    let text = [&before[..], placeholder.as_bytes(), &after[..]].concat();
    let had = holds(&text, VALUE);
    let swapped = placeholders.swap(&text, granted, secrets, Within::Plain);
    assert!(had || holds(&swapped, VALUE) != granted.is_empty());
    let _ = placeholders.swap_header(&text, granted, secrets);

    let once = mixture(VALUE, &ways);
    let spelt = mixture(&once, &again);
    for text in [&swapped[..], &[&before[..], once.as_bytes(), &after[..]].concat(), &[&before[..], spelt.as_bytes(), &after[..]].concat()] {
        let masked = in_pieces(text, &cuts);
        assert!(!holds(&masked, VALUE), "{}", String::from_utf8_lossy(&masked));
        if !std::ptr::eq(text, &swapped[..]) {
            assert!(holds(&masked, "[secret S]"), "{}", String::from_utf8_lossy(text));
            assert!(!holds(&masked, &once) && !holds(&masked, &spelt), "{}", String::from_utf8_lossy(&masked));
        }
        assert_eq!(in_pieces(text, &[]), masked, "in pieces as in one");
        if let Ok(text) = std::str::from_utf8(text) {
            assert_eq!(masker.text(text).as_bytes(), masked, "in a text as in a stream");
        }
    }
});
