//! `[log]`: form and levels of log messages.
//!
//! Not here: where messages are written (`main`), and what is masked in them (the rooms that write them).

use std::collections::BTreeMap;

use serde::Deserialize;

/// `[log]`: messages on standard error. The variable `TANDEM_LOG` overrides the levels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How a message is written.
    pub format: LogFormat,
    /// Least severe level that is logged, by default `info`.
    pub level: LogLevel,
    /// Other levels for single rooms, which are folders of the sources such as `sip_io`, `worker` or `store`.
    pub rooms: BTreeMap<String, LogLevel>,
}

/// `text` or `json`: how a log message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people, with colours on terminals.
    #[default]
    Text,
    /// A JSON object per line, for programs.
    Json,
}

/// Severity of a log message, the most severe first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing is logged.
    Off,
    /// A fault that needs a person.
    Error,
    /// Something that may become a fault.
    Warn,
    /// Normal events of calls and of the server.
    #[default]
    Info,
    /// Details for finding a fault.
    Debug,
    /// Every step; costs CPU.
    Trace,
}

/// Rooms of both crates that write log messages.
pub(super) const ROOMS: [&str; 13] = [
    "admin",
    "engine",
    "events",
    "http",
    "jobs",
    "net",
    "programs",
    "record_io",
    "routes",
    "sip_io",
    "speech",
    "store",
    "worker",
];

impl LogConfig {
    /// Returns the directives of a filter, in the syntax of `tracing`'s `EnvFilter`: `info,media_engine::sip_io=debug`.
    pub fn directives(&self) -> String {
        let rooms = self.rooms.iter().flat_map(|(room, of_room)| {
            ["media_engine", "control_api"].map(|krate| format!(",{krate}::{room}={}", of_room.as_str()))
        });
        std::iter::once(self.level.as_str().to_owned()).chain(rooms).collect()
    }

    /// Returns the room that does not exist, if there is one.
    pub(super) fn unknown_room(&self) -> Option<&String> {
        self.rooms.keys().find(|room| !ROOMS.contains(&room.as_str()))
    }
}

impl LogLevel {
    /// Returns the name of the level, as in the configuration.
    fn as_str(self) -> &'static str {
        match self {
            LogLevel::Off => "off",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_rooms_follow_the_general_level_in_the_filter() {
        assert_eq!(LogConfig::default().directives(), "info");
        let rooms = BTreeMap::from([("sip_io".to_owned(), LogLevel::Debug)]);
        let log = LogConfig { level: LogLevel::Warn, rooms, ..LogConfig::default() };
        assert_eq!(log.directives(), "warn,media_engine::sip_io=debug,control_api::sip_io=debug");
    }
}
