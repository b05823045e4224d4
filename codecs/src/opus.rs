//! Opus (RFC 6716; RTP payload RFC 7587), mono, based on libopus.
//!
//! The sample rate here is that of the samples, not the RTP clock, which is always 48 kHz. A call whose other leg is
//! narrowband is encoded from 8 kHz samples: this needs no resampler and about half the work. A decoder at 8 kHz accepts
//! any Opus stream and returns its lower band. The decoder mixes stereo streams down to mono.
//!
//! Loss: `recover` reads the in-band copy (LBRR) of the previous frame if the packet has one; `conceal` is the concealment
//! of libopus. libopus allocates its state once, at creation.

use std::ops::Range;

use ::opus as libopus;
use libopus::{Application, Bandwidth, Bitrate, Channels, ErrorCode, Signal};

use crate::{CodecError, Decoder, Encoder, SampleRate};

/// Size of a buffer that holds any frame of this encoder (RFC 6716 §3.2.1: at most 1275 bytes a frame, one frame a packet up to
/// 20 ms, three at 60 ms, and the head).
pub const MAX_PAYLOAD: usize = 3 * 1275 + 7;

/// A payload this short, made by an encoder with `dtx`, is a frame of silence that need not be sent: stop sending until
/// a longer one comes (RFC 7587 §3.1.3; the marker bit then begins the talkspurt).
pub const DTX_MAX_PAYLOAD: usize = 2;

/// Longest duration of one packet (RFC 6716 §3.2.5), and so the longest that is passed to libopus at once.
const MAX_PACKET_MS: u32 = 120;

/// Concealment is generated in stretches of the last packet's length, but no shorter and no longer than this.
const STRETCH_MS: (u32, u32) = (10, 20);

/// Settings of an encoder: bitrate, effort and redundancy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OpusSettings {
    /// Target bitrate in bits per second: 6000 to 510000.
    pub bitrate: u32,
    /// Encoding effort, 0 (least) to 10 (best).
    pub complexity: u8,
    /// Whether every frame carries a small copy of the previous one when `expected_loss_percent` makes it worthwhile.
    pub fec: bool,
    /// Whether almost nothing is sent during silence, see [`DTX_MAX_PAYLOAD`].
    pub dtx: bool,
    /// Expected packet loss in percent, 0 to 100.
    pub expected_loss_percent: u8,
}

impl Default for OpusSettings {
    /// Returns settings for voice over the internet: 24 kbit/s, medium effort, prepared for 10 % loss, no DTX.
    ///
    /// Measured with libopus 1.6.1: at 24 kbit/s and this effort, every rate carries in-band copies from 10 % expected
    /// loss on; at 5 % only 8 kHz does.
    fn default() -> OpusSettings {
        OpusSettings { bitrate: 24_000, complexity: 5, fec: true, dtx: false, expected_loss_percent: 10 }
    }
}

/// Voice encoder for frames of 2.5, 5, 10, 20, 40 or 60 ms.
#[derive(Debug)]
pub struct OpusEncoder {
    rate: SampleRate,
    inner: libopus::Encoder,
}

impl OpusEncoder {
    /// Creates an encoder for samples at `rate`, which determines the audio bandwidth (8 kHz: narrowband).
    ///
    /// # Errors
    /// [`CodecError::Library`] when a setting is out of its range or memory allocation fails; correct the settings.
    pub fn new(rate: SampleRate, settings: OpusSettings) -> Result<OpusEncoder, CodecError> {
        let bitrate = i32::try_from(settings.bitrate).map_err(|_| CodecError::Library("bitrate out of range"))?;
        let mut inner = libopus::Encoder::new(rate.hz(), Channels::Mono, Application::Voip).map_err(library)?;
        inner.set_max_bandwidth(bandwidth(rate)).map_err(library)?;
        inner.set_signal(Signal::Voice).map_err(library)?;
        inner.set_bitrate(Bitrate::Bits(bitrate)).map_err(library)?;
        inner.set_complexity(i32::from(settings.complexity)).map_err(library)?;
        inner.set_inband_fec(settings.fec).map_err(library)?;
        inner.set_dtx(settings.dtx).map_err(library)?;
        inner.set_packet_loss_perc(i32::from(settings.expected_loss_percent)).map_err(library)?;
        Ok(OpusEncoder { rate, inner })
    }
}

