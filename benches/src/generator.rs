//! Sends every leg's stream and measures what comes back, in one spinning thread with one socket.
//!
//! ```text
//! warm-up: silence ──▶ onset: speech-like sound (finds which output packet carries which input packet) ──▶ measured window
//! ```
//!
//! Delay, relayed: an output packet carries its input's payload, in which stream and number are written; its delay is the time from
//! that send to this receipt. Delay, transcoded: the first output packet that is loud carries the first input packet that was; from
//! there on, both count by RTP timestamp, so an output's delay is the time since the send of the input of equal distance from the
//! onset. It includes the jitter buffer's wait. The generator tells legs apart by the peer's port.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use codecs::g711::{ulaw_decode, ulaw_encode};
use codecs::opus::{OpusDecoder, OpusEncoder, OpusSettings};
use codecs::tones::{Sine, level_dbfs};
use codecs::{Decoder, Encoder, SampleRate};
use media_engine::rtp::{RtpHeader, RtpPacket};
use media_engine::sdp::Codec;

use crate::cpu;

const TICK: Duration = Duration::from_millis(20);
/// Packets of silence before the onset, and then of sound before the window opens.
const SILENT: u32 = 60;
const SETTLE: u32 = 60;
/// How long the generator listens after its last packet.
const DRAIN: Duration = Duration::from_millis(400);
/// An output frame above this is the onset.
const LOUD_DBFS: f32 = -40.0;
/// Distinct packets of sound, played round: one second.
const CYCLE: usize = 50;

/// One leg of the peer under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LegEnd {
    /// The leg's RTP port.
    pub(crate) address: SocketAddr,
    /// What it speaks.
    pub(crate) codec: Codec,
    /// Index of the leg that hears it.
    pub(crate) listener: usize,
    /// Whether the listener gets the payload unaltered.
    pub(crate) relayed: bool,
}

/// What one repetition gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) calls: usize,
    pub(crate) cpu_ms_per_call_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) loss_pct: f64,
}

/// One direction: what is sent into a leg, and what its listener gives out of it.
pub(crate) struct Stream {
    leg: LegEnd,
    sent: u32,
    sent_at: Vec<Instant>,
    got: u64,
    onset: Option<(u32, u32)>,
    decoder: Option<OpusDecoder>,
}

impl Stream {
    pub(crate) fn new(leg: LegEnd) -> Stream {
        Stream { leg, sent: 0, sent_at: Vec::new(), got: 0, onset: None, decoder: None }
    }
}

/// Payloads of one codec.
struct Sound {
    silent: Vec<u8>,
    loud: Vec<Vec<u8>>,
}

/// The generator's socket.
pub(crate) fn open() -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let reference = socket2::SockRef::from(&socket);
    reference.set_recv_buffer_size(8 << 20)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Runs one measurement; `thread` names the thread of the peer whose CPU time counts.
pub(crate) fn run(
    socket: UdpSocket,
    streams: Vec<Stream>,
    span: Duration,
    cpu: usize,
    thread: &'static str,
) -> Result<Measured> {
    let worker = std::thread::Builder::new().name("generator".into()).spawn(move || {
        cpu::pin(cpu);
        Run::new(socket, streams, span)?.measure(thread)
    })?;
    worker.join().map_err(|_| anyhow::anyhow!("the generator thread ended by a fault"))?
}

struct Run {
    socket: UdpSocket,
    streams: Vec<Stream>,
    /// Which stream comes out of a leg's port.
    by_port: HashMap<u16, usize>,
    pcmu: Sound,
    opus: Sound,
    packets: u32,
    window: (u32, u32),
    delays_ns: Vec<u64>,
    in_window: u64,
}

impl Run {
    fn new(socket: UdpSocket, mut streams: Vec<Stream>, span: Duration) -> Result<Run> {
        let measured = (span.as_millis() / TICK.as_millis()) as u32;
        let window = (SILENT + SETTLE, SILENT + SETTLE + measured);
        // Beyond the window streams go on for a while: its last packets still need followers to be played out.
        let packets = window.1 + 25;
        for stream in &mut streams {
            stream.sent_at.reserve(packets as usize);
        }
        let by_port = streams
            .iter()
            .enumerate()
            .map(|(index, stream)| (streams[stream.leg.listener].leg.address.port(), index))
            .collect();
        let capacity = streams.len() * measured as usize * 2;
        Ok(Run {
            socket,
            by_port,
            pcmu: pcmu_sound(),
            opus: opus_sound()?,
            packets,
            window,
            delays_ns: Vec::with_capacity(capacity),
            in_window: 0,
            streams,
        })
    }

