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
//! # For the driver
//!
//! An effect that takes time carries a [`Ticket`]. The driver starts the action, and answers with the same ticket when it has
//! ended. [`Effect::Stop`] closes a ticket at once: stop the action, and send no answer. Answers to closed tickets are ignored,
//! so that a driver need not guard against races.
//!
//! - [`Effect::Play`]: play the sound to the caller. Answer: [`Input::Played`].
//! - [`Effect::Gather`]: play the prompts in turn, and collect digits from the caller. With `barge_in`, a key ends the prompts and
//!   counts; otherwise keys count from the end of the prompts. The first timeout starts there too. Answer: [`Input::Gathered`].
//! - [`Effect::RecordMessage`]: beep if wanted, then record only the caller, until silence, the finish key, or the maximum length.
//!   Answer: [`Input::RecordEnded`].
//! - [`Effect::Record`]: start a separate recording, which continues beside the program. Answer: [`Input::RecordEnded`], only if it
//!   ends by itself.
//! - [`Effect::PauseRecording`]: pause that recording, or resume it. No answer.
//! - [`Effect::SetLanguage`]: translate for the caller from and into this language, if the call is translated. No answer.
//! - [`Effect::Dial`]: call the targets in turn, each for the ring time, while the caller hears ring-back; join the first that
//!   answers with the caller. Answer: [`Input::Dialled`] with `Failed`, or with `Answered` and later `Ended`, when the dialled party
//!   has left and the caller is still there.
//! - [`Effect::LeaveMessage`]: wait for the end of a voicemail's greeting and its beep, then play the message. With `for_machine`, a
//!   person who speaks meanwhile ends it. Answer: [`Input::MessageLeft`].
//! - [`Effect::Transfer`]: call the targets in turn, and hand the caller to the first that answers. Answer: [`Input::Transferred`].
//! - [`Effect::Fetch`]: POST the payload as a JSON object, and return the whole body of a 200. Answer: [`Input::Fetched`].
//! - [`Effect::Stop`]: stop the ticket's action: silence a sound, drop a collection or a request, end a recording, hang up the
//!   dialled party. No answer.
//! - [`Effect::HangUp`]: hang up the caller. No answer.
//! - [`Effect::Tell`]: report the progress of the program to the control plane. No answer.
//! - [`Effect::Done`]: drop the script; this was its last effect. No answer.
//!
//! Rules for the driver:
//!
//! - The effects of one input are carried out in order.
//! - Read a body up to [`Limits::program_bytes`] plus one byte: a longer one is refused here, with the same error.
//! - A message recording that ends because the caller hung up is answered with [`RecordEnd::FarEndGone`] and its duration, before
//!   or instead of [`Input::FarEndGone`].
//! - [`Input::Withdrawn`] takes the program away: the call has ended, or another part of the system decides about the caller from
//!   now on.
//! - A fetch follows no redirect: a redirect is a status other than 200.
//! - [`Input::Withdrawn`] stops a dial like everything else. If the dialled party is to stay with the caller, ignore that stop.
//! - The driver decides which media, numbers and addresses an organization may use: here, only their form is checked.
//!
//! Invariants (`tests/model`): a script ends, and reports so once, with its last effect; after that, no ticket is open and no
//! input has an effect; two blocking effects are never open at the same time; each step that was reported as started is reported
//! as ended. Not here: media, legs, HTTP, files.

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
pub use input::{DialOutcome, FetchFailure, GatherEnd, Input, MessageEnd, PlayEnd, RecordEnd};
pub use limits::{
    DIGITS_MAX, LABELS_MAX, Limits, MESSAGE_S_MAX, PAUSE_MS_MAX, PAYLOAD_MAX, PROGRAM_BYTES, PROMPTS_MAX, STEPS_MAX,
    TEXT_MAX, TONE_MS_MAX, TONES_MAX, URL_MAX, VALUE_MAX, VARIABLES_MAX,
};
pub use parse::ProgramError;
pub use program::{Program, Target};
pub use run::{Script, Start};
pub use text::{BadName, Name, TooMany, Variables};
