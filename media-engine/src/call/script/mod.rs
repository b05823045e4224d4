//! Call programs: a JSON list of steps, and the pure machine that runs it for one caller.
//!
//! ```text
//! bytes ─ Program::parse ─▶ Program ─ Script::new(Start, now) ─▶ Script
//!
//! Script::handle(Input, now) -> effects           Script::poll_timeout() -> when Input::Timeout is due
//!
//!           ┌─────────────── webhook: the answer is the next program ───────────────┐
//!           ▼                                                                       │
//!   step ─ instant ─▶ next step …  ─ blocking ─▶ one open ticket ─ its answer ─▶ next step or branch ─▶ Done, once
//! ```
//!
//! # For whoever drives it
//!
//! An effect that takes time carries a [`Ticket`]. The driver begins it, and answers with the same ticket when it has ended.
//! [`Effect::Stop`] closes a ticket at once: end what it names, and answer nothing. Answers to closed tickets are ignored, so that
//! a driver need not guard against races.
//!
//! | effect | to be done | answered by |
//! |---|---|---|
//! | [`Effect::Play`] | play the sound to the caller | [`Input::Played`] |
//! | [`Effect::Gather`] | play the prompts in turn, collect digits from the caller; with `barge_in` a key ends the prompts and counts, else keys count from the prompts' end on; the first timeout begins there too | [`Input::Gathered`] |
//! | [`Effect::RecordMessage`] | beep if wanted, then record the caller alone, until silence, the key, or the longest time | [`Input::RecordEnded`] |
//! | [`Effect::Record`] | begin a recording of its own, which goes on while the program does | [`Input::RecordEnded`], only if it ends by itself |
//! | [`Effect::PauseRecording`] | leave a gap in that recording, or go on with it | – |
//! | [`Effect::Dial`] | call the targets in turn, each for the ring time; the caller hears ring-back. Join the first that answers with the caller | [`Input::Dialled`]: `Failed`, or `Answered` and later `Ended` when the dialled party has left and the caller is still there |
//! | [`Effect::Transfer`] | call the targets in turn, and give the caller to the first that answers | [`Input::Transferred`] |
//! | [`Effect::Fetch`] | POST the payload as a JSON object; give back the whole body of a 200 | [`Input::Fetched`] |
//! | [`Effect::Stop`] | end what the ticket names: silence a sound, drop a collection or a request, end a recording, hang up who was dialled | – |
//! | [`Effect::HangUp`] | hang up the caller | – |
//! | [`Effect::Tell`] | tell the control plane how far the program is | – |
//! | [`Effect::Done`] | drop the script: it was the last effect | – |
//!
//! - The effects of one input are carried out in their order.
//! - A body is read up to [`Limits::program_bytes`] and one byte more: a longer one is refused here, with the same words.
//! - A recording of a message that ends because the caller hung up is answered with [`RecordEnd::FarEndGone`] and its duration, before
//!   or instead of [`Input::FarEndGone`].
//! - [`Input::Withdrawn`] takes the program away: the call has ended, or somebody else decides about the caller from now on.
//! - A fetch follows no redirect: that is another status than 200.
//! - [`Input::Withdrawn`] stops a dial as everything else. Where the dialled party is to stay with the caller, leave that stop out.
//! - Which media, numbers and addresses an organization may use is decided by the driver: here they have a form, no more.
//!
//! Invariants (`tests/model`): a script ends, and says so once, as its last effect; then no ticket is open and no input has an effect;
//! at no time are two blocking effects open; each step that was told as started is told as ended. Not here: media, legs, HTTP, files.

mod effect;
mod fuzz;
mod input;
mod limits;
mod parse;
mod program;
mod run;
mod steps;
mod text;

#[cfg(test)]
mod tests;

pub use effect::{
    Bound, Effect, Ended, GatherBranch, GatherRules, MessageRules, Notice, Sound, StepAt, StepEnd, Ticket, Verb,
};
pub use fuzz::fuzz_program;
pub use input::{DialOutcome, FetchFailure, GatherEnd, Input, PlayEnd, RecordEnd};
pub use limits::{
    DIGITS_MAX, LABELS_MAX, Limits, MESSAGE_S_MAX, PAUSE_MS_MAX, PAYLOAD_MAX, PROGRAM_BYTES, PROMPTS_MAX, STEPS_MAX,
    TEXT_MAX, TONE_MS_MAX, TONES_MAX, URL_MAX, VALUE_MAX, VARIABLES_MAX,
};
pub use parse::ProgramError;
pub use program::{Program, Target};
pub use run::{Script, Start};
pub use text::{BadName, Name, TooMany, Variables};
