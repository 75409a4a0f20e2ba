//! What a component says beside its code, read from its bytes before anything compiles them.
//!
//! Nothing here is trusted: the work is linear in the length of the component, what is kept is bounded, and a section
//! that does not read is as if it were not there. Whether the component is valid is for the compiler to say.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use wasmparser::{BinaryReader, Chunk, Parser, Payload, ProducersSectionReader};

use super::typed::Function;

/// The largest section of documentation that is read.
const DOCS_BYTES_MAX: usize = 1 << 20;

/// As much of what is said of a function is kept as a tool's description may have.
const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;

/// How many names of producers are kept of a component.
const PRODUCERS_MAX: usize = 32;

/// The longest name or version of a producer that is kept, in bytes.
const PRODUCER_BYTES_MAX: usize = 100;

/// What a component imports and exports, by name, and what is said of it.
#[derive(Debug, Default)]
pub struct Sections {
    names: Vec<String>,
    docs: Option<Docs>,
}

/// The section `package-docs`: what the comments of the interface say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Docs {
    worlds: BTreeMap<String, WorldDocs>,
    interfaces: BTreeMap<String, InterfaceDocs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WorldDocs {
    /// Interfaces without a package, and functions, that are imported or, in older sections, exported.
    interfaces: BTreeMap<String, InterfaceDocs>,
    funcs: BTreeMap<String, FunctionDocs>,
    interface_exports: BTreeMap<String, InterfaceDocs>,
    func_exports: BTreeMap<String, FunctionDocs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InterfaceDocs {
    funcs: BTreeMap<String, FunctionDocs>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FunctionDocs {
    /// The first form of the section.
    Text(String),
    Table {
        #[serde(default)]
        docs: Option<String>,
    },
}

impl FunctionDocs {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Table { docs } => docs.as_deref(),
        }
    }
}

impl Sections {
    /// Reads the sections of a component, as far as they can be read.
    #[must_use]
    pub fn of(component: &[u8]) -> Self {
        let mut sections = Self::default();
        outermost(component, |payload| match payload {
            Payload::ComponentImportSection(imports) => {
                let names = imports.into_iter().map_while(Result::ok);
                sections.names.extend(names.map(|it| it.name.name.to_owned()));
            }
            Payload::ComponentExportSection(exports) => {
                let names = exports.into_iter().map_while(Result::ok);
                sections.names.extend(names.map(|it| it.name.name.to_owned()));
            }
            Payload::CustomSection(section) if section.name() == "package-docs" => {
                sections.docs = docs(section.data());
            }
            _ => {}
        });
        sections
    }

    /// An interface of WASI 0.3 that the component imports or exports.
    #[must_use]
    pub fn needs_wasi_0_3(&self) -> Option<&str> {
        let is_0_3 = |name: &&String| name.starts_with("wasi:") && name.contains("@0.3.");
        self.names.iter().find(is_0_3).map(String::as_str)
    }

    /// What the interface says of a function.
    pub(super) fn docs_of(&self, function: &Function) -> Option<&str> {
        let Docs { worlds, interfaces } = self.docs.as_ref()?;
        let Function { interface, own_name: function, .. } = function;
        let found = match interface.as_deref() {
            None => worlds.values().find_map(|world| {
                [&world.func_exports, &world.funcs].into_iter().find_map(|it| it.get(function)?.text())
            }),
            Some(path) if path.contains('/') => {
                interfaces.get(super::typed::short(path)).and_then(|it| it.funcs.get(function)?.text())
            }
            Some(name) => worlds.values().find_map(|world| {
                let both = [&world.interface_exports, &world.interfaces];
                both.into_iter().find_map(|it| it.get(name)?.funcs.get(function)?.text())
            }),
        };
        let found = found.map(str::trim).filter(|text| !text.is_empty());
        found.map(|text| text.get(..text.floor_char_boundary(DESCRIPTION_BYTES_MAX)).unwrap_or_default())
    }
}

