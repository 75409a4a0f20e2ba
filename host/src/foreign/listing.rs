//! What a server says of its tools, within bounds, in the form in which it is pinned.

use std::collections::{BTreeMap, BTreeSet};

use rmcp::model::{JsonObject, PaginatedRequestParams, Tool};
use rmcp::{Peer, RoleClient};
use serde_json::Value;

use super::connection::said;
use crate::message::{Json, clean};
use crate::registry::LockedTool;

/// So many tools a server may have.
const TOOLS_MAX: usize = 1024;
/// On so many pages.
const PAGES_MAX: usize = 64;
/// So much they may say of themselves together, in bytes.
const BYTES_MAX: usize = 4 << 20;

/// So many tools that differ are named.
const NAMED_MAX: usize = 8;
/// The longest name of a tool that is repeated, in bytes: the specification allows no longer one.
const NAME_BYTES_MAX: usize = 128;

/// The tools of a server, by the names that it gives them; the error is what is wrong with what it says.
pub(super) async fn tools(peer: &Peer<RoleClient>) -> Result<BTreeMap<String, LockedTool>, String> {
    let (mut tools, mut bytes, mut cursor) = (BTreeMap::new(), 0, None);
    for _ in 0..PAGES_MAX {
        let request = PaginatedRequestParams::default().with_cursor(cursor);
        let page = peer.list_tools(Some(request)).await.map_err(|error| said(&error))?;
        for tool in page.tools {
            let name = tool.name.to_string();
            let tool = locked(&tool);
            let LockedTool { description, input, output } = &tool;
            bytes += name.len() + description.len() + input.len() + output.as_ref().map_or(0, String::len);
            if bytes > BYTES_MAX || tools.len() == TOOLS_MAX {
                return Err(format!(
                    "it lists more than {TOOLS_MAX} tools, or says more than {BYTES_MAX} bytes of them"
                ));
            }
            if tools.insert(name.clone(), tool).is_some() {
                return Err(format!("it lists the tool {name:?} twice"));
            }
        }
        match page.next_cursor {
            None => return Ok(tools),
            next => cursor = next,
        }
    }
    Err(format!("its list of tools has more than {PAGES_MAX} pages"))
}

/// The names of tools that are not the same in two lists. What a server says of a tool that nobody has looked at is not
/// repeated: a model reads this.
pub(super) fn differing(old: &BTreeMap<String, LockedTool>, new: &BTreeMap<String, LockedTool>) -> String {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs: Vec<&String> = names.into_iter().filter(|name| old.get(*name) != new.get(*name)).collect();
    let plain = |name: &&String| {
        let is_plain = name.len() <= NAME_BYTES_MAX && name.chars().all(|c| c.is_ascii_graphic());
        if is_plain { format!("`{name}`") } else { "a tool with a strange name".to_owned() }
    };
    let mut told: Vec<String> = differs.iter().take(NAMED_MAX).map(plain).collect();
    if let Some(more @ 1..) = differs.len().checked_sub(NAMED_MAX) {
        told.push(format!("{more} more"));
    }
    told.join(", ")
}

fn locked(tool: &Tool) -> LockedTool {
    let json = |schema: &JsonObject| Json::canonical(&Value::Object(schema.clone())).as_str().to_owned();
    LockedTool {
        description: clean(tool.description.as_deref().unwrap_or_default()).into_owned(),
        input: json(&tool.input_schema),
        output: tool.output_schema.as_deref().map(json),
    }
}
