//! Figures against their targets, from the scripts that come with shared data.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Target of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(crate) fn is_reached(self, value: f64) -> bool {
        match self {
            Goal::AtLeast(least) => value >= least,
            Goal::AtMost(most) => value <= most,
        }
    }

    /// Returns the target as it stands in a table.
    pub(crate) fn words(self) -> String {
        match self {
            Goal::AtLeast(least) => format!("≥ {least}"),
            Goal::AtMost(most) => format!("≤ {most}"),
        }
    }
}

/// Returns the path of shared data: in `TANDEM_SHARED`, by default beside the clone.
pub(crate) fn shared(path: &str) -> PathBuf {
    std::env::var_os("TANDEM_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from).join(path)
}

/// Runs the script `score.py` of shared data and returns the JSON of its last line.
pub(crate) fn score(script: &Path, arguments: &[&OsStr]) -> Result<Value> {
    let output = Command::new("python3").arg(script).args(arguments).output();
    let output = output.context("python3 cannot be started; install it")?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "score.py failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.lines().last().unwrap_or_default()).context("the last line of score.py is not JSON")
}
