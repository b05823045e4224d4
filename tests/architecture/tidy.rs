//! Rules about text: what documentation says at least, how wide lines are, how long names are, and that lists in docs/ are complete.
//!
//! The rules read files as text, tests included. They do not judge the English, which stays the author's and the reviewer's duty.
//!
//! Not here: rules about imports and uses (`main`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::assert_none;

/// Folders whose Rust sources obey the rules.
const FOLDERS: [&str; 6] = ["benches", "codecs", "control-api", "examples", "media-engine", "tests"];
/// Longest line, in characters. rustfmt keeps code narrower; comments and tables may be this wide, string literals wider.
const WIDTH: usize = 140;
/// A file with more lines than this has a module head.
const LONG_FILE: usize = 300;
/// Least number of lines of a module head.
const HEAD: usize = 5;
/// Longest name of a test, in characters.
const TEST_NAME: usize = 80;

/// A file of Rust.
struct File {
    path: String,
    text: String,
}

/// Returns all Rust files below [`FOLDERS`].
fn files() -> Vec<File> {
    let root = tests::repository();
    let mut paths = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 400, "only {} files were found", paths.len());
    let read = |path: PathBuf| File {
        text: std::fs::read_to_string(&path).expect("a source file"),
        path: path.strip_prefix(&root).expect("below the root").display().to_string(),
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "node_modules" && name != "target" && name != "dist" {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

#[test]
fn no_documentation_consists_of_one_or_two_words() {
    let mut findings = Vec::new();
    for File { path, text } in files() {
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(doc) = line.strip_prefix("///") else { continue };
            let is_doc =
                |at: Option<usize>| at.and_then(|at| lines.get(at)).is_some_and(|line| line.starts_with("///"));
            let is_alone = !is_doc(at.checked_sub(1)) && !is_doc(Some(at + 1));
            if is_alone && doc.split_whitespace().count() <= 2 {
                findings.push(format!("{path}:{}: `{}`", at + 1, doc.trim()));
            }
        }
    }
    assert_none(
        "documentation that says too little: name the unit, the range, the default or what the caller must do",
        &findings,
    );
}

#[test]
fn no_line_is_wider_than_the_limit() {
    let mut findings = Vec::new();
    for File { path, text } in files() {
        let wide = text.lines().enumerate().filter(|(_, line)| line.chars().count() > WIDTH && !line.contains('"'));
        // The lines of a table in a string have no quotation mark of their own.
        findings.extend(wide.filter(|(_, line)| !line.contains('|')).map(|(at, _)| format!("{path}:{}", at + 1)));
    }
    assert_none("lines over 140 characters", &findings);
}

#[test]
fn every_long_file_begins_with_a_module_head() {
    let mut findings = Vec::new();
    for File { path, text } in files() {
        let head = text.lines().take_while(|line| line.starts_with("//!")).count();
        let lines = text.lines().count();
        if lines > LONG_FILE && head < HEAD {
            findings.push(format!("{path}: {lines} lines, a head of {head}"));
        }
    }
    assert_none(
        "files over 300 lines need a head of five lines: purpose, flow, invariants, what is not here",
        &findings,
    );
}

#[test]
fn no_name_of_a_test_is_longer_than_80_characters() {
    let function = Regex::new(r"(?m)^\s*(?:pub )?(?:async )?fn (\w+)").expect("a pattern");
    let mut findings = Vec::new();
    for File { path, text } in files() {
        let names = function.captures_iter(&text).map(|found| found[1].to_owned());
        findings.extend(names.filter(|name| name.len() > TEST_NAME).map(|name| format!("{path}: {name}")));
    }
    assert_none("names over 80 characters", &findings);
}

#[test]
fn every_metric_has_the_prefix_and_a_row_in_the_documentation() {
    let documented = std::fs::read_to_string(tests::repository().join("docs/metrics.md")).expect("docs/metrics.md");
    let row = Regex::new(r"(?m)^\| `(\w+)` \|").expect("a pattern");
    let rows: BTreeSet<&str> =
        row.captures_iter(&documented).filter_map(|found| Some(found.get(1)?.as_str())).collect();
    let recorded = Regex::new(r#"metrics::(?:counter|gauge|histogram)!\(\s*"(\w+)""#).expect("a pattern");
    let helper = Regex::new(r#"\b(?:add|set|gauge|count)\(\s*"(tandem_\w+)""#).expect("a pattern");
    let mut names = BTreeSet::new();
    let mut findings = Vec::new();
    let is_product =
        |file: &&File| file.path.starts_with("media-engine/src") || file.path.starts_with("control-api/src");
    for File { path, text } in files().iter().filter(is_product) {
        for found in recorded.captures_iter(text).chain(helper.captures_iter(text)) {
            let name = found[1].to_owned();
            if !name.starts_with("tandem_") {
                findings.push(format!("{path}: `{name}` lacks the prefix `tandem_`"));
            } else if !rows.contains(name.as_str()) {
                findings.push(format!(
                    "{path}: `{name}` is not in docs/metrics.md and control-api/src/serve/metric_table.rs"
                ));
            }
            names.insert(name);
        }
    }
    assert!(names.len() > 80, "only {} metrics were found", names.len());
    assert_none("metrics without prefix or description", &findings);
}
