//! What the attribute macro expands to; not for use by hand, and free to change.
//!
//! There is one set of bindings, for the world `orchestrator`, which is the world `tool` and one import more.
//! The linker leaves out the imports that a component does not use, so a plain tool has no fan-out.
//!
//! Schemas are built when the host asks for the list of tools, never in a call.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ToolError;

/// The contract, as `guest-tools/bindings` generates it.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used)]
pub mod bindings;

pub use bindings::exports::host::tool::tools::ToolDefinition;
use bindings::exports::host::tool::tools::{Guest, ToolError as WitError};

/// Exports a component.
#[macro_export]
#[doc(hidden)]
macro_rules! __export {
    ($component:ident) => {
        $crate::__private::bindings::export_tool!($component with_types_in $crate::__private::bindings);
    };
}

/// What the macro implements for a module.
pub trait Component {
    /// Every tool's name.
    const NAMES: &'static [&'static str];
    /// Every tool, with its schemas.
    fn definitions() -> Vec<ToolDefinition>;
    /// Runs a tool; none if there is none of that name.
    fn call(name: &str, input: &str) -> Option<Result<String, ToolError>>;
}

impl<C: Component> Guest for C {
    fn list_tools() -> Vec<ToolDefinition> {
        C::definitions()
    }

    fn call(name: String, input: String) -> Result<String, WitError> {
        let called = C::call(&name, &input).unwrap_or_else(|| {
            let names = C::NAMES.join(", ");
            Err(ToolError::InvalidInput(format!("there is no tool `{name}`; the tools are: {names}")))
        });
        called.map_err(WitError::from)
    }
}

impl From<ToolError> for WitError {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::InvalidInput(message) => Self::InvalidInput(message),
            ToolError::Transient(message) => Self::Transient(message),
            ToolError::Failed(message) => Self::Failed(message),
        }
    }
}

impl From<WitError> for ToolError {
    fn from(error: WitError) -> Self {
        match error {
            WitError::InvalidInput(message) => Self::InvalidInput(message),
            WitError::Transient(message) => Self::Transient(message),
            WitError::Failed(message) => Self::Failed(message),
        }
    }
}

/// The input of a tool that takes none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Describes one tool. An input is always an object, which the schema of an enum does not say by itself.
pub fn define<I: JsonSchema, O: JsonSchema, E>(
    name: &str,
    description: &str,
    _tool: impl FnOnce(I) -> Result<O, E>,
) -> ToolDefinition {
    ToolDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema: {
            let mut schema = schema::<I>(SchemaSettings::draft2020_12());
            schema.ensure_object().entry("type").or_insert_with(|| "object".into());
            schema.as_value().to_string()
        },
        output_schema: Some(
            schema::<O>(SchemaSettings::draft2020_12().for_serialize()).as_value().to_string(),
        ),
    }
}

/// The schema of a type, with no more than a model has use for.
fn schema<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    // The name of a Rust type tells a model nothing.
    schema.remove("title");
    schema
}

/// Runs one tool on its input.
pub fn run<I: DeserializeOwned, O: Serialize, E: Into<ToolError>>(
    input: &str,
    tool: impl FnOnce(I) -> Result<O, E>,
) -> Result<String, ToolError> {
    let parsed = serde_json::from_str(input).map_err(|error| refusal::<I>(input, &error))?;
    let output = tool(parsed).map_err(Into::into)?;
    serde_json::to_string(&output)
        .map_err(|error| ToolError::Failed(format!("the output is not JSON: {error}")))
}

/// Says what is wrong with an input, and where. It parses a second time, as keeping track of the place would
/// slow down all the calls that are right.
#[cold]
fn refusal<I: DeserializeOwned>(input: &str, error: &serde_json::Error) -> ToolError {
    let mut json = serde_json::Deserializer::from_str(input);
    let message = match serde_path_to_error::deserialize::<_, I>(&mut json) {
        Err(located) if located.path().iter().next().is_some() => {
            format!("the input is wrong at `{}`: {}", located.path(), located.inner())
        }
        Ok(_) | Err(_) => format!("the input is wrong: {error}"),
    };
    ToolError::InvalidInput(message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::needless_pass_by_value, clippy::unnecessary_wraps)]

    use super::*;
    use serde_json::{Value, json};

    #[derive(Deserialize, Serialize, JsonSchema)]
    struct Order {
        /// What is wanted.
        items: Vec<Item>,
    }

    #[derive(Deserialize, Serialize, JsonSchema)]
    struct Item {
        count: u8,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "kind")]
    enum Shape {
        Point { x: f64 },
    }

    fn total(order: Order) -> Result<u32, ToolError> {
        Ok(order.items.iter().map(|item| u32::from(item.count)).sum())
    }

    fn refused(input: &str) -> String {
        match run(input, total) {
            Err(ToolError::InvalidInput(message)) => message,
            other => panic!("{input} gave {other:?}"),
        }
    }

    #[test]
    fn a_right_input_runs() {
        assert_eq!(run(r#"{"items":[{"count":2},{"count":3}]}"#, total), Ok("5".to_owned()));
    }

    #[test]
    fn a_wrong_input_says_where() {
        let message = refused(r#"{"items":[{"count":2},{"count":-1}]}"#);
        assert!(message.contains("`items[1].count`") && message.contains("-1"), "{message}");
        assert!(refused("{}").contains("missing field `items`"));
        assert!(refused(r#"{"items":[]} {}"#).contains("trailing characters"));
        assert!(refused("{").contains("EOF"));
    }

    #[test]
    fn schemas_are_inlined_and_bare() {
        let defined = define("total", "Adds up.", total);
        let schema: Value = serde_json::from_str(&defined.input_schema).unwrap();
        assert_eq!(schema["properties"]["items"]["items"]["properties"]["count"]["type"], "integer");
        assert_eq!(schema["properties"]["items"]["description"], "What is wanted.");
        assert_eq!((schema.get("$schema"), schema.get("$defs"), schema.get("title")), (None, None, None));
        assert_eq!(schema["required"], json!(["items"]));
    }

    #[test]
    fn an_input_is_always_an_object() {
        for defined in [
            define("draw", "Draws.", |Shape::Point { x }: Shape| Ok::<_, ToolError>(x)),
            define("tick", "Ticks.", |_: Nothing| Ok::<_, ToolError>(())),
        ] {
            let schema: Value = serde_json::from_str(&defined.input_schema).unwrap();
            assert_eq!(schema["type"], "object", "{schema}");
        }
    }

    #[test]
    fn an_unknown_tool_is_told_the_known_ones() {
        struct Two;
        impl Component for Two {
            const NAMES: &'static [&'static str] = &["one", "two"];
            fn definitions() -> Vec<ToolDefinition> {
                Vec::new()
            }
            fn call(_: &str, _: &str) -> Option<Result<String, ToolError>> {
                None
            }
        }
        let refused = <Two as Guest>::call("three".to_owned(), "{}".to_owned());
        assert!(matches!(refused, Err(WitError::InvalidInput(message)) if message.ends_with("one, two")));
    }
}
