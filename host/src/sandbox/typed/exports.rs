//! What a component exports: the functions that can be tools, and the others with the reason why not.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};

use super::names::{path, short, tool_name};
use super::schema::{object, schema};
use super::shape::{Budget, Members, Shape};
use super::{COMPONENT_PARTS_MAX, FUNCTIONS_MAX, SCHEMA_BYTES_MAX};
use crate::message::Json;
use crate::sandbox::link::released;

/// What is said of a function's type, in bytes.
const SIGNATURE_BYTES_MAX: usize = 1024;

/// The exports of a component.
#[derive(Debug)]
pub(crate) struct Surface {
    /// The functions that can be tools.
    pub(crate) functions: Vec<Function>,
    /// What else it exports.
    pub(crate) refused: Vec<Refused>,
}

/// A function that can be a tool.
#[derive(Debug)]
pub(crate) struct Function {
    /// What a model calls it by.
    pub(crate) name: String,
    /// What the component calls it: `interface#function`, or the function alone.
    pub(crate) path: String,
    /// The interface that exports it, if it is not the world itself.
    pub(crate) interface: Option<String>,
    /// Its own name.
    pub(crate) own_name: String,
    /// Its type, as the interface language has it.
    pub(crate) signature: String,
    /// JSON Schema of its arguments.
    pub(crate) input_schema: Json,
    /// JSON Schema of what it gives.
    pub(crate) output_schema: Json,
    pub(super) index: ComponentExportIndex,
    pub(super) params: Members,
    pub(super) results: Results,
}

/// What a function gives.
#[derive(Debug)]
pub(super) enum Results {
    Nothing,
    Value(Shape),
    /// Its own `result`: what it gives, or what went wrong.
    Fallible {
        ok: Option<Shape>,
        err: Option<Shape>,
    },
}

/// An export that is no tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the component calls it.
    pub path: String,
    /// Why it is not one.
    pub why: String,
    /// Whether it is there for a host or a tool chain, and not for whoever uses the component.
    pub hidden: bool,
}

/// Why the exports of a component are not looked through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SurfaceError {
    /// There are too many.
    #[error(
        "it exports more than {FUNCTIONS_MAX} functions\n  use a component with fewer of them, or one made for this host"
    )]
    Functions,
}

impl Surface {
    /// Looks through the exports of a component.
    pub(crate) fn of(component: &Component) -> Result<Self, SurfaceError> {
        let surface = Self { functions: Vec::new(), refused: Vec::new() };
        let mut found = Found { component, surface, budget: Budget::new(COMPONENT_PARTS_MAX), seen: 0 };
        let engine = component.engine();
        for (name, export) in component.component_type().exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(kind) => found.function(None, name, &kind)?,
                ComponentItem::ComponentInstance(_) if name.starts_with("wasi:") => {
                    found.refuse(name.to_owned(), for_hosts(name), true);
                }
                ComponentItem::ComponentInstance(instance) => {
                    for (function, export) in instance.exports(engine) {
                        if let ComponentItem::ComponentFunc(kind) = export.ty {
                            found.function(Some(name), function, &kind)?;
                        }
                    }
                }
                // A component that exports a component does not compile: this is the type of one.
                ComponentItem::Component(_) => {
                    let why = "it describes an interface, and has no code";
                    found.refuse(name.to_owned(), why.to_owned(), false);
                }
                ComponentItem::Module(_) | ComponentItem::CoreFunc(_) => {
                    found.refuse(name.to_owned(), "it is code, and not a function".to_owned(), false);
                }
                ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
            }
        }
        Ok(found.surface)
    }
}

struct Found<'c> {
    component: &'c Component,
    surface: Surface,
    budget: Budget,
    seen: usize,
}

