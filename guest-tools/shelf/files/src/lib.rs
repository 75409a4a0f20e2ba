//! Lists, reads, searches, writes and patches files below the directories that agent.toml grants. What a path may reach
//! is up to the host; this tool only says it in words that a model can act on.

mod edit;
mod place;
mod read;
mod search;
mod walk;

#[tool_sdk::component]
mod files {
    use tool_sdk::ToolError;

    use crate::edit::{Changed, Edit, Patch, Write};
    use crate::place::Granted;
    use crate::read::{Read, Text};
    use crate::search::{Found, Search};
    use crate::walk::{List, Listed};

    /// Lists files and directories below a path, with their sizes in bytes, in order of their names. Without a path it
    /// says which directories are granted. Files that .gitignore names are left out.
    pub fn list_files(list: List) -> Result<Listed, ToolError> {
        crate::walk::list(&Granted::to_this_call(), &list)
    }

    /// Reads lines of a text file. Returns the text, and from which line to go on if there is more.
    pub fn read_file(read: Read) -> Result<Text, ToolError> {
        crate::read::read(&Granted::to_this_call(), &read)
    }

    /// Searches text files for lines that match a regular expression. Returns path, line number and line of each match.
    /// Binary files, files over 8 MiB and files that .gitignore names are left out.
    pub fn search_files(search: Search) -> Result<Found, ToolError> {
        crate::search::search(&Granted::to_this_call(), &search)
    }

    /// Writes a whole text file, and the directories that lead to it. A file that is there is replaced only if `replace`
    /// is true.
    pub fn write_file(write: Write) -> Result<Changed, ToolError> {
        crate::edit::write(&Granted::to_this_call(), &write)
    }

    /// Replaces a passage of a text file by another one. The passage has to be there exactly once, unless `all` is true.
    pub fn edit_file(edit: Edit) -> Result<Changed, ToolError> {
        crate::edit::edit(&Granted::to_this_call(), &edit)
    }

    /// Applies a unified diff to one text file. Nothing is written unless every hunk fits.
    pub fn patch_file(patch: Patch) -> Result<Changed, ToolError> {
        crate::edit::patch(&Granted::to_this_call(), &patch)
    }
}
