//! The corpus of programs: valid ones, and invalid ones with the field that the error names.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) text: String,
    /// Path in the error; `None`: the program is valid.
    pub(super) path: Option<String>,
    /// Part of the error's text.
    #[serde(default)]
    pub(super) expected: String,
}

pub(super) fn corpus() -> Vec<Row> {
    serde_json::from_str(include_str!("../../../../tests/data/programs/corpus.json")).unwrap()
}

#[test]
fn every_error_names_its_field() {
    let rows = corpus();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for Row { name, text, path, expected } in rows {
        match (Program::parse(text.as_bytes()), path) {
            (Ok(_), None) => {}
            (Err(error), Some(path)) => {
                assert_eq!(error.path, path, "{name}: {error}");
                assert!(error.problem.contains(&expected), "{name}: {error}");
            }
            (parsed, path) => panic!("{name}: expected {path:?}, got {parsed:?}"),
        }
    }
}

#[test]
fn a_program_of_more_than_64_kib_is_refused() {
    let mut text = json!([say("Hello")]).to_string();
    text.push_str(&" ".repeat(PROGRAM_BYTES - text.len()));
    assert!(Program::parse(text.as_bytes()).is_ok());
    text.push(' ');
    let error = Program::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "program: expected at most 65536 bytes, found 65537");
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let error = Program::parse(b"[{\"speak\": {\"text\": \"\xff\", \"language\": \"en\"}}]").unwrap_err();
    assert!(error.to_string().starts_with("program: expected JSON: "), "{error}");
}

#[test]
fn the_url_of_a_program_is_a_program_that_fetches_it() {
    let program = Program::at_url("https://programs.example/main").unwrap();
    assert_eq!(program.steps(), 1);
    let (_, effects) =
        Lab::new(Start { program, fallback: None, variables: Variables::default(), limits: Limits::default() });
    assert!(matches!(&effects[..], [Effect::Fetch { url, .. }] if url == "https://programs.example/main"));
    assert_eq!(Program::at_url("ftp://x").unwrap_err().path, "url");
}
