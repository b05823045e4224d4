//! Settings of the detection of what answers a customer's leg, in the form used by API and store, and the actions that they name.
//!
//! ```text
//! AmdPatch ─▶ AmdConfig::patched ─▶ AmdConfig ─▶ AmdConfig::settings ─▶ AmdSettings of a call
//!                                      └─ message, transfer, program ─▶ steps of a call program
//! ```
//!
//! Invariants: a configuration that was accepted compiles. An action is set for every verdict but `unknown`, which connects.
//! Not here: whether a named sound exists (`routes`), and what call programs are supplied with (`programs`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::invalid::Invalid;
use super::text;
use super::voice_config::is_language_tag;
use crate::engine::{
    AMD_LIMIT_MAX, AMD_LIMIT_MIN, AmdAction as EngineAction, AmdMode, AmdSettings, Answer, CallProgram, Program,
    SPEECH_MAX, Sound,
};

/// Largest size of all actions together, as JSON in bytes: every call keeps a copy in its record.
pub(crate) const ACTIONS_BYTES: usize = 16 * 1024;
/// Longest name of a sound, in characters.
pub(crate) const MEDIA_MAX: usize = 100;
/// Allowed waiting times for a beep, in seconds.
pub(crate) const BEEP_S: std::ops::RangeInclusive<u16> = 1..=60;
/// Allowed time limits of a verdict, in seconds.
pub(crate) const LIMIT_S: std::ops::RangeInclusive<u16> =
    AMD_LIMIT_MIN.as_secs() as u16..=AMD_LIMIT_MAX.as_secs() as u16;

/// Detection of what answers the customers that a call dials: a person, a voicemail, a menu or a tone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmdConfig {
    /// How soon a verdict is given, or `off`.
    #[serde(default)]
    pub mode: DetectionMode,
    /// Longest time from the answer to a verdict, in seconds.
    #[serde(default = "limit_s")]
    pub limit_s: u16,
    /// Actions that differ from the defaults, by verdict. By default `machine`, `fax`, `sit` and `busy` hang up, and all others
    /// connect.
    #[serde(default)]
    #[schema(value_type = AmdActions)]
    pub actions: BTreeMap<AnswerKind, AmdAction>,
}

/// Detection settings to change. Fields that are left out keep their value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmdPatch {
    /// How soon a verdict is given, or `off`.
    pub mode: Option<DetectionMode>,
    /// Longest time from the answer to a verdict, in seconds.
    pub limit_s: Option<u16>,
    /// Actions to set, by verdict; `null` restores the default of a verdict.
    #[schema(value_type = Option<AmdActions>)]
    pub actions: Option<BTreeMap<AnswerKind, Option<AmdAction>>>,
}

/// Speed of the detection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DetectionMode {
    /// Nothing is detected.
    #[default]
    Off,
    /// About a second sooner than `balanced`, with more errors.
    Fast,
    /// The recommended choice.
    Balanced,
    /// Waits where `balanced` would guess.
    Careful,
}

/// Kind of answer for which an action can be set: every verdict but `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum AnswerKind {
    /// A person who speaks live.
    Human,
    /// A voicemail, with or without a beep.
    Machine,
    /// An assistant that asks who is calling.
    Screening,
    /// A menu or a queue.
    Ivr,
    /// A fax machine or a modem.
    Fax,
    /// Special information tones, or a tone of an unobtainable number.
    Sit,
    /// A busy or congestion tone.
    Busy,
    /// A ringing tone.
    Ringback,
    /// Music without speech.
    Music,
    /// No sound within the time limit.
    Silence,
}

/// Actions by verdict. The verdict `unknown` always connects.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes the keys of a map for the API")]
pub(crate) struct AmdActions {
    /// A person who speaks live.
    human: Option<ActionFields>,
    /// A voicemail, with or without a beep.
    machine: Option<ActionFields>,
    /// An assistant that asks who is calling.
    screening: Option<ActionFields>,
    /// A menu or a queue.
    ivr: Option<ActionFields>,
    /// A fax machine or a modem.
    fax: Option<ActionFields>,
    /// Special information tones, or a tone of an unobtainable number.
    sit: Option<ActionFields>,
    /// A busy or congestion tone.
    busy: Option<ActionFields>,
    /// A ringing tone.
    ringback: Option<ActionFields>,
    /// Music without speech.
    music: Option<ActionFields>,
    /// No sound within the time limit.
    silence: Option<ActionFields>,
}

