//! Does with files what the input says: reads one, writes one, renames one, or lists a directory.

use std::fs;

use attack::text;
use serde_json::Value;

fn done(input: &Value) -> std::io::Result<String> {
    let path = text(input, "path");
    match text(input, "do") {
        "write" => fs::write(path, "written").map(|()| "written".to_owned()),
        "rename" => fs::rename(path, text(input, "to")).map(|()| "renamed".to_owned()),
        "list" => {
            let name =
                |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
            let mut names = fs::read_dir(path)?.map(name).collect::<std::io::Result<Vec<_>>>()?;
            names.sort();
            Ok(names.join(" "))
        }
        _ => fs::read_to_string(path),
    }
}

attack::attack!(|input| done(input).map_err(|error| format!("denied: {error}")));
