//! Makes a symbolic link that leads out of its directory, and reads through it.

use wasip2::filesystem::preopens::get_directories;

attack::attack!(|input| {
    let target = attack::text(input, "target");
    let [(dir, _), ..] = &get_directories()[..] else { return Err("denied: no directory".to_owned()) };
    let made = dir.symlink_at(target, "way_out");
    match std::fs::read_to_string("/data/way_out") {
        Ok(text) => Ok(attack::breach(&text)),
        Err(error) => Err(format!("denied: link {made:?}, read {error}")),
    }
});
