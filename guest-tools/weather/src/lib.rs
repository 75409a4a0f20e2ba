//! The weather of a few dozen cities, as it was recorded once: an example that answers the same every time.

#[tool_sdk::component]
mod weather {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;

    /// One city a line: name, country, °C, conditions, humidity in percent, wind in km/h.
    const CITIES: &str = include_str!("cities.tsv");

    /// Which city to look up.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Query {
        /// The city's name in English, such as "San Francisco"; what follows a comma is ignored.
        #[schemars(length(min = 1, max = 100))]
        city: String,
    }

    /// The weather in a city.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
    pub struct Weather {
        city: &'static str,
        country: &'static str,
        temperature_celsius: i32,
        conditions: &'static str,
        humidity_percent: u32,
        wind_kmh: u32,
    }

    /// Tells the weather in one city: temperature in degrees Celsius, conditions, humidity and wind. Call it
    /// once for each city; calls of one turn run in parallel.
    pub fn get_weather(query: Query) -> Result<Weather, ToolError> {
        let wanted = normal(&query.city);
        // Only the line that is asked for is read beyond its name; the names are plain ASCII.
        let line = CITIES.lines().find(|line| name(line).eq_ignore_ascii_case(&wanted));
        line.and_then(weather).ok_or_else(|| ToolError::Failed(unknown(&query.city, &wanted)))
    }

    fn name(line: &'static str) -> &'static str {
        line.split('\t').next().unwrap_or_default()
    }

    fn weather(line: &'static str) -> Option<Weather> {
        let mut fields = line.split('\t');
        Some(Weather {
            city: fields.next()?,
            country: fields.next()?,
            temperature_celsius: fields.next()?.parse().ok()?,
            conditions: fields.next()?,
            humidity_percent: fields.next()?.parse().ok()?,
            wind_kmh: fields.next()?.parse().ok()?,
        })
    }

    /// "  san  francisco, CA" as "san francisco".
    fn normal(name: &str) -> String {
        let city = name.split(',').next().unwrap_or_default().to_lowercase();
        let city = city.split_whitespace().collect::<Vec<_>>().join(" ");
        city.strip_suffix(" city").filter(|short| *short == "new york").map_or(city.clone(), str::to_owned)
    }

    /// Helps a model that asked for a city that is not there.
    fn unknown(asked: &str, wanted: &str) -> String {
        let initial = wanted.chars().next();
        let names = || CITIES.lines().map(name);
        let near: Vec<_> = names().filter(|name| normal(name).chars().next() == initial).collect();
        let known = if near.is_empty() { names().collect() } else { near };
        format!("no weather is recorded for {asked:?}; among the known cities are {}", known.join(", "))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn get(city: &str) -> Result<Weather, ToolError> {
            get_weather(Query { city: city.to_owned() })
        }

        #[test]
        fn every_line_is_a_city() {
            assert!(CITIES.lines().all(|line| weather(line).is_some_and(|it| it.city.is_ascii())));
        }

        #[test]
        fn names_are_found_however_they_are_written() {
            for name in ["San Francisco", " san  francisco, CA", "SAN FRANCISCO"] {
                assert_eq!(get(name).map(|weather| weather.temperature_celsius), Ok(15), "{name}");
            }
            assert_eq!(get("New York City").map(|weather| weather.city), Ok("New York"));
        }

        #[test]
        fn an_unknown_city_is_answered_with_known_ones() {
            let Err(ToolError::Failed(message)) = get("Tokio") else { panic!("Tokio is not a city") };
            assert!(message.contains("Tokyo"), "{message}");
        }
    }
}
