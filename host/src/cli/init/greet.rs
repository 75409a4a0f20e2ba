//! A tool: every `pub fn` in the module below is one. Its doc comment is what the model reads.

#[tool_sdk::component]
mod greet {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;

    /// Whom to greet.
    #[derive(Deserialize, JsonSchema)]
    pub struct Person {
        /// The person's name, as it should be said.
        name: String,
    }

    /// What to say.
    #[derive(Serialize, JsonSchema)]
    pub struct Greeting {
        /// The greeting, in full.
        text: String,
    }

    /// Greets a person by name. Returns the greeting as text.
    pub fn greet(person: Person) -> Result<Greeting, ToolError> {
        let name = person.name.trim();
        if name.is_empty() {
            return Err(ToolError::InvalidInput("the name is empty; ask for it".to_owned()));
        }
        Ok(Greeting { text: format!("Hello, {name}!") })
    }
}
