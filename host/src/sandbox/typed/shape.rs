//! A type of plain data, taken out of a component once.

use std::fmt;

use wasmtime::component::Type;

use super::{DEPTH_MAX, PARTS_MAX};

/// A type of plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Bool,
    Int(Int),
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    List(Box<Shape>),
    /// A list of so many items.
    Fixed(Box<Shape>, u32),
    Map(Box<Shape>, Box<Shape>),
    Tuple(Vec<Shape>),
    Record(Members),
    Variant(Names, Vec<Option<Shape>>),
    /// `result`: a variant with the cases `ok` and `err`.
    Result(Names, Box<[Option<Shape>; 2]>),
    Enum(Names),
    Option(Box<Shape>),
    Flags(Names),
}

/// A whole number of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Int {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

/// Named values in their order: the fields of a record, or the parameters of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) names: Names,
    pub(super) shapes: Vec<Shape>,
}

/// Names in their order, each of which is found quickly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    list: Vec<String>,
    /// Their places, sorted by the name.
    sorted: Vec<usize>,
}

/// Why a type is not one of plain data that is taken, and where in a function's type it stands.
#[derive(Debug)]
pub(super) struct Unfit {
    at: Vec<String>,
    why: String,
}

/// What may still be taken of types.
pub(super) struct Budget {
    function: usize,
    component: usize,
}

impl Budget {
    /// For all functions of a component.
    pub(super) fn new(component: usize) -> Self {
        Self { function: 0, component }
    }

    /// For the next function.
    pub(super) fn next(&mut self) -> &mut Self {
        self.function = PARTS_MAX;
        self
    }

    fn take(&mut self, parts: usize) -> Result<(), Unfit> {
        let Some(function) = self.function.checked_sub(parts) else {
            return Err(Unfit::new(format!("its types have more than {PARTS_MAX} parts")));
        };
        let Some(component) = self.component.checked_sub(parts) else {
            return Err(Unfit::new(
                "the types of the component's functions have too many parts together".to_owned(),
            ));
        };
        *self = Self { function, component };
        Ok(())
    }
}

impl Unfit {
    fn new(why: String) -> Self {
        Self { at: Vec::new(), why }
    }

    /// The same, seen from one level above.
    pub(super) fn below(mut self, step: &str) -> Self {
        self.at.push(step.to_owned());
        self
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            let path: Vec<&str> = self.at.iter().rev().map(String::as_str).collect();
            write!(f, "`{}`: ", path.join("."))?;
        }
        f.write_str(&self.why)
    }
}

impl Shape {
    /// What a type is, if it is plain data within the bounds.
    pub(super) fn of(kind: &Type, depth: usize, budget: &mut Budget) -> Result<Self, Unfit> {
        if depth == DEPTH_MAX {
            return Err(Unfit::new(format!("its types are nested more than {DEPTH_MAX} deep")));
        }
        budget.take(1)?;
        let mut below = |kind: &Type, step: &str| {
            Self::of(kind, depth + 1, budget).map_err(|unfit| unfit.below(step)).map(Box::new)
        };
        Ok(match kind {
            Type::Bool => Self::Bool,
            Type::S8 => Self::Int(Int::S8),
            Type::U8 => Self::Int(Int::U8),
            Type::S16 => Self::Int(Int::S16),
            Type::U16 => Self::Int(Int::U16),
            Type::S32 => Self::Int(Int::S32),
            Type::U32 => Self::Int(Int::U32),
            Type::S64 => Self::Int(Int::S64),
            Type::U64 => Self::Int(Int::U64),
            Type::Float32 => Self::F32,
            Type::Float64 => Self::F64,
            Type::Char => Self::Char,
            Type::String => Self::String,
            Type::List(list) if list.ty() == Type::U8 => Self::Bytes,
            Type::List(list) => Self::List(below(&list.ty(), "item")?),
            Type::FixedLengthList(list) => Self::Fixed(below(&list.ty(), "item")?, list.len()),
            Type::Map(map) => Self::Map(below(&map.key(), "key")?, below(&map.value(), "value")?),
            Type::Option(option) => Self::Option(below(&option.ty(), "some")?),
            Type::Result(result) => {
                let [ok, err] = [(result.ok(), "ok"), (result.err(), "err")]
                    .map(|(kind, step)| kind.map(|kind| below(&kind, step).map(|it| *it)).transpose());
                Self::Result(Names::of_result(), Box::new([ok?, err?]))
            }
            Type::Tuple(tuple) => {
                let steps = tuple.types().enumerate();
                let items = steps.map(|(index, kind)| below(&kind, &index.to_string()).map(|it| *it));
                Self::Tuple(items.collect::<Result<_, _>>()?)
            }
            Type::Record(record) => {
                let fields = record.fields().map(|field| (field.name, field.ty));
                Self::Record(Members::of(fields, depth + 1, budget)?)
            }
            Type::Variant(variant) => {
                let (mut names, mut cases) = (Vec::new(), Vec::new());
                for case in variant.cases() {
                    budget.take(1)?;
                    let shape = case.ty.map(|kind| Self::of(&kind, depth + 1, budget));
                    cases.push(shape.transpose().map_err(|unfit| unfit.below(case.name))?);
                    names.push(case.name.to_owned());
                }
                Self::Variant(Names::new(names), cases)
            }
            Type::Enum(cases) => {
                budget.take(cases.names().len())?;
                Self::Enum(Names::new(cases.names().map(str::to_owned).collect()))
            }
            Type::Flags(flags) => {
                budget.take(flags.names().len())?;
                Self::Flags(Names::new(flags.names().map(str::to_owned).collect()))
            }
            Type::Own(_) | Type::Borrow(_) => return Err(Unfit::new("it is a resource".to_owned())),
            Type::Stream(_) => return Err(Unfit::new("it is a stream".to_owned())),
            Type::Future(_) => return Err(Unfit::new("it is a future".to_owned())),
            Type::ErrorContext => return Err(Unfit::new("it is an error context".to_owned())),
        })
    }

