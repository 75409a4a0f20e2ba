//! The world of a component in the interface language, for people to read.
//!
//! A component keeps no comments and, of a type that it does not export, no name; types of the same form in one
//! interface are one type. So this is the component's interface, and not the file that it was built from.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Type};

use super::{DEPTH_MAX, FUNCTIONS_MAX};

/// The longest text, in bytes: types of strangers can be written out for ever.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The interface of a component: its world, and the interfaces that it imports and exports.
#[must_use]
pub fn world(component: &Component) -> String {
    let engine = component.engine();
    let kind = component.component_type();
    let mut text = Text { out: "world root {\n".to_owned(), bytes_max: TEXT_BYTES_MAX };
    let mut interfaces: Vec<(String, ComponentInstance)> = Vec::new();
    let imports = kind.imports(engine).map(|(name, item)| ("import", name, item));
    let exports = kind.exports(engine).map(|(name, item)| ("export", name, item));
    for (way, name, item) in imports.chain(exports) {
        match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                text.line(&format!("  {way} {name};"));
                if !interfaces.iter().any(|(other, _)| other == name) {
                    interfaces.push((name.to_owned(), instance));
                }
            }
            ComponentItem::ComponentFunc(function) => {
                let types = Types::none();
                text.line(&format!("  {way} {}: {};", word(name), types.function(&function)));
            }
            ComponentItem::Type(_) | ComponentItem::Resource(_) => {
                text.line(&format!("  {way} {name}: type;"));
            }
            ComponentItem::Module(_) | ComponentItem::Component(_) | ComponentItem::CoreFunc(_) => {
                text.line(&format!("  // {way} {name}: code"));
            }
        }
    }
    text.line("}");
    for (name, instance) in interfaces {
        let types = Types::of(&instance, engine);
        text.line(&format!("\ninterface {name} {{"));
        for (name, export) in instance.exports(engine).take(FUNCTIONS_MAX) {
            match export.ty {
                ComponentItem::ComponentFunc(function) => {
                    text.line(&format!("  {}: {};", word(name), types.function(&function)));
                }
                ComponentItem::Type(kind) => text.line(&format!("  {};", types.definition(name, &kind))),
                ComponentItem::Resource(_) => text.line(&format!("  resource {};", word(name))),
                _ => {}
            }
        }
        text.line("}");
    }
    text.out
}

struct Text {
    out: String,
    bytes_max: usize,
}

impl Text {
    fn line(&mut self, line: &str) {
        if self.out.len() + line.len() < self.bytes_max {
            self.out.push_str(line);
            self.out.push('\n');
        } else if !self.out.ends_with("…\n") {
            self.out.push_str("…\n");
        }
    }
}

/// How many parts of types are written out for an interface: a type that is used twice is written twice.
const PARTS_MAX: usize = 20_000;

/// The named types of an interface.
struct Types {
    named: Vec<(String, Type)>,
    /// How many parts may still be written.
    left: Cell<usize>,
}

impl Types {
    fn of(instance: &ComponentInstance, engine: &wasmtime::Engine) -> Self {
        let exports = instance.exports(engine).take(FUNCTIONS_MAX);
        let named = exports.filter_map(|(name, export)| match export.ty {
            // The names of other types say no more than the types.
            ComponentItem::Type(kind) if is_named(&kind) => Some((name.to_owned(), kind)),
            _ => None,
        });
        Self { named: named.collect(), left: Cell::new(PARTS_MAX) }
    }

    /// Those of no interface.
    fn none() -> Self {
        Self { named: Vec::new(), left: Cell::new(PARTS_MAX) }
    }

    fn function(&self, function: &ComponentFunc) -> String {
        let params: Vec<String> = function
            .params()
            .map(|(name, kind)| format!("{}: {}", word(name), self.kind(&kind, 0)))
            .collect();
        let given: Vec<String> = function.results().map(|kind| self.kind(&kind, 0)).collect();
        let given = if given.is_empty() { String::new() } else { format!(" -> {}", given.join(", ")) };
        format!("{}func({}){given}", if function.async_() { "async " } else { "" }, params.join(", "))
    }

