//! The command `host`; everything it does is in the library.

use std::process::ExitCode;

/// A run allocates and frees much and briefly, on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::cli::main()
}
