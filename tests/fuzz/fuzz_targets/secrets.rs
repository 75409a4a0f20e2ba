//! Placeholders are swapped for granted secrets only, and whatever holds a secret holds none after masking,
//! in one piece or in several.
#![no_main]

use std::sync::LazyLock;

use host::grants::{Masker, Placeholders, Secret, Secrets, Within};
use libfuzzer_sys::fuzz_target;

const VALUE: &str = "vALUE-of/the+secret\"";

static SECRETS: LazyLock<Secrets> =
    LazyLock::new(|| Secrets::new(vec![Secret::new("S", VALUE).expect("a secret")]));
static MASKER: LazyLock<Masker> = LazyLock::new(|| SECRETS.masker());
static PLACEHOLDERS: LazyLock<Placeholders> = LazyLock::new(|| Placeholders::new(&[9; 32], &["S"]));

fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>, bool)| {
    let (before, after, cuts, granted) = input;
    let (secrets, masker, placeholders) = (&*SECRETS, &*MASKER, &*PLACEHOLDERS);
    let (_, placeholder) = placeholders.iter().next().expect("a placeholder");
    let granted: &[&str] = if granted { &["S"] } else { &[] };
    let text = [&before[..], placeholder.as_bytes(), &after[..]].concat();
    let holds = |text: &[u8]| text.windows(VALUE.len()).any(|window| window == VALUE.as_bytes());
    let had = holds(&text);
    let swapped = placeholders.swap(&text, granted, secrets, Within::Plain);
    assert!(had || holds(&swapped) != granted.is_empty());
    let _ = placeholders.swap_header(&text, granted, secrets);
    let (mut stream, mut masked, mut rest) = (masker.stream(), Vec::new(), &swapped[..]);
    for cut in cuts {
        let (piece, more) = rest.split_at(usize::from(cut).min(rest.len()));
        masked.extend(stream.push(piece));
        rest = more;
    }
    masked.extend(stream.push(rest));
    masked.extend(stream.finish());
    assert!(!holds(&masked), "{}", String::from_utf8_lossy(&masked));
    if let Ok(text) = std::str::from_utf8(&swapped) {
        assert_eq!(masker.text(text).as_bytes(), masked, "in pieces as in one");
    }
});
