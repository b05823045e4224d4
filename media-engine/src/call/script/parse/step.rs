//! Parsing of steps, by their verbs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::value::{Fields, Value};
use super::{Labels, ProgramError, check_url, sound};
use crate::call::TARGETS_MAX;
use crate::call::script::effect::{GatherRules, MessageRules};
use crate::call::script::limits::{
    DIGITS_MAX, MESSAGE_S_MAX, PAUSE_MS_MAX, PAYLOAD_MAX, PROMPTS_MAX, URL_MAX, VALUE_MAX,
};
use crate::call::script::program::{
    Callees, Dial, Gather, Jump, LeaveMessage, OnDigits, Place, Record, Step, Target, Transfer, Webhook,
};
use crate::call::script::text::{Name, Template};
use crate::error::HangupCause;

const VERBS: &str =
    "label, play, speak, gather, record, leave_message, dial, transfer, set_language, pause, hangup, jump, webhook";
/// Maximum length of a SIP user name, in characters.
const AGENT_MAX: usize = 64;
/// Maximum length of a number or URI to call, in characters.
const ADDRESS_MAX: usize = 256;

/// Parses a step: an object with one field, whose name is the verb.
pub(super) fn step(item: &Value, labels: &Labels) -> Result<Step, ProgramError> {
    let Ok((verb, value)) = item.fields()?.only() else {
        return Err(item.error(format!("expected an object with one field, the verb: {VERBS}")));
    };
    match verb {
        "label" => value.name().map(|_| Step::Label),
        "play" => sound::play(&value).map(Step::Play),
        "speak" => sound::speak(&value).map(Step::Play),
        "gather" => gather(&value, labels).map(Step::Gather),
        "record" => record(&value).map(Step::Record),
        "leave_message" => leave_message(&value, labels).map(Step::LeaveMessage),
        "dial" => dial(&value, labels).map(Step::Dial),
        "transfer" => transfer(&value, labels).map(Step::Transfer),
        "set_language" => {
            let mut fields = value.fields()?;
            let language = sound::language(&fields.required("language")?)?;
            fields.end().map(|()| Step::SetLanguage(language))
        }
        "pause" => {
            let mut fields = value.fields()?;
            let pause = fields.required("ms")?.millis(1..=PAUSE_MS_MAX)?;
            fields.end().map(|()| Step::Pause(pause))
        }
        "hangup" => hangup(&value).map(Step::Hangup),
        "jump" => {
            let mut fields = value.fields()?;
            let to = labels.place(&fields.required("to")?)?;
            let times = fields.optional("times").map(|times| times.number(1..=1_000)).transpose()?;
            fields.end().map(|()| Step::Jump(Jump { to, times }))
        }
        "webhook" => webhook(&value).map(Step::Webhook),
        _ => Err(value.error(format!("unknown verb: expected one of {VERBS}"))),
    }
}

fn gather(value: &Value, labels: &Labels) -> Result<Gather, ProgramError> {
    let mut fields = value.fields()?;
    let prompts = match fields.optional("prompts") {
        Some(list) => {
            let prompts = list.items(0..=PROMPTS_MAX, "prompts")?;
            prompts.into_iter().map(|prompt| sound::prompt(&prompt)).collect::<Result<Vec<_>, _>>()?
        }
        None => Vec::new(),
    };
    let max = fields.required("max_digits")?.number(1..=DIGITS_MAX.into())?;
    let min = fields.optional("min_digits").map_or(Ok(1), |min| min.number(0..=max))?;
    let finish = fields.optional("finish").map(|key| self::key(&key)).transpose()?;
    let first = fields.optional("first_timeout_ms").map_or(Ok(Duration::from_secs(5)), |time| time.millis(WAIT_MS))?;
    let between = fields.optional("next_timeout_ms").map_or(Ok(Duration::from_secs(3)), |time| time.millis(WAIT_MS))?;
    let rules = GatherRules { min: min as u8, max: max as u8, finish, first, between };
    let gather = Gather {
        prompts,
        rules,
        barge_in: fields.optional("barge_in").map_or(Ok(true), |flag| flag.flag())?,
        into: match fields.optional("into") {
            Some(into) => into.variable()?,
            None => "digits".parse::<Name>().expect("`digits` is a valid name"),
        },
        secret: fields.optional("secret").map_or(Ok(false), |flag| flag.flag())?,
        on_digits: match fields.optional("on_digits") {
            Some(choices) if choices.is_object() => OnDigits::Choices(self::choices(&choices, &rules, labels)?),
            label => OnDigits::Any(labels.optional(label)?),
        },
        on_timeout: labels.optional(fields.optional("on_timeout"))?,
        on_invalid: labels.optional(fields.optional("on_invalid"))?,
    };
    fields.end()?;
    Ok(gather)
}

