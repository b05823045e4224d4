//! `tandem translate`: of a file (`file`), and with `--study` the core over a trace of a recogniser, a translator and a synthesiser.
//!
//! ```text
//! trace (JSON lines) ─▶ turns ─ hypotheses, answers, ends of play at their times ─▶ Conversation ─▶ run (JSON lines)
//!                                          ▲────────── requests, plays ◀─────────────────┘
//! ```
//!
//! The providers of the trace have known behaviour, so that a run shows the policy alone: what is committed, where clauses are cut,
//! what is spoken and when. Time is virtual. What was really said (`words`) decides how long a voice takes and is not shown to the
//! core. Each line of a run is a clause as it was first committed: `turn`, `clause`, `text`, `committed_ms`, `mode` (`voice` or
//! `text`), and for a voice `play_ms` and `play_end_ms`.
//!
//! Not here: the score of a run, which the script beside the traces gives.

mod file;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::engine::settings::SpeechConfig;
use crate::engine::translation::clauses::Lengths;
use crate::engine::translation::commit::{Rule, Word};
use crate::engine::translation::conversation::Conversation;
use crate::engine::translation::edits::{Start, align};
use crate::engine::translation::exchange::{
    ClauseId, Effect, Hypothesis, PartyId, Policy, Request, Translation, Voice,
};
use crate::engine::translation::lag::Stage;
use crate::engine::translation::lexicon::normalised;
use crate::engine::translation::schedule::Limits;

/// Largest trace that is read, in bytes.
pub const TRACE_BYTES: usize = 256 << 20;
/// Latest time of a trace, in milliseconds: 30 days.
const TIME_MAX_MS: u64 = 30 * 24 * 3_600_000;
/// Largest number of words of a turn, as many as the core takes.
const WORDS_MAX: usize = 2_000;

pub use file::TranslateArgs;

/// Runs `tandem translate`: a study, or the translation of a file by these providers.
///
/// # Errors
/// As of a study ([`study`]); or the file cannot be translated.
pub async fn translate(arguments: &TranslateArgs, speech: &SpeechConfig) -> Result<()> {
    if let Some(trace) = &arguments.study {
        return study(trace, arguments.policy, std::io::stdout().lock());
    }
    let file = arguments.file.as_ref().context("a file is required")?;
    file::translate_file(file, arguments, speech, std::io::stdout()).await
}

/// Policy of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StudyPolicy {
    /// The policy of the core: words are committed by their risk; clauses and lateness are bounded.
    Adaptive,
    /// For comparison: a turn is committed whole by its final hypothesis, and everything is spoken.
    Finals,
    /// For comparison: two hypotheses agree, clauses have at most four words, and everything is spoken.
    Agreement,
}

/// Clause of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Number of the turn in the trace.
    pub turn: u64,
    /// Position of the clause in its turn.
    pub clause: u32,
    /// Source words as they were first committed.
    pub text: Vec<String>,
    /// Time at which the words were committed.
    pub committed_ms: u64,
    /// Time at which the voice began; `None` for text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub play_ms: Option<u64>,
    /// Time at which the voice ended; `None` for text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub play_end_ms: Option<u64>,
    /// Form in which the listener got the clause: `voice` or `text`.
    pub mode: &'static str,
}

/// Turn of a trace.
#[derive(Clone, Debug)]
pub struct Turn {
    number: u64,
    speaker: String,
    start: Duration,
    from: String,
    to: String,
    words: Vec<Said>,
    hypotheses: Vec<Heard>,
    mt_first: Vec<Duration>,
    mt_word: Duration,
    tts_first: Vec<Duration>,
    target_ratio: f32,
}

/// Word that was really said, with its times after the start of the turn.
#[derive(Clone, Debug)]
struct Said {
    normal: String,
    from: Duration,
    to: Duration,
}

#[derive(Clone, Debug)]
struct Heard {
    at: Duration,
    words: Vec<Word>,
    is_final: bool,
}

