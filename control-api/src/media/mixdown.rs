//! Mixdown of a recording with more than two channels for players: what customers say on the left, what all other parties say on the
//! right. What a party hears is not played: it consists of the same voices.
//!
//! ```text
//! file: head │ c0 c1 … cN │ c0 c1 … cN │ …   ─▶   head of 44 bytes │ left right │ left right │ …
//! ```
//!
//! It is computed range by range while it is sent. The source of a byte of the result does not depend on the bytes before it.

use std::io::SeekFrom;
use std::ops::RangeInclusive;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::engine::SampleRate;
use crate::media::wav::{self, Format};
use crate::store::RecordedChannel;

/// Size of the head, in bytes.
const HEAD: u64 = 44;
/// Size of a frame, in bytes: left and right with 16 bits each.
const FRAME: u64 = 4;
/// Number of frames that are read at a time.
const BLOCK: u64 = 4_096;

/// Mapping of a file to two channels.
pub(crate) struct Mixdown {
    format: Format,
    frames: u64,
    /// Gains of each channel on the left and on the right: 0 or 1.
    gains: Vec<[i32; 2]>,
}

impl Mixdown {
    /// Returns the mixdown of a file of `length` bytes with this head, or `None` if it is played unchanged. A channel without a
    /// leg is silent.
    pub(crate) fn of(head: &[u8], length: u64, channels: &[RecordedChannel]) -> Option<Mixdown> {
        let format = wav::format(head).filter(|format| format.channels > 2)?;
        let frames = length.saturating_sub(format.data_at) / (2 * format.channels as u64);
        let gains = (0..format.channels).map(|at| {
            let mut of_channel = channels.iter().filter(|one| one.channel as usize == at).peekable();
            if of_channel.peek().is_some_and(|one| one.heard) {
                [0, 0]
            } else if of_channel.any(|one| one.role == "customer") {
                [1, 0]
            } else {
                [0, 1]
            }
        });
        Some(Mixdown { format, frames, gains: gains.collect() })
    }

    /// Returns the size of the result, in bytes.
    pub(crate) fn length(&self) -> u64 {
        HEAD + self.frames * FRAME
    }

    /// Returns this range of bytes of the result.
    pub(crate) async fn body(self, mut file: File, range: RangeInclusive<u64>) -> std::io::Result<Body> {
        let head = head(self.format.rate, self.frames);
        let from = (*range.start()).min(HEAD) as usize;
        let to = (range.end() + 1).min(HEAD).max(from as u64) as usize;
        let first = Bytes::copy_from_slice(&head[from..to]);
        let data = range.start().saturating_sub(HEAD)..(range.end() + 1).saturating_sub(HEAD);
        let frame = data.start / FRAME;
        file.seek(SeekFrom::Start(self.format.data_at + frame * self.frame_bytes())).await?;
        let rest = Rest { mixdown: self, file, frame, data };
        let rest = stream::unfold(rest, |mut rest| async move {
            let bytes = rest.next().await.transpose()?;
            Some((bytes, rest))
        });
        Ok(Body::from_stream(stream::StreamExt::chain(stream::iter((!first.is_empty()).then_some(Ok(first))), rest)))
    }

    fn frame_bytes(&self) -> u64 {
        2 * self.format.channels as u64
    }

    /// Mixes complete frames of the file into frames of two channels.
    fn mix(&self, frames: &[u8]) -> Vec<u8> {
        let mut mixed = Vec::with_capacity(frames.len() / self.format.channels * 2);
        for frame in frames.chunks_exact(2 * self.format.channels) {
            let mut sides = [0i32; 2];
            for (sample, gains) in frame.chunks_exact(2).zip(&self.gains) {
                let sample = i32::from(i16::from_le_bytes([sample[0], sample[1]]));
                sides.iter_mut().zip(gains).for_each(|(side, gain)| *side += gain * sample);
            }
            for side in sides {
                let sample = side.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
                mixed.extend(sample.to_le_bytes());
            }
        }
        mixed
    }
}

/// Samples that are still to be sent.
struct Rest {
    mixdown: Mixdown,
    file: File,
    /// Next frame to read.
    frame: u64,
    /// Range of bytes within the samples of the result.
    data: std::ops::Range<u64>,
}

