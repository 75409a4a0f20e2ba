//! What the attribute macro expands to. Not for use by hand.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ToolError;

#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "tool",
        pub_export_macro: true,
        export_macro_name: "export_tool",
        default_bindings_module: "tool_sdk::__private::bindings",
    });
}

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
        called.map_err(|error| match error {
            ToolError::InvalidInput(message) => WitError::InvalidInput(message),
            ToolError::Transient(message) => WitError::Transient(message),
            ToolError::Failed(message) => WitError::Failed(message),
        })
    }
}

/// The input of a tool that takes none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Describes one tool.
pub fn define<I: JsonSchema, O: JsonSchema, E>(
    name: &str,
    description: &str,
    _tool: impl FnOnce(I) -> Result<O, E>,
) -> ToolDefinition {
    ToolDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema: schema::<I>(),
        output_schema: Some(schema::<O>()),
    }
}

fn schema<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    // The name of a Rust type tells a model nothing.
    schema.remove("title");
    schema.as_value().to_string()
}

/// Runs one tool on its input.
pub fn run<I: DeserializeOwned, O: Serialize, E: Into<ToolError>>(
    input: &str,
    tool: impl FnOnce(I) -> Result<O, E>,
) -> Result<String, ToolError> {
    let mut json = serde_json::Deserializer::from_str(input);
    let input = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| ToolError::InvalidInput(format!("at {}: {}", error.path(), error.inner())))?;
    let output = tool(input).map_err(Into::into)?;
    serde_json::to_string(&output).map_err(|error| ToolError::Failed(format!("the output is not JSON: {error}")))
}