/// Reads a trace. Returns its turns in the order of their starts.
///
/// # Errors
/// Returns a sentence that names the line, counted from 1, and the field.
pub fn parse(bytes: &[u8]) -> Result<Vec<Turn>> {
    ensure!(bytes.len() <= TRACE_BYTES, "the trace has more than {} MiB", TRACE_BYTES >> 20);
    let text = std::str::from_utf8(bytes).context("the trace is not UTF-8")?;
    let (mut turns, mut numbers) = (Vec::new(), BTreeSet::new());
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let turn = turn(line).with_context(|| format!("line {}", n + 1))?;
        ensure!(numbers.insert(turn.number), "line {}: `turn` {} is there twice", n + 1, turn.number);
        turns.push(turn);
    }
    ensure!(!turns.is_empty(), "the trace has no turns");
    turns.sort_by_key(|turn: &Turn| turn.start);
    Ok(turns)
}

fn turn(line: &str) -> Result<Turn> {
    let value: Value = serde_json::from_str(line).context("is not JSON")?;
    let Value::Object(turn) = value else { bail!("is not a JSON object") };
    let hypotheses = list(&turn, "hypotheses")?
        .iter()
        .enumerate()
        .map(|(n, value)| heard(value).with_context(|| format!("`hypotheses[{n}]`")))
        .collect::<Result<Vec<Heard>>>()?;
    let words = list(&turn, "words")?;
    let words = words.iter().enumerate().map(|(n, value)| said(value).with_context(|| format!("`words[{n}]`")));
    let target_ratio = turn.get("target_ratio").and_then(Value::as_f64);
    let target_ratio = target_ratio.filter(|ratio| (0.1..=10.0).contains(ratio));
    Ok(Turn {
        number: whole(&turn, "turn")?,
        speaker: text(&turn, "speaker")?,
        start: time(&turn, "start_ms")?,
        from: text(&turn, "from")?,
        to: text(&turn, "to")?,
        words: words.collect::<Result<_>>()?,
        hypotheses,
        mt_first: times(&turn, "mt_first_ms")?,
        mt_word: time(&turn, "mt_word_ms")?,
        tts_first: times(&turn, "tts_first_ms")?,
        target_ratio: target_ratio.context("`target_ratio` is not a number from 0.1 to 10")? as f32,
    })
}

fn heard(value: &Value) -> Result<Heard> {
    let value = value.as_object().context("is not an object")?;
    let words = list(value, "words")?;
    let words = words.iter().map(|word| word.as_str().map(Word::new).context("`words` has an entry that is not text"));
    let is_final = value.get("final").and_then(Value::as_bool).context("`final` is neither true nor false")?;
    Ok(Heard { at: time(value, "at_ms")?, words: words.collect::<Result<_>>()?, is_final })
}

fn said(value: &Value) -> Result<Said> {
    let value = value.as_object().context("is not an object")?;
    Ok(Said { normal: normalised(&text(value, "w")?), from: time(value, "from_ms")?, to: time(value, "to_ms")? })
}

fn text(object: &Map<String, Value>, field: &str) -> Result<String> {
    object
        .get(field)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("`{field}` is missing or not text"))
}

fn whole(object: &Map<String, Value>, field: &str) -> Result<u64> {
    let number = object.get(field).and_then(Value::as_u64);
    number.with_context(|| format!("`{field}` is missing or not a whole number from 0 on"))
}

fn time(object: &Map<String, Value>, field: &str) -> Result<Duration> {
    milliseconds(object.get(field))
        .with_context(|| format!("`{field}` is missing or not milliseconds from 0 to 30 days"))
}

fn times(object: &Map<String, Value>, field: &str) -> Result<Vec<Duration>> {
    let list = list(object, field)?;
    ensure!(!list.is_empty(), "`{field}` is empty");
    let time = |(n, value)| {
        milliseconds(Some(value)).with_context(|| format!("`{field}[{n}]` is not milliseconds from 0 to 30 days"))
    };
    list.iter().enumerate().map(time).collect()
}

fn milliseconds(value: Option<&Value>) -> Option<Duration> {
    value?.as_u64().filter(|ms| *ms <= TIME_MAX_MS).map(Duration::from_millis)
}

