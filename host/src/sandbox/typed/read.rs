//! From JSON to values of the component model. The type decides what is read, and every number is read from its digits.
//!
//! The depth of the work is that of the type, whatever the text is; the work is linear in the length of the text.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use wasmtime::component::Val;

use super::misfit::{Misfit, QUOTED_CHARS_MAX, expected, quoted};
use super::schema::NOT_FINITE;
use super::shape::{Int, Members, Names, Shape};
use crate::message::{Json, Reader, whole_number};

/// Base64 as RFC 4648 has it; models leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The arguments of a function, in their order, from an object that names them.
pub(super) fn arguments(params: &Members, input: &Json) -> Result<Vec<Val>, Misfit> {
    Ok(members(params, &mut input.reader())?.into_iter().map(|(_, value)| value).collect())
}

/// A value of a type.
#[cfg(test)]
pub(super) fn whole(shape: &Shape, json: &Json) -> Result<Val, Misfit> {
    value(shape, &mut json.reader())
}

/// The value of a type that begins here.
fn value(shape: &Shape, reader: &mut Reader<'_>) -> Result<Val, Misfit> {
    match shape {
        Shape::Bool => match (reader.peek(), reader.plain_if(b"tf")) {
            (_, Some("true")) => Ok(Val::Bool(true)),
            (_, Some("false")) => Ok(Val::Bool(false)),
            (first, _) => Err(expected("true or false", first)),
        },
        Shape::Int(int) => integer(*int, reader),
        Shape::F32 => match float(reader)? {
            Float::Special(special) => Ok(Val::Float32(special)),
            Float::Digits(digits) => match digits.parse() {
                Ok(number) if f32::is_finite(number) => Ok(Val::Float32(number)),
                Ok(_) | Err(_) => Err(beyond(digits, "an f32")),
            },
        },
        Shape::F64 => match float(reader)? {
            Float::Special(special) => Ok(Val::Float64(special.into())),
            Float::Digits(digits) => match digits.parse() {
                Ok(number) if f64::is_finite(number) => Ok(Val::Float64(number)),
                Ok(_) | Err(_) => Err(beyond(digits, "an f64")),
            },
        },
        Shape::Char => {
            let text = text(reader, "a text of one character")?;
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) => Ok(Val::Char(one)),
                _ => Err(Misfit::new(format!("expected a text of one character, not {}", quoted(&text)))),
            }
        }
        Shape::String => Ok(Val::String(text(reader, "a text")?.into_owned())),
        Shape::Bytes => {
            let text = text(reader, "a text in base64")?;
            let bytes = BASE64.decode(&*text).map_err(|error| Misfit::new(format!("not base64: {error}")))?;
            Ok(Val::List(bytes.into_iter().map(Val::U8).collect()))
        }
        Shape::List(item) => list(item, reader).map(Val::List),
        Shape::Fixed(item, count) => match list(item, reader)? {
            items if items.len() == *count as usize => Ok(Val::FixedLengthList(items)),
            items => Err(Misfit::new(format!("expected {count} items, not {}", items.len()))),
        },
        Shape::Map(key, of) => map(key, of, reader).map(Val::Map),
        Shape::Tuple(shapes) => tuple(shapes, reader).map(Val::Tuple),
        Shape::Record(fields) => members(fields, reader).map(Val::Record),
        Shape::Variant(names, shapes) => {
            let (case, val) = variant(names, shapes, reader)?;
            Ok(Val::Variant(names.get(case).unwrap_or_default().to_owned(), val))
        }
        Shape::Result(names, shapes) => {
            let (case, val) = variant(names, &**shapes, reader)?;
            Ok(Val::Result(if case == 0 { Ok(val) } else { Err(val) }))
        }
        Shape::Enum(names) => Ok(Val::Enum(name(names, 0, reader)?.1)),
        Shape::Flags(names) => flags(names, reader).map(Val::Flags),
        Shape::Option(some) => option(some, reader),
    }
}

/// What a text in quotes stands for.
fn unquoted(quoted: &str) -> Result<Cow<'_, str>, Misfit> {
    if quoted.contains('\\') {
        let text = serde_json::from_str(quoted);
        return text.map(Cow::Owned).map_err(|error| Misfit::new(format!("not a text: {error}")));
    }
    Ok(Cow::Borrowed(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()))
}

fn text<'t>(reader: &mut Reader<'t>, what: &str) -> Result<Cow<'t, str>, Misfit> {
    match reader.peek() {
        Some(b'"') => unquoted(reader.quoted()),
        first => Err(expected(what, first)),
    }
}

/// The number that begins here, or nothing if something else does.
fn number<'t>(reader: &mut Reader<'t>) -> Option<&'t str> {
    let begins = reader.peek().is_some_and(|first| first == b'-' || first.is_ascii_digit());
    begins.then(|| reader.plain())
}

