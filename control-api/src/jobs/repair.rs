//! Recognises segments that live recognition missed from the recording, and translates them if the call was translated.
//!
//! ```text
//! missed_list ─▶ samples from the WAV, with a margin ─▶ recogniser ─ text ─▶ translator ─▶ missed_resolve
//!                                                            └─ failed ─▶ missed_try_failed, at most TRIES
//! ```
//!
//! Invariants: while there is no recogniser or translator, no try is counted; a segment at which recognition fails is given up after
//! [`TRIES`]; a text that the translator refuses is kept without a translation.

use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::engine::translation::glossary::Glossary;
use crate::engine::translation::lexicon::is_same as is_same_language;
use crate::engine::{Providers, SampleRate, SpeechError};
use crate::media::wav;
use crate::store::{LateText, MissedSegment, OrganizationId, Store, StoreError};

/// Segments per job: few enough for its lease, even if each takes as long as it may.
const SEGMENTS: u32 = 12;
/// Largest number of tries per segment.
const TRIES: u32 = 3;
/// Audio added before and after the speech: words begin softly, and live times are later than those of the recording by
/// the delay of the jitter buffer.
const MARGIN: SignedDuration = SignedDuration::from_millis(400);

/// Recognises a bounded number of a tenant's segments, oldest first. Returns the result in words.
pub(super) async fn run(
    store: &Store,
    providers: Option<&Providers>,
    organization: OrganizationId,
) -> Result<String, StoreError> {
    store.missed_unrecorded_give_up(organization).await?;
    let segments = store.missed_list(organization, SEGMENTS).await?;
    let glossary =
        if segments.is_empty() { Arc::default() } else { store.glossary_show(organization).await?.for_calls() };
    let (mut heard, mut failed) = (0, 0);
    for (done, segment) in segments.iter().enumerate() {
        let Some(providers) = providers else {
            return Ok(format!("no recogniser: {} segments waiting", segments.len()));
        };
        match recognise(providers, &glossary, segment).await {
            Ok(late) => {
                heard += usize::from(!late.text.is_empty());
                count(if late.text.is_empty() { "nothing_heard" } else { "heard" });
                store.missed_resolve(organization, segment, &late).await?;
            }
            Err(Problem::NoProvider(why)) => {
                let waiting = segments.len() - done;
                return Ok(format!("{heard} segments recognised, {failed} failed, {waiting} waiting: {why}"));
            }
            Err(Problem::Failed(why)) => {
                failed += 1;
                count("failed");
                let given_up = store.missed_try_failed(organization, segment, TRIES).await?;
                tracing::warn!(call = %segment.call, segment = segment.segment, why, given_up, "a missed segment was not recognised");
            }
        }
    }
    Ok(format!("{heard} segments recognised, {failed} failed"))
}

fn count(result: &'static str) {
    metrics::counter!("tandem_segments_repaired_total", "result" => result).increment(1);
}

/// Reason why a segment still has no words.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// The provider is not available; this does not count as a try.
    NoProvider(String),
    /// Recognition failed; this counts as a try.
    Failed(String),
}

/// Recognises a segment, and translates its text if the call was translated.
async fn recognise(providers: &Providers, glossary: &Glossary, segment: &MissedSegment) -> Result<LateText, Problem> {
    let cut = segment_samples(segment)
        .await
        .map_err(|error| Problem::Failed(format!("the recording cannot be read: {error}")))?;
    let (rate, samples) = cut;
    let text = match providers.recognise(&samples, rate, &segment.language, &glossary.hints(&segment.language)).await {
        Ok(recognised) => recognised.text.trim().to_owned(),
        Err(SpeechError::Unavailable(why)) => return Err(Problem::NoProvider(why)),
        Err(error) => return Err(Problem::Failed(error.to_string())),
    };
    let translation = match &segment.translate_to {
        Some(to) if !text.is_empty() && !is_same_language(&segment.language, to) => {
            let text = glossary.applied(&text, &segment.language, to);
            match providers.translator.translate(&text, &segment.language, to).await {
                Ok(translation) => Some(translation),
                Err(SpeechError::Unavailable(why)) => return Err(Problem::NoProvider(why)),
                Err(error) => {
                    tracing::warn!(call = %segment.call, segment = segment.segment, %error, "a late text is not translated");
                    None
                }
            }
        }
        _ => None,
    };
    Ok(LateText { text, translation })
}

/// Reads the segment's audio, with its margins, from the speaker's channel.
async fn segment_samples(segment: &MissedSegment) -> std::io::Result<(SampleRate, Vec<i16>)> {
    let offset_ms = |at: Timestamp| {
        let after = at.duration_since(segment.recorded_from).as_millis();
        u64::try_from(after).unwrap_or(0)
    };
    let from_ms = offset_ms(segment.began_at - MARGIN);
    let to_ms = offset_ms(segment.ended_at + MARGIN);
    channel_between(&segment.path, segment.channel, from_ms, to_ms).await
}

/// Reads one channel of a recording between two times, counted from its first sample. A truncated file is read to its
/// end, whatever its header says.
async fn channel_between(
    path: &Path,
    channel: usize,
    from_ms: u64,
    to_ms: u64,
) -> std::io::Result<(SampleRate, Vec<i16>)> {
    let invalid = |text: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, text);
    let mut file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let mut head = Vec::new();
    (&mut file).take(wav::HEAD_MAX).read_to_end(&mut head).await?;
    let wav::Format { rate, channels, data_at } =
        wav::format(&head).ok_or_else(|| invalid("the file is not a recording of tandem"))?;
    if channel >= channels {
        return Err(invalid("the file lacks the speaker's channel"));
    }
    // 16 bits for each channel.
    let frame_bytes = 2 * channels;
    let frames = length.saturating_sub(data_at) / frame_bytes as u64;
    let frame_at = |ms: u64| (ms.saturating_mul(rate.hz().into()) / 1_000).min(frames);
    let (from, to) = (frame_at(from_ms), frame_at(to_ms));
    if to <= from {
        return Err(invalid("the file ends before the segment"));
    }
    file.seek(SeekFrom::Start(data_at + from * frame_bytes as u64)).await?;
    let mut bytes = Vec::new();
    file.take((to - from) * frame_bytes as u64).read_to_end(&mut bytes).await?;
    let sample = |frame: &[u8]| i16::from_le_bytes([frame[channel * 2], frame[channel * 2 + 1]]);
    Ok((rate, bytes.chunks_exact(frame_bytes).map(sample).collect()))
}

#[cfg(test)]
mod tests;
