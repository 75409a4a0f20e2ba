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
    #[derive(Debug, Serialize, JsonSchema)]
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

    /// They run on this machine, without a sandbox: `cargo test`.
    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn it_writes_capital_letters() -> Result<(), ToolError> {
            let output = my_tool(Input { text: "hello".to_owned() })?;
            assert_eq!(output.text, "HELLO");
            Ok(())
        }

        #[test]
        fn it_wants_a_text() {
            let refused = my_tool(Input { text: String::new() });
            assert!(matches!(refused, Err(ToolError::InvalidInput(why)) if why.contains("empty")));
        }
    }
}
