//! From values of the component model to JSON, written as it is made, and no longer than it may be.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wasmtime::component::Val;

use super::schema::NOT_FINITE;
use super::shape::{Members, Names, Shape};

/// Whole numbers up to here are floats, too: beyond, parsers that know only floats would round.
const SAFE_MAX: u64 = (1 << 53) - 1;

/// Why a value was not written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwritten {
    /// It is longer than it may be.
    #[error("the value is longer than it may be")]
    TooLong,
    /// It is no value of its type; the engine gives none.
    #[error("the value does not fit its type; please report this as a bug")]
    Misfit,
}

/// The JSON of a value, of at most so many bytes.
pub(super) fn json(shape: &Shape, value: &Val, bytes_max: usize) -> Result<String, Unwritten> {
    let mut writer = Writer { out: String::new(), bytes_max };
    writer.value(shape, value)?;
    writer.fits(0)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    bytes_max: usize,
}

impl Writer {
    /// Whether there is room for so many bytes more.
    fn fits(&self, more: usize) -> Result<(), Unwritten> {
        if self.out.len().saturating_add(more) > self.bytes_max { Err(Unwritten::TooLong) } else { Ok(()) }
    }

    fn value(&mut self, shape: &Shape, value: &Val) -> Result<(), Unwritten> {
        self.fits(1)?;
        match (shape, value) {
            (Shape::Bool, Val::Bool(it)) => self.out.push_str(if *it { "true" } else { "false" }),
            (Shape::Int(_), it) => self.integer(it)?,
            (Shape::F32, Val::Float32(it)) => self.float(f64::from(*it), |out| write!(out, "{it:?}")),
            (Shape::F64, Val::Float64(it)) => self.float(*it, |out| write!(out, "{it:?}")),
            (Shape::Char, Val::Char(it)) => self.text(it.encode_utf8(&mut [0; 4]))?,
            (Shape::String, Val::String(it)) => self.text(it)?,
            (Shape::Bytes, Val::List(items)) => self.bytes(items)?,
            (Shape::List(item), Val::List(items)) | (Shape::Fixed(item, _), Val::FixedLengthList(items)) => {
                self.array(items.iter().map(|it| (&**item, it)))?;
            }
            (Shape::Map(key, of), Val::Map(pairs)) => self.map(key, of, pairs)?,
            (Shape::Tuple(shapes), Val::Tuple(items)) if shapes.len() == items.len() => {
                self.array(shapes.iter().zip(items))?;
            }
            (Shape::Record(members), Val::Record(fields)) => self.record(members, fields)?,
            (Shape::Variant(names, shapes), Val::Variant(case, val)) => {
                let index = names.find(case, 0).ok_or(Unwritten::Misfit)?;
                self.case(names, shapes, index, val.as_deref())?;
            }
            (Shape::Result(names, shapes), Val::Result(it)) => {
                let (index, val) = match it {
                    Ok(val) => (0, val),
                    Err(val) => (1, val),
                };
                self.case(names, &**shapes, index, val.as_deref())?;
            }
            (Shape::Enum(_), Val::Enum(case)) => self.text(case)?,
            (Shape::Flags(_), Val::Flags(flags)) => {
                let flag = |writer: &mut Self, flag: &String| writer.text(flag);
                self.listed(['[', ']'], flags.iter(), flag)?;
            }
            (Shape::Option(_), Val::Option(None)) => self.out.push_str("null"),
            (Shape::Option(shape), Val::Option(Some(it))) if shape.is_option() => {
                self.out.push_str("{\"some\":");
                self.value(shape, it)?;
                self.out.push('}');
            }
            (Shape::Option(shape), Val::Option(Some(it))) => self.value(shape, it)?,
            (_, _) => return Err(Unwritten::Misfit),
        }
        Ok(())
    }

    fn integer(&mut self, value: &Val) -> Result<(), Unwritten> {
        // Writing to a string cannot fail.
        let _ = match *value {
            Val::S8(it) => write!(self.out, "{it}"),
            Val::U8(it) => write!(self.out, "{it}"),
            Val::S16(it) => write!(self.out, "{it}"),
            Val::U16(it) => write!(self.out, "{it}"),
            Val::S32(it) => write!(self.out, "{it}"),
            Val::U32(it) => write!(self.out, "{it}"),
            Val::S64(it) if it.unsigned_abs() <= SAFE_MAX => write!(self.out, "{it}"),
            Val::U64(it) if it <= SAFE_MAX => write!(self.out, "{it}"),
            Val::S64(it) => write!(self.out, "\"{it}\""),
            Val::U64(it) => write!(self.out, "\"{it}\""),
            _ => return Err(Unwritten::Misfit),
        };
        Ok(())
    }

