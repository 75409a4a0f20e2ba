//! A program that knows nothing of this host: arguments, a standard input, an output and an exit code. The tests call it.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

fn main() -> std::io::Result<ExitCode> {
    let args: Vec<String> = std::env::args().collect();
    let (mut stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    match args.get(1).map(String::as_str) {
        Some("args") => writeln!(stdout, "{args:?}")?,
        Some("cat") => drop(std::io::copy(&mut stdin, &mut stdout)?),
        Some("count") => {
            let mut text = String::new();
            stdin.read_to_string(&mut text)?;
            writeln!(stdout, "{{ \"lines\": {}, \"bytes\": {} }}", text.lines().count(), text.len())?;
        }
        Some("read") => stdout.write_all(&std::fs::read(args.get(2).map_or("", String::as_str))?)?,
        Some("exit") => {
            writeln!(stdout, "before")?;
            stdout.flush()?;
            std::process::exit(0);
        }
        Some("fail") => {
            eprintln!("first");
            eprint!("it cannot be done");
            return Ok(ExitCode::FAILURE);
        }
        Some("panic") => panic!("nobody expected this"),
        Some("bytes") => stdout.write_all(&[b'a', 0xff])?,
        Some("flood") => loop {
            stdout.write_all(&[b'x'; 4096])?;
        },
        Some("spin") => loop {
            std::hint::black_box(0);
        },
        Some(_) | None => {
            eprintln!("which one?");
            return Ok(ExitCode::FAILURE);
        }
    }
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}
