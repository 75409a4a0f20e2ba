//! Writes the SDK's bindings anew.

fn main() -> anyhow::Result<()> {
    std::fs::write(bindings::path(), bindings::generate()?)?;
    Ok(())
}
