//! Allowed values of fields and parameters in `/openapi.json`, taken from the constants against which requests are checked.
//!
//! `#[schema(…)]` accepts only literals, which would repeat the limits in a second place. [`describe`] therefore adds patterns,
//! lengths, ranges and words to the finished document, and `tests` compares each pattern with the check that it describes.
//!
//! Not described here: constraints that depend on more than the value itself. `tests/openapi/schemathesis.toml` lists those
//! operations.

use std::collections::BTreeSet;

use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, Object, OpenApi, PathItem, RefOr, Schema};

use super::{
    annotations, call_search, caller_id, calls, media, number_proof, organizations, parking, prompts, recording_list,
    verbs, voice_targets,
};
use crate::auth::{self, KEY_DAYS_MAX};
use crate::engine::{DIGITS_MAX, DTMF_MAX, SLOTS, SPEECH_MAX, TONE_MS_MAX};
use crate::gate::idempotency;
use crate::gate::rate_limit::Group;
use crate::http::cursor;
use crate::tenant::amd;
use crate::tenant::glossary;
use crate::tenant::number;
use crate::tenant::rbac;
use crate::tenant::text;
use crate::tenant::voice_config;

/// Values that a field or parameter accepts.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    /// Texts that match this pattern and have a length in this range, in characters.
    Text { pattern: String, length: (usize, usize) },
    /// Integers in this inclusive range.
    Number(u32, u32),
    /// One of these words.
    Words(Vec<&'static str>),
    /// Timestamps (RFC 3339).
    Time,
    /// Dates such as 2026-01-31.
    Day,
    /// Non-empty lists of these words.
    WordList(Vec<&'static str>),
    /// Objects that map these names to positive integers.
    Named(Vec<&'static str>),
}

/// Any length: the pattern limits it, or only the size of the request does.
const ANY: (usize, usize) = (0, usize::MAX);

/// Matches every text without the character NUL.
const NOT_NUL: &str = r"^[^\u0000]*$";

fn text(pattern: impl Into<String>, length: (usize, usize)) -> Values {
    Values::Text { pattern: pattern.into(), length }
}

/// A name on one line, trimmed before it is checked.
fn name(most: usize) -> Values {
    text(text::name_pattern(most), ANY)
}

/// A text of any number of lines, trimmed before it is checked.
fn prose(most: usize) -> Values {
    text(text::prose_pattern(most), ANY)
}

/// Returns schema, field and allowed values of every described field.
fn fields() -> Vec<(&'static str, &'static str, Values)> {
    let strict_name = || text(text::trimmed_name_pattern(auth::NAME_MAX), (1, auth::NAME_MAX));
    let sip_name = || text(auth::SIP_NAME_PATTERN, (1, auth::SIP_NAME_MAX));
    let email = || text(text::email_pattern(), (3, auth::EMAIL_MAX));
    // The limit is in bytes; OpenAPI can only express characters.
    let password = || text("", (auth::PASSWORD_MIN, auth::PASSWORD_MAX));
    let address = || text(number::callable_pattern(), (1, number::URI_MAX));
    let dialled = || text(number::dialled_pattern(), (1, number::URI_MAX));
    let wait = || Values::Number((*prompts::WAIT_S.start()).into(), (*prompts::WAIT_S.end()).into());
    let ring = || Values::Number((*verbs::RING_S.start()).into(), (*verbs::RING_S.end()).into());
    let language = || text(voice_config::LANGUAGE_PATTERN, (2, voice_config::LANGUAGE_MAX));
    vec![
        ("CallRequest", "to", dialled()),
        ("CallRequest", "from", address()),
        ("CallRequest", "agent", sip_name()),
        ("CallTargetRequest", "to", dialled()),
        ("CallTargetRequest", "from", address()),
        ("CallTargetRequest", "agent", sip_name()),
        ("SayRequest", "text", prose(calls::SAY_MAX)),
        ("LegRequest", "agent", sip_name()),
        ("LegRequest", "to", dialled()),
        ("LegRequest", "from", address()),
        ("LegRequest", "ring_s", ring()),
        ("LegTarget", "agent", sip_name()),
        ("LegTarget", "to", dialled()),
        ("LegTarget", "ring_s", ring()),
        ("CallHandlingPatch", "hold_music", name(media::NAME_MAX)),
        ("TransferRequest", "ring_s", ring()),
        ("ParkRequest", "slot", Values::Number((*SLOTS.start()).into(), (*SLOTS.end()).into())),
        ("ParkRequest", "wait_s", Values::Number((*parking::WAIT_S.start()).into(), (*parking::WAIT_S.end()).into())),
        ("PickupRequest", "agent", sip_name()),
        ("PickupRequest", "ring_s", ring()),
        ("SuperviseRequest", "agent", sip_name()),
        ("SuperviseRequest", "to", dialled()),
        ("SuperviseRequest", "ring_s", ring()),
        ("DtmfRequest", "digits", text("^[0-9A-Da-d*#,]+$", (1, DTMF_MAX))),
        ("Tone", "duration_ms", Values::Number(20, TONE_MS_MAX)),
        ("Speech", "text", prose(SPEECH_MAX)),
        ("Speech", "language", language()),
        ("GatherRequest", "min", Values::Number(0, DIGITS_MAX.into())),
        ("GatherRequest", "max", Values::Number(1, DIGITS_MAX.into())),
        ("GatherRequest", "finish", text("^[0-9A-Da-d*#]$", (1, 1))),
        ("GatherRequest", "first_s", wait()),
        ("GatherRequest", "between_s", wait()),
        ("VoiceConfigPatch", "translate_from", language()),
        ("VoiceConfigPatch", "translate_to", language()),
        (
            "VoiceConfigPatch",
            "budget_ms",
            Values::Number(*voice_config::BUDGET_MS.start(), *voice_config::BUDGET_MS.end()),
        ),
        ("Glossary", "names", name(glossary::TEXT_MAX)),
        ("GlossaryTerm", "from", language()),
        ("GlossaryTerm", "to", language()),
        ("GlossaryTerm", "source", name(glossary::TEXT_MAX)),
        ("GlossaryTerm", "target", name(glossary::TEXT_MAX)),
        ("ListeningSidePatch", "language", language()),
        ("AmdPatch", "limit_s", Values::Number((*amd::LIMIT_S.start()).into(), (*amd::LIMIT_S.end()).into())),
        ("AmdSpeech", "text", prose(SPEECH_MAX)),
        ("AmdSpeech", "language", language()),
        ("AmdMessage", "media", name(amd::MEDIA_MAX)),
        ("AmdMessage", "beep_s", Values::Number((*amd::BEEP_S.start()).into(), (*amd::BEEP_S.end()).into())),
        ("AmdTransfer", "ring_s", ring()),
        ("AmdTarget", "agent", sip_name()),
        ("AmdTarget", "to", dialled()),
        ("TargetRequest", "name", name(voice_targets::NAME_MAX)),
        ("TargetRequest", "address", address()),
        ("TargetPatch", "name", name(voice_targets::NAME_MAX)),
        ("TargetPatch", "address", address()),
        ("NumberRequest", "number", text(number::E164_PATTERN, (3, 16))),
        ("NumberRequest", "label", text(text::label_pattern(caller_id::NAME_MAX), ANY)),
        ("NumberPatch", "label", text(text::label_pattern(caller_id::NAME_MAX), ANY)),
        ("NumberCode", "code", text("^[0-9]{6}$", (number_proof::DIGITS, number_proof::DIGITS))),
        ("RuleRequest", "position", Values::Number(0, caller_id::POSITION_MAX)),
        ("RuleRequest", "agent", sip_name()),
        ("RuleRequest", "campaign", name(caller_id::NAME_MAX)),
        ("RuleRequest", "destination_prefix", text(number::PREFIX_PATTERN, (2, 16))),
        ("RulePatch", "position", Values::Number(0, caller_id::POSITION_MAX)),
        ("RulePatch", "agent", sip_name()),
        ("RulePatch", "campaign", name(caller_id::NAME_MAX)),
        ("RulePatch", "destination_prefix", text(number::PREFIX_PATTERN, (2, 16))),
        ("OutcomeRequest", "outcome", name(annotations::OUTCOME_MAX)),
        ("OutcomeRequest", "note", prose(annotations::TEXT_MAX)),
        ("NoteRequest", "text", prose(annotations::TEXT_MAX)),
        ("SignRequest", "expires_in_s", Values::Number(1, recording_list::EXPIRES_MAX)),
        ("OrganizationRequest", "name", strict_name()),
        ("OrganizationRequest", "sip_name", sip_name()),
        ("OrganizationPatch", "name", strict_name()),
        ("OrganizationPatch", "limits", Values::Named(Group::OF_ORGANIZATIONS.map(Group::as_str).to_vec())),
        ("Retention", "recordings_days", Values::Number(1, organizations::DAYS_MAX)),
        ("Retention", "events_days", Values::Number(1, organizations::DAYS_MAX)),
        ("MePatch", "name", strict_name()),
        ("InvitationRequest", "email", email()),
        ("KeyRequest", "name", strict_name()),
        ("KeyRequest", "scopes", Values::WordList(rbac::key_scopes(None))),
        ("KeyRequest", "expires_in_days", Values::Number(1, KEY_DAYS_MAX)),
        ("SignupRequest", "organization", strict_name()),
        ("SignupRequest", "name", strict_name()),
        ("SignupRequest", "email", email()),
        ("SignupRequest", "sip_name", sip_name()),
        ("SignupRequest", "password", password()),
        ("PasswordChange", "new", password()),
        ("ResetRequest", "email", email()),
        ("ResetUse", "password", password()),
    ]
}

/// Returns the allowed values of a parameter on a path, if they are described.
fn parameter(name: &str, path: &str) -> Option<Values> {
    let of_calls = matches!(path, "/api/calls" | "/api/calls/export");
    let filter = || text(text::plain_pattern(), (1, call_search::FILTER_MAX));
    Some(match name {
        "limit" => Values::Number(1, cursor::LIMIT_MAX),
        "cursor" => text(cursor::PATTERN, (cursor::LENGTH, cursor::LENGTH)),
        "Idempotency-Key" => text(idempotency::KEY_PATTERN, (1, idempotency::KEY_MAX)),
        "agent" if path == "/api/webrtc/token" => text(auth::SIP_NAME_PATTERN, (1, auth::SIP_NAME_MAX)),
        "name" if path == "/api/media" => self::name(media::NAME_MAX),
        "channels" if path.ends_with("/recording") => Values::Words(vec!["all"]),
        "format" if path.ends_with("/subtitles") => Values::Words(vec!["vtt", "srt"]),
        "format" => Values::Words(vec!["csv", "json"]),
        "language" => text(voice_config::LANGUAGE_PATTERN, (2, voice_config::LANGUAGE_MAX)),
        "status" if of_calls => Values::Words(call_search::STATUSES.to_vec()),
        "direction" if of_calls => Values::Words(call_search::DIRECTIONS.to_vec()),
        "amd" if of_calls => Values::Words(call_search::VERDICTS.to_vec()),
        "number" if of_calls => text(call_search::NUMBER_PATTERN, (1, 16)),
        "agent" | "outcome" | "q" if of_calls => filter(),
        "actor" | "action" | "target" if path.starts_with("/api/audit-logs") => text(r"^[^\u0000]+$", ANY),
        "from" | "to" if of_calls || path.starts_with("/api/audit-logs") => Values::Time,
        "from" | "to" if path == "/api/usage" => Values::Day,
        _ => return None,
    })
}

impl Values {
    /// Writes the values into a schema. Returns `false` if the schema is of another type.
    fn describe(self, schema: &mut RefOr<Schema>) -> bool {
        let RefOr::T(schema) = schema else { return false };
        match (self, schema) {
            (Values::Text { pattern, length: (least, most) }, Schema::Object(object)) => {
                object.pattern = Some(pattern).filter(|pattern| !pattern.is_empty());
                object.min_length = Some(least).filter(|least| *least > 0);
                object.max_length = Some(most).filter(|most| *most < usize::MAX);
            }
            // A list of such texts.
            (of_items @ Values::Text { .. }, Schema::Array(array)) => {
                let ArrayItems::RefOrSchema(item) = &mut array.items else { return false };
                return of_items.describe(item);
            }
            (Values::Number(least, most), Schema::Object(object)) => {
                object.minimum = Some((least as usize).into());
                object.maximum = Some((most as usize).into());
            }
            (Values::Words(words), Schema::Object(object)) => object.enum_values = Some(values(words)),
            (Values::Time, schema) => *schema = string_format(KnownFormat::DateTime),
            (Values::Day, schema) => *schema = string_format(KnownFormat::Date),
            (Values::WordList(words), Schema::Array(array)) => {
                let item = Object::builder().schema_type(Type::String).enum_values(Some(values(words))).build();
                array.items = ArrayItems::RefOrSchema(Box::new(item.into()));
                array.min_items = Some(1);
            }
            (Values::Named(names), Schema::Object(object)) => {
                let number =
                    Object::builder().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(u32::MAX as usize));
                let number = RefOr::from(Schema::from(number.build()));
                object.properties = names.into_iter().map(|name| (name.to_owned(), number.clone())).collect();
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
            _ => return false,
        }
        true
    }
}

/// Returns the schema of a string in this format.
fn string_format(format: KnownFormat) -> Schema {
    Object::builder().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format))).build().into()
}