    fn measure(mut self, thread: &str) -> Result<Measured> {
        let start = Instant::now() + Duration::from_millis(20);
        let count = self.streams.len() as u32;
        let step = TICK / count.max(1);
        let (mut next, mut packet) = (0_u32, 0_u32);
        let mut cpu_at = [(0_u64, start); 2];
        while packet < self.packets {
            let due = start + TICK * packet + step * next;
            let now = Instant::now();
            if now < due {
                self.receive();
                std::hint::spin_loop();
                continue;
            }
            if next == 0 && packet == self.window.0 {
                cpu_at[0] = (cpu::run_time_ns(thread)?, now);
            } else if next == 0 && packet == self.window.1 {
                cpu_at[1] = (cpu::run_time_ns(thread)?, now);
            }
            self.send(next as usize, packet);
            next += 1;
            if next == count {
                (next, packet) = (0, packet + 1);
            }
        }
        let end = Instant::now() + DRAIN;
        while Instant::now() < end {
            self.receive();
        }
        self.result(cpu_at)
    }

    fn result(mut self, cpu_at: [(u64, Instant); 2]) -> Result<Measured> {
        let lost_onsets = self.streams.iter().filter(|stream| !stream.leg.relayed && stream.onset.is_none()).count();
        ensure!(lost_onsets == 0, "{lost_onsets} streams never came through");
        ensure!(!self.delays_ns.is_empty(), "nothing came through");
        self.delays_ns.sort_unstable();
        let at = |share: f64| self.delays_ns[((self.delays_ns.len() - 1) as f64 * share).round() as usize] as f64 / 1e3;
        let calls = self.streams.len() / 2;
        let seconds = cpu_at[1].1.duration_since(cpu_at[0].1).as_secs_f64();
        let cpu_ms = (cpu_at[1].0 - cpu_at[0].0) as f64 / 1e6;
        let expected = u64::from(self.window.1 - self.window.0) * self.streams.len() as u64;
        Ok(Measured {
            calls,
            cpu_ms_per_call_s: cpu_ms / seconds / calls as f64,
            p50_us: at(0.5),
            p99_us: at(0.99),
            loss_pct: 100.0 * (1.0 - self.in_window as f64 / expected as f64).max(0.0),
        })
    }

    fn send(&mut self, index: usize, packet: u32) {
        let stream = &mut self.streams[index];
        let (payload_type, ticks, sound) = match stream.leg.codec {
            Codec::Opus => (111, 960, &self.opus),
            _ => (0, 160, &self.pcmu),
        };
        let mut bytes = [0; 512];
        let header = RtpHeader {
            payload_type,
            marker: packet == 0,
            sequence: packet as u16,
            timestamp: packet * ticks,
            ssrc: 0x7000_0000 + index as u32,
        };
        let begin = header.write_to(&mut bytes).unwrap_or(0);
        let payload =
            if packet < SILENT { &sound.silent } else { &sound.loud[(packet - SILENT) as usize % sound.loud.len()] };
        let length = begin + payload.len();
        bytes[begin..length].copy_from_slice(payload);
        if stream.leg.relayed {
            bytes[begin..begin + 4].copy_from_slice(&(index as u32).to_be_bytes());
            bytes[begin + 4..begin + 8].copy_from_slice(&packet.to_be_bytes());
        }
        stream.sent_at.push(Instant::now());
        stream.sent += 1;
        // A full socket buffer shows as loss, which is what it is.
        let _ = self.socket.send_to(&bytes[..length], stream.leg.address);
    }

