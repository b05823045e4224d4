//! Changes that the engine reports, written as rows together with the events that announce them.
//!
//! ```text
//! Change ──▶ row (calls, legs, recordings, translations) ─┐
//!        └─▶ call_events row ── id ──▶ StoredEvent        ├─ one commit (`record`)
//! ```
//!
//! A [`Change`] is also what the spool keeps while the database is away, so its fields stay readable by later versions.
//!
//! Invariants: there is one writer, so event ids grow in the order of commits. A call that has ended never changes its
//! status again. The tenant of a change is the tenant of its call; a change of an unknown call is skipped and counted.
//!
//! Not here: transactions, batches and refused changes (`record`), limits on texts (`clean`).

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::db::Tx;
use super::{
    Call, LegFlow, LegReport, OrganizationId, PartId, ProgramStep, Quality, RecordedChannel, StoreError, call, missed,
    recording, stay, transcript, translation,
};
use crate::engine::{
    CallStatus, Ending, GatherEnd, HangupCause, LegRole, LegState, SuperviseMode, TransferStage, TranslationEvent,
    Unparked, word,
};
use crate::tenant::voice_config::VoiceConfig;

/// One of a fixed set of words. The fields use this alias because serde would borrow a literal `&'static str` from its
/// input.
type Word = &'static str;

/// A new call whose organization is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCall {
    /// Identity of the call.
    pub id: Uuid,
    /// Organization that the call belongs to.
    pub organization: OrganizationId,
    /// Direction: `inbound` or `outbound`.
    #[serde(deserialize_with = "direction")]
    pub direction: Word,
    /// `direct`, `bridge` or `webrtc`; `None` for incoming calls and for calls that an agent dials.
    pub mode: Option<String>,
    /// Caller identity, if one was given.
    pub from: Option<String>,
    /// Called number or URI.
    pub to: String,
    /// SIP user name of the agent who dials, or for whom the call is made.
    pub agent: Option<String>,
    /// How the audio is processed.
    pub config: VoiceConfig,
}

/// A call that came in, or that an agent dialled, while its organization could not be determined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnassignedCall {
    /// Identity of the call.
    pub id: Uuid,
    /// Direction: `inbound` or `outbound`.
    #[serde(default = "inbound", deserialize_with = "direction")]
    pub direction: Word,
    /// Caller identity, if one was given.
    pub from: Option<String>,
    /// Called number or URI.
    pub to: String,
    /// SIP user name of the agent who dials, or for whom the call is made.
    pub agent: Option<String>,
    /// How the audio was processed.
    pub config: VoiceConfig,
}

impl UnassignedCall {
    /// Returns the same call with its organization.
    pub(super) fn assigned(self, organization: OrganizationId) -> NewCall {
        let UnassignedCall { id, direction, from, to, agent, config } = self;
        NewCall { id, organization, direction, mode: None, from, to, agent, config }
    }
}

