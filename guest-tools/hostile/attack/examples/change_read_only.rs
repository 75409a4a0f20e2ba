//! Changes a directory that it may only read, in every way there is.

use std::fs;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, NewTimestamp, OpenFlags, PathFlags};

attack::attack!(|_| {
    let [(dir, _), ..] = &get_directories()[..] else { return Err("denied: no directory".to_owned()) };
    let none = PathFlags::empty();
    let truncated = dir.open_at(none, "file.txt", OpenFlags::TRUNCATE, DescriptorFlags::READ).is_ok();
    let done = [
        ("truncate", truncated),
        ("write", fs::write("/data/file.txt", "changed").is_ok()),
        ("append", fs::OpenOptions::new().append(true).open("/data/file.txt").is_ok()),
        ("create", fs::write("/data/new.txt", "new").is_ok()),
        ("remove", fs::remove_file("/data/file.txt").is_ok()),
        ("rename", fs::rename("/data/file.txt", "/data/other.txt").is_ok()),
        ("mkdir", fs::create_dir("/data/dir").is_ok()),
        ("symlink", dir.symlink_at("file.txt", "link").is_ok()),
        ("link", dir.link_at(none, "file.txt", dir, "link").is_ok()),
        ("times", dir.set_times_at(none, "file.txt", NewTimestamp::Now, NewTimestamp::Now).is_ok()),
    ];
    let done: Vec<&str> = done.iter().filter(|(_, done)| *done).map(|(what, _)| *what).collect();
    if done.is_empty() {
        Err("denied: every change".to_owned())
    } else {
        Ok(attack::breach(&done.join(", ")))
    }
});
