//! A component that is a program, `wasi:cli/command`: arguments and a standard input, an output and an exit code.

use std::sync::{Arc, LazyLock};

use wasmtime::Store;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;

use super::prepared::ToolDefinition;
use super::state::{Policy, State};
use super::streams::Captured;
use super::verdict;
use crate::command::{Command, Form, Given, Ungiven};
use crate::message::{ErrorKind, Json, ToolOutcome};

/// What such a component exports, without the version.
pub(super) const RUN: &str = "wasi:cli/run";

/// The streams and arguments of one call.
pub(super) struct Program {
    pub(super) given: Given,
    pub(super) stdout: Captured,
}

/// The tool that a program is.
pub(super) fn definition(policy: &Policy) -> ToolDefinition {
    let command = command(policy);
    let description = command.description.clone().unwrap_or_else(|| {
        format!(
            "Runs the program `{}`, and gives what the program writes to its standard output.",
            policy.tool
        )
    });
    let output_schema = match command.output {
        Form::Text => Some(r#"{"type":"string"}"#.to_owned()),
        Form::Json => None,
    };
    ToolDefinition {
        name: policy.tool.clone(),
        export: RUN.to_owned(),
        description,
        input_schema: command.input.as_str().to_owned(),
        output_schema,
    }
}

/// What the program is given for an input.
pub(super) fn given(policy: &Policy, input: &Json) -> Result<Given, Ungiven> {
    command(policy).given(input)
}

fn command(policy: &Policy) -> &Command {
    static BY_DEFAULT: LazyLock<Command> = LazyLock::new(Command::default);
    policy.command.as_ref().unwrap_or_else(|| &BY_DEFAULT)
}

/// Runs the program to its end.
pub(super) async fn run(
    pre: &CommandPre<State>,
    store: &mut Store<State>,
    stdout: &Captured,
) -> wasmtime::Result<ToolOutcome> {
    let program = pre.instantiate_async(&mut *store).await?;
    let code = match program.wasi_cli_run().call_run(&mut *store).await {
        Ok(Ok(())) => 0,
        Ok(Err(())) => 1,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => *code,
            None => return Err(error),
        },
    };
    let policy = Arc::clone(&store.data().policy);
    let command = command(&policy);
    if !command.exit_codes.iter().any(|good| i32::from(*good) == code) {
        let ended = format!("the program ended with exit code {code}");
        let message = match verdict::last_words(&store.data().log.so_far()) {
            Some(words) => format!("{ended}; the last it wrote was: {words}"),
            None => ended,
        };
        return Ok(verdict::failed(message));
    }
    let limits = &policy.limits;
    let text = match String::from_utf8(stdout.take_all()) {
        Ok(text) => text,
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let message = format!("the program's output is no text: byte {at} of it is not UTF-8");
            return Ok(ToolOutcome::error(ErrorKind::InvalidOutput, message));
        }
    };
    Ok(match command.output {
        Form::Text => verdict::written(serde_json::Value::from(text).to_string(), limits),
        Form::Json => verdict::output(text.trim().to_owned(), limits),
    })
}
