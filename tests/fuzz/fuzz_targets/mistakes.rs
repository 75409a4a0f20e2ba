//! Any text as agent.toml and as a script is read, or refused with mistakes that a terminal can show: of bounded length,
//! whatever the length of a line, and without control characters.
#![no_main]

use std::path::Path;

use host::config::Config;
use host::model::{Script, ScriptError};
use libfuzzer_sys::fuzz_target;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NarratableReportHandler};

/// Far more than twenty mistakes take, each with three cut lines.
const SHOWN_BYTES_MAX: usize = 200_000;

/// A longer agent.toml is refused before it is read.
const TEXT_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|text: &str| {
    // A line of tens of thousands of columns, from few bytes.
    let text = text.replace('\u{7f}', &" ".repeat(30_000));
    if text.len() > TEXT_BYTES_MAX {
        return;
    }
    if let Err(error) = Config::parse(&text, Path::new("/agents/fuzz/agent.toml")) {
        shows(&error);
    }
    if let Err(ScriptError::Malformed(error)) = Script::parse(&text, Path::new("/agents/fuzz/script.toml")) {
        shows(&error);
    }
});

fn shows(error: &dyn Diagnostic) {
    let (mut drawn, mut told) = (String::new(), String::new());
    let drawing = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(80);
    drawing.render_report(&mut drawn, error).expect("a text can be written into");
    NarratableReportHandler::new().render_report(&mut told, error).expect("a text can be written into");
    assert!(drawn.len() < SHOWN_BYTES_MAX && told.len() < SHOWN_BYTES_MAX);
    assert!(!drawn.contains(|c: char| c.is_control() && c != '\n'), "{drawn:?}");
}
