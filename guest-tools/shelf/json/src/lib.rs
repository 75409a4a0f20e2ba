//! Queries and changes JSON by programs in jq's language, as jaq carries them out. A program has no clock, no network
//! and no files; an endless one is stopped by the call's limits.

#[tool_sdk::component]
mod json {
    use jaq_core::load::{Arena, File, Loader};
    use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
    use jaq_json::Val;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::Value;
    use tool_sdk::ToolError;

    /// A longer program is a mistake.
    const PROGRAM_BYTES_MAX: usize = 16 * 1024;

    /// How deep brackets may nest in a program: its parser calls itself.
    const NESTED_MAX: u32 = 64;

    /// What is given of all results.
    const OUTPUT_BYTES_MAX: usize = 512 * 1024;

    /// A longer text is not read.
    const TEXT_BYTES_MAX: usize = 8 << 20;

    /// JSON, and what to do with it.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Query {
        /// The program in jq's language, such as `.items[] | select(.price > 10) | .name`.
        program: String,
        /// The JSON to work on.
        input: Option<Value>,
        /// The same as text: one value, or one value a line. Take it for what a file or a service gave.
        text: Option<String>,
        /// How many results at most.
        #[serde(default = "limit")]
        #[schemars(range(min = 1, max = 10_000))]
        limit: usize,
    }

    fn limit() -> usize {
        1000
    }

    /// What the program gave.
    #[derive(Debug, Serialize, JsonSchema)]
    pub struct Results {
        results: Vec<Value>,
        /// Whether there are more.
        is_cut: bool,
    }

    /// Runs a jq program on JSON: selects, counts, groups, sorts, sums and reshapes. Returns all results of the program.
    pub fn query_json(query: Query) -> Result<Results, ToolError> {
        let inputs = match (query.input, query.text) {
            (Some(input), None) => vec![input],
            (None, Some(text)) => parsed(&text)?,
            (None, None) => vec![Value::Null],
            (Some(_), Some(_)) => return Err(ToolError::invalid_input("give `input` or `text`, not both")),
        };
        let mut results = Results { results: Vec::new(), is_cut: false };
        run(&query.program, inputs, |value, bytes_so_far| {
            results.is_cut =
                results.results.len() == query.limit.clamp(1, 10_000) || bytes_so_far > OUTPUT_BYTES_MAX;
            if !results.is_cut {
                results.results.push(value);
            }
            !results.is_cut
        })?;
        Ok(results)
    }

    /// Reads one value after the other. serde's parser bounds how deep they nest.
    fn parsed(text: &str) -> Result<Vec<Value>, ToolError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ToolError::invalid_input(format!("`text` has at most {} MiB", TEXT_BYTES_MAX >> 20)));
        }
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let values: Result<Vec<_>, _> = values.collect();
        values.map_err(|error| ToolError::invalid_input(format!("`text` is not JSON: {error}")))
    }

    /// Runs a program on one input after the other, and gives each result away, as long as more are wanted.
    fn run(
        program: &str,
        inputs: Vec<Value>,
        mut give: impl FnMut(Value, usize) -> bool,
    ) -> Result<(), ToolError> {
        admitted(program)?;
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules =
            Loader::new(definitions).load(&arena, File { code: program, path: () }).map_err(|errors| {
                let place = errors.iter().find_map(|(file, error)| place(file.code, error));
                ToolError::invalid_input(format!("this is no jq program{}", place.unwrap_or_default()))
            })?;
        let filter = Compiler::default().with_funs(functions).compile(modules).map_err(|errors| {
            let unknown: Vec<_> = errors
                .iter()
                .flat_map(|(_, errors)| errors)
                .map(|(name, what)| format!("{} {name}", what.as_str()))
                .collect();
            ToolError::invalid_input(format!("the program uses what is not there: {}", unknown.join(", ")))
        })?;
        let mut bytes = 0;
        for input in inputs {
            let input = jaq_json::read::parse_single(input.to_string().as_bytes())
                .map_err(|error| ToolError::invalid_input(format!("this JSON cannot be read: {error}")))?;
            let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
            for result in filter.id.run((context, input)).map(unwrap_valr) {
                let result = result.map_err(|error| {
                    let said = error.to_string();
                    let shown = said.get(..said.floor_char_boundary(1000)).unwrap_or_default();
                    ToolError::invalid_input(format!("the program failed: {shown}"))
                })?;
                let text = result.to_string();
                bytes += text.len();
                let value = serde_json::from_str(&text).map_err(|error| {
                    let shown = text.get(..text.floor_char_boundary(100)).unwrap_or_default();
                    ToolError::invalid_input(format!("the program gave {shown}, which is no JSON: {error}"))
                })?;
                if !give(value, bytes) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Refuses what would use up the stack of the parser. Brackets in texts count, too: nobody writes so many.
    fn admitted(program: &str) -> Result<(), ToolError> {
        if program.len() > PROGRAM_BYTES_MAX {
            return Err(ToolError::invalid_input(format!(
                "a program has at most {} KiB",
                PROGRAM_BYTES_MAX >> 10
            )));
        }
        let mut depth = 0_u32;
        for character in program.chars() {
            match character {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > NESTED_MAX {
                return Err(ToolError::invalid_input(format!(
                    "the program nests more than {NESTED_MAX} deep"
                )));
            }
        }
        Ok(())
    }

    /// Where a program is wrong.
    fn place(code: &str, error: &jaq_core::load::Error<&str>) -> Option<String> {
        use jaq_core::load::Error;
        let (expected, at) = match error {
            Error::Io(_) => return Some(": it cannot include other files".to_owned()),
            Error::Lex(errors) => errors.first().map(|(expected, at)| (expected.as_str(), *at))?,
            Error::Parse(errors) => errors.first().map(|(expected, at)| (expected.as_str(), *at))?,
        };
        // What is not read is a part of the program itself.
        let begin =
            (at.as_ptr() as usize).checked_sub(code.as_ptr() as usize).filter(|begin| *begin <= code.len());
        let character = code.get(..begin.unwrap_or(code.len())).unwrap_or_default().chars().count() + 1;
        Some(format!(": {expected} is expected at character {character}"))
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used, reason = "a test may panic")]

        use super::*;

        fn on(program: &str, text: &str) -> Result<String, ToolError> {
            let (program, text) = (program.to_owned(), Some(text.to_owned()));
            let results = query_json(Query { program, input: None, text, limit: 5 })?;
            Ok(Value::from(results.results).to_string() + if results.is_cut { " …" } else { "" })
        }

        #[test]
        fn programs_select_and_reshape() {
            let text = r#"{"items":[{"n":"a","p":3},{"n":"b","p":12.50},{"n":"c","p":20}]}"#;
            for (program, is) in [
                (".items | length", "[3]"),
                (".items[] | select(.p > 10) | .n", r#"["b","c"]"#),
                (".items | map(.p) | add", "[35.5]"),
                (".items | group_by(.p > 10) | map(length)", "[[1,2]]"),
                ("empty", "[]"),
                ("range(100)", "[0,1,2,3,4] …"),
                (r#".items[0].n | test("^[a-z]$")"#, "[true]"),
            ] {
                assert_eq!(on(program, text).as_deref(), Ok(is), "{program}");
            }
            assert_eq!(on(".a", "{\"a\":1}\n{\"a\":2}\n").as_deref(), Ok("[1,2]"));
        }

        #[test]
        fn no_digit_is_lost() {
            let digits = "[12345678901234567890123,0.1000000000000000055511151231257827]";
            assert_eq!(on(".", digits), Ok(format!("[{digits}]")));
        }

        #[test]
        fn what_is_wrong_is_said() {
            let said = |program: &str, text: &str| on(program, text).unwrap_err().to_string();
            assert!(said(".a |", "1").contains("expected at character"), "{}", said(".a |", "1"));
            assert!(said("nothing_of_the_kind", "1").contains("nothing_of_the_kind"));
            assert!(said("1 + {}", "1").contains("the program failed"));
            assert!(said("error(\"x\" * 5000)", "1").len() < 1200);
            assert!(said(".", "{").contains("not JSON"));
            assert!(said(".", &"x".repeat(TEXT_BYTES_MAX + 1)).contains("at most"));
            assert!(said("nan", "1").contains("no JSON"));
            assert!(said("include \"/etc/passwd\"; .", "1").contains("invalid input"));
            let both = Query {
                program: ".".to_owned(),
                input: Some(Value::Null),
                text: Some(String::new()),
                limit: 1,
            };
            assert!(query_json(both).unwrap_err().to_string().contains("not both"));
        }

        #[test]
        fn what_is_deep_is_refused_and_what_is_endless_is_cut() {
            let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
            assert!(on(".", &deep).unwrap_err().to_string().contains("not JSON"));
            for open in ["[", "(", "{a:"] {
                assert!(on(&open.repeat(1000), "1").unwrap_err().to_string().contains("deep"), "{open}");
            }
            assert_eq!(on("repeat(1)", "1").as_deref(), Ok("[1,1,1,1,1] …"));
            assert!(on("reduce range(300) as $i (1; [.])", "1").is_err());
        }
    }
}
