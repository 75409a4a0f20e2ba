//! What people's components import beside WASI 0.2: `wasi:logging` and `wasi:config`. Neither is at a version that stays,
//! so that each is here under every name that components have it by.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::state::State;

const LOGGING: [&str; 2] = ["wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"];

const CONFIG: [&str; 2] = ["wasi:config/store@0.2.0-draft", "wasi:config/store@0.2.0-rc.1"];

/// `wasi:logging/logging#level`.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "guests make them")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// `wasi:config/store#error`. This host never gives one.
#[derive(ComponentType, Lower)]
#[component(variant)]
#[allow(dead_code, reason = "it is a type of the interface")]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Settings = Vec<(String, String)>;

/// Adds both to what there is to import.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for name in LOGGING {
        linker.instance(name)?.func_wrap(
            "log",
            |store: StoreContextMut<'_, State>, (level, context, message): (Level, String, String)| {
                let log = &store.data().log;
                if context.is_empty() {
                    log.line(level.as_str(), &message);
                } else {
                    log.line(level.as_str(), &format!("{context}: {message}"));
                }
                Ok(())
            },
        )?;
    }
    for name in CONFIG {
        let mut store = linker.instance(name)?;
        store.func_wrap("get", |store: StoreContextMut<'_, State>, (key,): (String,)| {
            let settings = &store.data().settings;
            let found = settings.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone());
            Ok((Ok::<Option<String>, ConfigError>(found),))
        })?;
        store.func_wrap("get-all", |store: StoreContextMut<'_, State>, (): ()| {
            Ok((Ok::<Settings, ConfigError>(store.data().settings.clone()),))
        })?;
    }
    Ok(())
}
