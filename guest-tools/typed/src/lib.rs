//! A component that knows nothing of this host. The tests call it, and the benchmarks compare what its calls cost with
//! what those of the tool `weather` do.
#![allow(clippy::used_underscore_items, reason = "what is generated exports them")]

#[allow(clippy::all, clippy::pedantic, clippy::unwrap_used, missing_docs, reason = "they are generated")]
mod bindings;

use bindings::exports::tests::typed::echo::{All, Guest as Echo, Row, Shape};
use bindings::exports::tests::typed::weather::{Guest as Weather, Report};

/// The table of the tool `weather`: name, country, °C, conditions, humidity in percent, wind in km/h.
const CITIES: &str = include_str!("../../weather/src/cities.tsv");

struct Typed;

impl Echo for Typed {
    fn same(all: All) -> All {
        all
    }

    fn rows(rows: Vec<Row>) -> Vec<Row> {
        rows
    }

    fn refuse(shape: Shape) -> Result<(), Shape> {
        Err(shape)
    }
}

impl Weather for Typed {
    fn get_weather(city: String) -> Result<Report, String> {
        let line = CITIES
            .lines()
            .find(|line| line.split('\t').next().is_some_and(|it| it.eq_ignore_ascii_case(&city)));
        line.and_then(report).ok_or_else(|| format!("no weather is recorded for {city:?}"))
    }
}

fn report(line: &str) -> Option<Report> {
    let mut fields = line.split('\t');
    Some(Report {
        city: fields.next()?.to_owned(),
        country: fields.next()?.to_owned(),
        temperature_celsius: fields.next()?.parse().ok()?,
        conditions: fields.next()?.to_owned(),
        humidity_percent: fields.next()?.parse().ok()?,
        wind_kmh: fields.next()?.parse().ok()?,
    })
}

bindings::export!(Typed with_types_in bindings);