fn integer(int: Int, reader: &mut Reader<'_>) -> Result<Val, Misfit> {
    let first = reader.peek();
    let (number, written) = if let Some(number) = number(reader) {
        (whole_number(number), Cow::Borrowed(number))
    } else if int.is_wide() && first == Some(b'"') {
        let text = unquoted(reader.quoted())?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        // As a number is written, so that each has one text.
        let plain = digits == "0" && text.len() == 1
            || !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = if plain { text.parse().ok() } else { None };
        (number, text)
    } else {
        let what =
            if int.is_wide() { "a whole number, or its decimal digits as a text" } else { "a whole number" };
        return Err(expected(what, first));
    };
    let (least, greatest) = int.range();
    let number = number.filter(|number| (least..=greatest).contains(number)).ok_or_else(|| {
        let told: String = written.chars().take(QUOTED_CHARS_MAX).collect();
        Misfit::new(format!("{told} is no {}: a whole number from {least} to {greatest}", int.name()))
    })?;
    let value = match int {
        Int::S8 => number.try_into().map(Val::S8),
        Int::U8 => number.try_into().map(Val::U8),
        Int::S16 => number.try_into().map(Val::S16),
        Int::U16 => number.try_into().map(Val::U16),
        Int::S32 => number.try_into().map(Val::S32),
        Int::U32 => number.try_into().map(Val::U32),
        Int::S64 => number.try_into().map(Val::S64),
        Int::U64 => number.try_into().map(Val::U64),
    };
    value.map_err(|error| Misfit::new(error.to_string()))
}

/// A float as it is written.
enum Float<'t> {
    Digits(&'t str),
    /// One that JSON has no number for.
    Special(f32),
}

fn float<'t>(reader: &mut Reader<'t>) -> Result<Float<'t>, Misfit> {
    const WHAT: &str = "a number, \"NaN\", \"Infinity\" or \"-Infinity\"";
    if let Some(digits) = number(reader) {
        return Ok(Float::Digits(digits));
    }
    let text = text(reader, WHAT)?;
    let [nan, infinity, minus_infinity] = NOT_FINITE;
    Ok(Float::Special(match &*text {
        text if text == nan => f32::NAN,
        text if text == infinity => f32::INFINITY,
        text if text == minus_infinity => f32::NEG_INFINITY,
        text => return Err(Misfit::new(format!("expected {WHAT}, not {}", quoted(text)))),
    }))
}

fn beyond(digits: &str, what: &str) -> Misfit {
    let told: String = digits.chars().take(QUOTED_CHARS_MAX).collect();
    Misfit::new(format!("{told} is beyond the range of {what}"))
}

/// One of these names; it is looked for at `likely` first.
fn name(names: &Names, likely: usize, reader: &mut Reader<'_>) -> Result<(usize, String), Misfit> {
    let text = text(reader, "a text")?;
    match names.find(&text, likely) {
        Some(index) => Ok((index, text.into_owned())),
        None => Err(Misfit::new(format!("{} is none of {}", quoted(&text), names.in_words()))),
    }
}

/// Goes through the items of the array that begins here.
fn items(
    reader: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>, usize) -> Result<(), Misfit>,
) -> Result<usize, Misfit> {
    match reader.peek() {
        Some(b'[') => reader.step(),
        first => return Err(expected("an array", first)),
    }
    let mut count = 0;
    while !reader.closes() {
        item(reader, count).map_err(|misfit| misfit.below(count))?;
        count += 1;
    }
    Ok(count)
}

fn list(shape: &Shape, reader: &mut Reader<'_>) -> Result<Vec<Val>, Misfit> {
    let mut list = Vec::new();
    items(reader, |reader, _| {
        list.push(value(shape, reader)?);
        Ok(())
    })?;
    Ok(list)
}

fn tuple(shapes: &[Shape], reader: &mut Reader<'_>) -> Result<Vec<Val>, Misfit> {
    let mut tuple = Vec::with_capacity(shapes.len());
    let count = items(reader, |reader, index| {
        if let Some(shape) = shapes.get(index) {
            tuple.push(value(shape, reader)?);
        } else {
            reader.skip();
        }
        Ok(())
    })?;
    if count == shapes.len() {
        Ok(tuple)
    } else {
        Err(Misfit::new(format!("expected {} items, not {count}", shapes.len())))
    }
}

fn flags(names: &Names, reader: &mut Reader<'_>) -> Result<Vec<String>, Misfit> {
    let mut flags: Vec<(usize, String)> = Vec::new();
    items(reader, |reader, index| {
        flags.push(name(names, index, reader)?);
        Ok(())
    })?;
    flags.sort_unstable_by_key(|(place, _)| *place);
    if let Some([(_, twice), _]) = flags.array_windows().find(|[(one, _), (other, _)]| one == other) {
        return Err(Misfit::new(format!("the flag `{twice}` is given twice")));
    }
    Ok(flags.into_iter().map(|(_, name)| name).collect())
}

