//! Machine translation by Apertium: a pipeline of its programs, started once and kept running.
//!
//! ```text
//!   text[][\n]\0 ─▶ lt-proc ─▶ tagger ─▶ transfer ─▶ ... ─▶ lt-proc -g ─▶ translation[][\n]\0
//! ```
//!
//! The programs and their order are read from the installed mode file. `apertium -z` does not flush its inner programs, so each is
//! started here with `-z` (flush at NUL), `$1` set to `-g` and `$2` dropped. A sentence takes 1 to 15 ms once the pipeline is
//! warm.
//!
//! Invariants: one sentence in flight; a missing answer ends the pipeline, and the next sentence starts a new one; dropping the
//! pipeline ends its programs. Not here: phrase look-up.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::phrases::Language;

/// Folder of the mode files in Debian's package.
const MODES: &str = "/usr/share/apertium/modes";
/// Error text when the mode files are missing.
const MISSING: &str = "Apertium is not installed; run `apt-get install apertium-eng-spa`";
/// Maximum time for one sentence; the first one loads the tables.
const PATIENCE: Duration = Duration::from_secs(3);
/// Separator between a sentence and its NUL: an empty blank and a line end that no program may reorder.
const END: &str = "[][\n]";
/// Characters with a meaning in Apertium's stream format.
const SPECIAL: &[char] = &['\\', '^', '$', '/', '<', '>', '{', '}', '[', ']', '@', '*', '#', '+', '~'];

/// Translator for one direction.
pub(crate) struct Apertium {
    target: Language,
    pipe: Option<Pipe>,
}

struct Pipe {
    input: ChildStdin,
    answers: Receiver<String>,
    /// Programs of the pipeline, killed when it is dropped.
    _programs: Programs,
}

impl Apertium {
    /// Creates a translator into `target`; the programs start with the first sentence.
    pub(crate) fn new(target: Language) -> Apertium {
        Apertium { target, pipe: None }
    }

    /// Fails with the package to install when the translator is missing.
    pub(crate) fn check_installed(target: Language) -> Result<()> {
        if mode_file(target).is_file() { Ok(()) } else { bail!(MISSING) }
    }

    /// Translates one text of any length.
    pub(crate) fn translate(&mut self, text: &str) -> Result<String> {
        let question = text.trim_end().ends_with('?');
        let raw = match self.ask(text) {
            Ok(raw) => raw,
            Err(error) => {
                self.pipe = None;
                return Err(error);
            }
        };
        Ok(polish(&raw, text, question && self.target == Language::Spanish))
    }

    fn ask(&mut self, text: &str) -> Result<String> {
        if self.pipe.is_none() {
            self.pipe = Some(Pipe::start(self.target)?);
        }
        let pipe = self.pipe.as_mut().context("the pipe was just started")?;
        let request = format!("{}{END}\0", escape(text));
        pipe.input.write_all(request.as_bytes()).and_then(|()| pipe.input.flush()).context("Apertium has ended")?;
        pipe.answers.recv_timeout(PATIENCE).context("Apertium gave no answer")
    }
}

impl Pipe {
    fn start(target: Language) -> Result<Pipe> {
        let mode = std::fs::read_to_string(mode_file(target)).context(MISSING)?;
        let mut programs = Programs(Vec::new());
        let mut input = None;
        let mut upstream: Option<ChildStdout> = None;
        for words in parse_mode(&mode)? {
            let mut child = spawn(&words, upstream.take())?;
            upstream = child.stdout.take();
            input = input.or(child.stdin.take());
            programs.0.push(child);
        }
        let (Some(input), Some(output)) = (input, upstream) else { bail!("the mode file names no program") };
        let (sender, answers) = sync_channel(1);
        std::thread::Builder::new().name("apertium".into()).spawn(move || {
            let mut output = BufReader::new(output);
            let mut answer = Vec::new();
            // Ends with the last program, or when the receiver is dropped.
            while output.read_until(0, &mut answer).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&answer).trim_end_matches('\0').to_owned();
                answer.clear();
                if sender.send(text).is_err() {
                    break;
                }
            }
        })?;
        Ok(Pipe { input, answers, _programs: programs })
    }
}