/// Consequence of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "ActionFields")]
pub enum AmdAction {
    /// The call goes on as planned.
    Connect(NoFields),
    /// The call ends.
    HangUp(NoFields),
    /// The call ends, and the event asks whoever made it to try again later.
    RetryLater(NoFields),
    /// The text answers a call assistant, and what follows is judged again.
    Reply(AmdSpeech),
    /// A message is left after the beep.
    Message(AmdMessage),
    /// The party is handed to a person.
    Transfer(AmdTransfer),
    /// The steps of a call program take the party.
    Program(Vec<Value>),
}

/// Object without fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoFields {}

/// Text to speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmdSpeech {
    /// Text of 1 to 1,000 characters.
    #[schema(example = "This is Acme, calling about your order.")]
    pub text: String,
    /// Language of the text as a BCP 47 tag.
    #[schema(example = "en")]
    pub language: String,
}

/// Message to leave after the beep. Exactly one of `media` and `message` is required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmdMessage {
    /// Name of the organization's sound that is played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// Text that is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<AmdSpeech>,
    /// Longest time to wait for a beep, in seconds.
    #[serde(default = "beep_s")]
    pub beep_s: u16,
    /// Targets that are called when a person speaks while the message waits or plays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<AmdTransfer>,
    /// Text that is spoken to such a person if there are no targets, or none of them answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<AmdSpeech>,
}

/// Targets that are called in turn until one answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmdTransfer {
    /// Targets to call, 1 to 16.
    #[schema(min_items = 1, max_items = 16)]
    pub targets: Vec<AmdTarget>,
    /// Longest ringing time of each target, in seconds. Defaults to the server's ringing time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_s: Option<u16>,
}

/// Target to call. Exactly one of `agent` and `to` is required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmdTarget {
    /// SIP user name of an agent of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Phone number in E.164 format, or a `sip:` URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Consequence of a verdict. Exactly one field is required; it names the action.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AmdAction)]
pub(crate) struct ActionFields {
    /// Lets the call go on as planned.
    connect: Option<NoFields>,
    /// Ends the call.
    hang_up: Option<NoFields>,
    /// Ends the call; the event asks whoever made it to try again later.
    retry_later: Option<NoFields>,
    /// Text that answers a call assistant, after which the answer is judged again. Only for `screening`, `silence` and `ivr`.
    reply: Option<AmdSpeech>,
    /// Message that is left after the beep.
    message: Option<AmdMessage>,
    /// Person to whom the party is handed.
    transfer: Option<AmdTransfer>,
    /// Call program that takes the party, as a list of steps (see docs/programs.md).
    #[schema(value_type = Option<Vec<Object>>)]
    program: Option<Vec<Value>>,
}

impl TryFrom<ActionFields> for AmdAction {
    type Error = &'static str;

    fn try_from(fields: ActionFields) -> Result<AmdAction, &'static str> {
        let ActionFields { connect, hang_up, retry_later, reply, message, transfer, program } = fields;
        let given = [
            connect.map(AmdAction::Connect),
            hang_up.map(AmdAction::HangUp),
            retry_later.map(AmdAction::RetryLater),
            reply.map(AmdAction::Reply),
            message.map(AmdAction::Message),
            transfer.map(AmdAction::Transfer),
            program.map(AmdAction::Program),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(action), None) => Ok(action),
            _ => Err(
                "expected an object with exactly one field: connect, hang_up, retry_later, reply, message, transfer or program",
            ),
        }
    }
}

fn limit_s() -> u16 {
    10
}

fn beep_s() -> u16 {
    5
}

impl Default for AmdConfig {
    /// Nothing is detected.
    fn default() -> AmdConfig {
        AmdConfig { mode: DetectionMode::Off, limit_s: limit_s(), actions: BTreeMap::new() }
    }
}

