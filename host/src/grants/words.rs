//! Grants and limits in plain words, for the person who decides on them.

use std::time::Duration;

use bytesize::ByteSize;

use super::{Access, ClockSource, Grants, NetworkGrant, RandomSource, ToolLimits};

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
        match self.clock {
            Some(ClockSource::Os) => {
                lines.push("has a clock that goes on as that of the system does".to_owned());
            }
            Some(ClockSource::Steps) => lines.push("has a clock that goes on by steps".to_owned()),
            None => {}
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
    /// The limits that are not the defaults, each by its key in agent.toml.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let (this, default) = (self.named(), Self::default().named());
        let differing = this.into_iter().zip(default).filter(|((_, now), (_, default))| now != default);
        differing.map(|((key, now), (_, default))| format!("{key} {now} (default {default})")).collect()
    }

    /// How much of an output the model is shown, if that is not the default.
    #[must_use]
    pub fn shown_in_words(&self) -> Option<String> {
        let default = Self::default().shown_bytes_max;
        let bytes = |n: u64| ByteSize(n).display().iec();
        (self.shown_bytes_max != default).then(|| {
            format!(
                "the model is shown {} of an output: shown_output (default {})",
                bytes(self.shown_bytes_max),
                bytes(default)
            )
        })
    }

    /// Each limit, by its key in agent.toml.
    fn named(&self) -> [(&'static str, String); 11] {
        let Self {
            timeout_ms,
            cpu_ms,
            memory_bytes_max,
            fuel,
            output_bytes_max,
            shown_bytes_max: _,
            log_bytes_max,
            http_body_bytes_max,
            http_requests_max,
            open_files_max,
            random_bytes_max,
            calls_max,
        } = self;
        let bytes = |n: &u64| ByteSize(*n).display().iec().to_string();
        let time = |ms: &u64| humantime::format_duration(Duration::from_millis(*ms)).to_string();
        [
            ("timeout", time(timeout_ms)),
            ("cpu", time(cpu_ms)),
            ("memory", bytes(memory_bytes_max)),
            ("fuel", fuel.map_or("not counted".to_owned(), |fuel| fuel.to_string())),
            ("output", bytes(output_bytes_max)),
            ("log", bytes(log_bytes_max)),
            ("http_body", bytes(http_body_bytes_max)),
            ("http_requests", http_requests_max.to_string()),
            ("open_files", open_files_max.to_string()),
            ("random_bytes", bytes(random_bytes_max)),
            ("tool_calls", calls_max.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_that_are_not_the_defaults_are_said() {
        assert_eq!(ToolLimits::default().in_words(), Vec::<String>::new());
        let limits = ToolLimits {
            timeout_ms: 90_000,
            memory_bytes_max: 128 << 20,
            fuel: Some(5),
            calls_max: 1,
            ..ToolLimits::default()
        };
        let said = ["timeout 1m 30s (default 30s)", "memory 128.0 MiB (default 64.0 MiB)"];
        let said = said.into_iter().chain(["fuel 5 (default not counted)", "tool_calls 1 (default 1000)"]);
        assert_eq!(limits.in_words(), said.collect::<Vec<_>>());
    }
}
