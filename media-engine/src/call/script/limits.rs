//! Limits on the size of a program, and on what it may do.

use std::time::Duration;

/// Maximum size of a program, in bytes of JSON.
pub const PROGRAM_BYTES: usize = 64 * 1_024;
/// Maximum number of steps in one program.
pub const STEPS_MAX: usize = 256;
/// Maximum number of labels in one program.
pub const LABELS_MAX: usize = 128;
/// Maximum nesting depth of a program's JSON: as deep as the frequencies of a tone in a prompt of a gather.
pub(super) const DEPTH_MAX: u8 = 8;
/// Maximum length of a spoken text, as written and as substituted, in characters.
pub const TEXT_MAX: usize = 1_000;
/// Maximum number of prompts in one gather.
pub const PROMPTS_MAX: usize = 16;
/// Maximum number of digits in one gather.
pub const DIGITS_MAX: u8 = 64;
/// Maximum number of tones that sound together.
pub const TONES_MAX: usize = 4;
/// Maximum length of a tone, in milliseconds.
pub const TONE_MS_MAX: u32 = 10_000;
/// Maximum length of a pause, in milliseconds.
pub const PAUSE_MS_MAX: u32 = 60_000;
/// Maximum length of a message, in seconds.
pub const MESSAGE_S_MAX: u32 = 3_600;
/// Maximum number of fields in a webhook's payload.
pub const PAYLOAD_MAX: usize = 32;
/// Maximum length of a URL, in bytes.
pub const URL_MAX: usize = 2_048;
/// Maximum number of variables at once.
pub const VARIABLES_MAX: usize = 64;
/// Maximum length of a variable's value or a payload field, in characters; longer values are cut.
pub const VALUE_MAX: usize = 256;
/// Maximum length of the name of a variable or label, in characters.
pub(super) const NAME_MAX: usize = 32;

/// Limits on a script over its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of steps, over all its programs.
    pub steps: u32,
    /// Maximum number of steps within one second; a loop in which no time passes exceeds it.
    pub burst: u32,
    /// Maximum running time, not counting the time in which the caller talks with a dialled party.
    pub time: Duration,
    /// Maximum number of programs that it fetches.
    pub fetches: u32,
    /// Time in which the program server must answer one fetch.
    pub fetch: Duration,
    /// Maximum size of a fetched program in bytes; never more than [`PROGRAM_BYTES`].
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
