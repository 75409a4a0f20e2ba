//! Moves a file out of its directory, over one that lies there.

use wasip2::filesystem::preopens::get_directories;

attack::attack!(|_| {
    let [(dir, _), ..] = &get_directories()[..] else { return Err("denied: no directory".to_owned()) };
    match dir.rename_at("file.txt", dir, "../outside.txt") {
        Ok(()) => Ok(attack::breach("a file moved out")),
        Err(error) => Err(format!("denied: {error:?}")),
    }
});