impl Found<'_> {
    fn refuse(&mut self, path: String, why: String, hidden: bool) {
        self.surface.refused.push(Refused { path, why, hidden });
    }

    fn function(
        &mut self,
        interface: Option<&str>,
        function: &str,
        kind: &ComponentFunc,
    ) -> Result<(), SurfaceError> {
        self.seen += 1;
        if self.seen > FUNCTIONS_MAX {
            return Err(SurfaceError::Functions);
        }
        if let Some(why) = of_tool_chain(interface, function, kind) {
            self.refuse(path(interface, function), why.to_owned(), true);
            return Ok(());
        }
        match self.tool(interface, function, kind) {
            Ok(tool) => self.surface.functions.push(tool),
            Err(why) => self.refuse(path(interface, function), why, false),
        }
        Ok(())
    }

    /// The function as a tool, or why it is not one.
    fn tool(
        &mut self,
        interface: Option<&str>,
        function: &str,
        kind: &ComponentFunc,
    ) -> Result<Function, String> {
        if let Some((_, resource)) = function.strip_prefix('[').and_then(|it| it.split_once(']')) {
            let resource = resource.split_once('.').map_or(resource, |(resource, _)| resource);
            return Err(format!("it belongs to the resource `{resource}`"));
        }
        if kind.async_() {
            return Err("it is async".to_owned());
        }
        let name = tool_name(interface, function)?;
        let instance = match interface {
            None => None,
            Some(name) => Some(self.component.get_export_index(None, name).ok_or("it cannot be found")?),
        };
        let index =
            self.component.get_export_index(instance.as_ref(), function).ok_or("it cannot be found")?;
        let budget = self.budget.next();
        let unfit = |unfit: super::shape::Unfit| unfit.to_string();
        let params = Members::of(kind.params(), 0, budget).map_err(unfit)?;
        let mut given = kind.results();
        let result = given.next().map(|kind| Shape::of(&kind, 0, budget)).transpose();
        let result = result.map_err(|unfit| unfit.below("result").to_string())?;
        if given.next().is_some() {
            return Err("it gives more than one result".to_owned());
        }
        let given = result.as_ref().map_or_else(String::new, |result| format!(" -> {result}"));
        let results = match result {
            None => Results::Nothing,
            Some(Shape::Result(_, cases)) => {
                let [ok, err] = *cases;
                Results::Fallible { ok, err }
            }
            Some(shape) => Results::Value(shape),
        };
        Ok(Function {
            name,
            path: path(interface, function),
            interface: interface.map(str::to_owned),
            own_name: function.to_owned(),
            signature: cut(format!("{function}: func({params}){given}")),
            input_schema: bounded("input", &object(&params))?,
            output_schema: bounded("output", &output(&results))?,
            index,
            params,
            results,
        })
    }
}

/// The schema of what a function gives: where there is nothing, `null`.
fn output(results: &Results) -> serde_json::Value {
    match results {
        Results::Value(shape) | Results::Fallible { ok: Some(shape), .. } => schema(shape),
        Results::Nothing | Results::Fallible { ok: None, .. } => serde_json::json!({ "type": "null" }),
    }
}

/// A schema that is not too large and not nested too deeply to be checked by.
fn bounded(which: &str, schema: &serde_json::Value) -> Result<Json, String> {
    let text = schema.to_string();
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(format!(
            "the JSON Schema of its {which} has {} bytes; at most {SCHEMA_BYTES_MAX} are taken",
            text.len()
        ));
    }
    Json::parse(text).map_err(|error| format!("the JSON Schema of its {which} is not taken: {error}"))
}

fn cut(mut signature: String) -> String {
    if signature.len() > SIGNATURE_BYTES_MAX {
        signature.truncate(signature.floor_char_boundary(SIGNATURE_BYTES_MAX));
        signature.push('…');
    }
    signature
}

/// Why an interface of WASI is no set of tools: it is what a host calls.
fn for_hosts(interface: &str) -> String {
    match (short(interface), released(interface).is_some()) {
        ("run", true) => "it makes the component a program; [tools.NAME.command] calls it as one",
        ("incoming-handler", true) => "it makes the component a service, if no function of it is a tool",
        ("run" | "incoming-handler", false) => {
            "it is of a version of WASI that this host does not have; 0.2.0 and later ones of 0.2 are there"
        }
        (_, _) => "it is for a host of another kind to call",
    }
    .to_owned()
}

/// What a tool chain exports for itself.
fn of_tool_chain(interface: Option<&str>, function: &str, kind: &ComponentFunc) -> Option<&'static str> {
    let takes = |name: &str| kind.params().next().is_some_and(|(first, _)| first == name);
    match (interface, function) {
        (Some("exports"), "init") => Some("componentize-py starts the interpreter by it when it builds"),
        (None, "init") if takes("shim") => {
            Some("componentize-qjs starts the interpreter by it when it builds")
        }
        _ => None,
    }
}