impl AmdConfig {
    /// Returns these settings with the changes of `patch`. `prefix` is put before field names in problems, such as `amd.`.
    ///
    /// # Errors
    ///
    /// Returns [`Invalid`] with the field if a value cannot be used.
    pub fn patched(mut self, patch: AmdPatch, prefix: &str) -> Result<AmdConfig, Invalid> {
        self.mode = patch.mode.unwrap_or(self.mode);
        if let Some(limit_s) = patch.limit_s {
            in_range(limit_s, &LIMIT_S, || format!("{prefix}limit_s"))?;
            self.limit_s = limit_s;
        }
        for (kind, action) in patch.actions.unwrap_or_default() {
            match action {
                None => self.actions.remove(&kind),
                Some(action) => {
                    let checked = action.checked(kind, &format!("{prefix}actions.{}", kind.answer().as_str()))?;
                    self.actions.insert(kind, checked)
                }
            };
        }
        let size = serde_json::to_vec(&self.actions).map_or(usize::MAX, |json| json.len());
        if size > ACTIONS_BYTES {
            let expected =
                format!("expected at most {ACTIONS_BYTES} bytes of JSON in all actions together, found {size}");
            return Err(Invalid::new(format!("{prefix}actions"), expected));
        }
        Ok(self)
    }

    /// Returns the settings of a call, or `None` if nothing is detected. `served` adds what a call program is supplied with.
    pub(crate) fn settings(&self, mut served: impl FnMut(Program) -> CallProgram) -> Option<AmdSettings> {
        let mode = self.mode.engine_mode()?;
        let mut actions = Vec::new();
        for kind in AnswerKind::ALL {
            let action = match self.actions.get(&kind) {
                Some(action) => action.compiled(&mut served),
                None if kind.hangs_up_by_default() => EngineAction::HangUp,
                None => EngineAction::Connect,
            };
            actions.push((kind.answer(), action));
        }
        Some(AmdSettings { mode, limit: Duration::from_secs(self.limit_s.into()), actions })
    }
}

impl AmdPatch {
    /// Returns whether the patch asks for detection.
    pub(crate) fn switches_on(&self) -> bool {
        self.mode.is_some_and(|mode| mode != DetectionMode::Off)
    }

    /// Returns the sounds of the organization that the patch names, each with its field. `prefix` is put before the fields.
    pub(crate) fn sounds<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (String, &'a str)> + 'a {
        self.actions.iter().flatten().filter_map(move |(kind, action)| match action {
            Some(AmdAction::Message(AmdMessage { media: Some(name), .. })) => {
                Some((format!("{prefix}actions.{}.message.media", kind.answer().as_str()), name.as_str()))
            }
            _ => None,
        })
    }
}

impl DetectionMode {
    /// Returns the mode of the detector, or `None` if nothing is detected.
    fn engine_mode(self) -> Option<AmdMode> {
        match self {
            DetectionMode::Off => None,
            DetectionMode::Fast => Some(AmdMode::Fast),
            DetectionMode::Balanced => Some(AmdMode::Balanced),
            DetectionMode::Careful => Some(AmdMode::Careful),
        }
    }
}

impl AnswerKind {
    /// All kinds, in the order in which they are listed.
    pub(crate) const ALL: [AnswerKind; 10] = [
        AnswerKind::Human,
        AnswerKind::Machine,
        AnswerKind::Screening,
        AnswerKind::Ivr,
        AnswerKind::Fax,
        AnswerKind::Sit,
        AnswerKind::Busy,
        AnswerKind::Ringback,
        AnswerKind::Music,
        AnswerKind::Silence,
    ];

    /// Returns the verdict of the engine.
    fn answer(self) -> Answer {
        match self {
            AnswerKind::Human => Answer::Human,
            AnswerKind::Machine => Answer::Machine,
            AnswerKind::Screening => Answer::Screening,
            AnswerKind::Ivr => Answer::Ivr,
            AnswerKind::Fax => Answer::Fax,
            AnswerKind::Sit => Answer::Sit,
            AnswerKind::Busy => Answer::Busy,
            AnswerKind::Ringback => Answer::Ringback,
            AnswerKind::Music => Answer::Music,
            AnswerKind::Silence => Answer::Silence,
        }
    }

    fn hangs_up_by_default(self) -> bool {
        matches!(self, AnswerKind::Machine | AnswerKind::Fax | AnswerKind::Sit | AnswerKind::Busy)
    }