    fn receive(&mut self) {
        let mut bytes = [0; 2048];
        for _ in 0..32 {
            let Ok((length, from)) = self.socket.recv_from(&mut bytes) else { return };
            let now = Instant::now();
            let Ok(packet) = RtpPacket::parse(&bytes[..length]) else { continue };
            let Some(&index) = self.by_port.get(&from.port()) else { continue };
            let stream = &mut self.streams[index];
            let number = if stream.leg.relayed {
                relayed_number(packet.payload(), index)
            } else {
                transcoded_number(stream, &packet)
            };
            let Some(number) = number else { continue };
            stream.got += 1;
            if (self.window.0..self.window.1).contains(&number)
                && let Some(sent_at) = stream.sent_at.get(number as usize)
            {
                self.in_window += 1;
                self.delays_ns.push(now.saturating_duration_since(*sent_at).as_nanos() as u64);
            }
        }
    }
}

/// Which input packet this output is: written in its payload. `None`: silence from before the bridge.
fn relayed_number(payload: &[u8], index: usize) -> Option<u32> {
    let words = payload.first_chunk::<8>()?;
    let (stream, packet) = words.split_at(4);
    (u32::from_be_bytes(stream.try_into().ok()?) == index as u32)
        .then(|| packet.try_into().ok().map(u32::from_be_bytes))?
}

/// Which input packet this output carries: by distance from the onset. `None`: before it.
fn transcoded_number(stream: &mut Stream, packet: &RtpPacket<'_>) -> Option<u32> {
    // A PCMU leg hears an Opus one and the other way round.
    let (out_ticks, hears_opus) = if stream.leg.codec == Codec::Opus { (160, false) } else { (960, true) };
    if stream.onset.is_none() {
        let mut pcm = [0; 960];
        let count = if hears_opus {
            if stream.decoder.is_none() {
                stream.decoder = OpusDecoder::new(SampleRate::HZ_8000).ok();
            }
            stream.decoder.as_mut()?.decode(packet.payload(), &mut pcm).ok()?
        } else {
            packet.payload().iter().zip(&mut pcm).map(|(&code, sample)| *sample = ulaw_decode(code)).count()
        };
        if stream.sent > SILENT && level_dbfs(&pcm[..count]) > LOUD_DBFS {
            stream.onset = Some((packet.timestamp(), SILENT));
            stream.decoder = None;
        }
    }
    let (timestamp, number) = stream.onset?;
    Some(number + packet.timestamp().wrapping_sub(timestamp) / out_ticks)
}

/// A second of something like a voice: a gliding tone with overtones, loud and soft.
fn voice(rate: SampleRate) -> Vec<i16> {
    let mut sum = vec![0_i32; rate.hz() as usize];
    for (hz, dbfs) in [(140.0, -16.0), (280.0, -20.0), (560.0, -22.0), (1_120.0, -26.0), (2_240.0, -32.0)] {
        let mut one = vec![0; sum.len()];
        Sine::new(rate, hz, dbfs).fill(&mut one);
        for (index, (total, sample)) in sum.iter_mut().zip(&one).enumerate() {
            let syllable = 0.55 + 0.45 * (index as f32 / rate.hz() as f32 * 4.0 * std::f32::consts::TAU).cos();
            *total += (f32::from(*sample) * syllable) as i32;
        }
    }
    sum.into_iter().map(|sample| sample.clamp(-32_768, 32_767) as i16).collect()
}

fn pcmu_sound() -> Sound {
    let samples = voice(SampleRate::HZ_8000);
    let loud = samples.chunks(160).map(|frame| frame.iter().map(|&s| ulaw_encode(s)).collect()).collect();
    Sound { silent: vec![ulaw_encode(0); 160], loud }
}

fn opus_sound() -> Result<Sound> {
    let mut encoder = OpusEncoder::new(SampleRate::HZ_48000, OpusSettings::default())?;
    let mut out = [0; 1500];
    let mut silent = Vec::new();
    for _ in 0..10 {
        let length = encoder.encode(&[0; 960], &mut out)?;
        silent = out[..length].to_vec();
    }
    let samples = voice(SampleRate::HZ_48000);
    let mut loud = Vec::with_capacity(CYCLE);
    for frame in samples.chunks(960) {
        let length = encoder.encode(frame, &mut out)?;
        loud.push(out[..length].to_vec());
    }
    Ok(Sound { silent, loud })
}