fn map(key: &Shape, of: &Shape, reader: &mut Reader<'_>) -> Result<Vec<(Val, Val)>, Misfit> {
    let mut map = Vec::new();
    if *key == Shape::String {
        entries(reader, |reader, key| {
            map.push((Val::String(key.to_owned()), value(of, reader)?));
            Ok(())
        })?;
    } else {
        let pair = |reader: &mut Reader<'_>, _| {
            let (mut parts, mut pair) = ([key, of].into_iter(), Vec::with_capacity(2));
            items(reader, |reader, _| {
                let shape =
                    parts.next().ok_or_else(|| Misfit::new("expected a key and a value, not more"))?;
                pair.push(value(shape, reader)?);
                Ok(())
            })?;
            match <[Val; 2]>::try_from(pair) {
                Ok([key, of]) => map.push((key, of)),
                Err(_) => return Err(Misfit::new("expected a key and a value")),
            }
            Ok(())
        };
        items(reader, pair)?;
    }
    Ok(map)
}

/// Goes through the members of the object that begins here.
fn entries<'t>(
    reader: &mut Reader<'t>,
    mut entry: impl FnMut(&mut Reader<'t>, &str) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    match reader.peek() {
        Some(b'{') => reader.step(),
        first => return Err(expected("an object", first)),
    }
    while !reader.closes() {
        let key = unquoted(reader.key())?;
        entry(reader, &key).map_err(|misfit| misfit.below(&key))?;
    }
    Ok(())
}

fn no_member(names: &Names) -> Misfit {
    Misfit::new(format!("there is no such member; there are: {}", names.in_words()))
}

fn members(members: &Members, reader: &mut Reader<'_>) -> Result<Vec<(String, Val)>, Misfit> {
    let Members { names, shapes } = members;
    let mut values: Vec<Option<Val>> = Vec::new();
    values.resize_with(shapes.len(), || None);
    let mut likely = 0;
    entries(reader, |reader, key| {
        let index = names.find(key, likely).ok_or_else(|| no_member(names))?;
        let (Some(shape), Some(there)) = (shapes.get(index), values.get_mut(index)) else {
            return Err(no_member(names));
        };
        let read = value(shape, reader)?;
        if there.replace(read).is_some() {
            return Err(Misfit::new("it is given twice"));
        }
        likely = index + 1;
        Ok(())
    })?;
    let members = names.iter().zip(shapes).zip(values);
    members
        .map(|((name, shape), there)| match there {
            Some(there) => Ok((name.to_owned(), there)),
            None if shape.is_option() => Ok((name.to_owned(), Val::Option(None))),
            None => Err(Misfit::new(format!("the member `{name}` is missing"))),
        })
        .collect()
}

fn option(some: &Shape, reader: &mut Reader<'_>) -> Result<Val, Misfit> {
    if reader.plain_if(b"n").is_some() {
        return Ok(Val::Option(None));
    }
    if !some.is_option() {
        return Ok(Val::Option(Some(Box::new(value(some, reader)?))));
    }
    let mut inner = None;
    entries(reader, |reader, key| {
        if key != "some" || inner.is_some() {
            return Err(Misfit::new("expected one member, `some`, and no other"));
        }
        inner = Some(value(some, reader)?);
        Ok(())
    })?;
    let inner = inner.ok_or_else(|| Misfit::new("the member `some` is missing; `null` stands for none"))?;
    Ok(Val::Option(Some(Box::new(inner))))
}

/// Which case, and what is with it.
fn variant(
    names: &Names,
    shapes: &[Option<Shape>],
    reader: &mut Reader<'_>,
) -> Result<(usize, Option<Box<Val>>), Misfit> {
    // What is with a case can only be read when the case is known, and may stand before it.
    let (mut tag, mut val) = (None, None);
    entries(reader, |reader, key| {
        match key {
            "tag" if tag.is_none() => tag = Some(name(names, 0, reader)?.0),
            "val" if val.is_none() => val = Some(reader.skip()),
            "tag" | "val" => return Err(Misfit::new("it is given twice")),
            _ => return Err(Misfit::new("there is no such member; there are: `tag`, `val`")),
        }
        Ok(())
    })?;
    let Some(tag) = tag else {
        return Err(Misfit::new(format!("the member `tag` is missing: one of {}", names.in_words())));
    };
    let case = names.get(tag).unwrap_or_default();
    let val = match (shapes.get(tag).and_then(Option::as_ref), val) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(Misfit::new(format!("the case `{case}` has nothing with it")).below("val"));
        }
        (Some(shape), Some(val)) => {
            Some(value(shape, &mut Reader::within(val)).map_err(|misfit| misfit.below("val"))?)
        }
        (Some(shape), None) if shape.is_option() => Some(Val::Option(None)),
        (Some(_), None) => return Err(Misfit::new(format!("the case `{case}` needs the member `val`"))),
    };
    Ok((tag, val.map(Box::new)))
}
