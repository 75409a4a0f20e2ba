//! Calling other tools of the same agent, many at once.
//!
//! Each call runs in an instance of its own, with the grants of the tool that is called. One that fails, or
//! that the agent does not allow, is an error in its place and leaves the others alone.

use serde::Serialize;
use serde_json::Value;

use crate::__private::bindings::host::tool::fan_out;
use crate::ToolError;

/// One call of another tool.
#[derive(Clone, Debug)]
pub struct Call(fan_out::Call);

impl Call {
    /// A call of the tool that the model knows as `name`; the input is an object that fits its schema.
    pub fn new(name: impl Into<String>, input: &impl Serialize) -> Result<Self, ToolError> {
        let name = name.into();
        match serde_json::to_string(input) {
            Ok(input) => Ok(Self(fan_out::Call { name, input })),
            Err(error) => Err(ToolError::Failed(format!("the input for tool `{name}` is not JSON: {error}"))),
        }
    }
}

unsafe extern "Rust" {
    /// Is there only in a component that is declared an orchestrator. In any other one this name stands in
    /// the linker's error, which so says what to do.
    safe fn call_all_needs_the_attribute_component_orchestrator();
}

/// Makes an orchestrator of a component: only then does it link with [`call_all`].
#[macro_export]
#[doc(hidden)]
macro_rules! __declare_orchestrator {
    () => {
        #[unsafe(no_mangle)]
        extern "Rust" fn call_all_needs_the_attribute_component_orchestrator() {}
    };
}

/// Makes all calls in parallel (at most 128) and returns when each has ended, with results in the order of
/// the calls.
///
/// A call of `ask_human` or `sleep_until`, where the agent grants it, may take days: this tool is stopped meanwhile, and
/// called again when there is an answer. So it has to make the same calls in the same order again.
///
/// Only for `#[tool_sdk::component(orchestrator)]`; any other component that uses it does not link.
#[must_use]
pub fn call_all(calls: impl IntoIterator<Item = Call>) -> Vec<Result<Value, ToolError>> {
    call_all_needs_the_attribute_component_orchestrator();
    let calls: Vec<_> = calls.into_iter().map(|Call(call)| call).collect();
    fan_out::call_all(&calls).into_iter().map(outcome).collect()
}

/// The outcome of one call, with its output parsed.
fn outcome(outcome: Result<String, fan_out::ToolError>) -> Result<Value, ToolError> {
    let output = outcome.map_err(ToolError::from)?;
    serde_json::from_str(&output)
        .map_err(|error| ToolError::Failed(format!("the host passed on an output that is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_keep_their_kind() {
        assert_eq!(outcome(Ok("[1]".to_owned())), Ok(serde_json::json!([1])));
        let busy = fan_out::ToolError::Transient("busy".to_owned());
        assert_eq!(outcome(Err(busy)), Err(ToolError::transient("busy")));
        assert!(matches!(outcome(Ok("[1".to_owned())), Err(ToolError::Failed(_))));
    }
}
