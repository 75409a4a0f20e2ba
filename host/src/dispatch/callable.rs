use super::ToolRunner;
use crate::message::{Arguments, ErrorKind, Json, ToolCall, ToolEntry, ToolOutcome, Tools};
use crate::schema::{About, Schema};

/// A tool that can be called, and what it takes and promises.
pub(super) struct Callable {
    tools: Tools,
    index: usize,
    input: Schema,
    output: Option<Schema>,
}

impl Callable {
    /// Each of these tools.
    pub(super) fn all(tools: &Tools, runner: &dyn ToolRunner) -> Vec<Self> {
        let callable = |(index, ToolEntry { spec, .. }): (usize, &ToolEntry)| Self {
            tools: tools.clone(),
            index,
            input: runner.schema(&spec.input_schema),
            output: spec.output_schema.as_ref().map(|json| runner.schema(json)),
        };
        tools.iter().enumerate().map(callable).collect()
    }

    /// The tool.
    pub(super) fn entry(&self) -> &ToolEntry {
        &self.tools[self.index]
    }

    /// Holds an output to what its tool promises.
    pub(super) async fn hold(&self, outcome: ToolOutcome) -> ToolOutcome {
        match (&self.output, &outcome) {
            (Some(schema), ToolOutcome::Output(json)) => match schema.check(About::OUTPUT, json).await {
                Ok(()) => outcome,
                Err(why) => ToolOutcome::error(ErrorKind::InvalidOutput, why),
            },
            (Some(_) | None, _) => outcome,
        }
    }

    /// The input that a call is made with, if the tool takes it.
    pub(super) async fn admit<'a>(&self, call: &'a ToolCall) -> Result<&'a Json, ToolOutcome> {
        let refused = |why| ToolOutcome::error(ErrorKind::InvalidInput, why);
        match &call.arguments {
            Arguments::Json(json) => {
                self.input.check(About::INPUT, json).await.map_err(refused)?;
                Ok(json)
            }
            Arguments::Malformed(text) => Err(refused(why_malformed(text))),
        }
    }
}

/// Why a model's text is not taken for arguments.
fn why_malformed(text: &str) -> String {
    match Json::parse_canonical(text) {
        // An earlier version could not read it, and recorded so.
        Ok(_) => "the arguments are not a JSON object".to_owned(),
        Err(error) => format!("the arguments are not JSON: {error}; send one JSON object"),
    }
}
