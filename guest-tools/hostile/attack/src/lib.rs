//! What the attacks share: the contract, and one way to send requests. Each attack is a component of its own,
//! in `examples/`.
//!
//! An attack that gets what it wants says `BREACH` in its output. One that is denied fails with the error it
//! was given.

use serde_json::Value;

/// The contract, as generated.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "tool",
        pub_export_macro: true,
        export_macro_name: "export_attack",
        default_bindings_module: "attack::bindings",
    });
}

pub use bindings::exports::host::tool::tools::{Guest, ToolDefinition, ToolError};
pub use bindings::host::tool::log::{Level, log};

pub mod request;

/// What an attack came to: what it got, or how it was denied.
pub type Attempt = Result<String, String>;

/// The only tool of most attacks.
#[must_use]
pub fn definition(name: &str, description: &str) -> ToolDefinition {
    ToolDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        output_schema: None,
    }
}

/// Runs an attack on an input.
pub fn run(input: &str, attack: impl FnOnce(&Value) -> Attempt) -> Result<String, ToolError> {
    let input = serde_json::from_str(input).map_err(|error| ToolError::InvalidInput(error.to_string()))?;
    attack(&input).map(|got| Value::from(got).to_string()).map_err(ToolError::Failed)
}

/// A text of the input.
#[must_use]
pub fn text<'a>(input: &'a Value, key: &str) -> &'a str {
    input.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A success, as the tests look for it.
#[must_use]
pub fn breach(got: &str) -> String {
    let got: String = got.chars().take(200).collect();
    format!("BREACH: {got}")
}

/// A component whose one tool, `attack`, makes one attempt; or one whose listing is the attack.
#[macro_export]
macro_rules! attack {
    ($attack:expr) => {
        $crate::attack!(list: vec![$crate::definition("attack", "An attack.")], call: |input: &str| {
            $crate::run(input, $attack)
        });
    };
    (list: $list:expr, call: $call:expr) => {
        struct Component;

        impl $crate::Guest for Component {
            fn list_tools() -> Vec<$crate::ToolDefinition> {
                $list
            }

            fn call(_name: String, input: String) -> Result<String, $crate::ToolError> {
                ($call)(&input)
            }
        }

        $crate::bindings::export_attack!(Component with_types_in $crate::bindings);
    };
}
