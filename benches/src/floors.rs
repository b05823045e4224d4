//! Bare codec work of one call during one second, on the peer's CPU; bare SRTP work in the case with SRTP and no encoding.
//!
//! 50 frames of 20 ms in each direction, of the audio that the generator plays, with the settings of case and peer. Two figures:
//! *hot* is one call's frames in sequence, with everything in the caches, the best of some rounds: no transcoder that decodes and
//! encodes with these codecs can be faster. *Paced*, for Opus only, processes as many calls as the case has, one frame each way
//! per call every 20 ms with a rest in between, as packets arrive: state and tables of the codec have then left the nearest
//! caches, and other work on the machine has the same effect as in a relay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use codecs::g711::{alaw_decode, alaw_encode, ulaw_decode, ulaw_encode};
use codecs::opus::{OpusDecoder, OpusEncoder, OpusSettings};
use codecs::{Decoder, Encoder, SampleRate};
use media_engine::config::MediaConfig;
use media_engine::sdp::Codec;
use media_engine::srtp::{MasterKey, Protect, Unprotect};

use crate::cpu;
use crate::peer::{EQUAL, Place, SUITE};
use crate::plan::{Case, Entry, Peer};
use crate::sound::{PHRASE, Recordings};

/// Rounds of the hot measurement, each a phrase of 2 s.
const ROUNDS: usize = 5;
/// Duration of the paced measurement.
const PACED: Duration = Duration::from_millis(1_500);
/// Duration of a frame.
const FRAME: Duration = Duration::from_millis(20);

/// Codec work in milliseconds per call-second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floors {
    /// Hot measurement; `None` if nothing is encoded.
    pub(crate) hot_ms: Option<f64>,
    /// Paced measurement; for Opus only.
    pub(crate) paced_ms: Option<f64>,
}

/// Codecs of one call: processes frame `n` of both directions.
type Call = Box<dyn FnMut(usize) -> Result<()>>;

/// Measures both figures of a case.
pub(crate) fn codec_floors(entry: Entry, place: Place, sounds: &Arc<Recordings>) -> Result<Floors> {
    let sounds = Arc::clone(sounds);
    let measure = move || -> Result<Floors> {
        cpu::pin(place.cpu);
        if place.realtime {
            cpu::run_before_others()?;
        }
        let Some(mut call) = call(entry, &sounds)? else { return Ok(Floors::default()) };
        let hot_ms = Some(hot(&mut call)?);
        let paced_ms = if entry.case.codecs()[1] == Codec::Opus { Some(paced(entry, &sounds)?) } else { None };
        Ok(Floors { hot_ms, paced_ms })
    };
    std::thread::spawn(measure).join().map_err(|_| anyhow::anyhow!("a codec thread panicked"))?
}

fn call(entry: Entry, sounds: &Arc<Recordings>) -> Result<Option<Call>> {
    let sounds = Arc::clone(sounds);
    Ok(Some(match (entry.case, entry.peer) {
        (_, Peer::Floor) | (Case::PcmuPcmu | Case::WebrtcWebrtc, _) => return Ok(None),
        (Case::PcmuOverheard | Case::Conference3 | Case::Conference8 | Case::Conference50, _) => return Ok(None),
        (Case::ConferenceOpus8, _) => return Ok(None),
        (Case::PcmuPcma, _) => g711(sounds),
        (Case::PcmuSrtp, _) => srtp()?,
        (Case::PcmuOpusEqual, Peer::Rtpengine) => opus_of_rtpengine(sounds, opus::Channels::Mono, 24_000)?,
        (Case::PcmuOpusEqual, _) => opus_of_tandem(sounds, EQUAL)?,
        (Case::PcmuOpus | Case::PcmuWebrtc, Peer::Rtpengine) => {
            opus_of_rtpengine(sounds, opus::Channels::Stereo, 32_000)?
        }
        (Case::PcmuOpus | Case::PcmuWebrtc, _) => opus_of_tandem(sounds, MediaConfig::default().opus)?,
    }))
}

fn hot(call: &mut Call) -> Result<f64> {
    let mut best = u64::MAX;
    for round in 0..ROUNDS {
        let before = cpu::own_run_time_ns();
        for n in 0..PHRASE {
            call(round * PHRASE + n)?;
        }
        best = best.min(cpu::own_run_time_ns() - before);
    }
    Ok(best as f64 / 1e6 / (PHRASE as f64 / 50.0))
}