impl Encoder for OpusEncoder {
    fn sample_rate(&self) -> SampleRate {
        self.rate
    }

    /// Encodes one frame. libopus fits the payload into the length of `out`; [`MAX_PAYLOAD`] bytes never limit it.
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        self.inner.encode(pcm, out).map_err(|error| match error.code() {
            ErrorCode::BufferTooSmall => CodecError::BufferTooSmall { needed: MAX_PAYLOAD },
            _ => library(error),
        })
    }

    fn set_complexity(&mut self, complexity: u8) {
        let set = self.inner.set_complexity(i32::from(complexity.min(10)));
        debug_assert!(set.is_ok(), "libopus accepts every complexity up to 10");
    }

    /// Sets the expected loss. In-band copies begin at 5 to 10 percent, see [`OpusSettings::default`].
    fn expect_loss(&mut self, percent: u8) {
        let set = self.inner.set_packet_loss_perc(i32::from(percent.min(100)));
        debug_assert!(set.is_ok(), "libopus accepts every percentage up to 100");
    }
}

/// Decoder of any Opus stream to mono.
///
/// Concealment is generated in whole stretches, whatever length is requested, and the remainder of one is returned first the next
/// time: libopus generates 10 ms even for 2.5, and its state would run ahead of the samples that were heard.
#[derive(Debug)]
pub struct OpusDecoder {
    rate: SampleRate,
    inner: libopus::Decoder,
    /// Buffer for a stretch of concealment, its length, and the part of it that has not been returned yet.
    made: Box<[i16]>,
    stretch: usize,
    left: Range<usize>,
}

impl OpusDecoder {
    /// Creates a decoder that returns samples at `rate`.
    ///
    /// # Errors
    /// [`CodecError::Library`] when memory allocation fails.
    pub fn new(rate: SampleRate) -> Result<OpusDecoder, CodecError> {
        let inner = libopus::Decoder::new(rate.hz(), Channels::Mono).map_err(library)?;
        let stretch = rate.samples_in_ms(STRETCH_MS.1);
        Ok(OpusDecoder { rate, inner, made: vec![0; stretch].into(), stretch, left: 0..0 })
    }

    /// Returns the step of all durations in libopus: 2.5 ms.
    fn quantum(&self) -> usize {
        (self.rate.hz() / 400) as usize
    }
}

impl Decoder for OpusDecoder {
    fn sample_rate(&self) -> SampleRate {
        self.rate
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        if payload.is_empty() {
            // libopus would treat it as a lost packet.
            return Err(CodecError::Malformed);
        }
        let needed = self.inner.get_nb_samples(payload).map_err(malformed)?;
        let out = out.get_mut(..needed).ok_or(CodecError::BufferTooSmall { needed })?;
        self.left = 0..0;
        self.stretch = needed.clamp(self.rate.samples_in_ms(STRETCH_MS.0), self.rate.samples_in_ms(STRETCH_MS.1));
        self.inner.decode(payload, out, false).map_err(malformed)
    }

    fn conceal(&mut self, out: &mut [i16]) {
        let mut at = 0;
        while at < out.len() {
            if self.left.is_empty() {
                let made = &mut self.made[..self.stretch];
                if self.inner.decode(&[], made, false).is_err() {
                    made.fill(0);
                }
                self.left = 0..self.stretch;
            }
            let count = self.left.len().min(out.len() - at);
            out[at..at + count].copy_from_slice(&self.made[self.left.start..self.left.start + count]);
            self.left.start += count;
            at += count;
        }
    }

    fn recover(&mut self, next_payload: &[u8], out: &mut [i16]) -> bool {
        let fits = !out.is_empty()
            && out.len().is_multiple_of(self.quantum())
            && out.len() <= self.rate.samples_in_ms(MAX_PACKET_MS)
            && libopus::packet::get_samples_per_frame(next_payload, self.rate.hz()).is_ok_and(|one| one <= out.len());
        // A sample count is returned only if the whole packet parses.
        if !(fits && has_fec(next_payload) && self.inner.get_nb_samples(next_payload).is_ok()) {
            return false;
        }
        self.left = 0..0;
        self.inner.decode(next_payload, out, true).is_ok_and(|written| written == out.len())
    }

    fn has_copy(&self, next_payload: &[u8]) -> bool {
        has_fec(next_payload)
    }
}