    /// Returns whether the other end may wait for a reply.
    fn takes_reply(self) -> bool {
        matches!(self, AnswerKind::Screening | AnswerKind::Silence | AnswerKind::Ivr)
    }
}

/// By way of a text, so that problems of an action name its verdict.
impl TryFrom<String> for AnswerKind {
    type Error = String;

    fn try_from(word: String) -> Result<AnswerKind, String> {
        let found = AnswerKind::ALL.into_iter().find(|kind| kind.answer().as_str() == word);
        found.ok_or_else(|| {
            let words = AnswerKind::ALL.map(|kind| kind.answer().as_str());
            format!("expected one of the verdicts {}", words.join(", "))
        })
    }
}

impl AmdAction {
    /// Checks an action of the verdict `kind`, and returns it with trimmed texts. `field` names it in problems.
    fn checked(self, kind: AnswerKind, field: &str) -> Result<AmdAction, Invalid> {
        let action = match self {
            AmdAction::Connect(_) | AmdAction::HangUp(_) | AmdAction::RetryLater(_) => return Ok(self),
            AmdAction::Reply(_) if !kind.takes_reply() => {
                let expected = "expected another action: `reply` is possible for screening, silence and ivr only";
                return Err(Invalid::new(format!("{field}.reply"), expected));
            }
            AmdAction::Reply(speech) => return speech.checked(&format!("{field}.reply")).map(AmdAction::Reply),
            AmdAction::Message(message) => AmdAction::Message(message.checked(&format!("{field}.message"))?),
            AmdAction::Transfer(transfer) => {
                transfer.check(&format!("{field}.transfer"))?;
                AmdAction::Transfer(transfer)
            }
            AmdAction::Program(steps) => AmdAction::Program(steps),
        };
        if let Some((name, program)) = action.program() {
            program.map_err(|problem| Invalid::new(format!("{field}.{name}"), problem))?;
        }
        Ok(action)
    }

    /// Returns the word for an action that is a call program, and the program or the fault in it.
    fn program(&self) -> Option<(&'static str, Result<Program, String>)> {
        let (name, steps) = match self {
            AmdAction::Message(message) => ("message", message.steps()),
            AmdAction::Transfer(transfer) => ("transfer", vec![json!({"transfer": transfer})]),
            AmdAction::Program(steps) => ("program", steps.clone()),
            AmdAction::Connect(_) | AmdAction::HangUp(_) | AmdAction::RetryLater(_) | AmdAction::Reply(_) => {
                return None;
            }
        };
        let text = Value::from(steps).to_string();
        Some((name, Program::parse(text.as_bytes()).map_err(|error| error.to_string())))
    }

    fn compiled(&self, served: &mut impl FnMut(Program) -> CallProgram) -> EngineAction {
        match self {
            AmdAction::HangUp(_) => return EngineAction::HangUp,
            AmdAction::RetryLater(_) => return EngineAction::RetryLater,
            AmdAction::Reply(AmdSpeech { text, language }) => {
                return EngineAction::Reply(Sound::Speech { text: text.clone(), language: language.clone() });
            }
            _ => {}
        }
        match self.program() {
            None => EngineAction::Connect,
            Some((name, Ok(program))) => EngineAction::Program { name, program: Box::new(served(program)) },
            // It was checked when it was set, by an earlier version with other rules.
            Some((name, Err(problem))) => {
                tracing::error!(
                    name,
                    problem,
                    "cannot read the program of an action of the detection, so the call connects"
                );
                EngineAction::Connect
            }
        }
    }
}

impl AmdSpeech {
    fn checked(self, field: &str) -> Result<AmdSpeech, Invalid> {
        if !is_language_tag(&self.language) {
            let expected = "expected a BCP 47 language tag such as `en` or `es-419`";
            return Err(Invalid::new(format!("{field}.language"), expected));
        }
        let text = text::prose(format!("{field}.text"), &self.text, SPEECH_MAX)?;
        Ok(AmdSpeech { text, language: self.language })
    }
}

impl AmdMessage {
    fn checked(self, field: &str) -> Result<AmdMessage, Invalid> {
        if self.media.is_some() == self.message.is_some() {
            return Err(Invalid::new(field, "expected exactly one of `media` and `message`"));
        }
        in_range(self.beep_s, &BEEP_S, || format!("{field}.beep_s"))?;
        let media = self.media.map(|name| text::name(format!("{field}.media"), &name, MEDIA_MAX)).transpose()?;
        let speech = |speech: Option<AmdSpeech>, name: &str| {
            speech.map(|speech| speech.checked(&format!("{field}.{name}"))).transpose()
        };
        let (message, sentence) = (speech(self.message, "message")?, speech(self.sentence, "sentence")?);
        if let Some(person) = &self.person {
            person.check(&format!("{field}.person"))?;
        }
        Ok(AmdMessage { media, message, sentence, ..self })
    }