/// One change to be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A call begins in status `queued`.
    CallCreated {
        /// Data of the new call.
        call: NewCall,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A call begins in status `queued`; its organization is determined when the change is written.
    CallUnassigned {
        /// Data of the new call.
        call: UnassignedCall,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A call's status changed.
    CallStatus {
        /// Identity of the call.
        call: Uuid,
        /// New status of the call.
        status: CallStatus,
        /// Cause of the end, once the call has ended.
        cause: Option<String>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A leg's state changed.
    Leg {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// New state of the leg.
        state: LegState,
        /// The other end: number, agent's SIP user name or URI.
        peer: String,
        /// SIP user name of the agent whose leg it is, known by password or registration.
        #[serde(default)]
        agent: Option<String>,
        /// Codec, once answered.
        codec: Option<String>,
        /// How the leg ended, once it has.
        #[serde(default)]
        ending: Option<Ending>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A leg was held, muted, made louder, or changed its work as a supervisor.
    LegSeat {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// Whether the leg is on hold and hears music or a soft tone.
        held: bool,
        /// Whether the others hear silence in its place.
        muted: bool,
        /// Whether its own telephone has put the call on hold.
        #[serde(default)]
        holds: bool,
        /// Gain at which the others hear the leg, in decibels.
        #[serde(default)]
        gain_db: i8,
        /// Mode of supervision; `None` if the leg is no supervisor.
        supervises: Option<SuperviseMode>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A party was parked.
    Parked {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Number of the parking slot.
        slot: u16,
        /// SIP user name of the agent who parked it.
        parked_by: Option<String>,
        /// End of the longest wait.
        until: Timestamp,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A party is no longer parked.
    Unparked {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Number of the parking slot.
        slot: u16,
        /// Why it is no longer parked.
        why: Unparked,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// In a call of three or more, a leg became the active speaker or ceased to be it. Sent to listeners, not stored.
    ActiveSpeaker {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// Whether the leg is the active speaker now.
        active: bool,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// Something that a verb plays has begun or ended.
    Play {
        /// Identity of the call.
        call: Uuid,
        /// Number of the playback in its call.
        play: u64,
        /// The numbers of the legs that hear it.
        legs: Vec<u64>,
        /// State of the playback: `started`, `done`, `stopped` or `failed`.
        #[serde(deserialize_with = "play_state")]
        state: Word,
        /// Why it failed.
        note: Option<String>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A call's program has made progress.
    Program {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg whose program it is.
        leg: u64,
        /// The progress that was made.
        news: ProgramStep,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A collection of digits has ended.
    Gathered {
        /// Identity of the call.
        call: Uuid,
        /// Number of the collection in its call.
        gather: u64,
        /// Number of the leg in its call.
        leg: u64,
        /// The digits that were pressed, without the finish key.
        digits: String,
        /// Why the collection ended.
        ended_by: GatherEnd,
        /// Whether as many digits came as were wanted.
        enough: bool,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A party's transfer has reached another stage.
    Transfer {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg whose party asked for the transfer.
        leg: u64,
        /// Role of that leg, which the new leg takes over.
        role: LegRole,
        /// Target that takes its place; empty while unknown.
        to: String,
        /// Stage that the transfer has reached.
        stage: TransferStage,
        /// Why the transfer failed, if it did.
        cause: Option<String>,
        /// The call in which the other leg continues, if this call ends by the transfer.
        other: Option<Uuid>,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A leg's media report. It replaces the previous one and is sent to listeners, not stored as an event.
    LegQuality {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// Media quality since the leg began.
        quality: Quality,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// The flow of a leg's audio has changed.
    LegFlow {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// State of both directions.
        flow: LegFlow,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// No packet came from a leg for the media time-out, so its call ends.
    MediaTimeout {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// Role of the leg in the call.
        role: LegRole,
        /// Time without packets, in seconds.
        after_s: u64,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// The state of a part of a recording changed.
    Recording {
        /// Identity of the call.
        call: Uuid,
        /// Number of the recording and of the part.
        #[serde(flatten)]
        file: PartId,
        /// The only leg that is recorded; `None` for the whole call.
        #[serde(default)]
        of_leg: Option<u64>,
        /// The legs on its channels.
        #[serde(default)]
        channels: Vec<RecordedChannel>,
        /// Path of the file.
        path: String,
        /// State of the part: `started`, `finished` or `interrupted`.
        #[serde(deserialize_with = "recording_state")]
        state: Word,
        /// Why the recording was interrupted.
        note: Option<String>,
        /// Length of the audio, in milliseconds.
        duration_ms: u64,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A leg has taken or left a channel of a part that is being written.
    RecordingSeated {
        /// Identity of the call.
        call: Uuid,
        /// Number of the recording and of the part.
        #[serde(flatten)]
        file: PartId,
        /// The legs on its channels.
        channels: Vec<RecordedChannel>,
    },
    /// A recording was paused or resumed.
    RecordingPaused {
        /// Identity of the call.
        call: Uuid,
        /// Number of the recording in its call.
        number: u32,
        /// Whether the recording is paused now.
        paused: bool,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// A key was pressed.
    Dtmf {
        /// Identity of the call.
        call: Uuid,
        /// Number of the leg in its call.
        leg: u64,
        /// The key: 0-9, *, #, A-D.
        digit: char,
        /// Time for which the key was held, in milliseconds.
        duration_ms: u32,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
    /// Recognised words: partial, final or translated.
    Translation {
        /// Identity of the call.
        call: Uuid,
        /// The segment's text and translation.
        event: TranslationEvent,
        /// Time of the event, by the server's clock.
        at: Timestamp,
    },
}

/// An event that is about to be appended.
pub(super) struct Draft {
    pub(super) organization: OrganizationId,
    pub(super) call: Uuid,
    pub(super) kind: &'static str,
    pub(super) body: Value,
    pub(super) at: Timestamp,
}

/// Reads one of the words that a field may hold.
fn word_of<'de, D: Deserializer<'de>>(from: D, words: &[&'static str]) -> Result<&'static str, D::Error> {
    let text = String::deserialize(from)?;
    let found = words.iter().find(|word| **word == text);
    found.copied().ok_or_else(|| D::Error::custom(format!("`{text}`: expected one of {}", words.join(", "))))
}

/// Returns the direction of an unassigned call in the spool of an earlier version, which did not write it.
fn inbound() -> Word {
    "inbound"
}

fn direction<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    word_of(from, &["inbound", "outbound"])
}

fn play_state<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    word_of(from, &["started", "done", "stopped", "failed"])
}

fn recording_state<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    word_of(from, &["started", "finished", "interrupted"])
}

impl Change {
    /// Returns the kind of change in one word, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Change::CallCreated { .. } => "call_created",
            Change::CallUnassigned { .. } => "call_unassigned",
            Change::CallStatus { .. } => "call_status",
            Change::Leg { .. } => "leg",
            Change::LegSeat { .. } => "leg_seat",
            Change::Parked { .. } => "parked",
            Change::Unparked { .. } => "unparked",
            Change::ActiveSpeaker { .. } => "active_speaker",
            Change::Play { .. } => "play",
            Change::Program { .. } => "program",
            Change::Gathered { .. } => "gathered",
            Change::Transfer { .. } => "transfer",
            Change::LegQuality { .. } => "leg_quality",
            Change::LegFlow { .. } => "leg_flow",
            Change::MediaTimeout { .. } => "media_timeout",
            Change::Recording { .. } => "recording",
            Change::RecordingSeated { .. } => "recording_seated",
            Change::RecordingPaused { .. } => "recording_paused",
            Change::Dtmf { .. } => "dtmf",
            Change::Translation { .. } => "translation",
        }
    }

    /// Returns the same beginning of a call without its texts, for a database that refused them, so that every call
    /// gets its row. `None` if this is no beginning of a call or has no texts.
    pub fn without_texts(&self) -> Option<Change> {
        let (call, at) = match self {
            Change::CallCreated { call, at } => (call, at),
            Change::CallUnassigned { call, at } => {
                let config = VoiceConfig::default();
                let (id, direction) = (call.id, call.direction);
                let bare = UnassignedCall { id, direction, from: None, to: String::new(), agent: None, config };
                return (bare != *call).then_some(Change::CallUnassigned { call: bare, at: *at });
            }
            _ => return None,
        };
        let bare = NewCall {
            mode: None,
            from: None,
            to: String::new(),
            agent: None,
            config: VoiceConfig::default(),
            ..call.clone()
        };
        (bare != *call).then_some(Change::CallCreated { call: bare, at: *at })
    }

    /// Returns the call that the change belongs to.
    pub fn call(&self) -> Uuid {
        match self {
            Change::CallCreated { call, .. } => call.id,
            Change::CallUnassigned { call, .. } => call.id,
            Change::CallStatus { call, .. }
            | Change::Leg { call, .. }
            | Change::LegSeat { call, .. }
            | Change::Parked { call, .. }
            | Change::Unparked { call, .. }
            | Change::ActiveSpeaker { call, .. }
            | Change::Play { call, .. }
            | Change::Program { call, .. }
            | Change::Gathered { call, .. }
            | Change::Transfer { call, .. }
            | Change::LegQuality { call, .. }
            | Change::LegFlow { call, .. }
            | Change::MediaTimeout { call, .. }
            | Change::Recording { call, .. }
            | Change::RecordingSeated { call, .. }
            | Change::RecordingPaused { call, .. }
            | Change::Dtmf { call, .. }
            | Change::Translation { call, .. } => *call,
        }
    }
}

/// Writes the rows of one change. Returns the events that announce it, in order.
pub(super) async fn apply(
    tx: &mut Tx,
    organization: OrganizationId,
    change: &Change,
) -> Result<Vec<Draft>, StoreError> {
    let draft = apply_rows(tx, organization, change).await?;
    let (joined, left) = apply_stays(tx, organization, change).await?;
    // A person who joins receives the call first; a person who leaves still receives the end of their leg.
    Ok(joined.into_iter().chain(draft).chain(left).collect())
}

/// Writes how one change affects who is in the call. Returns the events of a person joining and of a person leaving.
async fn apply_stays(
    tx: &mut Tx,
    organization: OrganizationId,
    change: &Change,
) -> Result<(Option<Draft>, Option<Draft>), StoreError> {
    let call = change.call();
    let draft = |kind, body, at| Draft { organization, call, kind, body, at };
    let (leg, at) = match change {
        Change::Leg { leg, state: LegState::Ended, at, .. } => (*leg, *at),
        // This comes before the end of the dialog: a party that was transferred away no longer hears or is heard.
        Change::Transfer { leg, stage: TransferStage::Done, at, .. } => (*leg, *at),
        Change::Leg { leg, agent: Some(agent), state, at, .. } => {
            stay::leg_set_in(tx, organization, call, *leg, agent).await?;
            if *state != LegState::Answered || !is_first_answer(tx, organization, call, *leg, *at).await? {
                return Ok((None, None));
            }
            stay::join_in(tx, organization, call, *leg, agent, *at).await?;
            let Some(shown) = call_load_in(tx, organization, call).await? else { return Ok((None, None)) };
            return Ok((Some(draft("call.joined", stay::joined_body(&shown, *leg, agent, *at), *at)), None));
        }
        Change::CallStatus { status: CallStatus::Ended | CallStatus::Failed, at, .. } => {
            stay::end_all_in(tx, organization, call, *at).await?;
            return Ok((None, None));
        }
        _ => return Ok((None, None)),
    };
    let left = stay::leave_in(tx, organization, call, leg, at).await?;
    Ok((None, left.map(|agent| draft("call.left", stay::left_body(call, leg, &agent, at), at))))
}

/// Returns whether the leg was answered at `at` for the first time, in a running call.
async fn is_first_answer(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    leg: u64,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS one FROM legs l JOIN calls c ON c.organization_id = l.organization_id AND c.id = l.call_id \
               WHERE l.organization_id = $1 AND l.call_id = $2 AND l.leg = $3 AND l.answered_at = $4 \
               AND l.ended_at IS NULL AND c.ended_at IS NULL";
    Ok(tx.row(sql, &[organization.into(), call.into(), leg.into(), at.into()]).await?.is_some())
}

/// Reads a call as it is now.
async fn call_load_in(tx: &mut Tx, organization: OrganizationId, call: Uuid) -> Result<Option<Call>, StoreError> {
    let sql = format!("SELECT {} FROM calls c WHERE c.organization_id = $1 AND c.id = $2", Call::columns("c"));
    let row = tx.row(AssertSqlSafe(sql), &[organization.into(), call.into()]).await?;
    let Some(mut call) = row.as_ref().map(call::call).transpose()? else { return Ok(None) };
    stay::people_fill_in(tx, organization, &mut call).await?;
    Ok(Some(call))
}

/// Writes the rows of the change except stays. Returns the event that announces it, if there is one.
async fn apply_rows(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<Option<Draft>, StoreError> {
    let call = change.call();
    let draft = |kind, body, at| Some(Draft { organization, call, kind, body, at });
    match change {
        Change::CallCreated { call: new, at } => {
            let shown = call_insert(tx, new, *at).await?;
            Ok(draft("call.created", json!({"type": "call.created", "call_id": call, "at": at, "call": shown}), *at))
        }
        // `record` has turned it into `CallCreated`.
        Change::CallUnassigned { .. } => Ok(None),
        Change::CallStatus { status, cause, at, .. } => {
            let updated = call_status_update(tx, organization, call, *status, cause.as_deref(), *at).await?;
            let Some(shown) = updated else { return Ok(None) };
            let body = json!({"type": "call.status", "call_id": call, "at": at, "status": status, "cause": cause,
                "call": shown});
            Ok(draft("call.status", body, *at))
        }
        Change::Leg { leg, role, state, peer, agent, codec, ending, at, .. } => {
            leg_upsert(tx, organization, change).await?;
            let body = json!({"type": "call.leg", "call_id": call, "at": at, "leg": leg, "role": role,
                "state": state, "peer": peer, "agent": agent, "codec": codec, "ending": ending});
            Ok(draft("call.leg", body, *at))
        }
        Change::LegSeat { leg, role, held, muted, holds, gain_db, supervises, at, .. } => {
            leg_seat_update(tx, organization, change).await?;
            let body = json!({"type": "call.seat", "call_id": call, "at": at, "leg": leg, "role": role, "held": held,
                "muted": muted, "holds": holds, "gain_db": gain_db, "supervises": supervises});
            Ok(draft("call.seat", body, *at))
        }
        Change::Parked { leg, slot, parked_by, until, at, .. } => {
            let body = json!({"type": "call.parked", "call_id": call, "at": at, "leg": leg, "slot": slot,
                "parked_by": parked_by, "until": until});
            Ok(draft("call.parked", body, *at))
        }
        Change::Unparked { leg, slot, why, at, .. } => {
            let body =
                json!({"type": "call.unparked", "call_id": call, "at": at, "leg": leg, "slot": slot, "why": why});
            Ok(draft("call.unparked", body, *at))
        }
        // Sent to current listeners only.
        Change::ActiveSpeaker { .. } => Ok(None),
        Change::Play { play, legs, state, note, at, .. } => {
            let body = json!({"type": "call.play", "call_id": call, "at": at, "play": play, "legs": legs,
                "state": state, "note": note});
            Ok(draft("call.play", body, *at))
        }
        Change::Program { leg, news, at, .. } => {
            let mut body = json!({"type": "call.program", "call_id": call, "at": at, "leg": leg});
            if let (Value::Object(body), Ok(Value::Object(news))) = (&mut body, serde_json::to_value(news)) {
                body.extend(news);
            }
            Ok(draft("call.program", body, *at))
        }
        Change::Gathered { gather, leg, digits, ended_by, enough, at, .. } => {
            let body = json!({"type": "call.gathered", "call_id": call, "at": at, "gather": gather, "leg": leg,
                "digits": digits, "ended_by": ended_by, "enough": enough});
            Ok(draft("call.gathered", body, *at))
        }
        Change::Transfer { leg, role, to, stage, cause, other, at, .. } => {
            let body = json!({"type": "call.transfer", "call_id": call, "at": at, "leg": leg, "role": role, "to": to,
                "stage": stage, "cause": cause, "other_call_id": other});
            Ok(draft("call.transfer", body, *at))
        }
        Change::LegQuality { leg, quality, .. } => {
            let text = json!(quality).to_string();
            leg_media_update(tx, organization, call, *leg, LegColumn::Quality, &text).await?;
            Ok(None)
        }
        Change::LegFlow { leg, role, flow, at, .. } => {
            leg_media_update(tx, organization, call, *leg, LegColumn::Flow, &json!(flow).to_string()).await?;
            let body = json!({"type": "call.flow", "call_id": call, "at": at, "leg": leg, "role": role, "flow": flow});
            Ok(draft("call.flow", body, *at))
        }
        Change::MediaTimeout { leg, role, after_s, at, .. } => {
            let body = json!({"type": "call.media_timeout", "call_id": call, "at": at, "leg": leg, "role": role,
                "after_s": after_s});
            Ok(draft("call.media_timeout", body, *at))
        }
        Change::Recording { file: PartId { number, part }, channels, state, note, duration_ms, at, .. } => {
            recording_upsert(tx, organization, change).await?;
            let channels: Vec<Value> = channels.iter().map(RecordedChannel::without_names).collect();
            let body = json!({"type": "call.recording", "call_id": call, "at": at, "number": number, "part": part,
                "state": state, "note": note, "duration_ms": duration_ms, "channels": channels});
            Ok(draft("call.recording", body, *at))
        }
        Change::RecordingSeated { file, channels, .. } => {
            recording::channels_update(tx, organization, call, *file, channels).await?;
            Ok(None)
        }
        Change::RecordingPaused { number, paused, at, .. } => {
            recording::gap_record(tx, organization, call, *number, (*paused, *at)).await?;
            let state = if *paused { "paused" } else { "resumed" };
            let body = json!({"type": "call.recording", "call_id": call, "at": at, "number": number, "state": state});
            Ok(draft("call.recording", body, *at))
        }
        Change::Dtmf { leg, digit, duration_ms, at, .. } => {
            let body = json!({"type": "call.dtmf", "call_id": call, "at": at, "leg": leg, "digit": digit,
                "duration_ms": duration_ms});
            Ok(draft("call.dtmf", body, *at))
        }
        Change::Translation { event, at, .. } => {
            let upserted = translation_upsert(tx, organization, call, event, *at).await?;
            Ok(upserted.and_then(|(kind, body)| draft(kind, body, *at)))
        }
    }
}

async fn call_insert(tx: &mut Tx, new: &NewCall, at: Timestamp) -> Result<Option<Call>, StoreError> {
    let sql = format!(
        "INSERT INTO calls (id, organization_id, status, direction, mode, from_address, to_address, agent, config, \
         created_at) VALUES ($1, $2, 'queued', $3, $4, $5, $6, $7, $8, $9) RETURNING {}",
        call::COLUMNS.join(", ")
    );
    let values = [
        new.id.into(),
        new.organization.into(),
        new.direction.into(),
        (&new.mode).into(),
        (&new.from).into(),
        (&new.to).into(),
        (&new.agent).into(),
        json!(new.config).to_string().into(),
        at.into(),
    ];
    let row = tx.row(AssertSqlSafe(sql), &values).await?;
    let Some(mut shown) = row.as_ref().map(call::call).transpose()? else { return Ok(None) };
    if let Some(agent) = &new.agent {
        stay::begin_in(tx, new.organization, new.id, agent, at).await?;
        shown.people.push(agent.clone());
    }
    Ok(Some(shown))
}

/// Returns the call as it is now, or `None` if it did not change because it has ended or already has this status.
async fn call_status_update(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    status: CallStatus,
    cause: Option<&str>,
    at: Timestamp,
) -> Result<Option<Call>, StoreError> {
    let answered = matches!(status, CallStatus::Answered | CallStatus::Bridged).then_some(at);
    let over = matches!(status, CallStatus::Ended | CallStatus::Failed).then_some(at);
    let sql = format!(
        "UPDATE calls SET status = $1, answered_at = COALESCE(answered_at, $2), ended_at = $3, ended_reason = $4 \
         WHERE organization_id = $5 AND id = $6 AND status NOT IN ('ended', 'failed') AND status <> $1 RETURNING {}",
        call::COLUMNS.join(", ")
    );
    let cause = over.and(cause);
    let values = [word(&status).into(), answered.into(), over.into(), cause.into(), organization.into(), call.into()];
    let row = tx.row(AssertSqlSafe(sql), &values).await?;
    let Some(mut shown) = row.as_ref().map(call::call).transpose()? else { return Ok(None) };
    match over {
        Some(at) => legs_close(tx, organization, call, cause, at).await?,
        None => stay::people_fill_in(tx, organization, &mut shown).await?,
    }
    Ok(Some(shown))
}

/// Closes the legs of an ended call whose own end was never reported: the call's task or the whole process failed.
async fn legs_close(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    cause: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE legs SET state = 'ended', ended_at = COALESCE(ended_at, $1), ending = COALESCE(ending, $2) \
               WHERE organization_id = $3 AND call_id = $4 AND state <> 'ended'";
    let ending = json!(ending_unreported(cause)).to_string();
    tx.run(sql, &[at.into(), ending.into(), organization.into(), call.into()]).await?;
    Ok(())
}

/// Derives how a leg ended from the cause of its call, if the leg's own end was never reported.
pub(super) fn ending_unreported(cause: Option<&str>) -> Ending {
    let known = cause.and_then(|cause| serde_json::from_value(json!(cause)).ok());
    let text = (cause == Some(CRASH)).then(|| "the server stopped while the call was running".to_owned());
    Ending { text, ..known.unwrap_or(HangupCause::Internal).into() }
}

/// Cause of calls that were running when the server was killed.
pub(super) const CRASH: &str = "crash";

async fn leg_upsert(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<(), StoreError> {
    let Change::Leg { call, leg, role, state, peer, codec, ending, at, .. } = change else { return Ok(()) };
    let sql = "INSERT INTO legs (organization_id, call_id, leg, role, state, peer, codec, created_at, answered_at, \
               ended_at, ending) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
               ON CONFLICT (organization_id, call_id, leg) DO UPDATE SET state = excluded.state, \
               peer = excluded.peer, codec = COALESCE(excluded.codec, legs.codec), \
               answered_at = COALESCE(legs.answered_at, excluded.answered_at), \
               ended_at = COALESCE(legs.ended_at, excluded.ended_at), \
               ending = COALESCE(legs.ending, excluded.ending)";
    let values = [
        organization.into(),
        (*call).into(),
        (*leg).into(),
        word(role).into(),
        word(state).into(),
        peer.into(),
        codec.into(),
        (*at).into(),
        (*state == LegState::Answered).then_some(*at).into(),
        (*state == LegState::Ended).then_some(*at).into(),
        (&ending.as_ref().map(|ending| json!(ending).to_string())).into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

/// Updates what a leg does. An unknown leg is ignored.
async fn leg_seat_update(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<(), StoreError> {
    let Change::LegSeat { call, leg, held, muted, holds, gain_db, supervises, .. } = change else { return Ok(()) };
    let sql = "UPDATE legs SET held = $1, muted = $2, supervises = $3, holds = $4, gain_db = $5 \
               WHERE organization_id = $6 AND call_id = $7 AND leg = $8";
    let supervises = supervises.map(|mode| json!(mode).to_string());
    let values = [
        (*held).into(),
        (*muted).into(),
        (&supervises).into(),
        (*holds).into(),
        i64::from(*gain_db).into(),
        organization.into(),
        (*call).into(),
        (*leg).into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

/// Column of a leg's media data.
#[derive(Clone, Copy)]
enum LegColumn {
    Quality,
    Flow,
}

async fn leg_media_update(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    leg: u64,
    column: LegColumn,
    text: &str,
) -> Result<(), StoreError> {
    let sql = match column {
        LegColumn::Quality => "UPDATE legs SET quality = $1 WHERE organization_id = $2 AND call_id = $3 AND leg = $4",
        LegColumn::Flow => "UPDATE legs SET flow = $1 WHERE organization_id = $2 AND call_id = $3 AND leg = $4",
    };
    tx.run(sql, &[text.into(), organization.into(), call.into(), leg.into()]).await?;
    Ok(())
}

/// Returns the report that is sent to current listeners and not stored: media quality or active speaker.
pub(super) fn leg_report(organization: OrganizationId, change: &Change) -> Option<LegReport> {
    let (kind, call, body) = match change {
        Change::LegQuality { call, leg, role, quality, at } => {
            let body = json!({"type": "call.quality", "call_id": call, "at": at, "leg": leg, "role": role,
                "quality": quality});
            ("call.quality", call, body)
        }
        Change::ActiveSpeaker { call, leg, role, active, at } => {
            let body = json!({"type": "call.active_speaker", "call_id": call, "at": at, "leg": leg, "role": role,
                "active": active});
            ("call.active_speaker", call, body)
        }
        _ => return None,
    };
    Some(LegReport { organization, call: *call, kind, body: body.to_string().into() })
}

async fn recording_upsert(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<(), StoreError> {
    let Change::Recording { call, file, of_leg, channels, path, state, note, duration_ms, at } = change else {
        return Ok(());
    };
    let sql = "INSERT INTO recordings (organization_id, call_id, number, part, path, state, note, duration_ms, started_at, \
               ended_at, of_leg, channels) VALUES ($1, $2, $9, $10, $3, $4, $5, $6, $7, $8, $11, $12) \
               ON CONFLICT (organization_id, call_id, number, part) DO UPDATE SET path = excluded.path, \
               state = excluded.state, note = excluded.note, duration_ms = excluded.duration_ms, \
               ended_at = excluded.ended_at, channels = excluded.channels";
    let values = [
        organization.into(),
        (*call).into(),
        path.into(),
        (*state).into(),
        note.into(),
        (*duration_ms).into(),
        (*at).into(),
        (*state != "started").then_some(*at).into(),
        file.number.into(),
        file.part.into(),
        of_leg.and_then(|leg| i64::try_from(leg).ok()).into(),
        json!(channels).to_string().into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

/// Stores the segment's state and returns its event, whose kind says what is new. `None` if a partial text came after
/// the final text of its segment.
async fn translation_upsert(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    event: &TranslationEvent,
    at: Timestamp,
) -> Result<Option<(&'static str, Value)>, StoreError> {
    let sql =
        "SELECT final, translation FROM translations WHERE organization_id = $1 AND call_id = $2 AND segment = $3";
    let before = tx.row(sql, &[organization.into(), call.into(), event.segment.into()]).await?;
    let (was_final, was_translated) = match &before {
        Some(row) => (row.bool("final")?, row.text_opt("translation")?.is_some()),
        None => (false, false),
    };
    let kind = match (event.is_final, event.translation.is_some()) {
        (false, _) if was_final => return Ok(None),
        (false, _) => "translation.partial",
        (true, true) if !was_translated => "translation.translation",
        (true, false) if !was_final => "translation.final",
        (true, _) => "translation.lag",
    };
    let times = translation::speech_times(event, at);
    let body = translation::body(call, event, times);
    let sql = "INSERT INTO translations (organization_id, call_id, segment, event_id, final, text, translation, body) \
               VALUES ($1, $2, $3, 0, $4, $5, $6, $7) \
               ON CONFLICT (organization_id, call_id, segment) DO UPDATE SET final = excluded.final, \
               text = excluded.text, translation = excluded.translation, body = excluded.body";
    let values = [
        organization.into(),
        call.into(),
        event.segment.into(),
        event.is_final.into(),
        (&event.text).into(),
        (&event.translation).into(),
        body.to_string().into(),
    ];
    tx.run(sql, &values).await?;
    if event.is_final && !was_final && !event.text.is_empty() {
        transcript::live_insert_in(tx, organization, call, event, times.0.unwrap_or(at)).await?;
    }
    if event.is_final && !was_final {
        missed::insert_in(tx, organization, call, event, times).await?;
    }
    Ok(Some((kind, body)))
}
