//! Grants and limits in plain words, for the person who decides on them.

use std::time::Duration;

use indicatif::BinaryBytes;

use super::{Access, Grants, NetworkGrant, RandomSource, ToolLimits};

impl Grants {
    /// What is granted, a line each; what is not, in a line at the end.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for dir in &self.dirs {
            let may = match dir.access {
                Access::Ro => "read",
                Access::Rw => "read, write and delete",
            };
            lines.push(format!(
                "may {may} all files in {}, which it sees as {}",
                dir.path.display(),
                dir.guest
            ));
        }
        if !self.env.is_empty() {
            lines.push(format!("may see the environment variables {}", self.env.join(", ")));
        }
        lines.extend(self.network.iter().map(NetworkGrant::in_words));
        if !self.calls.is_empty() {
            lines.push(format!(
                "may call the tools {} (each with its own grants, not with these)",
                self.calls.join(", ")
            ));
        }
        if self.random == RandomSource::Os {
            lines.push("gets random numbers from the operating system".to_owned());
        }
        let mut nothing = Vec::new();
        if self.dirs.is_empty() {
            nothing.push("files");
        }
        if self.env.is_empty() {
            nothing.push("environment");
        }
        if self.network.is_empty() {
            nothing.push("network");
        }
        if self.secrets().is_empty() {
            nothing.push("secrets");
        }
        if !nothing.is_empty() {
            lines.push(format!("no {}", nothing.join(", no ")));
        }
        lines
    }
}

impl NetworkGrant {
    fn in_words(&self) -> String {
        let below = if self.site.path.is_empty() { "" } else { " and everything below it" };
        let secrets = match self.secrets.as_slice() {
            [] => String::new(),
            names => format!(", with the secrets {} (it sees placeholders only)", names.join(", ")),
        };
        let private = if self.allow_private { ", also if that is a private address" } else { "" };
        format!("may send {} to {}{below}{secrets}{private}", self.methods.join(", "), self.site)
    }
}

impl ToolLimits {
    /// The limits in one line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self {
            timeout_ms,
            cpu_ms,
            memory_bytes_max,
            fuel,
            output_bytes_max,
            shown_bytes_max,
            log_bytes_max,
            http_body_bytes_max,
            http_requests_max,
            open_files_max,
            random_bytes_max,
            calls_max,
        } = self;
        let fuel = fuel.map_or(String::new(), |fuel| format!(", {fuel} instructions"));
        let bytes = |n: &u64| BinaryBytes(*n);
        let time = |ms: &u64| humantime::format_duration(Duration::from_millis(*ms));
        format!(
            "{}, {} on a processor{fuel}, {} of memory, {} of output ({} shown to the model), \
             {} of log, {http_requests_max} requests with bodies of {}, {open_files_max} open files, \
             {} of random numbers, {calls_max} calls of other tools",
            time(timeout_ms),
            time(cpu_ms),
            bytes(memory_bytes_max),
            bytes(output_bytes_max),
            bytes(shown_bytes_max),
            bytes(log_bytes_max),
            bytes(http_body_bytes_max),
            bytes(random_bytes_max),
        )
    }
}