/// Goes through a component's sections, and over those of the components and modules in it.
fn outermost<'b>(component: &'b [u8], mut see: impl FnMut(Payload<'b>)) {
    let (mut parser, mut rest) = (Parser::new(0), component);
    loop {
        let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) else { return };
        let mut passed = consumed;
        match payload {
            Payload::End(_) => return,
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                passed = passed.saturating_add(unchecked_range.len());
            }
            payload => see(payload),
        }
        let Some(after) = rest.get(passed..) else { return };
        rest = after;
    }
}

/// A version, and JSON.
fn docs(section: &[u8]) -> Option<Docs> {
    match section.split_first() {
        Some((0 | 1, json)) if json.len() <= DOCS_BYTES_MAX => serde_json::from_slice(json).ok(),
        Some(_) | None => None,
    }
}

/// What a component was made with: the languages, and the programs with their versions, of all modules in it.
#[must_use]
pub fn producers(component: &[u8]) -> BTreeMap<String, BTreeSet<String>> {
    let mut producers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut kept = 0;
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else { continue };
        if section.name() != "producers" {
            continue;
        }
        let reader = BinaryReader::new(section.data(), section.data_offset());
        let Ok(fields) = ProducersSectionReader::new(reader) else { continue };
        for field in fields.into_iter().map_while(Result::ok) {
            for value in field.values.into_iter().map_while(Result::ok) {
                let text = format!("{} {}", value.name, value.version).trim().to_owned();
                let is_short = field.name.len().max(text.len()) <= PRODUCER_BYTES_MAX;
                if is_short && kept < PRODUCERS_MAX {
                    kept += usize::from(producers.entry(field.name.to_owned()).or_default().insert(text));
                }
            }
        }
    }
    producers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use proptest::prelude::*;

    use super::*;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(format!("(component {text})")).unwrap()
    }

    /// A custom section of such a name.
    fn custom(name: &str, data: &[u8]) -> String {
        let data: Vec<String> = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let data = data.concat();
        format!("(@custom {name:?} {data:?})").replace("\\\\", "\\")
    }

    #[test]
    fn wasi_0_3_is_seen_on_either_side_and_nowhere_else() {
        for (text, seen) in [
            (r#"(import "wasi:http/types@0.3.0" (instance))"#, Some("wasi:http/types@0.3.0")),
            (r#"(import "wasi:http/types@0.2.3" (instance))"#, None),
            (r#"(import "other:http/types@0.3.0" (instance))"#, None),
            (r#"(instance $i) (export "wasi:cli/run@0.3.1" (instance $i))"#, Some("wasi:cli/run@0.3.1")),
            (
                r#"(component (import "wasi:http/types@0.3.0" (instance)))
                   (core module) (import "wasi:cli/stdin@0.3.0-rc" (instance))"#,
                Some("wasi:cli/stdin@0.3.0-rc"),
            ),
        ] {
            assert_eq!(Sections::of(&component(text)).needs_wasi_0_3(), seen, "{text}");
        }
    }

    #[test]
    fn producers_are_those_of_all_modules() {
        let section = |language: &str| {
            let mut data = b"\x01\x08language\x01".to_vec();
            data.push(u8::try_from(language.len()).unwrap());
            data.extend(language.bytes());
            data.extend(b"\x031.0");
            custom("producers", &data)
        };
        let text = format!(
            "(core module {}) (component {}) {}",
            section("Rust"),
            section("C"),
            custom("producers", b"\xff")
        );
        let producers = producers(&component(&text));
        assert_eq!(producers["language"], BTreeSet::from(["C 1.0".to_owned(), "Rust 1.0".to_owned()]));
    }

    proptest! {
        #[test]
        fn no_bytes_do_any_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), begins in any::<bool>()) {
            if begins {
                bytes.splice(0..0, *b"\0asm\x0d\0\x01\0");
            }
            let _ = Sections::of(&bytes);
            let _ = producers(&bytes);
        }

        #[test]
        fn a_damaged_component_does_no_harm(at in any::<prop::sample::Index>(), bit in 0..8) {
            let docs = custom("package-docs", b"\x01{\"worlds\":{}}");
            let mut bytes = component(&format!(r#"(import "a" (func)) (core module) {docs}"#));
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let _ = Sections::of(&bytes);
            let _ = producers(&bytes);
        }
    }
}