    /// Returns the steps of the program that leaves the message.
    fn steps(&self) -> Vec<Value> {
        let mut leave = match (&self.media, &self.message) {
            (Some(media), _) => json!({"play": {"media": media}}),
            (None, speech) => json!({"speak": speech}),
        };
        leave["beep_s"] = self.beep_s.into();
        if self.person.is_none() && self.sentence.is_none() {
            return vec![json!({"leave_message": leave}), json!({"hangup": {}})];
        }
        leave["on_human"] = "person".into();
        let mut steps = vec![json!({"leave_message": leave}), json!({"hangup": {}}), json!({"label": "person"})];
        if let Some(person) = &self.person {
            let mut dial = json!(person);
            dial["on_ended"] = "end".into();
            steps.push(json!({"dial": dial}));
        }
        steps.extend(self.sentence.iter().map(|sentence| json!({"speak": sentence})));
        steps.extend([json!({"label": "end"}), json!({"hangup": {}})]);
        steps
    }
}

impl AmdTransfer {
    /// Checks the targets by the rules of a program's `transfer`.
    fn check(&self, field: &str) -> Result<(), Invalid> {
        let program = json!([{"transfer": self}]).to_string();
        match Program::parse(program.as_bytes()) {
            Ok(_) => Ok(()),
            Err(error) => Err(Invalid::new(error.path.replacen("steps[0].transfer", field, 1), error.problem)),
        }
    }
}

fn in_range(value: u16, range: &std::ops::RangeInclusive<u16>, field: impl FnOnce() -> String) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(field(), format!("expected {} to {} seconds", range.start(), range.end())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ProgramHost, ProgramLimits, ProgramStart, Variables};

    fn patch(json: Value) -> AmdPatch {
        serde_json::from_value(json).unwrap()
    }

    fn config(json: Value) -> AmdConfig {
        AmdConfig::default().patched(patch(json), "").unwrap()
    }

    fn served(program: Program) -> CallProgram {
        let start =
            ProgramStart { program, fallback: None, variables: Variables::default(), limits: ProgramLimits::default() };
        CallProgram { start, host: ProgramHost::channel().0 }
    }

    #[test]
    fn a_patch_changes_only_what_it_names_and_null_restores_a_default() {
        let first =
            config(json!({"mode": "balanced", "actions": {"machine": {"retry_later": {}}, "human": {"connect": {}}}}));
        assert_eq!((first.mode, first.limit_s, first.actions.len()), (DetectionMode::Balanced, 10, 2));
        let second = first.clone().patched(patch(json!({"limit_s": 4})), "").unwrap();
        assert_eq!(second, AmdConfig { limit_s: 4, ..first.clone() });
        let third =
            first.clone().patched(patch(json!({"actions": {"machine": null, "ivr": {"hang_up": {}}}})), "").unwrap();
        let named: Vec<AnswerKind> = third.actions.keys().copied().collect();
        assert_eq!(named, [AnswerKind::Human, AnswerKind::Ivr]);
        assert_eq!(first.clone().patched(AmdPatch::default(), "").unwrap(), first);
    }

    #[test]
    fn a_configuration_is_written_as_it_is_read() {
        let all = json!({"mode": "careful", "limit_s": 30, "actions": {
            "human": {"connect": {}},
            "fax": {"retry_later": {}},
            "screening": {"reply": {"text": "Acme, about your order.", "language": "en"}},
            "ivr": {"transfer": {"targets": [{"agent": "ana"}, {"to": "+15555550142"}], "ring_s": 15}},
            "busy": {"program": [{"pause": {"ms": 500}}, {"hangup": {"cause": "busy"}}]},
        }});
        assert_eq!(serde_json::to_value(config(all.clone())).unwrap(), all);
        assert_eq!(json!(AmdConfig::default()), json!({"mode": "off", "limit_s": 10, "actions": {}}));
        assert_eq!(serde_json::from_value::<AmdConfig>(json!({})).unwrap(), AmdConfig::default());
    }

