//! One call of a typed function: arguments from JSON, the call, and its result as JSON.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{InstancePre, Val};

use super::exports::{Function, Refused, Results, Surface};
use super::misfit::Misfit;
use super::shape::Shape;
use super::write::Unwritten;
use super::{read, write};
use crate::grants::{Limit, ToolLimits};
use crate::message::{ErrorKind, Json, ToolOutcome};
use crate::sandbox::files::NO_DIRECTORY;
use crate::sandbox::state::State;
use crate::sandbox::verdict;

/// An input or output of this many bytes is converted where it is needed, in well below a millisecond; a larger one
/// on a thread that may take its time.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// What a host keeps of one value while it is converted, for each byte of its JSON: a byte of `list<u8>` takes most.
const VALUE_BYTES_A_BYTE: u64 = 32;

/// What all values of one call may take, whatever its limits say.
const VALUE_BYTES_MAX: u64 = 1 << 30;

/// A component whose exports are tools, prepared for instances.
pub(in crate::sandbox) struct Typed {
    pre: InstancePre<State>,
    functions: Vec<Arc<Function>>,
    by_path: HashMap<String, usize>,
    refused: Vec<Refused>,
}

impl Typed {
    pub(in crate::sandbox) fn new(pre: InstancePre<State>, surface: Surface) -> Self {
        let Surface { functions, refused } = surface;
        let by_path = functions.iter().enumerate().map(|(index, it)| (it.path.clone(), index)).collect();
        Self { pre, functions: functions.into_iter().map(Arc::new).collect(), by_path, refused }
    }

    pub(in crate::sandbox) fn engine(&self) -> &wasmtime::Engine {
        self.pre.engine()
    }

    /// The functions that can be called.
    pub(in crate::sandbox) fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter().map(|it| &**it)
    }

    /// What else the component exports.
    pub(in crate::sandbox) fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// How much data may pass at once, for an output of so many bytes.
    pub(in crate::sandbox) fn hostcall_bytes(output_bytes: u64) -> u64 {
        output_bytes.saturating_mul(VALUE_BYTES_A_BYTE).min(VALUE_BYTES_MAX.max(output_bytes))
    }

    /// Calls a function, by its path, in a new instance.
    pub(in crate::sandbox) async fn invoke(
        &self,
        store: &mut Store<State>,
        path: &str,
        input: &Json,
    ) -> wasmtime::Result<ToolOutcome> {
        let Some(function) = self.by_path.get(path).and_then(|index| self.functions.get(*index)) else {
            let message = format!("the component has no function `{path}`");
            return Ok(ToolOutcome::error(ErrorKind::UnknownTool, message));
        };
        let arguments = match arguments(function, input).await? {
            Ok(arguments) => arguments,
            Err(misfit) => {
                let message = format!("the input does not fit `{}`: {misfit}", function.signature);
                return Ok(ToolOutcome::error(ErrorKind::InvalidInput, message));
            }
        };
        let limits = store.data().policy.limits.clone();
        let instance = self.pre.instantiate_async(&mut *store).await?;
        store.data().record.forget_denial(NO_DIRECTORY);
        let callable = instance.get_func(&mut *store, function.index);
        let callable = callable.ok_or_else(|| wasmtime::Error::msg("the function is gone"))?;
        let mut given = [Val::Bool(false)];
        let given = match function.results {
            Results::Nothing => &mut given[..0],
            Results::Value(_) | Results::Fallible { .. } => &mut given[..],
        };
        callable.call_async(&mut *store, &arguments, given).await?;
        drop(arguments);
        outcome(function, given.first_mut().map(|it| std::mem::replace(it, Val::Bool(false))), &limits).await
    }
}

/// The arguments in an input, or why they are not there.
async fn arguments(function: &Arc<Function>, input: &Json) -> wasmtime::Result<Result<Vec<Val>, Misfit>> {
    if input.as_str().len() <= BYTES_AT_ONCE {
        return Ok(read::arguments(&function.params, input));
    }
    let (function, input) = (Arc::clone(function), input.clone());
    Ok(tokio::task::spawn_blocking(move || read::arguments(&function.params, &input)).await?)
}

/// What a call comes to.
async fn outcome(
    function: &Arc<Function>,
    given: Option<Val>,
    limits: &ToolLimits,
) -> wasmtime::Result<ToolOutcome> {
    let (part, value) = match (&function.results, given) {
        (Results::Value(_), Some(value)) => (Part::Output, Some(value)),
        (Results::Fallible { .. }, Some(Val::Result(Ok(value)))) => (Part::Output, value.map(|it| *it)),
        (Results::Fallible { .. }, Some(Val::Result(Err(value)))) => (Part::Error, value.map(|it| *it)),
        (Results::Nothing | Results::Value(_) | Results::Fallible { .. }, _) => (Part::Output, None),
    };
    let value = match (part, value) {
        (Part::Output, None) => return Ok(verdict::output("null".to_owned(), limits)),
        (Part::Error, None) => return Ok(verdict::failed("the tool failed, and says no more".to_owned())),
        // A text needs no quotes to be read.
        (Part::Error, Some(Val::String(text))) => return Ok(verdict::failed(text)),
        (Part::Output | Part::Error, Some(value)) => value,
    };
    let bytes_max = usize::try_from(limits.output_bytes_max).unwrap_or(usize::MAX);
    let bytes_at_once = bytes_max.min(BYTES_AT_ONCE);
    let mut written = match part.shape(function) {
        Some(shape) => write::json(shape, &value, bytes_at_once),
        None => Err(Unwritten::Misfit),
    };
    if written == Err(Unwritten::TooLong) && bytes_at_once < bytes_max {
        let function = Arc::clone(function);
        let write = move || {
            part.shape(&function).map_or(Err(Unwritten::Misfit), |it| write::json(it, &value, bytes_max))
        };
        written = tokio::task::spawn_blocking(write).await?;
    }
    Ok(match (part, written) {
        (Part::Output, Ok(json)) => verdict::written(json, limits),
        (Part::Error, Ok(json)) => verdict::failed(json),
        (_, Err(Unwritten::TooLong)) => verdict::limited(Limit::Output, limits),
        (_, Err(error @ Unwritten::Misfit)) => {
            ToolOutcome::error(ErrorKind::InvalidOutput, error.to_string())
        }
    })
}

/// Which part of a result is meant.
#[derive(Clone, Copy)]
enum Part {
    Output,
    Error,
}

impl Part {
    fn shape(self, function: &Function) -> Option<&Shape> {
        match (&function.results, self) {
            (Results::Value(shape), Self::Output) => Some(shape),
            (Results::Fallible { ok, .. }, Self::Output) => ok.as_ref(),
            (Results::Fallible { err, .. }, Self::Error) => err.as_ref(),
            (Results::Nothing, _) | (Results::Value(_), Self::Error) => None,
        }
    }
}
