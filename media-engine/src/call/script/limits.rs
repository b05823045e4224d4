//! How large a program may be, and how much it may do.

use std::time::Duration;

/// Longest program, in bytes of JSON.
pub const PROGRAM_BYTES: usize = 64 * 1_024;
/// Most steps of one program.
pub const STEPS_MAX: usize = 256;
/// Most labels of one program.
pub const LABELS_MAX: usize = 128;
/// How deep the JSON of a program may be nested: the frequencies of a tone in a prompt of a gather are as deep.
pub(super) const DEPTH_MAX: u8 = 8;
/// Longest text that is spoken, as written and as substituted, in characters.
pub const TEXT_MAX: usize = 1_000;
/// Most prompts of one gather.
pub const PROMPTS_MAX: usize = 16;
/// Most digits of one gather.
pub const DIGITS_MAX: u8 = 64;
/// Most tones that sound together.
pub const TONES_MAX: usize = 4;
/// Longest tone.
pub const TONE_MS_MAX: u32 = 10_000;
/// Longest pause.
pub const PAUSE_MS_MAX: u32 = 60_000;
/// Longest message.
pub const MESSAGE_S_MAX: u32 = 3_600;
/// Most fields of a webhook's payload.
pub const PAYLOAD_MAX: usize = 32;
/// Longest URL, in bytes.
pub const URL_MAX: usize = 2_048;
/// Most variables at once.
pub const VARIABLES_MAX: usize = 64;
/// Longest value of a variable or of a payload's field, in characters; longer ones are cut.
pub const VALUE_MAX: usize = 256;
/// Longest name of a variable or label.
pub(super) const NAME_MAX: usize = 32;

/// What a script may do in its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps, over all its programs.
    pub steps: u32,
    /// Steps within one second: a loop in which no time passes has more.
    pub burst: u32,
    /// Its time, without the time in which the caller talks with somebody who was dialled.
    pub time: Duration,
    /// Programs that it fetches.
    pub fetches: u32,
    /// How long the server of programs may take for one.
    pub fetch: Duration,
    /// Longest program that is fetched; never more than [`PROGRAM_BYTES`].
    pub program_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            steps: 2_000,
            burst: 200,
            time: Duration::from_secs(3_600),
            fetches: 50,
            fetch: Duration::from_secs(2),
            program_bytes: PROGRAM_BYTES,
        }
    }
}