fn paced(entry: Entry, sounds: &Arc<Recordings>) -> Result<f64> {
    let mut calls = Vec::with_capacity(entry.calls);
    for _ in 0..entry.calls {
        calls.extend(call(entry, sounds)?);
    }
    let frames = (PACED.as_millis() / FRAME.as_millis()) as usize;
    let (start, mut ran) = (Instant::now(), 0);
    for n in 0..frames {
        for (index, call) in calls.iter_mut().enumerate() {
            let due = start + FRAME * n as u32 + FRAME * index as u32 / entry.calls as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let before = cpu::own_run_time_ns();
            call(n)?;
            ran += cpu::own_run_time_ns() - before;
        }
    }
    Ok(ran as f64 / 1e6 / PACED.as_secs_f64() / entry.calls as f64)
}

/// PCMU to PCMA and back.
fn g711(sounds: Arc<Recordings>) -> Call {
    let mut out = [0; 160];
    Box::new(move |n| {
        let payload = &sounds.of(Codec::Pcmu).payloads[n % PHRASE];
        out.iter_mut().zip(payload).for_each(|(code, &from)| *code = alaw_encode(ulaw_decode(from)));
        std::hint::black_box(&mut out);
        out.iter_mut().zip(payload).for_each(|(code, &from)| *code = ulaw_encode(alaw_decode(from)));
        std::hint::black_box(&mut out);
        Ok(())
    })
}

/// PCMU protected in one direction and decrypted in the other.
fn srtp() -> Result<Call> {
    let key = MasterKey::new(SUITE, &[7; 30]).context("30 bytes are the suite's")?;
    let (mut ours, mut theirs, mut open) = (Protect::new(&key), Protect::new(&key), Unprotect::new(&key));
    let packet = |number: usize| {
        let mut bytes = [0; 192];
        bytes[0] = 0x80;
        bytes[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        bytes
    };
    let mut incoming: Vec<[u8; 192]> = (0..PHRASE * ROUNDS).map(packet).collect();
    let lengths: Vec<Option<usize>> = incoming.iter_mut().map(|bytes| theirs.rtp(bytes, 172)).collect();
    Ok(Box::new(move |n| {
        let mut outgoing = packet(n);
        std::hint::black_box(ours.rtp(&mut outgoing, 172));
        let length = lengths[n].context("a packet could not be protected")?;
        open.rtp(&mut incoming[n][..length])?;
        Ok(())
    }))
}

/// Opus as the engine uses it: 8 kHz samples on both sides.
fn opus_of_tandem(sounds: Arc<Recordings>, settings: OpusSettings) -> Result<Call> {
    let mut encoder = OpusEncoder::new(SampleRate::HZ_8000, settings)?;
    let mut decoder = OpusDecoder::new(SampleRate::HZ_8000)?;
    let (mut out, mut pcm, mut codes) = ([0; 1_500], [0; 960], [0; 160]);
    Ok(Box::new(move |n| {
        encoder.encode(&sounds.phrase_8k[n % PHRASE * 160..][..160], &mut out)?;
        let count = decoder.decode(&sounds.of(Codec::Opus).payloads[n % PHRASE], &mut pcm)?;
        codes.iter_mut().zip(&pcm[..count]).for_each(|(code, &sample)| *code = ulaw_encode(sample));
        std::hint::black_box(&mut codes);
        Ok(())
    }))
}

/// Opus as libavcodec's libopus encoder by default: 48 kHz samples, application "audio", complexity 10, no redundancy.
fn opus_of_rtpengine(sounds: Arc<Recordings>, channels: opus::Channels, bitrate: i32) -> Result<Call> {
    let mut encoder = opus::Encoder::new(48_000, channels, opus::Application::Audio)?;
    encoder.set_bitrate(opus::Bitrate::Bits(bitrate))?;
    encoder.set_complexity(10)?;
    let mut decoder = opus::Decoder::new(48_000, channels)?;
    let width = if matches!(channels, opus::Channels::Stereo) { 2 } else { 1 };
    let samples: Vec<i16> = sounds.phrase_48k.iter().flat_map(|&sample| std::iter::repeat_n(sample, width)).collect();
    let (mut out, mut pcm) = ([0; 1_500], [0; 5_760 * 2]);
    Ok(Box::new(move |n| {
        encoder.encode(&samples[n % PHRASE * 960 * width..][..960 * width], &mut out)?;
        decoder.decode(&sounds.of(Codec::Opus).payloads[n % PHRASE], &mut pcm, false)?;
        Ok(())
    }))
}
