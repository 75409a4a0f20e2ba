//! Crates of tools: in the workspace `tools` of an agent, or on their own; and the SDK beside them.

use globset::Glob;
use include_dir::{Dir, DirEntry, include_dir};
use toml::de::{DeTable, DeValue};

use super::{NewFile, ToolName, named};
use crate::sandbox::WIT;

/// The SDK goes along, so that a new tool depends on nothing that has to be found first.
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/embedded/sdk/src");
static SDK_MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/embedded/sdk-macros/src");
const SDK_MANIFEST: &str = include_str!("../../../embedded/sdk/manifest.toml");
const SDK_MACROS_MANIFEST: &str = include_str!("../../../embedded/sdk-macros/manifest.toml");
const MANIFEST: &str = include_str!("../../../embedded/manifest.toml");
/// Every agent begins with the versions that the tools of this repository were tested with, so that what one build
/// compiled is there for the next one, and no registry has to be asked which versions there are.
const LOCK: &str = include_str!("../../../embedded/lock.toml");
const TOOL_MANIFEST: &str = include_str!("rust/tool.toml");
const README: &str = include_str!("rust/README.md");
/// The source of a new tool.
pub(crate) const TOOL: &str = include_str!("rust/tool.rs");

/// All files of an agent's workspace with one tool, whose source is given.
pub(crate) fn files(tool: &ToolName, source: &str) -> Vec<NewFile> {
    let mut files = vec![
        ("wit/tool.wit".to_owned(), WIT.into()),
        ("tools/Cargo.toml".to_owned(), manifest(&[tool.as_str(), "sdk", "sdk-macros"]).into()),
        ("tools/Cargo.lock".to_owned(), LOCK.into()),
    ];
    files.extend(sdk("tools/"));
    files.extend(crate_files(tool, source).map(|(path, bytes)| (format!("tools/{path}"), bytes)));
    files
}

/// All files of a tool that is a workspace of its own.
pub(super) fn standalone(tool: &ToolName) -> Vec<NewFile> {
    let [(_, package), (_, source)] = crate_files(tool, TOOL);
    let package = [manifest(&["sdk", "sdk-macros"]).as_bytes(), b"\n", &package].concat();
    let mut files = vec![
        ("Cargo.toml".to_owned(), package),
        ("Cargo.lock".to_owned(), LOCK.into()),
        ("README.md".to_owned(), named(README.as_bytes(), tool)),
        ("src/lib.rs".to_owned(), source),
        ("wit/tool.wit".to_owned(), WIT.into()),
    ];
    files.extend(sdk(""));
    files
}

/// The SDK, below a directory.
fn sdk(below: &str) -> Vec<NewFile> {
    let mut files = vec![
        (format!("{below}sdk/Cargo.toml"), SDK_MANIFEST.into()),
        (format!("{below}sdk-macros/Cargo.toml"), SDK_MACROS_MANIFEST.into()),
    ];
    files.extend(files_of(&SDK, &format!("{below}sdk/src/")));
    files.extend(files_of(&SDK_MACROS, &format!("{below}sdk-macros/src/")));
    files
}

/// The files of a tool's crate alone, below the workspace.
pub(super) fn crate_files(tool: &ToolName, source: &str) -> [NewFile; 2] {
    let name = tool.as_str();
    [
        (format!("{name}/Cargo.toml"), named(TOOL_MANIFEST.as_bytes(), tool)),
        (format!("{name}/src/lib.rs"), named(source.as_bytes(), tool)),
    ]
}

/// The workspace of the first-party tools, with other members.
fn manifest(members: &[&str]) -> String {
    let members: Vec<String> = members.iter().map(|member| format!("\"{member}\"")).collect();
    let members = format!("members = [{}]", members.join(", "));
    let lines =
        MANIFEST.lines().map(|line| if line.starts_with("members = ") { members.as_str() } else { line });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// The files of a folder that is part of the program, by where they go.
pub(super) fn files_of(folder: &Dir<'_>, to: &str) -> Vec<NewFile> {
    let mut files = Vec::new();
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(folder) => files.extend(files_of(folder, to)),
            DirEntry::File(file) => {
                files.push((format!("{to}{}", file.path().display()), file.contents().into()));
            }
        }
    }
    files
}