impl Rest {
    /// Returns the next bytes, or `None` at the end.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let frames = (self.data.end.div_ceil(FRAME) - self.frame).min(BLOCK);
        let mut block = vec![0; (frames * self.mixdown.frame_bytes()) as usize];
        self.file.read_exact(&mut block).await?;
        let skipped = self.data.start - self.frame * FRAME;
        let until = (self.data.end - self.frame * FRAME).min(frames * FRAME);
        self.frame += frames;
        self.data.start = (self.frame * FRAME).min(self.data.end);
        Ok(Some(Bytes::from(self.mixdown.mix(&block)).slice(skipped as usize..until as usize)))
    }
}

/// Returns the head of a WAV file with two channels of 16 bits.
fn head(rate: SampleRate, frames: u64) -> [u8; HEAD as usize] {
    let size = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut head = [0; HEAD as usize];
    let data = frames * FRAME;
    let (frame, format, channels, bits) = (FRAME as u16, 1u16, 2u16, 16u16);
    let pieces: [&[u8]; 13] = [
        b"RIFF",
        &size(data + HEAD - 8),
        b"WAVE",
        b"fmt ",
        &size(16),
        &format.to_le_bytes(),
        &channels.to_le_bytes(),
        &rate.hz().to_le_bytes(),
        &size(u64::from(rate.hz()) * FRAME),
        &frame.to_le_bytes(),
        &bits.to_le_bytes(),
        b"data",
        &size(data),
    ];
    let mut at = 0;
    for piece in pieces {
        head[at..at + piece.len()].copy_from_slice(piece);
        at += piece.len();
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::now;

    fn channel(channel: u32, role: &str) -> RecordedChannel {
        let (role, peer) = (role.to_owned(), String::new());
        let leg = u64::from(channel);
        RecordedChannel { channel, leg, heard: false, role, peer, agent: None, from: now(), until: None }
    }

    /// Creates a file with four channels and this many frames, in which each sample shows its position, and returns its mixdown. The
    /// last channel is what the agent hears.
    async fn file(folder: &std::path::Path, frames: i16) -> (Mixdown, File) {
        let path = folder.join("call.wav");
        let mut bytes = head(SampleRate::HZ_8000, 0).to_vec();
        bytes[22] = 4;
        for frame in 0..frames {
            for sample in [frame, 2 * frame, 30_000, 12_345] {
                bytes.extend(sample.to_le_bytes());
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let heard = RecordedChannel { heard: true, ..channel(3, "agent") };
        let channels = [channel(0, "customer"), channel(1, "agent"), channel(2, "customer"), heard];
        let mixdown = Mixdown::of(&bytes[..44], bytes.len() as u64, &channels).unwrap();
        (mixdown, File::open(&path).await.unwrap())
    }

    async fn bytes_of(folder: &std::path::Path, range: RangeInclusive<u64>) -> Vec<u8> {
        let (mixdown, file) = file(folder, 10_000).await;
        let body = mixdown.body(file, range).await.unwrap();
        axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn customers_are_on_the_left_and_all_others_on_the_right() {
        let folder = tempfile::tempdir().unwrap();
        let (mixdown, _) = file(folder.path(), 10_000).await;
        assert_eq!(mixdown.length(), 44 + 40_000);
        let whole = bytes_of(folder.path(), 0..=40_043).await;
        let format = wav::format(&whole).unwrap();
        assert_eq!((format.channels, format.data_at, whole.len()), (2, 44, 40_044));
        let sample = |at: usize| i16::from_le_bytes([whole[44 + 2 * at], whole[45 + 2 * at]]);
        for frame in [0, 1, 4_095, 4_096, 9_999] {
            let expected = (frame as i16).saturating_add(30_000);
            assert_eq!((sample(2 * frame), sample(2 * frame + 1)), (expected, 2 * frame as i16), "frame {frame}");
        }
    }

    #[tokio::test]
    async fn any_range_equals_that_part_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let whole = bytes_of(folder.path(), 0..=40_043).await;
        for range in
            [0..=0, 0..=43, 10..=44, 43..=45, 44..=44, 45..=51, 16_427..=16_430, 30_001..=40_043, 40_043..=40_043]
        {
            let wanted = &whole[*range.start() as usize..=*range.end() as usize];
            assert_eq!(bytes_of(folder.path(), range.clone()).await, wanted, "{range:?}");
        }
    }

    #[test]
    fn two_channels_are_played_unchanged() {
        let stereo = head(SampleRate::HZ_8000, 10);
        assert!(Mixdown::of(&stereo, 84, &[]).is_none());
        assert!(Mixdown::of(b"no recording", 12, &[]).is_none());
    }
}