fn values(words: Vec<&'static str>) -> Vec<Value> {
    words.into_iter().map(Value::from).collect()
}

/// Adds the allowed values to the document. Returns the fields and parameters that it did not find.
pub(super) fn describe(document: &mut OpenApi) -> Vec<String> {
    let mut unsaid = Vec::new();
    let schemas = document.components.get_or_insert_default();
    for (schema, field, values) in fields() {
        let of = match schemas.schemas.get_mut(schema) {
            Some(RefOr::T(Schema::Object(object))) => object.properties.get_mut(field),
            _ => None,
        };
        if !of.is_some_and(|of| values.describe(of)) {
            unsaid.push(format!("{schema}.{field}"));
        }
    }
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            for described in operation.parameters.iter_mut().flatten() {
                let RefOr::T(described) = described else { continue };
                let Some(values) = parameter(&described.name, path) else { continue };
                if !described.schema.as_mut().is_some_and(|schema| values.describe(schema)) {
                    unsaid.push(format!("{path} {}", described.name));
                }
            }
        }
    }
    describe_bodies(document);
    unsaid
}

/// Adds the rule that the character NUL is refused to every text of a request body that has no other pattern.
fn describe_bodies(document: &mut OpenApi) {
    let mut bodies = BTreeSet::new();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let Some(RefOr::T(body)) = &operation.request_body else { continue };
        for content in body.content.values() {
            let RefOr::T(content) = content else { continue };
            bodies.extend(content.schema.as_ref().and_then(referenced_schema));
        }
    }
    let schemas = &mut document.components.get_or_insert_default().schemas;
    let mut described = BTreeSet::new();
    while let Some(name) = bodies.pop_first() {
        let Some(RefOr::T(Schema::Object(body))) = schemas.get_mut(&name).filter(|_| described.insert(name)) else {
            continue;
        };
        for field in body.properties.values_mut() {
            bodies.extend(referenced_schema(field));
            match field {
                RefOr::T(Schema::Object(text)) if takes_any_text(text) => text.pattern = Some(NOT_NUL.to_owned()),
                RefOr::T(Schema::OneOf(one)) => bodies.extend(one.items.iter().filter_map(referenced_schema)),
                _ => {}
            }
        }
    }
}

