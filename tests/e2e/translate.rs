//! `tandem translate`: of files, by the local engines and by a speech server; and over the trace of the study, scored by the script
//! beside it.
//!
//! The trace may not be shipped: it is read in place (`TANDEM_SHARED`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use codecs::tones::level_dbfs;
use serde_json::{Value, json};
use tests::interpreter::Interpreter;
use tests::speech::PROMPTS;

/// Figure of the score, and the highest value that is reached.
const AT_MOST: [(&str, f64); 9] = [
    ("word_lag_p50_ms", 3_000.0),
    ("word_lag_p95_ms", 4_500.0),
    ("ear_voice_span_p50_ms", 2_000.0),
    ("ear_voice_span_p95_ms", 3_000.0),
    ("long_turns_p50_ms", 2_000.0),
    ("long_turns_p95_ms", 3_000.0),
    ("backlog_max_ms", 4_000.0),
    ("contradicted_pct", 2.0),
    ("broken", 0.0),
];
/// Share of the words that is spoken, in percent.
const SPOKEN: f64 = 90.0;

fn study(trace: &Path, further: &[&str]) -> Output {
    let mut command = Command::new(tests::tandem::binary("tandem"));
    command.args(["translate", "--study"]).arg(trace).args(further).output().expect("the binary")
}

/// Returns the score of a run.
fn score(folder: &Path, run: &[u8]) -> Value {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("run.jsonl");
    std::fs::write(&file, run).expect("a file");
    let script = folder.join("score.py");
    let output = Command::new("python3").arg(script).arg(folder.join("trace.jsonl")).arg(&file).output();
    let output = output.expect("python3: install it");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("the last line is JSON")
}

#[test]
fn the_study_reaches_its_figures() {
    let Some(folder) = tests::shared("translation-study") else { return };
    let run = study(&folder.join("trace.jsonl"), &[]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let score = score(&folder, &run.stdout);
    println!("{score}");
    for (figure, most) in AT_MOST {
        let value = score[figure].as_f64().unwrap_or_else(|| panic!("{figure} is missing: {score}"));
        assert!(value <= most, "{figure} is {value}, at most {most}: {score}");
    }
    let spoken = score["spoken_pct"].as_f64().expect("a share");
    assert!(spoken >= SPOKEN, "{spoken} % are spoken: {score}");
}

#[test]
fn a_trace_with_an_error_is_refused_with_line_and_field() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("broken.jsonl");
    std::fs::write(&file, "\n{\"turn\":1,\"speaker\":\"a\"}\n").expect("a file");
    let refused = study(&file, &[]);
    let error = String::from_utf8(refused.stderr).expect("text");
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(error.contains("line 2") && error.contains("`hypotheses`"), "{error}");
    let missing = study(&place.path().join("none.jsonl"), &["--policy", "finals"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot read"));
}

fn translate(arguments: &[&str]) -> Output {
    let mut command = Command::new(tests::tandem::binary("tandem"));
    command.arg("translate").args(arguments).output().expect("the binary")
}

/// Writes what espeak-ng says in English to a file of 22,050 samples per second.
fn spoken(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("said.wav");
    let status = Command::new("espeak-ng").args(["-v", "en", "-w"]).arg(&file).arg(text).status();
    assert!(status.expect("espeak-ng: run scripts/setup.sh test").success());
    file
}

/// Returns the lines of a run as JSON.
fn lines(run: &Output) -> Vec<Value> {
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout.clone()).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn a_file_is_translated_by_the_local_engines_and_its_translation_can_be_heard() {
    let place = tempfile::tempdir().expect("a folder");
    let file = spoken(place.path(), "My package has not arrived yet.");
    let out = place.path().join("heard.wav");
    let [file, heard] = [&file, &out].map(|path| path.to_str().expect("a path"));
    let run = translate(&[file, "--out", heard]);
    let [line] = &lines(&run)[..] else { panic!("one clause: {}", String::from_utf8_lossy(&run.stdout)) };
    assert_eq!(line["text"], "My package has not arrived yet.");
    assert_eq!((&line["translation"], &line["heard"]), (&json!("Mi paquete no ha llegado todavía."), &json!("voice")));
    let lag = line["lag_ms"]["total"].as_u64().expect("a lag");
    assert!(lag < 2_000, "{line}");
    assert!(String::from_utf8_lossy(&run.stderr).contains('…'), "partial texts are shown");
    let (rate, channels) = tests::sound::read_wav(&out).expect("the file");
    let [said, meant] = &channels[..] else { panic!("two channels") };
    let loud = |samples: &[i16]| samples.chunks(rate.samples_in_ms(20)).position(|frame| level_dbfs(frame) > -40.0);
    let (said, meant) = (loud(said).expect("the original"), loud(meant).expect("a voice"));
    assert!(meant > said + 20, "the translation begins {} ms after the original", (meant - said) * 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_file_is_translated_in_clauses_and_faster_on_request() {
    let interpreter = Interpreter::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let file = spoken(place.path(), PROMPTS[2].text);
    let config = place.path().join("tandem.toml");
    std::fs::write(&config, interpreter.section()).expect("a file");
    let [file, config] = [&file, &config].map(|path| path.to_str().expect("a path").to_owned());
    let began = std::time::Instant::now();
    let run = tokio::task::spawn_blocking(move || translate(&[&file, "--config", &config, "--fast"])).await;
    let took = began.elapsed();
    let lines = lines(&run.expect("the command"));
    assert!(lines.len() >= 4, "{lines:?}");
    assert!(took < std::time::Duration::from_secs(9), "nine seconds of speech took {took:?}");
    for line in &lines {
        assert_eq!(line["translation"], line["text"].as_str().expect("text").to_uppercase(), "{line}");
        assert!(line["lag_ms"]["total"].is_null(), "a lag of sound that was passed on faster means nothing: {line}");
    }
}

#[test]
fn a_file_that_cannot_be_translated_is_refused_with_the_reason() {
    let place = tempfile::tempdir().expect("a folder");
    let error = |arguments: &[&str]| {
        let run = translate(arguments);
        assert!(!run.status.success() && run.stdout.is_empty(), "{}", String::from_utf8_lossy(&run.stdout));
        String::from_utf8(run.stderr).expect("text")
    };
    let file = spoken(place.path(), "Hola");
    let file = file.to_str().expect("a path");
    let spanish = error(&[file, "--from", "es", "--to", "en"]);
    // The refusal of the provider, or of its client once that knows the provider's languages.
    let refusals = ["only English speech can be recognised", "speech in `es` cannot be recognised"];
    assert!(refusals.iter().any(|refusal| spanish.contains(refusal)), "{spanish}");
    let missing = error(&["/nonexistent.wav"]);
    assert!(missing.contains("/nonexistent.wav"), "{missing}");
    assert!(error(&[]).contains("FILE"), "the usage is shown");
}
