//! A tool: every `pub fn` in the module below is one. Its doc comment is what the model reads.

#[tool_sdk::component]
mod my_tool {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;

    /// What the tool is given.
    #[derive(Deserialize, JsonSchema)]
    pub struct Input {
        /// The text to work on.
        text: String,
    }

    /// What it gives.
    #[derive(Serialize, JsonSchema)]
    pub struct Output {
        /// The text, in capital letters.
        text: String,
    }

    /// Writes a text in capital letters.
    pub fn my_tool(input: Input) -> Result<Output, ToolError> {
        if input.text.is_empty() {
            return Err(ToolError::InvalidInput("the text is empty; give one".to_owned()));
        }
        Ok(Output { text: input.text.to_uppercase() })
    }
}