    /// A float, as few digits as tell it apart from all others.
    fn float(&mut self, value: f64, digits: impl FnOnce(&mut String) -> std::fmt::Result) {
        let [nan, infinity, minus_infinity] = NOT_FINITE;
        let special = match value {
            _ if value.is_nan() => nan,
            f64::INFINITY => infinity,
            f64::NEG_INFINITY => minus_infinity,
            _ => {
                let _ = digits(&mut self.out);
                return;
            }
        };
        let _ = write!(self.out, "\"{special}\"");
    }

    fn text(&mut self, text: &str) -> Result<(), Unwritten> {
        self.fits(text.len() + 2)?;
        if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            // A text can always be written.
            self.out.push_str(&serde_json::to_string(text).unwrap_or_default());
        } else {
            self.out.push('"');
            self.out.push_str(text);
            self.out.push('"');
        }
        Ok(())
    }

    fn bytes(&mut self, items: &[Val]) -> Result<(), Unwritten> {
        self.fits((items.len() / 3).saturating_mul(4))?;
        let byte = |item: &Val| if let Val::U8(byte) = item { Ok(*byte) } else { Err(Unwritten::Misfit) };
        let bytes: Vec<u8> = items.iter().map(byte).collect::<Result<_, _>>()?;
        self.out.push('"');
        STANDARD.encode_string(bytes, &mut self.out);
        self.out.push('"');
        Ok(())
    }

    /// Parts between brackets, with commas.
    fn listed<T>(
        &mut self,
        [open, close]: [char; 2],
        parts: impl Iterator<Item = T>,
        mut part: impl FnMut(&mut Self, T) -> Result<(), Unwritten>,
    ) -> Result<(), Unwritten> {
        self.out.push(open);
        for (index, it) in parts.enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            part(self, it)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn array<'v>(&mut self, items: impl Iterator<Item = (&'v Shape, &'v Val)>) -> Result<(), Unwritten> {
        self.listed(['[', ']'], items, |writer, (shape, item)| writer.value(shape, item))
    }

    fn member(&mut self, name: &str, shape: &Shape, value: &Val) -> Result<(), Unwritten> {
        self.text(name)?;
        self.out.push(':');
        self.value(shape, value)
    }

    fn record(&mut self, members: &Members, fields: &[(String, Val)]) -> Result<(), Unwritten> {
        if members.shapes.len() != fields.len() {
            return Err(Unwritten::Misfit);
        }
        let there = members.shapes.iter().zip(fields).filter(|(_, (_, it))| !matches!(it, Val::Option(None)));
        self.listed(['{', '}'], there, |writer, (shape, (name, it))| writer.member(name, shape, it))
    }

    fn map(&mut self, key: &Shape, of: &Shape, pairs: &[(Val, Val)]) -> Result<(), Unwritten> {
        if *key != Shape::String {
            return self.listed(['[', ']'], pairs.iter(), |writer, (one, other)| {
                writer.array([(key, one), (of, other)].into_iter())
            });
        }
        // Of a key that is there twice the last value counts, and an object has no key twice.
        let mut last: HashMap<&str, usize> = HashMap::with_capacity(pairs.len());
        let mut texts = Vec::with_capacity(pairs.len());
        for (index, (key, _)) in pairs.iter().enumerate() {
            let Val::String(key) = key else { return Err(Unwritten::Misfit) };
            last.insert(key, index);
            texts.push(key);
        }
        let entries = pairs.iter().zip(texts).enumerate();
        let entries = entries.filter(|(index, (_, key))| last.get(key.as_str()) == Some(index));
        self.listed(['{', '}'], entries, |writer, (_, ((_, it), key))| writer.member(key, of, it))
    }

    fn case(
        &mut self,
        names: &Names,
        shapes: &[Option<Shape>],
        index: usize,
        val: Option<&Val>,
    ) -> Result<(), Unwritten> {
        self.out.push_str("{\"tag\":");
        self.text(names.get(index).unwrap_or_default())?;
        match (shapes.get(index), val) {
            (Some(None), None) | (Some(Some(_)), Some(Val::Option(None))) => {}
            (Some(Some(shape)), Some(val)) => {
                self.out.push(',');
                self.member("val", shape, val)?;
            }
            (_, _) => return Err(Unwritten::Misfit),
        }
        self.out.push('}');
        Ok(())
    }
}
