//! Another input for a call, as a person writes it.

use crate::document::without_mark;
use crate::message::{Json, ToolEntry};
use crate::schema::{About, Schema};

/// The input that a text is, if the tool takes it; else why it does not. A tool that there is not takes anything: its call
/// fails by itself.
pub(super) fn input(text: &str, tool: Option<&ToolEntry>) -> Result<Json, String> {
    let json = Json::parse_canonical(&without_mark(text.to_owned())).map_err(|error| error.to_string())?;
    if let Some(tool) = tool {
        Schema::new(&tool.spec.input_schema).check_now(About::INPUT, &json)?;
    }
    Ok(json)
}
