//! Agents, and what their tools are granted; and a form for each tool, made from its schema.

use std::collections::HashMap;

use axum::extract::Path;
use axum::response::Response;
use bytesize::ByteSize;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::super::problem::{Kind, Problem};
use super::super::tokens::Scope;
use super::acts::read_json;
use super::door::Visit;
use super::page::{Tab, page};
use super::{Site, State};
use crate::config::ToolConfig;
use crate::engine::LoadedAgent;
use crate::message::{Arguments, Json, ToolEntry};
use crate::ui;

/// The fields of a form are named after the members of the input, with this before.
const FIELD: &str = "field-";

/// The agents that are served.
pub(super) async fn list(axum::extract::State(site): State, visit: Visit) -> Result<Response, Problem> {
    visit.caller.may(Scope::Read)?;
    let all = site.server().map(|server| server.agents.all()).unwrap_or_default();
    let body = html! {
        h1 { "Agents" }
        div.wide { table.list {
            thead { tr { th scope="col" { "Agent" } th scope="col" { "What it does" } th scope="col" { "Tools" } } }
            tbody {
                @for served in all.iter().filter(|served| visit.caller.0.covers(served.name())) {
                    tr {
                        th scope="row" { a href=(format!("/ui/agents/{}", served.name())) { (ui::line(served.name())) } }
                        td { (ui::line(served.agent().config().agent.description.as_deref().unwrap_or_default()))
                            @if let Some(trouble) = &served.trouble { p.trouble { (ui::block(trouble)) } } }
                        td { (served.agent().tools().iter().filter(|tool| !tool.hidden).count()) }
                    }
                }
            }
        } }
    };
    Ok(page(&visit, Tab::Agents, "Agents", &body))
}

/// One agent, with its tools.
pub(super) async fn show(
    axum::extract::State(site): State,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    visit.caller.may_of(Scope::Read, &name)?;
    let missing = || Problem::new(Kind::Missing, format!("no agent {name} is served here")).at("path");
    let loaded = site.server().and_then(|server| server.agents.get(&name)).ok_or_else(missing)?;
    let (agent, may_run) = (&loaded.agent, visit.caller.0.has(Scope::Run));
    let config = agent.config();
    let body = html! {
        h1 { (ui::line(&name)) }
        @if let Some(description) = &config.agent.description { p { (ui::block(description)) } }
        p { a href=(format!("/ui?agent={name}")) { "Its runs" } }
        @if may_run { (begin(&visit, agent)) }
        h2 { "Tools" }
        @for tool in agent.tools() {
            @let config = config.tools.iter().find(|config| config.name == tool.source);
            (of_tool(&visit, &name, tool, config, may_run))
        }
    };
    Ok(page(&visit, Tab::Agents, &name, &body))
}

fn begin(visit: &Visit, agent: &LoadedAgent) -> Markup {
    let config = agent.config();
    html! {
        details.card { summary { "Run it" }
            form.fields method="post" action=(format!("/ui/agents/{}/run", config.agent.name)) {
                (visit.csrf())
                label { "Prompt" textarea name="prompt" placeholder="As agent.toml has it" {} }
                @for (parameter, of) in &config.parameters {
                    label { (ui::line(parameter)) ": " (ui::line(of.description.as_deref().unwrap_or_default()))
                        input name=(format!("parameter-{parameter}")); }
                }
                label { "Session" input name="session" placeholder="None"; }
                p { button.do type="submit" { "Run" } }
            }
        }
    }
}