    /// What stands where a type of this name is defined.
    fn definition(&self, name: &str, kind: &Type) -> String {
        match self.named.iter().find(|(_, other)| other == kind) {
            // The first of several names is the type's own.
            Some((own, _)) if own == name => {
                let body = self.body(kind, 0);
                body.split_once(' ')
                    .map_or(body.clone(), |(keyword, rest)| format!("{keyword} {} {rest}", word(name)))
            }
            _ => format!("type {} = {}", word(name), self.kind(kind, 0)),
        }
    }

    /// A type where it is used.
    fn kind(&self, kind: &Type, depth: usize) -> String {
        if let Some((name, _)) = self.named.iter().find(|(_, other)| other == kind) {
            return word(name).into_owned();
        }
        self.body(kind, depth)
    }

    /// A type, written out.
    fn body(&self, kind: &Type, depth: usize) -> String {
        let Some(left) = self.left.get().checked_sub(1).filter(|_| depth < DEPTH_MAX) else {
            return "…".to_owned();
        };
        self.left.set(left);
        let below = |kind: &Type| self.kind(kind, depth + 1);
        let or_nothing = |kind: Option<Type>| kind.map_or_else(|| "_".to_owned(), |kind| below(&kind));
        match kind {
            Type::Bool => "bool".to_owned(),
            Type::S8 => "s8".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::S16 => "s16".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::S32 => "s32".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::S64 => "s64".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::Float32 => "f32".to_owned(),
            Type::Float64 => "f64".to_owned(),
            Type::Char => "char".to_owned(),
            Type::String => "string".to_owned(),
            Type::ErrorContext => "error-context".to_owned(),
            Type::List(list) => format!("list<{}>", below(&list.ty())),
            Type::FixedLengthList(list) => format!("list<{}, {}>", below(&list.ty()), list.len()),
            Type::Map(map) => format!("map<{}, {}>", below(&map.key()), below(&map.value())),
            Type::Option(option) => format!("option<{}>", below(&option.ty())),
            Type::Stream(stream) => format!("stream<{}>", or_nothing(stream.ty())),
            Type::Future(future) => format!("future<{}>", or_nothing(future.ty())),
            Type::Own(_) => "own<resource>".to_owned(),
            Type::Borrow(_) => "borrow<resource>".to_owned(),
            Type::Result(result) => {
                format!("result<{}, {}>", or_nothing(result.ok()), or_nothing(result.err()))
            }
            Type::Tuple(tuple) => format!("tuple<{}>", joined(tuple.types().map(|kind| below(&kind)))),
            Type::Record(record) => {
                let fields =
                    record.fields().map(|field| format!("{}: {}", word(field.name), below(&field.ty)));
                format!("record {{ {} }}", joined(fields))
            }
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| match case.ty {
                    Some(kind) => format!("{}({})", word(case.name), below(&kind)),
                    None => word(case.name).into_owned(),
                });
                format!("variant {{ {} }}", joined(cases))
            }
            Type::Enum(cases) => {
                format!("enum {{ {} }}", joined(cases.names().map(|it| word(it).into_owned())))
            }
            Type::Flags(flags) => {
                format!("flags {{ {} }}", joined(flags.names().map(|it| word(it).into_owned())))
            }
        }
    }
}

/// Whether a type is one that the interface language gives a name.
fn is_named(kind: &Type) -> bool {
    matches!(kind, Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_))
}

/// A name, as it is written where the language has a word of its own of that spelling.
fn word(name: &str) -> Cow<'_, str> {
    const WORDS: &[&str] = &[
        "as",
        "async",
        "bool",
        "borrow",
        "char",
        "constructor",
        "enum",
        "error-context",
        "export",
        "f32",
        "f64",
        "flags",
        "from",
        "func",
        "future",
        "import",
        "include",
        "interface",
        "list",
        "map",
        "option",
        "own",
        "package",
        "record",
        "resource",
        "result",
        "s16",
        "s32",
        "s64",
        "s8",
        "static",
        "stream",
        "string",
        "tuple",
        "type",
        "u16",
        "u32",
        "u64",
        "u8",
        "use",
        "variant",
        "with",
        "world",
    ];
    if WORDS.contains(&name) { Cow::Owned(format!("%{name}")) } else { Cow::Borrowed(name) }
}

/// Parts of a type, with commas; of too many, the first ones.
fn joined(parts: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for (index, part) in parts.enumerate() {
        if text.len() + part.len() > TEXT_BYTES_MAX {
            text.push_str(", …");
            break;
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{part}", if index == 0 { "" } else { ", " });
    }
    text
}