/// Returns whether a packet carries a copy of the frame before its first one (LBRR).
///
/// Reads the mode from the first byte (RFC 6716 §3.1) and the LBRR flags, which are the first whole bits of the first
/// frame after its voice flags (§4.2.3, §4.2.4). CELT-only packets have none.
pub fn has_fec(packet: &[u8]) -> bool {
    let Some(&toc) = packet.first() else { return false };
    let config = toc >> 3;
    // 20 ms stretches per frame: SILK uses 10, 20, 40, 60 ms in its configurations 0 to 11, hybrid 10, 20 ms.
    let stretches = match config {
        0..12 => [1, 1, 2, 3][usize::from(config & 3)],
        12..16 => 1,
        _ => return false,
    };
    let stereo = toc & 4 != 0;
    let Some(flags) = first_frame_byte(packet) else { return false };
    let middle = flags >> (7 - stretches) & 1 != 0;
    // The side channel has its own voice flags, directly followed by its LBRR flag.
    let side = stereo && flags >> (6 - 2 * stretches) & 1 != 0;
    middle || side
}

/// Returns the first byte of the first frame in a packet (RFC 6716 §3.2); `None` if that frame is empty or outside the packet.
fn first_frame_byte(packet: &[u8]) -> Option<u8> {
    let (&toc, rest) = packet.split_first()?;
    let rest = match toc & 3 {
        0 | 1 => rest,
        2 => match frame_length(rest)? {
            (0, _) => return None,
            (_, frames) => frames,
        },
        _ => {
            let (&head, mut rest) = rest.split_first()?;
            let (vbr, padded, frames) = (head & 0x80 != 0, head & 0x40 != 0, head & 0x3f);
            if padded {
                loop {
                    let (&step, after) = rest.split_first()?;
                    rest = after;
                    if step != 255 {
                        break;
                    }
                }
            }
            let mut first = 1;
            for frame in 1..if vbr { frames } else { 0 } {
                let (length, after) = frame_length(rest)?;
                if frame == 1 {
                    first = length;
                }
                rest = after;
            }
            if frames == 0 || first == 0 {
                return None;
            }
            rest
        }
    };
    rest.first().copied()
}

/// Reads a frame length of one or two bytes (RFC 6716 §3.2.1); also returns the bytes after it.
fn frame_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [0, ..] => Some((0, &bytes[1..])),
        [short @ 1..=251, rest @ ..] => Some((usize::from(*short), rest)),
        [long, more, rest @ ..] => Some((usize::from(*more) * 4 + usize::from(*long), rest)),
        _ => None,
    }
}

fn bandwidth(rate: SampleRate) -> Bandwidth {
    match rate {
        SampleRate::HZ_8000 => Bandwidth::Narrowband,
        SampleRate::HZ_16000 => Bandwidth::Wideband,
        SampleRate::HZ_24000 => Bandwidth::Superwideband,
        _ => Bandwidth::Fullband,
    }
}

fn library(error: libopus::Error) -> CodecError {
    CodecError::Library(error.description())
}

fn malformed(error: libopus::Error) -> CodecError {
    match error.code() {
        ErrorCode::InvalidPacket | ErrorCode::BadArg => CodecError::Malformed,
        _ => library(error),
    }
}

/// Fuzz target of the decoder and of the packet reader.
#[doc(hidden)]
pub mod fuzz {
    use super::{OpusDecoder, has_fec};
    use crate::{Decoder, SampleRate};