fn of_tool(
    visit: &Visit,
    agent: &str,
    tool: &ToolEntry,
    config: Option<&ToolConfig>,
    may_run: bool,
) -> Markup {
    html! {
        section.card {
            h3 { (ui::line(&tool.spec.name)) @if tool.hidden { " " span.tag { "for other tools only" } } }
            p { (ui::block(&tool.spec.description)) }
            @if let Some(config) = config {
                h4 { "What it may reach" }
                ul { @for line in config.reach_in_words() { li { (ui::line(&line)) } }
                    @for line in config.limits.in_words() { li { "limit: " (ui::line(&line)) } } }
            } @else if tool.builtin.is_some() {
                p { "It is one of the host's own, and reaches nothing." }
            } @else if tool.agent.is_some() {
                p { "It is an agent, with the tools of its own agent.toml." }
            }
            dl.facts {
                div { dt { "Component" } dd { code { (tool.component) } } }
                @if let Some(size) = config.and_then(size) { div { dt { "Size" } dd { (ByteSize(size).display().iec()) } } }
                @if let Some(locked) = config.and_then(|config| config.locked.as_ref()) {
                    @for signature in &locked.signatures { div { dt { "Signed by" } dd { (ui::line(&signature.signer)) } } }
                }
            }
            details { summary { "Schemas" }
                h4 { "Input" } (ui::json(tool.spec.input_schema.as_str()))
                @if let Some(schema) = &tool.spec.output_schema { h4 { "Output" } (ui::json(schema.as_str())) }
            }
            @if may_run && !tool.hidden && tool.agent.is_none() {
                details { summary { "Call it" }
                    form.fields method="post" action=(format!("/ui/agents/{agent}/call/{}", tool.spec.name)) {
                        (visit.csrf())
                        (fields(&tool.spec.input_schema.to_value()))
                        p.note { "The call is a run of its own: isolated, limited and recorded like any other." }
                        p { button.do type="submit" { "Call" } }
                    }
                }
            }
        }
    }
}

/// How large a component is, in bytes, if that is known without building it.
fn size(config: &ToolConfig) -> Option<u64> {
    let here = || {
        config.source.local().and_then(|file| std::fs::metadata(file).ok()).filter(std::fs::Metadata::is_file)
    };
    config.locked.as_ref().map(|locked| locked.bytes).or_else(|| here().map(|file| file.len()))
}

/// How a member of an input is asked for.
enum Field {
    Text,
    Number,
    Choice(Vec<Value>),
    Json,
}

impl Field {
    fn of(schema: &Value) -> Self {
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            return Self::Choice(choices.clone());
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => Self::Text,
            Some("number" | "integer") => Self::Number,
            Some("boolean") => Self::Choice(vec![true.into(), false.into()]),
            Some(_) | None => Self::Json,
        }
    }
}

/// The members of an input, if its schema says which there are.
fn members(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object).filter(|members| !members.is_empty())
}

fn fields(schema: &Value) -> Markup {
    let Some(members) = members(schema) else {
        return html! { label { "Input (JSON)" textarea name="json" { "{}" } } };
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    html! {
        @for (name, of) in members {
            @let needed = required.contains(&name.as_str());
            @let field = format!("{FIELD}{name}");
            label {
                (ui::line(name)) @if needed { " (required)" }
                @if let Some(words) = of.get("description").and_then(Value::as_str) { ": " (ui::line(words)) }
                @match Field::of(of) {
                    Field::Text => textarea name=(field) required[needed] {},
                    Field::Number => input type="number" step="any" name=(field) required[needed];,
                    Field::Choice(choices) => select name=(field) required[needed] {
                        @if !needed { option value="" { "not given" } }
                        @for choice in choices { option value=(choice.to_string()) { (ui::line(&choice.to_string())) } }
                    },
                    Field::Json => textarea name=(field) required[needed] placeholder="JSON" {},
                }
            }
        }
    }
}

/// The input that a form says. Whether it fits the schema, the call finds out, as that of a model.
pub(super) fn arguments(form: &HashMap<String, String>, tool: &ToolEntry) -> Result<Arguments, Problem> {
    let schema = tool.spec.input_schema.to_value();
    let Some(members) = members(&schema) else {
        return Ok(Arguments::parse(form.get("json").map(String::as_str).unwrap_or_default()));
    };
    let mut input = Map::new();
    for (name, of) in members {
        let Some(text) = form.get(&format!("{FIELD}{name}")).filter(|text| !text.is_empty()) else {
            continue;
        };
        let value = match Field::of(of) {
            Field::Text => Value::from(text.replace("\r\n", "\n")),
            Field::Number | Field::Choice(_) | Field::Json => read_json(text, name)?,
        };
        input.insert(name.clone(), value);
    }
    Ok(Arguments::Json(Json::canonical(&Value::Object(input))))
}

impl Site {
    /// The names of the agents that are served, as far as somebody may see them.
    pub(super) fn agents(&self, visit: &Visit) -> Vec<String> {
        let all = self.server().map(|server| server.agents.all()).unwrap_or_default();
        let names = all.iter().map(|served| served.name().to_owned());
        names.filter(|name| visit.caller.0.covers(name)).collect()
    }
}
