//! Gives a tool more stack than the 64 KiB that others have: parsers of regular expressions and of programs call
//! themselves. It is a build script of several crates, and concerns components alone.

/// What the deepest input that a tool accepts takes, several times over.
const STACK_BYTES: u32 = 1 << 20;

fn main() {
    // What it prints depends on the target alone. A file that is named here and is not there has the tool built anew each time.
    println!("cargo:rerun-if-env-changed=CARGO_CFG_TARGET_ARCH");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo:rustc-link-arg-cdylib=-zstack-size={STACK_BYTES}");
    }
}