/// A workspace's manifest with one more member; the same if it is one already. None if it is no workspace whose
/// members are listed.
pub(super) fn with_member(manifest: &str, tool: &ToolName) -> Option<String> {
    let table = DeTable::parse(manifest).ok()?;
    let members = table.get_ref().get("workspace")?.get_ref().get("members")?;
    let DeValue::Array(globs) = members.get_ref() else { return None };
    let is_tool =
        |glob: &str| Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(tool.as_str()));
    if globs.iter().any(|member| member.get_ref().as_str().is_some_and(is_tool)) {
        return Some(manifest.to_owned());
    }
    let (at, comma) = match globs.iter().next_back() {
        Some(last) => (last.span().end, ", "),
        None => (members.span().start + 1, ""),
    };
    let (before, after) = manifest.split_at_checked(at)?;
    let extended = format!("{before}{comma}\"{}\"{after}", tool.as_str());
    // Whatever the text was like, it is a manifest with one member more.
    DeTable::parse(&extended)
        .ok()
        .is_some_and(|it| it.get_ref().contains_key("workspace"))
        .then_some(extended)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_member_is_added_however_the_list_is_written() {
        let tool: ToolName = "shout".parse().unwrap();
        let rest = "# kept\nresolver = \"3\"\n";
        for (before, after) in [
            ("[\"greet\", \"sdk\"]", "[\"greet\", \"sdk\", \"shout\"]"),
            ("[]", "[\"shout\"]"),
            ("[ # none\n]", "[\"shout\" # none\n]"),
            ("[\n  'a', # first\n  'b',\n]", "[\n  'a', # first\n  'b', \"shout\",\n]"),
            ("[\"*\"]", "[\"*\"]"),
            ("[\"a\", \"shout\"]", "[\"a\", \"shout\"]"),
        ] {
            let text = |members: &str| format!("[workspace]\nmembers = {members}\n{rest}");
            assert_eq!(with_member(&text(before), &tool), Some(text(after)));
        }
        for none in ["", "[package]\nname = \"x\"", "[workspace]\nmembers = 1", "[workspace]", "members = ["]
        {
            assert_eq!(with_member(none, &tool), None, "{none}");
        }
    }

    #[test]
    fn a_new_workspace_has_its_tool_and_the_sdk_and_nothing_else() {
        let tool: ToolName = "find-flights".parse().unwrap();
        let files = files(&tool, "mod my_tool {}");
        let text = |path: &str| {
            let (_, bytes) = files.iter().find(|(file, _)| file == path).unwrap();
            String::from_utf8(bytes.clone()).unwrap()
        };
        assert!(text("tools/Cargo.toml").contains("members = [\"find-flights\", \"sdk\", \"sdk-macros\"]\n"));
        assert!(text("tools/find-flights/Cargo.toml").contains("name = \"find-flights\"\n"));
        assert_eq!(text("tools/find-flights/src/lib.rs"), "mod find_flights {}");
        for file in ["Cargo.toml", "src/lib.rs", "src/__private/bindings.rs"] {
            assert!(text(&format!("tools/sdk/{file}")).len() > 100, "{file}");
        }
        assert!(files.iter().any(|(file, _)| file == "tools/sdk-macros/src/lib.rs"));
    }

    #[test]
    fn a_tool_on_its_own_is_a_package_and_the_workspace_of_the_sdk() {
        let tool: ToolName = "find-flights".parse().unwrap();
        let files = standalone(&tool);
        let (_, manifest) = files.iter().find(|(file, _)| file == "Cargo.toml").unwrap();
        let manifest: toml::Table = std::str::from_utf8(manifest).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("find-flights"));
        assert_eq!(manifest["workspace"]["members"].as_array().unwrap().len(), 2);
    }
}