/// Range of a time-out for a key, in milliseconds.
const WAIT_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

/// Parses an object of labels by digits.
fn choices(value: &Value, rules: &GatherRules, labels: &Labels) -> Result<BTreeMap<String, Place>, ProgramError> {
    let fields = value.fields()?;
    if fields.count() == 0 {
        return Err(value.error("expected a label, or an object with a label for each choice"));
    }
    let choice = |(digits, label): (&str, Value)| -> Result<(String, Place), ProgramError> {
        let can_be_pressed = (usize::from(rules.min)..=usize::from(rules.max)).contains(&digits.len())
            && digits.chars().all(|digit| is_key(digit) && Some(digit) != rules.finish);
        if !can_be_pressed {
            let GatherRules { min, max, .. } = rules;
            return Err(label.error(format!(
                "expected {min} to {max} of the keys 0-9, *, # and A-D without the finish key: nobody can press this"
            )));
        }
        Ok((digits.to_owned(), labels.place(&label)?))
    };
    fields.all().map(choice).collect()
}

fn record(value: &Value) -> Result<Record, ProgramError> {
    #[derive(Clone)]
    enum Action {
        Plain(Record),
        Message,
    }
    let mut fields = value.fields()?;
    let action = fields.required("action")?.word(&[
        ("start", Action::Plain(Record::Start)),
        ("pause", Action::Plain(Record::Pause)),
        ("resume", Action::Plain(Record::Resume)),
        ("stop", Action::Plain(Record::Stop)),
        ("message", Action::Message),
    ])?;
    let record = match action {
        Action::Plain(record) => record,
        Action::Message => message(&mut fields)?,
    };
    fields.end()?;
    Ok(record)
}

fn message(fields: &mut Fields) -> Result<Record, ProgramError> {
    let seconds = Duration::from_secs;
    let rules = MessageRules {
        longest: fields.optional("max_s").map_or(Ok(seconds(120)), |time| time.seconds(1..=MESSAGE_S_MAX))?,
        silence: fields.optional("silence_s").map_or(Ok(seconds(5)), |time| time.seconds(1..=60))?,
        finish: fields.optional("finish").map(|key| self::key(&key)).transpose()?,
        beep: fields.optional("beep").map_or(Ok(true), |flag| flag.flag())?,
    };
    let into = fields.optional("into").map(|into| into.variable()).transpose()?;
    Ok(Record::Message { rules, into })
}

/// Longest time to wait for a beep after a greeting, in seconds.
const BEEP_S_MAX: u32 = 60;

fn leave_message(value: &Value, labels: &Labels) -> Result<LeaveMessage, ProgramError> {
    let mut fields = value.fields()?;
    let message = match (fields.optional("play"), fields.optional("speak")) {
        (Some(play), None) => sound::play(&play)?,
        (None, Some(speak)) => sound::speak(&speak)?,
        (Some(_), Some(_)) => return Err(value.error("expected play or speak, not both")),
        (None, None) => {
            fields.end()?;
            return Err(value.error("expected play or speak"));
        }
    };
    let beep = fields.optional("beep_s").map_or(Ok(Duration::from_secs(5)), |time| time.seconds(1..=BEEP_S_MAX))?;
    let into = fields.optional("into").map(|into| into.variable()).transpose()?;
    let on_human = labels.optional(fields.optional("on_human"))?;
    fields.end()?;
    Ok(LeaveMessage { message, beep, into, on_human })
}

fn dial(value: &Value, labels: &Labels) -> Result<Dial, ProgramError> {
    let mut fields = value.fields()?;
    let dial = Dial {
        callees: callees(&mut fields)?,
        into: fields.optional("into").map(|into| into.variable()).transpose()?,
        on_answered: labels.optional(fields.optional("on_answered"))?,
        on_failed: labels.optional(fields.optional("on_failed"))?,
        on_ended: labels.optional(fields.optional("on_ended"))?,
    };
    fields.end()?;
    Ok(dial)
}