fn list<'a>(object: &'a Map<String, Value>, field: &str) -> Result<&'a Vec<Value>> {
    let list =
        object.get(field).and_then(Value::as_array).with_context(|| format!("`{field}` is missing or not a list"))?;
    ensure!(list.len() <= WORDS_MAX * 10, "`{field}` has more than {} entries", WORDS_MAX * 10);
    Ok(list)
}

/// Runs a policy over the trace in a file, and writes the run.
///
/// # Errors
/// As [`parse`], with the name of the file; and what reading or writing reports.
pub fn study(file: &Path, policy: StudyPolicy, mut out: impl Write) -> Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let turns = parse(&bytes).with_context(|| file.display().to_string())?;
    for line in run(&turns, policy) {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Runs the translation core over a trace.
pub fn run(turns: &[Turn], policy: StudyPolicy) -> Vec<Line> {
    Study::new(turns, policy).run()
}

/// Returns the policy of the core.
fn policy(policy: StudyPolicy) -> Policy {
    let patience = Duration::from_secs(3_600);
    let at_most = Lengths { least: 4, longest: 4, longest_busy: 4, word_risk: 0.0, patience, at_boundaries: false };
    let whole = Lengths { least: WORDS_MAX, longest: WORDS_MAX, longest_busy: WORDS_MAX, ..at_most };
    let all_voice = Limits { voice_share: 1.0, give_up: patience, ..Limits::default() };
    match policy {
        StudyPolicy::Adaptive => Policy::default(),
        StudyPolicy::Finals => Policy {
            rule: Rule::Provider,
            limits: all_voice,
            revises: false,
            lengths: Some(whole),
            ..Policy::default()
        },
        StudyPolicy::Agreement => {
            let rule = Rule::Agreement(2);
            Policy { rule, limits: all_voice, revises: false, lengths: Some(at_most), ..Policy::default() }
        }
    }
}

/// Event of the study at a point in its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Hypothesis { turn: usize, at: usize },
    Begun(ClauseId, u32),
    Translated(ClauseId, u32),
    Voiced(ClauseId, u32),
    Played(PartyId, ClauseId),
    TimeOut,
}

/// Clause of a run with its place in the trace.
struct Committed {
    /// Position of its turn.
    turn: usize,
    /// Number of committed words of the turn up to the end of the clause.
    end: usize,
    line: Line,
}

struct Study<'a> {
    turns: &'a [Turn],
    conversation: Conversation,
    /// Planned events with their times and numbers. The earliest is next; of equal times, the one that was planned first.
    agenda: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    planned: u64,
    lines: BTreeMap<ClauseId, Committed>,
    /// Committed words of each turn, as they are compared.
    committed: Vec<Vec<String>>,
    requests: BTreeMap<ClauseId, Request>,
    /// Number of the listening of each party.
    listening: BTreeMap<PartyId, u32>,
    parties: Vec<String>,
}

