//! Tells the time, converts it between zones, and computes with it. The database of zones is in the component.

#[tool_sdk::component]
mod time {
    use jiff::civil::DateTime;
    use jiff::tz::TimeZone;
    use jiff::{Span, Timestamp, Unit, ZonedDateTime};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;

    /// A longer text is no time.
    const TEXT_BYTES_MAX: usize = 256;

    /// Where the time is told.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Now {
        /// The zone, such as `Europe/Berlin`.
        #[serde(default = "utc")]
        zone: String,
    }

    fn utc() -> String {
        "UTC".to_owned()
    }

    /// A moment, in a zone.
    #[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
    pub struct Moment {
        /// In the zone, such as `2026-03-29T14:05:00+02:00[Europe/Berlin]`.
        time: String,
        /// In UTC, such as `2026-03-29T12:05:00Z`.
        utc: String,
        /// Seconds since 1970 in UTC.
        unix_seconds: i64,
        weekday: String,
        day_of_year: i16,
    }

    /// Tells the current time in a zone.
    pub fn time_now(now: Now) -> Result<Moment, ToolError> {
        Ok(moment(&ZonedDateTime::new(Timestamp::now(), zone(&now.zone)?)))
    }

    /// A time to convert.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Convert {
        /// The time: `2026-03-29T14:05:00Z`, or with an offset, or `2026-03-29T14:05[Europe/Berlin]`, or a date and time
        /// alone, with `from`.
        time: String,
        /// The zone of a time that says none itself.
        from: Option<String>,
        /// The zone to convert to.
        to: String,
    }

    /// Converts a time to another zone, with the weekday there. A local time that a clock skips is taken as if the clock
    /// had not been set forward yet; of one that comes twice, the first is taken.
    pub fn convert_time(convert: Convert) -> Result<Moment, ToolError> {
        let to = zone(&convert.to)?;
        Ok(moment(&parsed(&convert.time, convert.from.as_deref())?.with_time_zone(to)))
    }

    /// A time, and what to add to it.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Add {
        /// The time, as for `convert_time`.
        time: String,
        /// The zone of a time that says none itself. Days and months are counted by the calendar there.
        zone: Option<String>,
        /// What to add: `3 days`, `1 month 2 hours`, or in ISO 8601 `P1M2DT3H`. A `-` before it subtracts.
        duration: String,
    }

    /// Adds a duration to a time, or subtracts it. A day is a day of the calendar, which is not always 24 hours long.
    pub fn add_time(add: Add) -> Result<Moment, ToolError> {
        let time = parsed(&add.time, add.zone.as_deref())?;
        let duration = short(&add.duration)?.parse::<Span>().map_err(|error| {
            ToolError::invalid_input(format!("{:?} is no duration: {error}", add.duration))
        })?;
        let sum = time
            .checked_add(duration)
            .map_err(|error| ToolError::invalid_input(format!("this is no time: {error}")))?;
        Ok(moment(&sum))
    }

    /// Two times.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Two {
        /// The first time, as for `convert_time`.
        from: String,
        /// The second time.
        to: String,
        /// The zone of a time that says none itself.
        zone: Option<String>,
    }

    /// What is between two times.
    #[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
    pub struct Between {
        /// Seconds from the first to the second; negative if the second is earlier.
        seconds: i64,
        /// Whole days of the calendar, in the zone of the first time.
        days: i64,
        /// The same by the calendar, in ISO 8601: `P1Y2M3DT4H`.
        calendar: String,
    }

    /// Tells how long it is from one time to another: in seconds, in days, and by the calendar.
    pub fn time_between(two: Two) -> Result<Between, ToolError> {
        let from = parsed(&two.from, two.zone.as_deref())?;
        let to = parsed(&two.to, two.zone.as_deref())?.with_time_zone(from.time_zone().clone());
        let span = |largest: Unit| {
            let difference = from.until((largest, &to));
            difference.map_err(|error| ToolError::failed(format!("these times are too far apart: {error}")))
        };
        let days = span(Unit::Day)?.get_days();
        let seconds = from.duration_until(&to).as_secs();
        Ok(Between { seconds, days: i64::from(days), calendar: span(Unit::Year)?.to_string() })
    }

    fn short(text: &str) -> Result<&str, ToolError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ToolError::invalid_input(format!("a time has at most {TEXT_BYTES_MAX} bytes")));
        }
        Ok(text.trim())
    }

    fn zone(name: &str) -> Result<TimeZone, ToolError> {
        TimeZone::get(short(name)?).map_err(|_| {
            ToolError::invalid_input(format!("{name:?} is no zone; one is called `UTC` or `Europe/Berlin`"))
        })
    }

    /// A time, in the zone that it says itself or else in this one.
    fn parsed(text: &str, said: Option<&str>) -> Result<ZonedDateTime, ToolError> {
        let text = short(text)?;
        let said = said.map(zone).transpose()?;
        let wrong = |error: jiff::Error| ToolError::invalid_input(format!("{text:?} is no time: {error}"));
        if text.contains('[') {
            return text.parse::<ZonedDateTime>().map_err(wrong);
        }
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Ok(ZonedDateTime::new(timestamp, said.unwrap_or(TimeZone::UTC)));
        }
        let local = text.parse::<DateTime>().map_err(wrong)?;
        let said = said.ok_or_else(|| {
            ToolError::invalid_input(format!(
                "{text:?} says no zone; end it with `Z`, or say which zone it is in"
            ))
        })?;
        said.to_zoned_datetime(local).map_err(wrong)
    }

    fn moment(time: &ZonedDateTime) -> Moment {
        Moment {
            time: time.to_string(),
            utc: time.timestamp().to_string(),
            unix_seconds: time.timestamp().as_second(),
            weekday: format!("{:?}", time.weekday()),
            day_of_year: time.day_of_year(),
        }
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used, reason = "a test may panic")]

        use super::*;

        fn converted(time: &str, from: Option<&str>, to: &str) -> Result<Moment, ToolError> {
            convert_time(Convert { time: time.to_owned(), from: from.map(str::to_owned), to: to.to_owned() })
        }

        fn added(time: &str, duration: &str) -> Result<String, ToolError> {
            let zone = Some("Europe/Berlin".to_owned());
            Ok(add_time(Add { time: time.to_owned(), zone, duration: duration.to_owned() })?.time)
        }

        fn between(from: &str, to: &str) -> Between {
            let zone = Some("Europe/Berlin".to_owned());
            time_between(Two { from: from.to_owned(), to: to.to_owned(), zone }).unwrap()
        }

        #[test]
        fn a_time_is_converted_whatever_says_its_zone() {
            let is = "2026-07-01T21:00:00+09:00[Asia/Tokyo]";
            for (time, from) in [
                ("2026-07-01T12:00:00Z", None),
                ("2026-07-01T14:00+02:00", None),
                ("2026-07-01T14:00[Europe/Berlin]", None),
                ("2026-07-01 14:00", Some("Europe/Berlin")),
            ] {
                let moment = converted(time, from, "Asia/Tokyo").unwrap();
                assert_eq!((&moment.time[..], &moment.weekday[..]), (is, "Wednesday"), "{time}");
            }
        }

        #[test]
        fn a_time_that_a_clock_skips_or_repeats_is_decided() {
            let utc = |time: &str| converted(time, Some("Europe/Berlin"), "UTC").unwrap().utc;
            assert_eq!(utc("2026-03-29T02:30"), "2026-03-29T01:30:00Z");
            assert_eq!(utc("2026-10-25T02:30"), "2026-10-25T00:30:00Z");
        }

        #[test]
        fn a_day_is_one_of_the_calendar_and_hours_are_hours() {
            assert_eq!(
                added("2026-03-28T12:00", "1 day").unwrap(),
                "2026-03-29T12:00:00+02:00[Europe/Berlin]"
            );
            assert_eq!(
                added("2026-03-28T12:00", "24 hours").unwrap(),
                "2026-03-29T13:00:00+02:00[Europe/Berlin]"
            );
            assert_eq!(added("2024-01-31", "P1M").unwrap(), "2024-02-29T00:00:00+01:00[Europe/Berlin]");
            assert_eq!(added("2024-03-01", "-1 day").unwrap(), "2024-02-29T00:00:00+01:00[Europe/Berlin]");
        }

        #[test]
        fn what_is_between_is_told_in_seconds_and_by_the_calendar() {
            let is = Between { seconds: 23 * 3600, days: 1, calendar: "P1D".to_owned() };
            assert_eq!(between("2026-03-28T12:00", "2026-03-29T12:00"), is);
            assert_eq!(between("2020-02-29", "2021-03-01").calendar, "P1Y1D");
            assert_eq!(between("2026-01-02", "2026-01-01").days, -1);
        }

        #[test]
        fn what_is_no_time_is_refused() {
            let long = "1".repeat(10_000);
            for time in ["", "yesterday", "2026-02-30", "2026-01-01T25:00Z", "2026-01-01", &long] {
                assert!(
                    matches!(converted(time, None, "UTC"), Err(ToolError::InvalidInput(_))),
                    "{time:.20}"
                );
            }
            for zone in ["", "Mars/Base", "../../etc/passwd", &long] {
                assert!(matches!(
                    converted("2026-01-01T00:00Z", None, zone),
                    Err(ToolError::InvalidInput(_))
                ));
            }
            for duration in ["", "soon", "P99999Y", "999999999999999999999 days", &long] {
                assert!(
                    matches!(added("2026-01-01", duration), Err(ToolError::InvalidInput(_))),
                    "{duration:.20}"
                );
            }
        }
    }
}
