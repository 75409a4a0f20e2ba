//! Makes a hard link to a file outside of its directory.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::PathFlags;

attack::attack!(|_| {
    let [(dir, _), ..] = &get_directories()[..] else { return Err("denied: no directory".to_owned()) };
    match dir.link_at(PathFlags::empty(), "../outside.txt", dir, "inside.txt") {
        Ok(()) => Ok(attack::breach("a hard link to the outside")),
        Err(error) => Err(format!("denied: {error:?}")),
    }
});