    #[test]
    fn defaults_hang_up_on_machines_and_tones_and_connect_everything_else() {
        assert_eq!(AmdConfig::default().settings(served), None);
        let settings = config(json!({"mode": "fast"})).settings(served).unwrap();
        assert_eq!((settings.mode, settings.limit), (AmdMode::Fast, Duration::from_secs(10)));
        for (answer, word) in [
            (Answer::Human, "connect"),
            (Answer::Machine, "hang_up"),
            (Answer::Screening, "connect"),
            (Answer::Ivr, "connect"),
            (Answer::Fax, "hang_up"),
            (Answer::Sit, "hang_up"),
            (Answer::Busy, "hang_up"),
            (Answer::Ringback, "connect"),
            (Answer::Music, "connect"),
            (Answer::Silence, "connect"),
            (Answer::Unknown, "connect"),
        ] {
            assert_eq!(settings.action(answer).as_str(), word, "{answer:?}");
        }
    }

    #[test]
    fn actions_become_replies_and_programs() {
        let settings = config(json!({"mode": "balanced", "limit_s": 6, "actions": {
            "silence": {"reply": {"text": " Hello? ", "language": "en"}},
            "machine": {"retry_later": {}},
            "fax": {"connect": {}},
            "human": {"transfer": {"targets": [{"agent": "ana"}], "ring_s": 15}},
            "music": {"program": [{"pause": {"ms": 500}}]},
        }}))
        .settings(served)
        .unwrap();
        assert_eq!(settings.limit, Duration::from_secs(6));
        let speech = Sound::Speech { text: "Hello?".into(), language: "en".into() };
        assert_eq!(*settings.action(Answer::Silence), EngineAction::Reply(speech));
        assert_eq!(*settings.action(Answer::Machine), EngineAction::RetryLater);
        assert_eq!(*settings.action(Answer::Fax), EngineAction::Connect);
        for (answer, expected, steps) in [
            (Answer::Human, "transfer", json!([{"transfer": {"targets": [{"agent": "ana"}], "ring_s": 15}}])),
            (Answer::Music, "program", json!([{"pause": {"ms": 500}}])),
        ] {
            let EngineAction::Program { name, program } = settings.action(answer) else { panic!("{answer:?}") };
            assert_eq!(*name, expected);
            assert_eq!(program.start.program, Program::parse(steps.to_string().as_bytes()).unwrap());
        }
    }

    #[test]
    fn a_message_becomes_steps_that_end_the_call() {
        let steps = |json: Value| serde_json::from_value::<AmdMessage>(json).unwrap().steps();
        assert_eq!(
            steps(json!({"media": "Callback"})),
            [json!({"leave_message": {"play": {"media": "Callback"}, "beep_s": 5}}), json!({"hangup": {}})]
        );
        let (text, sentence) =
            (json!({"text": "Please call us.", "language": "en"}), json!({"text": "Sorry.", "language": "en"}));
        let leave = json!({"leave_message": {"speak": text, "beep_s": 9, "on_human": "person"}});
        let (hangup, person, end) = (json!({"hangup": {}}), json!({"label": "person"}), json!({"label": "end"}));
        let targets = json!([{"agent": "ana"}]);
        assert_eq!(
            steps(json!({"message": text, "beep_s": 9, "sentence": sentence})),
            [leave.clone(), hangup.clone(), person.clone(), json!({"speak": sentence}), end.clone(), hangup.clone()]
        );
        assert_eq!(
            steps(
                json!({"message": text, "beep_s": 9, "person": {"targets": targets, "ring_s": 20}, "sentence": sentence})
            ),
            [
                leave,
                hangup.clone(),
                person,
                json!({"dial": {"targets": targets, "ring_s": 20, "on_ended": "end"}}),
                json!({"speak": sentence}),
                end,
                hangup
            ]
        );
    }

