//! Sound files: an organization's prompts, heads of WAV files, and two channels mixed from many.

pub(crate) mod mixdown;
pub(crate) mod sound;
pub(crate) mod wav;
