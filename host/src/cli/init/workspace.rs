//! The workspace `tools` of an agent: its tool crates, and the SDK beside them.

use globset::Glob;
use include_dir::{Dir, DirEntry, include_dir};
use toml::de::{DeTable, DeValue};

use super::name::ToolName;

/// The SDK goes along, so that a new tool depends on nothing that has to be found first.
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-tools/sdk");
static SDK_MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-tools/sdk-macros");
const WIT: &str = include_str!("../../../../wit/tool.wit");
const MANIFEST: &str = include_str!("../../../../guest-tools/Cargo.toml");
/// Every agent begins with the versions that the tools of this repository were tested with, so that what one build
/// compiled is there for the next one, and no registry has to be asked which versions there are.
const LOCK: &str = include_str!("../../../../guest-tools/Cargo.lock");
const TOOL_MANIFEST: &str = include_str!("tool.toml");

/// A file's path below the agent's directory, and what is in it.
pub(super) type NewFile = (String, Vec<u8>);

/// All files of a workspace with one tool, whose source is given.
pub(super) fn files(tool: &ToolName, source: &str) -> Vec<NewFile> {
    let mut files = vec![
        ("wit/tool.wit".to_owned(), WIT.into()),
        ("tools/Cargo.toml".to_owned(), manifest(tool).into()),
        ("tools/Cargo.lock".to_owned(), LOCK.into()),
    ];
    add(&SDK, "tools/sdk", &mut files);
    add(&SDK_MACROS, "tools/sdk-macros", &mut files);
    files.extend(crate_files(tool, source));
    files
}

/// The files of a tool's crate alone.
pub(super) fn crate_files(tool: &ToolName, source: &str) -> [NewFile; 2] {
    let (name, function) = (tool.as_str(), tool.function());
    [
        (format!("tools/{name}/Cargo.toml"), TOOL_MANIFEST.replace("my-tool", name).into()),
        (format!("tools/{name}/src/lib.rs"), source.replace("my_tool", &function).into()),
    ]
}

/// The workspace of the first-party tools, with the new tool in it instead of them.
fn manifest(tool: &ToolName) -> String {
    let members = format!("members = [\"{}\", \"sdk\", \"sdk-macros\"]", tool.as_str());
    let lines =
        MANIFEST.lines().map(|line| if line.starts_with("members = ") { members.as_str() } else { line });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// The files of a folder; one that a build or a test leaves in it is not part of the SDK.
fn add(folder: &Dir<'_>, to: &str, files: &mut Vec<NewFile>) {
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(folder) => add(folder, to, files),
            DirEntry::File(file) => {
                files.push((format!("{to}/{}", file.path().display()), file.contents().into()));
            }
        }
    }
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
        assert!(files.iter().any(|(file, _)| file == "tools/sdk-macros/src/lib.rs"));
    }
}