    /// Whether `null` is one of its values.
    pub(super) fn is_option(&self) -> bool {
        matches!(self, Self::Option(_))
    }
}

impl Int {
    /// The least and the greatest.
    pub(super) fn range(self) -> (i128, i128) {
        match self {
            Self::S8 => (i8::MIN.into(), i8::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
            Self::S16 => (i16::MIN.into(), i16::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::S32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::S64 => (i64::MIN.into(), i64::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
        }
    }

    /// Whether it has values that a parser of floats would round: they may be texts.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Self::S64 | Self::U64)
    }

    /// What the component model calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::U16 => "u16",
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
        }
    }
}

impl Members {
    /// Named types, each at this depth.
    pub(super) fn of<'a>(
        members: impl Iterator<Item = (&'a str, Type)>,
        depth: usize,
        budget: &mut Budget,
    ) -> Result<Self, Unfit> {
        let (mut names, mut shapes) = (Vec::new(), Vec::new());
        for (name, kind) in members {
            budget.take(1)?;
            shapes.push(Shape::of(&kind, depth, budget).map_err(|unfit| unfit.below(name))?);
            names.push(name.to_owned());
        }
        Ok(Self { names: Names::new(names), shapes })
    }

    /// Each name with its type.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.names.iter().zip(&self.shapes)
    }
}

impl Names {
    pub(super) fn new(list: Vec<String>) -> Self {
        let mut sorted: Vec<usize> = (0..list.len()).collect();
        sorted.sort_unstable_by(|one, other| list.get(*one).cmp(&list.get(*other)));
        Self { list, sorted }
    }

    /// The cases of `result`.
    pub(super) fn of_result() -> Self {
        Self::new(vec!["ok".to_owned(), "err".to_owned()])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(String::as_str)
    }

    pub(super) fn get(&self, index: usize) -> Option<&str> {
        self.list.get(index).map(String::as_str)
    }

    /// The place of a name; it is looked for at `likely` first.
    pub(super) fn find(&self, name: &str, likely: usize) -> Option<usize> {
        if self.get(likely) == Some(name) {
            return Some(likely);
        }
        let found = self.sorted.binary_search_by(|place| self.get(*place).unwrap_or_default().cmp(name));
        found.ok().and_then(|at| self.sorted.get(at)).copied()
    }

    /// All of them in words, or the first ones.
    pub(super) fn in_words(&self) -> String {
        /// A type of a stranger's can have thousands.
        const TOLD_MAX: usize = 20;
        let told: Vec<String> = self.iter().take(TOLD_MAX).map(|name| format!("`{name}`")).collect();
        let more = if self.list.len() > TOLD_MAX { " and more" } else { "" };
        format!("{}{more}", told.join(", "))
    }
}

impl fmt::Display for Shape {
    /// As the interface language has it; a record and its like have no name here, and stand where they are used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &Names| names.iter().collect::<Vec<_>>().join(", ");
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int(int) => f.write_str(int.name()),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("list<u8>"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Fixed(item, count) => write!(f, "list<{item}, {count}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Option(some) => write!(f, "option<{some}>"),
            Self::Tuple(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "tuple<{}>", items.join(", "))
            }
            Self::Record(members) => write!(f, "record {{ {members} }}"),
            Self::Enum(names) => write!(f, "enum {{ {} }}", list(names)),
            Self::Flags(names) => write!(f, "flags {{ {} }}", list(names)),
            Self::Result(_, shapes) => match &**shapes {
                [None, None] => f.write_str("result"),
                [Some(ok), None] => write!(f, "result<{ok}>"),
                [None, Some(err)] => write!(f, "result<_, {err}>"),
                [Some(ok), Some(err)] => write!(f, "result<{ok}, {err}>"),
            },
            Self::Variant(names, shapes) => {
                let case = |(name, shape): (&str, &Option<Self>)| match shape {
                    Some(shape) => format!("{name}({shape})"),
                    None => name.to_owned(),
                };
                let cases: Vec<String> = names.iter().zip(shapes).map(case).collect();
                write!(f, "variant {{ {} }}", cases.join(", "))
            }
        }
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, shape)) in self.iter().enumerate() {
            write!(f, "{}{name}: {shape}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
