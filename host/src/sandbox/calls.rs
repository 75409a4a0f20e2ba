//! Calls of other tools: what is granted goes on to those who make calls, and comes back as the guest reads it.

use std::sync::Arc;

use super::bindings::host::tool::fan_out::{Call, Host};
use super::bindings::host::tool::types::ToolError;
use super::state::State;
use crate::grants::{Grants, Limit};
use crate::message::{Arguments, Denial, ErrorKind, Remedy, ToolCall, ToolOutcome, toml_string};
use crate::session::CalledAll;

/// How many calls `wit/tool.wit` allows at once.
const CALLS_AT_ONCE_MAX: usize = 128;

type CallResult = Result<String, ToolError>;

impl Host for State {
    async fn call_all(&mut self, calls: Vec<Call>) -> wasmtime::Result<Vec<CallResult>> {
        if self.call.is_none() {
            return Err(wasmtime::Error::msg("there is nobody to call in list-tools"));
        }
        if calls.len() > CALLS_AT_ONCE_MAX {
            let count = calls.len();
            let message = format!("call-all takes at most {CALLS_AT_ONCE_MAX} calls at once, not {count}");
            return Err(wasmtime::Error::msg(message));
        }
        self.calls_made = self.calls_made.saturating_add(u32::try_from(calls.len()).unwrap_or(u32::MAX));
        if self.calls_made > self.policy.limits.calls_max {
            return Err(self.record.exceed(Limit::Calls).into());
        }
        let mut results: Vec<Option<CallResult>> = Vec::new();
        let mut granted = Vec::new();
        for Call { name, input } in calls {
            if self.policy.calls.is_match(&name) {
                results.push(None);
                granted.push(self.tool_call(name, &input));
            } else {
                results.push(Some(Err(ToolError::Failed(self.deny_call(&name)))));
            }
        }
        let fan_out = Arc::clone(&self.fan_out);
        let CalledAll { outcomes, ended } = fan_out.call_all(granted).await?;
        if let Some(ended) = ended {
            self.clock.reach(ended);
        }
        let mut outcomes = outcomes.into_iter().map(result);
        Ok(results.into_iter().filter_map(|result| result.or_else(|| outcomes.next())).collect())
    }
}

impl State {
    /// A call as it is recorded: without any secret that the guest should not even have.
    fn tool_call(&self, name: String, input: &str) -> ToolCall {
        let arguments = match Arguments::parse_by(self.fan_out.rules(), input) {
            Arguments::Json(json) => Arguments::Json(self.policy.masker.json(json)),
            Arguments::Malformed(text) => Arguments::Malformed(self.policy.masker.text(&text).into_owned()),
        };
        ToolCall { id: String::new(), name, arguments }
    }

    fn deny_call(&self, name: &str) -> String {
        let what = format!("calling the tool {name:?}");
        let message = format!("{what} is not granted (permissions.calls)");
        if self.fan_out.has_tool(name) {
            let grants = &self.policy.grants;
            let calls = grants.calls.iter().map(String::as_str).chain([name]).map(toml_string);
            let calls = calls.collect::<Vec<_>>().join(", ");
            let grant = format!("[tools.{}.permissions]\ncalls = [{calls}]", self.policy.tool);
            // A table is in a file once.
            let remedy = if *grants == Grants::default() { Remedy::Add } else { Remedy::Instead };
            self.record.deny(Denial { what: format!("{what} is not granted"), grant, remedy });
        } else {
            self.record.deny(Denial::for_good(format!("{what}, which no tool can call")));
        }
        message
    }
}

/// What a caller reads. What may pass was tried again already, so for the caller it is as good as final.
fn result(outcome: ToolOutcome) -> CallResult {
    match outcome {
        ToolOutcome::Output(json) => Ok(json.as_str().to_owned()),
        ToolOutcome::Error(error) => match error.kind {
            ErrorKind::InvalidInput => Err(ToolError::InvalidInput(error.message)),
            _ => Err(ToolError::Failed(error.to_string())),
        },
    }
}