fn transfer(value: &Value, labels: &Labels) -> Result<Transfer, ProgramError> {
    let mut fields = value.fields()?;
    let callees = callees(&mut fields)?;
    let on_failed = labels.optional(fields.optional("on_failed"))?;
    fields.end()?;
    Ok(Transfer { callees, on_failed })
}

fn callees(fields: &mut Fields) -> Result<Callees, ProgramError> {
    let targets = fields.required("targets")?.items(1..=TARGETS_MAX, "targets")?;
    Ok(Callees {
        targets: targets.into_iter().map(|value| target(&value)).collect::<Result<_, _>>()?,
        ring: fields.optional("ring_s").map(|time| time.seconds(1..=300)).transpose()?,
        from: fields.optional("from").map(|from| address(&from)).transpose()?,
    })
}

fn target(value: &Value) -> Result<Target, ProgramError> {
    match value.fields()?.only() {
        Ok(("agent", agent)) => {
            let name = agent.line(AGENT_MAX)?;
            let is_name =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
            if !name.bytes().all(is_name) {
                return Err(agent.error("expected a SIP user name of a-z, 0-9, ., _ and -"));
            }
            Ok(Target::Agent(name.to_owned()))
        }
        Ok(("to", to)) => address(&to).map(Target::To),
        _ => Err(value.error("expected an object with one field, agent or to")),
    }
}

/// Parses a number or URI to call. Only the form is checked; the dial rules are applied when it is called.
fn address(value: &Value) -> Result<String, ProgramError> {
    let text = value.line(ADDRESS_MAX)?;
    let lower = text.get(..5).unwrap_or(text).to_ascii_lowercase();
    let is_uri = ["sip:", "sips:", "tel:"].iter().any(|scheme| lower.starts_with(scheme));
    let is_number = text.starts_with(|first: char| first == '+' || first.is_ascii_digit());
    if !(is_uri || is_number) || !text.is_ascii() {
        return Err(
            value.error("expected a number such as +15555550142, or a URI that begins with sip:, sips: or tel:")
        );
    }
    Ok(text.to_owned())
}

fn hangup(value: &Value) -> Result<HangupCause, ProgramError> {
    let mut fields = value.fields()?;
    let cause = fields.optional("cause").map_or(Ok(HangupCause::Normal), |cause| {
        cause.word(&[
            ("normal", HangupCause::Normal),
            ("busy", HangupCause::Busy),
            ("no_answer", HangupCause::NoAnswer),
            ("rejected", HangupCause::Rejected),
            ("not_found", HangupCause::NotFound),
        ])
    })?;
    fields.end()?;
    Ok(cause)
}

fn webhook(value: &Value) -> Result<Webhook, ProgramError> {
    let mut fields = value.fields()?;
    let url = fields.required("url")?;
    let text = url.text(URL_MAX)?;
    check_url(text).map_err(|problem| url.error(problem))?;
    let payload = fields.optional("payload").map(|payload| self::payload(&payload)).transpose()?;
    fields.end()?;
    Ok(Webhook { url: text.to_owned(), payload })
}

fn payload(value: &Value) -> Result<BTreeMap<String, Template>, ProgramError> {
    let fields = value.fields()?;
    if fields.count() > PAYLOAD_MAX {
        return Err(value.error(format!("expected at most {PAYLOAD_MAX} fields, found {}", fields.count())));
    }
    let field = |(name, text): (&str, Value)| -> Result<(String, Template), ProgramError> {
        name.parse::<Name>().map_err(|error| text.error(error.to_string()))?;
        Ok((name.to_owned(), text.template(VALUE_MAX)?))
    };
    fields.all().map(field).collect()
}

fn is_key(digit: char) -> bool {
    matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D')
}

fn key(value: &Value) -> Result<char, ProgramError> {
    let expected = || value.error("expected one of the keys 0-9, *, # and A-D");
    let mut keys = value.text(1).map_err(|_| expected())?.chars();
    keys.next().filter(|key| is_key(*key)).ok_or_else(expected)
}
