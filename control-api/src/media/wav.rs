//! Head of a recording: a 16-bit WAV file whose sizes are set only when it is finished.
//!
//! ```text
//! RIFF size WAVE │ fmt … │ other chunks … │ data size │ samples
//! ```
//!
//! The files are created by Tandem, but a disk may have damaged them, so nothing here panics.

use crate::engine::{CHANNELS_MAX, SampleRate};

/// Number of bytes that contain the chunks before the samples.
pub(crate) const HEAD_MAX: u64 = 4096;

/// Iterator over the chunks of a head.
struct Chunks<'h> {
    head: &'h [u8],
    at: usize,
}

fn word(head: &[u8], at: usize) -> Option<[u8; 4]> {
    head.get(at..at.checked_add(4)?)?.try_into().ok()
}

/// Returns the chunks of a WAV file, or `None` for another file.
fn chunks(head: &[u8]) -> Option<Chunks<'_>> {
    let is_wav = word(head, 0)? == *b"RIFF" && word(head, 8)? == *b"WAVE";
    is_wav.then_some(Chunks { head, at: 12 })
}

impl Iterator for Chunks<'_> {
    /// Name of a chunk, and the offset of its content.
    type Item = ([u8; 4], usize);

    fn next(&mut self) -> Option<Self::Item> {
        let name = word(self.head, self.at)?;
        let size = u32::from_le_bytes(word(self.head, self.at + 4)?);
        let content = self.at + 8;
        // Chunks are padded to an even length.
        self.at = content.saturating_add(size as usize).saturating_add((size & 1) as usize);
        Some((name, content))
    }
}

/// Format of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Frames per second.
    pub(crate) rate: SampleRate,
    /// Number of 16-bit samples per frame, at least one.
    pub(crate) channels: usize,
    /// Offset of the samples in bytes.
    pub(crate) data_at: u64,
}

/// Returns the format of a 16-bit WAV file, or `None` if it is not one that Tandem writes.
pub(crate) fn format(head: &[u8]) -> Option<Format> {
    let mut found = None;
    for (name, content) in chunks(head)? {
        match &name {
            b"fmt " => {
                let [_, _, channels, more] = word(head, content)?;
                let bits = head.get(content + 14..content + 16)?;
                if channels == 0 || usize::from(channels) > CHANNELS_MAX || more != 0 || bits != [16, 0] {
                    return None;
                }
                let rate = SampleRate::from_hz(u32::from_le_bytes(word(head, content + 4)?))?;
                found = Some((rate, channels.into()));
            }
            b"data" => {
                let (rate, channels) = found?;
                return Some(Format { rate, channels, data_at: content as u64 });
            }
            _ => {}
        }
    }
    None
}

/// Sets the sizes in the head of an unfinished file to its current `length` in bytes, so that a player plays all of it. A head
/// that is not WAV stays unchanged.
pub(crate) fn complete(head: &mut [u8], length: u64) {
    let data = chunks(head).and_then(|mut chunks| chunks.find(|(name, _)| name == b"data"));
    let Some((_, content)) = data else { return };
    for (place, begins) in [(4, 8), (content - 4, content as u64)] {
        let size = u32::try_from(length.saturating_sub(begins)).unwrap_or(u32::MAX);
        head[place..place + 4].copy_from_slice(&size.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0LIST\x03\0\0\0abc\0data\0\0\0\0";

    #[test]
    fn an_unfinished_head_is_completed_and_contains_its_rate() {
        let mut head = HEAD.to_vec();
        complete(&mut head, 1_000_000);
        assert_eq!(head[4..8], 999_992u32.to_le_bytes());
        assert_eq!(head[head.len() - 4..], (1_000_000 - head.len() as u32).to_le_bytes());
        let format = format(&head).expect("a recording");
        assert_eq!((format.rate, format.channels, format.data_at), (SampleRate::HZ_8000, 2, HEAD.len() as u64));
    }

    #[test]
    fn files_that_are_not_recordings_have_no_format() {
        let altered = |at: usize, byte: u8| {
            let mut head = HEAD.to_vec();
            head[at] = byte;
            head
        };
        for (what, head) in [
            ("no channel", altered(22, 0)),
            ("more channels than a recording has", altered(22, 17)),
            ("8 bits", altered(34, 8)),
            ("an unsupported rate", altered(25, 0x77)),
            ("no RIFF", altered(0, b'X')),
            ("no samples", HEAD[..HEAD.len() - 8].to_vec()),
        ] {
            assert_eq!(format(&head), None, "{what}");
        }
    }

    /// Seeded and bounded: no bytes cause a panic.
    #[test]
    fn damaged_heads_never_panic() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand::rngs::SmallRng::seed_from_u64(3);
        for _ in 0..20_000 {
            let mut head = HEAD.to_vec();
            for _ in 0..rng.random_range(0..6) {
                let at = rng.random_range(0..head.len());
                head[at] = rng.random();
            }
            head.truncate(rng.random_range(0..=head.len()));
            let before = head.len();
            complete(&mut head, rng.random());
            format(&head);
            assert_eq!(head.len(), before);
        }
    }
}