    #[test]
    fn values_that_cannot_be_used_are_refused_by_field() {
        let long = "a".repeat(SPEECH_MAX + 1);
        let reply = |text: &str, language: &str| json!({"reply": {"text": text, "language": language}});
        for (patch, field) in [
            (json!({"limit_s": 1}), "x.limit_s"),
            (json!({"limit_s": 31}), "x.limit_s"),
            (json!({"actions": {"machine": reply("Hello", "en")}}), "x.actions.machine.reply"),
            (json!({"actions": {"ivr": reply("", "en")}}), "x.actions.ivr.reply.text"),
            (json!({"actions": {"ivr": reply(&long, "en")}}), "x.actions.ivr.reply.text"),
            (json!({"actions": {"ivr": reply("a\u{7}", "en")}}), "x.actions.ivr.reply.text"),
            (json!({"actions": {"ivr": reply("Hello", "en_US")}}), "x.actions.ivr.reply.language"),
            (json!({"actions": {"human": {"transfer": {"targets": []}}}}), "x.actions.human.transfer.targets"),
            (json!({"actions": {"human": {"transfer": {"targets": [{}]}}}}), "x.actions.human.transfer.targets[0]"),
            (
                json!({"actions": {"human": {"transfer": {"targets": [{"agent": "ana", "to": "+15555550142"}]}}}}),
                "x.actions.human.transfer.targets[0]",
            ),
            (
                json!({"actions": {"human": {"transfer": {"targets": [{"agent": "Ana"}]}}}}),
                "x.actions.human.transfer.targets[0].agent",
            ),
            (
                json!({"actions": {"human": {"transfer": {"targets": [{"agent": "ana"}], "ring_s": 301}}}}),
                "x.actions.human.transfer.ring_s",
            ),
            (json!({"actions": {"machine": {"message": {}}}}), "x.actions.machine.message"),
            (
                json!({"actions": {"machine": {"message": {"media": "a", "message": {"text": "b", "language": "en"}}}}}),
                "x.actions.machine.message",
            ),
            (json!({"actions": {"machine": {"message": {"media": ""}}}}), "x.actions.machine.message.media"),
            (
                json!({"actions": {"machine": {"message": {"media": "a", "beep_s": 61}}}}),
                "x.actions.machine.message.beep_s",
            ),
            (
                json!({"actions": {"machine": {"message": {"media": "a", "sentence": {"text": " ", "language": "en"}}}}}),
                "x.actions.machine.message.sentence.text",
            ),
            (
                json!({"actions": {"machine": {"message": {"media": "a", "person": {"targets": [{"to": "ana"}]}}}}}),
                "x.actions.machine.message.person.targets[0].to",
            ),
            (json!({"actions": {"fax": {"program": [{"jump": {"to": "nowhere"}}]}}}), "x.actions.fax.program"),
            (json!({"actions": {"fax": {"program": []}}}), "x.actions.fax.program"),
        ] {
            let refused = AmdConfig::default().patched(self::patch(patch.clone()), "x.").unwrap_err();
            assert_eq!(refused.field, field, "{patch}: {refused}");
        }
    }

    #[test]
    fn an_action_has_exactly_one_field_and_unknown_has_none() {
        for actions in [
            json!({"machine": {}}),
            json!({"machine": {"connect": {}, "hang_up": {}}}),
            json!({"machine": {"connect": null}}),
            json!({"machine": {"connect": {"now": true}}}),
            json!({"machine": {"dial": {}}}),
            json!({"machine": "connect"}),
            json!({"unknown": {"hang_up": {}}}),
        ] {
            let read = serde_json::from_value::<AmdPatch>(json!({"actions": actions}));
            assert!(read.is_err(), "{actions}");
        }
    }

    #[test]
    fn all_actions_together_are_bounded() {
        let steps: Vec<Value> =
            (0..200).map(|_| json!({"speak": {"text": "a".repeat(50), "language": "en"}})).collect();
        let actions = |kind: &str| patch(json!({"actions": {kind: {"program": steps}}}));
        let one = AmdConfig::default().patched(actions("machine"), "").unwrap_err();
        assert_eq!(one.field, "actions");
        let short = json!({"actions": {"fax": {"program": &steps[..100]}}});
        let half = config(short.clone());
        let both = json!({"actions": {"ivr": short["actions"]["fax"], "busy": short["actions"]["fax"]}});
        assert_eq!(half.patched(patch(both), "").unwrap_err().field, "actions");
    }
}
