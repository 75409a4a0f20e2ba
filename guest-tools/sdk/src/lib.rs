//! Writes a tool component as an ordinary Rust function.
//!
//! ```
//! #[tool_sdk::component]
//! mod weather {
//!     use schemars::JsonSchema;
//!     use serde::{Deserialize, Serialize};
//!     use tool_sdk::ToolError;
//!
//!     /// What to look up.
//!     #[derive(Deserialize, JsonSchema)]
//!     pub struct Query {
//!         /// The city's name.
//!         city: String,
//!     }
//!
//!     /// Tells the current temperature in a city, in degrees Celsius.
//!     pub fn temperature(query: Query) -> Result<f64, ToolError> {
//!         if query.city.is_empty() {
//!             return Err(ToolError::InvalidInput("the city is empty".to_owned()));
//!         }
//!         Ok(20.0)
//!     }
//! }
//! ```
//!
//! [`context`] tells a tool about the call it serves, [`log`] writes lines for the person who runs the agent,
//! and [`call_all`] calls other tools. All three ask the host, so they work in a component only: in a native
//! test they panic. A crate has one attributed module, as a component has one list of tools.

#[doc(hidden)]
pub mod __private;
mod error;
mod fan_out;
pub mod log;

pub use __private::bindings::host::tool::context::CallContext;
pub use error::ToolError;
pub use fan_out::{Call, call_all};
/// Makes a component of a module: every `pub fn` in it is a tool.
///
/// The function's name is the tool's name, its doc comment the description, its argument the input and the
/// `Ok` of its result the output; both have their JSON Schema from `schemars`. A function without argument
/// takes an empty object. Private functions are nobody's business but the module's.
///
/// The component fits the world `tool`; `#[component(orchestrator)]` fits the world `orchestrator` and may
/// use [`call_all`].
pub use tool_sdk_macros::component;

/// The context of the call being served.
#[must_use]
pub fn context() -> CallContext {
    __private::bindings::host::tool::context::current()
}
