//! Writes the bindings anew.

fn main() -> anyhow::Result<()> {
    for bindings in &bindings::ALL {
        std::fs::write(bindings.path(), bindings.generate()?)?;
    }
    Ok(())
}