/// Returns the name of the schema that a reference points to.
fn referenced_schema(schema: &RefOr<Schema>) -> Option<String> {
    match schema {
        RefOr::Ref(name) => name.ref_location.rsplit('/').next().map(str::to_owned),
        RefOr::T(_) => None,
    }
}

/// Returns whether a schema is a text without any constraint so far.
fn takes_any_text(schema: &Object) -> bool {
    let is_text = match &schema.schema_type {
        SchemaType::Type(kind) => *kind == Type::String,
        SchemaType::Array(kinds) => kinds.contains(&Type::String),
        SchemaType::AnyValue => false,
    };
    let is_plain = matches!(&schema.format, None | Some(SchemaFormat::KnownFormat(KnownFormat::Password)));
    is_text && is_plain && schema.pattern.is_none() && schema.enum_values.is_none()
}

/// Returns the operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut utoipa::openapi::path::Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use regex::RegexBuilder;

    use super::*;

    /// Returns whether a text is accepted.
    type Check<'c> = &'c dyn Fn(&str) -> bool;

    #[test]
    fn every_value_has_its_place_in_the_description() {
        let mut document = super::super::api().router.into_openapi();
        assert_eq!(describe(&mut document), Vec::<String>::new());
    }

    /// Checks texts of requests that have no pattern of their own.
    #[test]
    fn no_request_text_accepts_nul_in_the_description() {
        let mut document = super::super::api().router.into_openapi();
        describe(&mut document);
        let schemas = &document.components.as_ref().unwrap().schemas;
        for (schema, field) in
            [("InvitationQuestion", "token"), ("PasswordChange", "current"), ("LoginRequest", "email")]
        {
            let Some(RefOr::T(Schema::Object(body))) = schemas.get(schema) else { panic!("{schema} is not described") };
            let Some(RefOr::T(Schema::Object(text))) = body.properties.get(field) else { panic!("{schema}.{field}") };
            assert_eq!(text.pattern.as_deref(), Some(NOT_NUL), "{schema}.{field}");
        }
    }

    /// A sample matches the description exactly if the check accepts it.
    #[test]
    fn patterns_and_checks_agree() {
        let long = |n: usize| "a".repeat(n);
        let samples = [
            "",
            " ",
            "a",
            "a b",
            " a ",
            "a\nb",
            "\ta",
            "\u{85}a",
            "a\u{a0}",
            "\u{7}",
            "é",
            "ключ",
            "+1",
            "+12",
            "+15555550142",
            "+0123456",
            "+1234567890123456",
            "15555550142",
            "sip:a@b",
            "sip:a@b:5060",
            "sip:a@b:0",
            "sip:a@b:65536",
            "sip:a@b:65535",
            "sip:@b",
            "sip:b",
            "sip:-b",
            "sip:a@[::1]",
            "sip:a@[::1",
            "sip:a@[1:2:3:4:5:6:7:8]:5060",
            "sip:a@[1:2:3:4:5:6:7:8:9]",
            "sip:a@[:::]",
            "sip:a@[2001:db8::1]",
            "sip:a b@c",
            "sips:a@b",
            "sip:a@b;x",
            "en",
            "es-419",
            "zh-Hant-TW",
            "english",
            "en_US",
            "en-",
            "e1",
            "anna",
            "Anna",
            "a.b_c-d",
            "a@b",
            "a@b@c",
            "@b",
            "a@",
            "a b@c",
            "anna@example.com",
            "a\u{a0}@b",
            "+34",
            "+0",
            "+",
        ];
        let mut samples: Vec<String> = samples.iter().map(ToString::to_string).collect();
        for n in [49, 50, 51, 63, 64, 65, 99, 100, 101, 1_000, 1_001] {
            samples.extend([long(n), format!(" {} ", long(n)), format!("sip:{}@b", long(n)), format!("{}@b", long(n))]);
        }
        let language = |tag: &str| {
            let patch = voice_config::VoiceConfigPatch { translate_to: Some(tag.into()), ..Default::default() };
            voice_config::VoiceConfig::default().patched(patch, "").is_ok()
        };
        let checks: [(Values, Check<'_>); 8] = [
            (text(number::E164_PATTERN, (3, 16)), &number::is_e164),
            (text(number::callable_pattern(), (1, number::URI_MAX)), &number::is_callable),
            (text(text::trimmed_name_pattern(auth::NAME_MAX), (1, auth::NAME_MAX)), &|name| {
                auth::check_name("name", name).is_ok()
            }),
            (text(text::email_pattern(), (3, auth::EMAIL_MAX)), &|email| auth::check_email(email).is_ok()),
            (text(auth::SIP_NAME_PATTERN, (1, auth::SIP_NAME_MAX)), &|name| auth::check_sip_name(name).is_ok()),
            (name(50), &|text| text::name("x", text, 50).is_ok()),
            (prose(100), &|text| text::prose("x", text, 100).is_ok()),
            (text(voice_config::LANGUAGE_PATTERN, (2, voice_config::LANGUAGE_MAX)), &language),
        ];
        for (values, check) in checks {
            let Values::Text { pattern, length: (least, most) } = values else { panic!("{values:?}") };
            // Counted repetitions of large classes need more than the default size limit.
            let regex = RegexBuilder::new(&pattern).size_limit(1 << 28).build().unwrap();
            for sample in &samples {
                let described = regex.is_match(sample) && (least..=most).contains(&sample.chars().count());
                assert_eq!(described, check(sample), "{pattern} and {sample:?}");
            }
        }
    }
}