    /// Decodes `bytes` as a sequence of packets (each after a length byte), sometimes recovering and concealing.
    pub fn fuzz_opus(bytes: &[u8]) {
        let rate = if bytes.len().is_multiple_of(2) { SampleRate::HZ_8000 } else { SampleRate::HZ_48000 };
        let mut decoder = OpusDecoder::new(rate).expect("libopus supports the rate");
        let mut out = [0; 5760];
        let mut rest = bytes;
        while let Some((&length, after)) = rest.split_first() {
            let (packet, after) = after.split_at(after.len().min(usize::from(length)));
            rest = after;
            let frame = rate.samples_in_ms(20);
            let recovered = decoder.recover(packet, &mut out[..frame]);
            assert!(!recovered || has_fec(packet));
            if decoder.decode(packet, &mut out).is_err() {
                decoder.conceal(&mut out[..usize::from(length) * 7]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a voice-like sound: harmonics of a varying pitch under a slow envelope.
    fn voice(rate: SampleRate, ms: u32) -> Vec<i16> {
        let step = 1.0 / f64::from(rate.hz());
        let mut phase = 0.0;
        (0..rate.samples_in_ms(ms))
            .map(|n| {
                let t = n as f64 * step;
                phase += (140.0 + 30.0 * (t * 9.0).sin()) * step * std::f64::consts::TAU;
                let tones: f64 = (1..20).map(|k| (f64::from(k) * phase).sin() / f64::from(k)).sum();
                (6000.0 * tones * (0.6 + 0.4 * (t * 25.0).sin())) as i16
            })
            .collect()
    }

    fn level(samples: &[i16]) -> f64 {
        (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    fn encode_all(rate: SampleRate, settings: OpusSettings, pcm: &[i16]) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new(rate, settings).unwrap();
        pcm.chunks_exact(rate.samples_in_ms(20))
            .map(|frame| {
                let mut out = [0; MAX_PAYLOAD];
                let length = encoder.encode(frame, &mut out).unwrap();
                out[..length].to_vec()
            })
            .collect()
    }

    const RATES: [SampleRate; 4] =
        [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

    #[test]
    fn the_bundled_library_is_the_one_that_was_measured() {
        assert!(libopus::version().contains("1.6.1"), "{}", libopus::version());
    }

    #[test]
    fn every_rate_decodes_at_every_rate_with_its_level_kept() {
        for from in RATES {
            let packets = encode_all(from, OpusSettings::default(), &voice(from, 1000));
            for to in RATES {
                let mut decoder = OpusDecoder::new(to).unwrap();
                let mut heard = Vec::new();
                for packet in &packets {
                    let mut out = [0; 5760];
                    let samples = decoder.decode(packet, &mut out).unwrap();
                    assert_eq!(samples, to.samples_in_ms(20));
                    heard.extend_from_slice(&out[..samples]);
                }
                let ratio = level(&heard[heard.len() / 2..]) / level(&voice(to, 1000)[heard.len() / 2..]);
                assert!((0.8..1.2).contains(&ratio), "{from} to {to}: {ratio}");
            }
        }
    }

    #[test]
    fn eight_kilohertz_is_sent_as_narrowband() {
        for packet in encode_all(SampleRate::HZ_8000, OpusSettings::default(), &voice(SampleRate::HZ_8000, 400)) {
            assert_eq!(libopus::packet::get_bandwidth(&packet).unwrap(), Bandwidth::Narrowband);
        }
    }

    #[test]
    fn lost_frame_is_recovered_from_the_packet_after_it() {
        for rate in RATES {
            let original = voice(rate, 1000);
            let packets = encode_all(rate, OpusSettings::default(), &original);
            let with_copy = packets.iter().filter(|packet| has_fec(packet)).count();
            assert!(with_copy > packets.len() / 2, "{rate}: only {with_copy} packets with a copy");

            let frame = rate.samples_in_ms(20);
            let (mut whole, mut lossy, mut concealing) =
                (OpusDecoder::new(rate).unwrap(), OpusDecoder::new(rate).unwrap(), OpusDecoder::new(rate).unwrap());
            let (mut recovery_error, mut concealment_error) = (0.0, 0.0);
            for (number, packet) in packets.iter().enumerate() {
                let (mut expected, mut recovered, mut concealed) = (vec![0; frame], vec![0; frame], vec![0; frame]);
                whole.decode(packet, &mut expected).unwrap();
                let next = packets.get(number + 1);
                if number > 5 && number % 5 == 0 && next.is_some_and(|next| has_fec(next)) {
                    assert!(lossy.recover(next.unwrap(), &mut recovered));
                    concealing.conceal(&mut concealed);
                } else {
                    lossy.decode(packet, &mut recovered).unwrap();
                    concealing.decode(packet, &mut concealed).unwrap();
                }
                recovery_error += distance(&expected, &recovered);
                concealment_error += distance(&expected, &concealed);
            }
            assert!(recovery_error < concealment_error * 0.7, "{rate}: {recovery_error} against {concealment_error}");
        }
    }

    fn distance(one: &[i16], other: &[i16]) -> f64 {
        one.iter().zip(other).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
    }

    #[test]
    fn packets_without_a_copy_recover_nothing_and_change_nothing() {
        let rate = SampleRate::HZ_8000;
        let settings = OpusSettings { fec: false, ..OpusSettings::default() };
        let packets = encode_all(rate, settings, &voice(rate, 200));
        let mut decoder = OpusDecoder::new(rate).unwrap();
        let mut out = [7; 160];
        for packet in &packets {
            assert!(!decoder.recover(packet, &mut out));
        }
        assert!(!decoder.recover(&[], &mut out));
        assert_eq!(out, [7; 160]);
    }

    #[test]
    fn gap_is_concealed_with_sound_and_then_fades() {
        let rate = SampleRate::HZ_16000;
        let mut decoder = OpusDecoder::new(rate).unwrap();
        let mut out = [0; 320];
        for packet in encode_all(rate, OpusSettings::default(), &voice(rate, 300)) {
            decoder.decode(&packet, &mut out).unwrap();
        }
        let before = level(&out);
        decoder.conceal(&mut out);
        assert!(level(&out) > before * 0.2);
        let mut long = vec![1; rate.samples_in_ms(1000) + 3];
        decoder.conceal(&mut long);
        assert!(level(&long[long.len() - 320..]) < before * 0.05);
    }

    #[test]
    fn dtx_leaves_most_of_silence_unsent() {
        let rate = SampleRate::HZ_8000;
        let settings = OpusSettings { dtx: true, ..OpusSettings::default() };
        let packets = encode_all(rate, settings, &vec![0; rate.samples_in_ms(4000)]);
        let unsent = packets.iter().filter(|packet| packet.len() <= DTX_MAX_PAYLOAD).count();
        assert!(unsent > packets.len() / 2, "{unsent} of {}", packets.len());
    }

    #[test]
    fn wrong_lengths_and_settings_are_refused() {
        let rate = SampleRate::HZ_8000;
        let mut encoder = OpusEncoder::new(rate, OpusSettings::default()).unwrap();
        assert!(matches!(encoder.encode(&[0; 161], &mut [0; 100]), Err(CodecError::Library(_))));
        let mut decoder = OpusDecoder::new(rate).unwrap();
        assert_eq!(decoder.decode(&[], &mut [0; 160]), Err(CodecError::Malformed));
        assert_eq!(decoder.decode(&[0x0b, 0], &mut [0; 160]), Err(CodecError::Malformed));
        let packet = &encode_all(rate, OpusSettings::default(), &voice(rate, 20))[0];
        assert_eq!(decoder.decode(packet, &mut [0; 159]), Err(CodecError::BufferTooSmall { needed: 160 }));
        assert!(OpusEncoder::new(rate, OpusSettings { complexity: 11, ..OpusSettings::default() }).is_err());
        assert!(
            OpusEncoder::new(rate, OpusSettings { expected_loss_percent: 101, ..OpusSettings::default() }).is_err()
        );
    }

    #[test]
    fn copy_flag_is_found_in_every_packet_form() {
        // SILK narrowband 20 ms (configuration 1): voice flag, then LBRR flag.
        for (packet, copy) in [
            (&[0x08, 0b0100_0000][..], true),
            (&[0x08, 0b1000_0000], false),
            (&[0x08 | 1, 0b0100_0000, 0b0100_0000], true),
            (&[0x08 | 2, 1, 0b0100_0000, 9], true),
            (&[0x08 | 2, 0, 0b0100_0000], false),
            (&[0x08 | 3, 1, 0b0100_0000], true),
            (&[0x08 | 3, 0x41, 1, 0b0100_0000, 0], true),
            (&[0x08 | 3, 0x82, 1, 0b0100_0000, 0], true),
            (&[0x08 | 3, 0x82, 0, 0b0100_0000], false),
            // 60 ms: three voice flags before it.
            (&[0x18, 0b0001_0000], true),
            (&[0x18, 0b1110_1111], false),
            // Stereo: flags of the side channel.
            (&[0x08 | 4, 0b0001_0000], true),
            (&[0x08 | 4, 0b1010_1111], false),
            // CELT only; nothing at all.
            (&[0x80, 0xff], false),
            (&[0x08], false),
            (&[], false),
        ] {
            assert_eq!(has_fec(packet), copy, "{packet:x?}");
        }
    }
}