/// Running programs, killed and reaped on drop.
struct Programs(Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for program in &mut self.0 {
            // A program that has already exited is only reaped.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

fn spawn(words: &[String], upstream: Option<ChildStdout>) -> Result<Child> {
    let (program, arguments) = words.split_first().context("the mode file names no program")?;
    Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(upstream.map_or_else(Stdio::piped, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {program}: {MISSING}"))
}

fn mode_file(target: Language) -> PathBuf {
    Path::new(MODES).join(match target {
        Language::Spanish => "eng-spa.mode",
        Language::English => "spa-eng.mode",
    })
}

/// Parses a mode file into programs with their arguments, changed to flush at NUL.
///
/// The file is one shell pipeline of words, some in single quotes; any other shell syntax is refused.
fn parse_mode(mode: &str) -> Result<Vec<Vec<String>>> {
    let mut programs = vec![Vec::new()];
    let mut rest = mode.trim();
    while let Some(first) = rest.chars().next() {
        let word = match first {
            '|' => {
                programs.push(Vec::new());
                rest = rest[1..].trim_start();
                continue;
            }
            '\'' => {
                let (word, after) = rest[1..].split_once('\'').context("a quote in the mode file does not end")?;
                rest = after.trim_start();
                word
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                rest = after.trim_start();
                word
            }
        };
        let program = programs.last_mut().context("there is at least one")?;
        match word {
            "$1" => program.push("-g".to_owned()),
            "$2" => {}
            word => program.push(word.to_owned()),
        }
        if program.len() == 1 {
            program.push("-z".to_owned());
        }
    }
    Ok(programs)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.trim().chars() {
        match c {
            // Inverted marks only confuse the analysis; NUL and line ends would split the sentence.
            '¿' | '¡' => {}
            c if c.is_control() => escaped.push(' '),
            c if SPECIAL.contains(&c) => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Removes Apertium's marks and restores the case of the first letter and the question mark of the source.
fn polish(raw: &str, source: &str, open_question: bool) -> String {
    let raw = raw.trim_end().strip_suffix(END.trim_end()).unwrap_or(raw);
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            // Marks of unknown, ungenerated, untranslated and joined words, and of superblanks.
            '*' | '#' | '@' | '~' | '[' | ']' => {}
            c if c.is_whitespace() => {
                if !text.is_empty() && !text.ends_with(' ') {
                    text.push(' ');
                }
            }
            c => text.push(c),
        }
    }
    let mut text = text.trim().to_owned();
    let was_capital = source.chars().find(|c| c.is_alphabetic()).is_some_and(char::is_uppercase);
    let first = text.char_indices().find(|(_, c)| c.is_alphabetic()).filter(|_| was_capital);
    if let Some((at, letter)) = first {
        text.replace_range(at..at + letter.len_utf8(), &letter.to_uppercase().to_string());
    }
    if open_question && !text.contains('¿') {
        text.insert(0, '¿');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_file_becomes_programs_that_flush_at_nul() {
        let programs = parse_mode("lt-proc 'a b.bin' | tagger -g $2 'c.prob'|lt-proc $1 'd.bin'").unwrap();
        let expected: [&[&str]; 3] =
            [&["lt-proc", "-z", "a b.bin"], &["tagger", "-z", "-g", "c.prob"], &["lt-proc", "-z", "-g", "d.bin"]];
        assert_eq!(programs, expected);
        assert!(parse_mode("lt-proc 'a").is_err());
    }

    #[test]
    fn marks_are_removed_and_case_and_question_marks_are_restored() {
        assert_eq!(
            polish("vuestro  paquete es en *blorg.[][\n]", "Your package", false),
            "Vuestro paquete es en blorg."
        );
        assert_eq!(polish("dónde está 50\\[%\\]?[][\n]", "Where is it?", true), "¿Dónde está 50[%]?");
        assert_eq!(polish("[][\n]", "", false), "");
    }

    #[test]
    fn no_text_breaks_the_stream_format() {
        assert_eq!(escape("a\0b[c]^d$\n¿e?"), "a b\\[c\\]\\^d\\$ e?");
    }

    #[test]
    fn sentences_are_translated_one_by_one_and_again_after_the_pipeline_died() {
        Apertium::check_installed(Language::English).expect("apt-get install apertium-eng-spa");
        let mut apertium = Apertium::new(Language::English);
        let first = apertium.translate("Su pedido llegará el próximo martes.").unwrap();
        assert!(first.to_lowercase().contains("next tuesday"), "{first}");
        let second = apertium.translate("¿Dónde está la casa?").unwrap();
        assert!(second.to_lowercase().contains("house"), "{second}");
        for program in &mut apertium.pipe.as_mut().unwrap()._programs.0 {
            program.kill().unwrap();
            // The pipe is certainly broken once the program has exited.
            program.wait().unwrap();
        }
        assert!(apertium.translate("La casa").is_err());
        assert!(apertium.translate("La casa").unwrap().to_lowercase().contains("house"));
    }
}
