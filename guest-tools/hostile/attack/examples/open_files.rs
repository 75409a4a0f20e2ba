//! Opens a file again and again.

attack::attack!(|_| {
    let mut open = Vec::new();
    loop {
        match std::fs::File::open("/data/file.txt") {
            Ok(file) => open.push(file),
            Err(error) => return Err(format!("denied after {}: {error}", open.len())),
        }
    }
});