impl<'a> Study<'a> {
    fn new(turns: &'a [Turn], which: StudyPolicy) -> Study<'a> {
        let mut conversation = Conversation::new(policy(which));
        let mut parties: Vec<String> = Vec::new();
        for turn in turns.iter().filter(|turn| !turn.hypotheses.is_empty()) {
            if !parties.contains(&turn.speaker) {
                parties.push(turn.speaker.clone());
            }
        }
        // A party hears others in the language into which their turns are translated.
        let mut pairs = Vec::new();
        for (n, name) in parties.iter().enumerate() {
            let own = turns.iter().find(|turn| turn.speaker == *name);
            let other = turns.iter().find(|turn| turn.speaker != *name);
            let language = own.map_or("", |turn| turn.from.as_str());
            let party = PartyId(n as u32);
            conversation.join(party, language, other.map(|turn| turn.to.as_str()));
            pairs.extend((0..parties.len()).filter(|other| *other != n).map(|other| (party, PartyId(other as u32))));
        }
        if let [_] = parties[..] {
            // A trace with a single speaker gets a listener.
            let listener = PartyId(1);
            conversation.join(
                listener,
                turns.first().map_or("", |turn| turn.to.as_str()),
                turns.first().map(|turn| turn.to.as_str()),
            );
            pairs.push((PartyId(0), listener));
        }
        conversation.set_hearing(&pairs, Duration::ZERO);
        Study {
            turns,
            conversation,
            agenda: BinaryHeap::new(),
            planned: 0,
            lines: BTreeMap::new(),
            committed: vec![Vec::new(); turns.len()],
            requests: BTreeMap::new(),
            listening: BTreeMap::new(),
            parties,
        }
    }

    fn run(mut self) -> Vec<Line> {
        for (turn, entry) in self.turns.iter().enumerate() {
            for (at, heard) in entry.hypotheses.iter().enumerate() {
                self.plan(entry.start + heard.at, Event::Hypothesis { turn, at });
            }
        }
        self.take_effects(Duration::ZERO);
        while let Some(Reverse((now, _, event))) = self.agenda.pop() {
            self.on_event(event, now);
            self.take_effects(now);
            // A time-out that has become obsolete changes nothing.
            if let Some(at) = self.conversation.poll_timeout(now) {
                self.plan_timeout(at);
            }
        }
        self.lines.into_values().map(|committed| committed.line).collect()
    }

    fn plan(&mut self, at: Duration, event: Event) {
        self.planned += 1;
        self.agenda.push(Reverse((at, self.planned, event)));
    }

    fn plan_timeout(&mut self, at: Duration) {
        let is_sooner = self.agenda.peek().is_none_or(|Reverse((next, ..))| at < *next);
        // After every earlier event the time-out is planned anew.
        if is_sooner {
            self.plan(at, Event::TimeOut);
        }
    }

    fn on_event(&mut self, event: Event, now: Duration) {
        match event {
            Event::Hypothesis { turn, at } => self.hear(turn, at, now),
            Event::Begun(clause, revision) => {
                self.conversation.on_translation(clause, revision, Translation::Begun, now)
            }
            Event::Translated(clause, revision) => {
                // The translation of n words has n words; its text does not matter here.
                let text = self.requests.get(&clause).map(Request::text).unwrap_or_default();
                self.conversation.on_translation(clause, revision, Translation::Done(text), now)
            }
            Event::Voiced(clause, revision) => self.conversation.on_voice(clause, revision, Voice::Begun, now),
            Event::Played(listener, clause) => self.conversation.on_played(listener, clause, now),
            Event::TimeOut => self.conversation.handle_timeout(now),
        }
    }

    fn hear(&mut self, turn: usize, at: usize, now: Duration) {
        let entry = &self.turns[turn];
        let Some(speaker) = self.parties.iter().position(|name| *name == entry.speaker) else { return };
        let speaker = PartyId(speaker as u32);
        let heard = &entry.hypotheses[at];
        let hypothesis = Hypothesis {
            listening: self.listening.get(&speaker).copied().unwrap_or(0),
            turn: turn as u32 + 1,
            words: heard.words.clone(),
            settled: 0,
            is_final: heard.is_final,
        };
        self.conversation.on_hypothesis(speaker, &hypothesis, now);
    }

    fn take_effects(&mut self, now: Duration) {
        while let Some(effect) = self.conversation.poll_effect() {
            match effect {
                Effect::Listen(party, listening) => {
                    self.listening.insert(party, listening);
                }
                Effect::Translate(request) => self.translate(request, now),
                Effect::Play { listener, clause, speed, stamps } => {
                    let Some(committed) = self.lines.get(&clause) else { continue };
                    let length = self.voice_length(committed);
                    let end = now + length.div_f32(speed.max(1.0));
                    debug_assert!(stamps.at(Stage::Playing) == Some(now));
                    self.plan(end, Event::Played(listener, clause));
                    let line = self.lines.get_mut(&clause).map(|committed| &mut committed.line);
                    if let Some(line) = line.filter(|line| line.mode == "text") {
                        line.mode = "voice";
                        line.play_ms = Some(ms(now));
                        line.play_end_ms = Some(ms(end) + 1);
                    }
                }
                _ => {}
            }
        }
    }

    fn translate(&mut self, request: Request, now: Duration) {
        let turn = request.turn as usize - 1;
        let Some(entry) = self.turns.get(turn) else { return };
        let at = |list: &[Duration]| list.get(request.index as usize % list.len().max(1)).copied().unwrap_or_default();
        let begun = now + at(&entry.mt_first);
        let text = request.words.clone();
        let (clause, revision) = (request.clause, request.revision);
        self.plan(begun, Event::Begun(clause, revision));
        self.plan(begun + at(&entry.tts_first), Event::Voiced(clause, revision));
        self.plan(begun + entry.mt_word * text.len() as u32, Event::Translated(clause, revision));
        let line = Line {
            turn: entry.number,
            clause: request.index,
            text,
            committed_ms: ms(now),
            play_ms: None,
            play_end_ms: None,
            mode: "text",
        };
        if revision == 0 {
            let words = &mut self.committed[turn];
            words.extend(line.text.iter().map(|word| normalised(word)));
            let end = words.len();
            self.lines.insert(clause, Committed { turn, end, line });
        }
        self.requests.insert(clause, request);
    }
}

/// Numbers of words around the end of what was committed that are compared with what was said.
const SAID: usize = 40;
const AROUND: usize = 20;

impl Study<'_> {
    /// Returns how long the voice of a clause takes at normal speed: as long as saying the clause did, times the ratio of the turn.
    fn voice_length(&self, Committed { turn, end, line }: &Committed) -> Duration {
        let entry = &self.turns[*turn];
        let committed = &self.committed[*turn][..*end];
        let first = committed.len().saturating_sub(SAID.max(line.text.len()));
        let from = first.saturating_sub(AROUND).min(entry.words.len());
        let to = (committed.len() + AROUND).min(entry.words.len());
        let said: Vec<&str> = entry.words[from..to].iter().map(|word| word.normal.as_str()).collect();
        let places = places(&committed[first..], &said);
        let places = &places[places.len() - line.text.len().min(places.len())..];
        let word = |place: Option<&usize>| entry.words.get(from + place.copied().unwrap_or(0));
        let (Some(begin), Some(end)) = (word(places.first()), word(places.last())) else { return Duration::ZERO };
        end.to.saturating_sub(begin.from).mul_f32(entry.target_ratio)
    }
}

/// Returns the place in `said` of each committed word; of a word that was not said, the place of the one before. Both ends of `said`
/// may be left over.
fn places(committed: &[String], said: &[&str]) -> Vec<usize> {
    let aligned = align(committed.len(), said.len(), Start::Free, |i, j| committed[i] == said[j]);
    let mut before = 0;
    let place = |pair: Option<usize>| {
        before = pair.unwrap_or(before);
        before
    };
    aligned.pairs.into_iter().map(place).collect()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trace of two turns that overlap.
    const TRACE: &str = r#"
{"turn":7,"speaker":"a","start_ms":1000,"from":"en","to":"es","words":[{"w":"he","from_ms":0,"to_ms":200},{"w":"waited","from_ms":220,"to_ms":600},{"w":"outside.","from_ms":640,"to_ms":1200}],"hypotheses":[{"at_ms":500,"words":["he"],"final":false},{"at_ms":900,"words":["he","waited"],"final":false},{"at_ms":1500,"words":["he","waited","outside"],"final":false},{"at_ms":1900,"words":["he","waited","outside."],"final":true}],"mt_first_ms":[300,500],"mt_word_ms":20,"tts_first_ms":[100,200],"target_ratio":1.2}
{"turn":8,"speaker":"b","start_ms":2000,"from":"en","to":"es","words":[{"w":"why?","from_ms":0,"to_ms":400}],"hypotheses":[{"at_ms":900,"words":["why?"],"final":true}],"mt_first_ms":[300],"mt_word_ms":20,"tts_first_ms":[100],"target_ratio":1.0}
"#;

    fn lines(policy: StudyPolicy) -> Vec<Line> {
        run(&parse(TRACE.as_bytes()).expect("a trace"), policy)
    }

    #[test]
    fn every_word_is_committed_once_and_played_after_it_is_ready() {
        for policy in [StudyPolicy::Adaptive, StudyPolicy::Finals, StudyPolicy::Agreement] {
            let lines = lines(policy);
            let of = |turn| lines.iter().filter(move |line| line.turn == turn).flat_map(|line| line.text.clone());
            assert_eq!(
                of(7).map(|word| normalised(&word)).collect::<Vec<_>>(),
                ["he", "waited", "outside"],
                "{policy:?}"
            );
            assert_eq!(of(8).collect::<Vec<_>>(), ["why?"], "{policy:?}");
            for line in &lines {
                let earliest = line.committed_ms + [400, 700][line.clause as usize];
                assert!(line.play_ms.is_some_and(|at| at >= earliest), "{policy:?}: {line:?}");
                assert_eq!(line.mode, "voice");
            }
        }
    }

    #[test]
    fn a_voice_takes_as_long_as_its_words_times_the_ratio() {
        let lines = lines(StudyPolicy::Finals);
        let took = lines[0].play_end_ms.zip(lines[0].play_ms).map(|(end, begin)| end - begin).expect("a voice");
        let normal = 1_440;
        assert!((normal * 4 / 5..=normal + 1).contains(&took), "{took} ms of {normal}");
    }

    #[test]
    fn a_run_is_the_same_each_time() {
        assert_eq!(lines(StudyPolicy::Adaptive), lines(StudyPolicy::Adaptive));
    }

    #[test]
    fn an_error_names_the_line_and_the_field() {
        let broken = |from: &str, to: &str| {
            let text = TRACE.trim().replacen(from, to, 1);
            format!("{:#}", parse(text.as_bytes()).expect_err("an error"))
        };
        for (from, to, expected) in [
            (
                "\"start_ms\":1000",
                "\"start_ms\":-1",
                "line 1: `start_ms` is missing or not milliseconds from 0 to 30 days",
            ),
            ("\"speaker\":\"b\",", "", "line 2: `speaker` is missing or not text"),
            (
                "\"at_ms\":900",
                "\"at_ms\":\"x\"",
                "line 1: `hypotheses[1]`: `at_ms` is missing or not milliseconds from 0 to 30 days",
            ),
            ("\"final\":true", "\"final\":1", "line 1: `hypotheses[3]`: `final` is neither true nor false"),
            ("\"w\":\"waited\"", "\"w\":5", "line 1: `words[1]`: `w` is missing or not text"),
            ("[300,500]", "[]", "line 1: `mt_first_ms` is empty"),
            ("\"turn\":8", "\"turn\":7", "line 2: `turn` 7 is there twice"),
            ("\"target_ratio\":1.2", "\"target_ratio\":0", "line 1: `target_ratio` is not a number from 0.1 to 10"),
        ] {
            assert_eq!(broken(from, to), expected);
        }
        assert!(broken("{", "[").starts_with("line 1: is not JSON"));
        assert!(parse(b"\xff").is_err() && parse(b"\n\n").is_err());
    }

    #[test]
    fn mutated_traces_neither_panic_nor_hang() {
        let mut state = 0x5EED_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit.max(1)
        };
        let mut accepted = 0;
        for _ in 0..1_500 {
            let mut bytes = TRACE.as_bytes().to_vec();
            for _ in 0..=below(3) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes[at] = b"0123456789\",:[]{} tfax"[below(21)],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, bytes[below(bytes.len())]),
                }
            }
            if let Ok(turns) = parse(&bytes) {
                accepted += 1;
                let lines = run(&turns, StudyPolicy::Adaptive);
                assert!(lines.iter().all(|line| !line.text.is_empty()), "{}", String::from_utf8_lossy(&bytes));
            }
        }
        assert!(accepted > 50, "only {accepted} mutated traces were accepted");
    }
}
