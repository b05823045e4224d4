//! How calls sound: speech through the engine over a network that loses packets, judged by PESQ.
//!
//! ```text
//! speech ─▶ encoder ─▶ Network (loss) ─▶ leg │ worker │ leg ─▶ L16 ─▶ what was heard ─▶ judge.py ─▶ MOS-LQO
//!      └──▶ encoder ─▶ decoder ──────────────────────────────▶ the bare codec ──────▶┘
//! ```
//!
//! All calls of a measurement run at once, each on its own sockets, in real time; the engine's jitter buffer, decoder and
//! concealment are what is judged, because the far leg hears bare samples. Losses follow from the seed. Before each
//! prompt another one is spoken, so that the engine knows the network by then, as it does in a call.
//!
//! The machine that measures may stand still for a moment. A call whose packets were held up by that is spoken again, so that
//! the engine is not judged for a network that nobody ordered; its thread runs before others where the system permits it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use codecs::g711::UlawCodec;
use codecs::opus::{MAX_PAYLOAD, OpusDecoder, OpusEncoder, OpusSettings};
use codecs::{Decoder, Encoder, SampleRate};
use media_engine::config::MediaConfig;
use media_engine::net::ports::PortRange;
use media_engine::rtp::{RtpHeader, RtpPacket};
use media_engine::sdp::{Audio, Codec};
use media_engine::units::LegId;
use media_engine::worker::{LegMedia, Pool, Worker, WorkerCommand, WorkerEvent};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout_at};

use crate::impair::{Impairment, Network};
use crate::sound::write_raw;
use crate::speech::PROMPTS;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORTS: (u16, u16) = (28_000, 29_999);
const FRAME: Duration = Duration::from_millis(20);
/// Speech before the prompt, at most.
const LEAD_MS: u32 = 10_000;
/// A call whose packets left the network less evenly than this was held up: the engine allows a network 3 ms before it has shown itself.
const HELD_UP: Duration = Duration::from_millis(3);
/// How often a call is spoken at most, on a machine with other work; the best-timed one is judged.
const ATTEMPTS: u32 = 6;
/// What stalls of a busy machine, of up to 20 ms about once a second, take from a mean of eight prompts: 0.14 was seen.
const HELD_UP_COST: f64 = 0.2;
/// How long is listened after the last packet.
const LINGER: Duration = Duration::from_millis(600);

/// What the speaking end uses; the listening one gets its samples bare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// PCMU, 8 kHz; judged narrowband.
    G711,
    /// Opus at 24 kbit/s from 16 kHz, with in-band copies, told by how much is lost; judged wideband.
    Opus,
}

impl Spoken {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Spoken::G711 => "G.711, narrowband",
            Spoken::Opus => "Opus 24 kbit/s with FEC, wideband",
        }
    }

    fn rate(self) -> SampleRate {
        match self {
            Spoken::G711 => SampleRate::HZ_8000,
            Spoken::Opus => SampleRate::HZ_16000,
        }
    }

    fn codec(self) -> Codec {
        match self {
            Spoken::G711 => Codec::Pcmu,
            Spoken::Opus => Codec::Opus,
        }
    }

    fn encoder(self, loss_percent: u8) -> Box<dyn Encoder> {
        // Full effort: a talker's device encodes one call.
        let settings = OpusSettings { complexity: 10, expected_loss_percent: loss_percent, ..OpusSettings::default() };
        match self {
            Spoken::G711 => Box::new(UlawCodec::new()),
            Spoken::Opus => Box::new(OpusEncoder::new(self.rate(), settings).expect("settings are in range")),
        }
    }

    fn decoder(self) -> Box<dyn Decoder> {
        match self {
            Spoken::G711 => Box::new(UlawCodec::new()),
            Spoken::Opus => Box::new(OpusDecoder::new(self.rate()).expect("the rate is one of libopus's")),
        }
    }

    fn packets(self, samples: &[i16], loss_percent: u8) -> Vec<Vec<u8>> {
        let mut encoder = self.encoder(loss_percent);
        let mut payload = [0; MAX_PAYLOAD];
        let frames = samples.chunks_exact(self.rate().samples_in_ms(20));
        let encode = |frame: &[i16]| {
            let length = encoder.encode(frame, &mut payload).expect("whole frames encode");
            payload[..length].to_vec()
        };
        frames.map(encode).collect()
    }

    /// What the codec alone makes of the packets that are not lost: its copies are used, nothing is late.
    fn bare(self, packets: &[Vec<u8>], lost: &[bool]) -> Vec<i16> {
        let mut decoder = self.decoder();
        let mut frame = vec![0; self.rate().samples_in_ms(20)];
        let mut samples = Vec::new();
        for (n, payload) in packets.iter().enumerate() {
            let next = packets.get(n + 1).filter(|_| lost.get(n + 1) == Some(&false));
            if !lost[n] {
                decoder.decode(payload, &mut frame).expect("what was encoded decodes");
            } else if !next.is_some_and(|next| decoder.recover(next, &mut frame)) {
                decoder.conceal(&mut frame);
            }
            samples.extend_from_slice(&frame);
        }
        samples
    }
}

/// One network to speak through.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// Codec of the leg that is lossy.
    pub spoken: Spoken,
    /// Independent loss, percent.
    pub loss_percent: u8,
    /// Evenly spread lateness.
    pub jitter: Duration,
}

/// How one condition sounded.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was judged.
    pub condition: Condition,
    /// MOS-LQO of the codec alone, which loses the same packets, over all prompts.
    pub bare: f64,
    /// MOS-LQO of the call, over all prompts.
    pub heard: f64,
    /// The same of every single prompt.
    pub each: Vec<f64>,
    /// The codec alone, of every single prompt.
    pub bare_each: Vec<f64>,
    /// Of every single prompt, whether the machine let its packets through in time in one of the attempts.
    pub in_time: Vec<bool>,
    /// Share of packets that was lost, percent.
    pub lost_percent: f64,
}

/// Speaks all prompts through all conditions at once, `rounds` times with other losses, and has them judged.
///
/// # Panics
/// When a tool is missing, or the engine gives nothing.
pub async fn measure(conditions: &[Condition], rounds: u64) -> Vec<Judged> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cases = Vec::new();
    let mut calls = Vec::new();
    for spoken in [Spoken::G711, Spoken::Opus] {
        let of_this = |(_, condition): &(usize, &Condition)| condition.spoken == spoken;
        let wanted: Vec<_> = conditions.iter().enumerate().filter(of_this).collect();
        if !wanted.is_empty() {
            prepare(spoken, &wanted, folder.path(), &mut calls);
        }
    }
    let mut lost = vec![(0, 0); conditions.len()];
    let mut in_time = vec![Vec::new(); conditions.len()];
    for round in 0..rounds {
        for (call, spoken) in calls.iter().zip(speak_all(&calls, conditions, round).await) {
            let lost = &mut lost[call.condition];
            let count = spoken.losses.iter().filter(|&&lost| lost).count();
            *lost = (lost.0 + count, lost.1 + call.packets.len());
            in_time[call.condition].push(spoken.late <= HELD_UP);
            let heard = keep(folder.path(), &format!("{}-{round}.raw", call.name), &spoken.heard);
            cases.push(Case { bare: false, heard, ..call.case() });
            let bare = call.spoken.bare(&call.packets, &spoken.losses);
            let heard = keep(folder.path(), &format!("{}-{round}-bare.raw", call.name), &bare);
            cases.push(Case { bare: true, heard, ..call.case() });
        }
    }
    let scores = tokio::task::block_in_place(|| judge(&cases));
    let judged = conditions.iter().zip(lost).enumerate().map(|(at, (condition, lost))| {
        let of = |bare: bool| -> Vec<f64> {
            let wanted = |case: &Case| case.condition == at && case.bare == bare;
            cases.iter().zip(&scores).filter(|(case, _)| wanted(case)).map(|(_, score)| *score).collect()
        };
        Judged {
            condition: *condition,
            bare: mean(&of(true)),
            heard: mean(&of(false)),
            each: of(false),
            bare_each: of(true),
            in_time: std::mem::take(&mut in_time[at]),
            lost_percent: 100.0 * lost.0 as f64 / lost.1.max(1) as f64,
        }
    });
    judged.collect()
}

/// The conditions that the project promises, and what is promised of each.
pub const PROMISED: [(Spoken, u8, Option<f64>); 8] = [
    (Spoken::G711, 0, None),
    (Spoken::G711, 1, Some(3.7)),
    (Spoken::G711, 5, Some(3.0)),
    (Spoken::G711, 10, Some(2.4)),
    (Spoken::Opus, 0, None),
    (Spoken::Opus, 1, Some(3.8)),
    (Spoken::Opus, 5, Some(3.4)),
    (Spoken::Opus, 10, Some(2.9)),
];

/// At no loss a call may sound worse than its bare codec by this.
pub const ALLOWED_BELOW_BARE: f64 = 0.10;

/// What of [`PROMISED`] a measurement breaks, in words.
///
/// Where the machine has held prompts up in every attempt it holds the engine up as well: [`HELD_UP_COST`] is allowed then, and said.
pub fn broken_promises(judged: &[Judged]) -> Vec<String> {
    let mut broken = Vec::new();
    for (judged, (_, _, least)) in judged.iter().zip(PROMISED) {
        let (name, loss) = (judged.condition.spoken.name(), judged.condition.loss_percent);
        let held_up = judged.in_time.iter().filter(|in_time| !**in_time).count();
        let mut least = least.unwrap_or(judged.bare - ALLOWED_BELOW_BARE);
        if held_up > 0 {
            eprintln!(
                "{name} at {loss} % loss: the machine held up {held_up} prompts; {HELD_UP_COST} is allowed for it"
            );
            least -= HELD_UP_COST;
        }
        if judged.heard < least {
            broken
                .push(format!("{name} at {loss} % loss: {:.2}, promised {least:.2} {:.2?}", judged.heard, judged.each));
        }
    }
    broken
}

/// Measures [`PROMISED`].
pub async fn measure_promised(rounds: u64) -> Vec<Judged> {
    let conditions =
        PROMISED.map(|(spoken, loss_percent, _)| Condition { spoken, loss_percent, jitter: Duration::ZERO });
    measure(&conditions, rounds).await
}

/// A Markdown table of [`measure_promised`].
pub fn table(judged: &[Judged]) -> String {
    let mut out = String::from("| codec | loss | promised | heard | codec alone |\n|---|---|---|---|---|\n");
    for (judged, (_, _, least)) in judged.iter().zip(PROMISED) {
        let promised =
            least.map_or_else(|| format!("≥ codec − {ALLOWED_BELOW_BARE:.2}"), |least| format!("≥ {least:.1}"));
        let (name, loss) = (judged.condition.spoken.name(), judged.condition.loss_percent);
        out += &format!("| {name} | {loss} % | {promised} | {:.2} | {:.2} |\n", judged.heard, judged.bare);
    }
    out
}

/// One prompt under one condition.
#[derive(Clone, Debug)]
struct Call {
    spoken: Spoken,
    condition: usize,
    name: String,
    /// Lead and prompt.
    packets: Vec<Vec<u8>>,
    /// The prompt as it was spoken.
    reference: String,
}

/// A pair of files for the judge.
#[derive(Debug)]
struct Case {
    spoken: Spoken,
    condition: usize,
    /// The codec alone, not the call.
    bare: bool,
    reference: String,
    heard: String,
}

impl Call {
    fn case(&self) -> Case {
        let reference = self.reference.clone();
        Case { spoken: self.spoken, condition: self.condition, bare: false, reference, heard: String::new() }
    }
}

/// Speaks and encodes every prompt, and keeps it as reference.
fn prepare(spoken: Spoken, conditions: &[(usize, &Condition)], folder: &Path, calls: &mut Vec<Call>) {
    let rate = spoken.rate();
    let prompts = PROMPTS.map(|prompt| prompt.speak(rate, folder));
    for (n, prompt) in prompts.iter().enumerate() {
        let other = &prompts[(n + 1) % prompts.len()];
        let mut said = other[..rate.samples_in_ms(LEAD_MS).min(other.len())].to_vec();
        said.extend_from_slice(prompt);
        // Look-ahead and delays push the last samples out of the last frame.
        said.resize(said.len() + rate.samples_in_ms(100), 0);
        let reference = keep(folder, &format!("reference-{}-{n}.raw", rate.hz()), prompt);
        for &(at, condition) in conditions {
            let packets = spoken.packets(&said, condition.loss_percent);
            let name = format!("{at}-{n}");
            calls.push(Call { spoken, condition: at, name, packets, reference: reference.clone() });
        }
    }
}

/// A file of `samples` in `folder`, as `judge.py` reads it.
fn keep(folder: &Path, name: &str, samples: &[i16]) -> String {
    let path = folder.join(name);
    write_raw(&path, samples);
    path.to_str().expect("temporary folders have names of text").to_owned()
}

/// The engine: one worker, no pinning.
struct Engine {
    pool: Pool,
    worker: Worker,
    range: PortRange,
    legs: std::cell::Cell<u64>,
}

/// Where a bridged call is reached.
struct Ends {
    network: Network,
    into: SocketAddr,
    ear: UdpSocket,
    codec: Codec,
    _events: [mpsc::Receiver<WorkerEvent>; 2],
}

impl Engine {
    fn start() -> Engine {
        let media = MediaConfig { ports: PORTS, realtime: true, ..MediaConfig::default() };
        let pool = Pool::start(&media).expect("a worker starts");
        let worker = pool.place();
        Engine { pool, worker, range: PortRange::new(LOOPBACK, PORTS), legs: std::cell::Cell::new(1) }
    }

    /// A leg that is spoken to through a network of its own, bridged to one that hears samples.
    async fn bridge(&self, spoken: Spoken) -> Ends {
        let network = Network::bind().await;
        let ear = UdpSocket::bind((LOOPBACK, 0)).await.expect("a free port on loopback");
        let heard_at = ear.local_addr().expect("a bound socket has an address");
        let heard = Codec::L16 { rate: spoken.rate() };
        let (from, into, events) = self.open(spoken.codec(), network.address());
        let (to, _, more) = self.open(heard, heard_at);
        self.worker.send(WorkerCommand::Bridge { a: from, b: to }).expect("the worker takes orders");
        Ends { network, into, ear, codec: spoken.codec(), _events: [events, more] }
    }

    fn open(&self, codec: Codec, remote: SocketAddr) -> (LegId, SocketAddr, mpsc::Receiver<WorkerEvent>) {
        let ports = self.range.lease().expect("free ports for media");
        let address = SocketAddr::new(LOOPBACK, ports.rtp_port());
        let leg = LegId(self.legs.get());
        self.legs.set(leg.0 + 1);
        let (events, receiver) = mpsc::channel(256);
        let audio = Audio { remote_rtcp: SocketAddr::new(LOOPBACK, 9), ..Audio::plain(codec, remote) };
        let media = LegMedia::Rtp { ports, audio: Some(audio), nat: false };
        self.worker.send(WorkerCommand::LegOpen { leg, media, events }).expect("the worker takes orders");
        (leg, address, receiver)
    }
}

/// What became of a call.
struct Heard {
    /// Samples.
    heard: Vec<i16>,
    /// Of each packet, whether the network lost it.
    losses: Vec<bool>,
    /// By how much packets were out of their even spacing when they left the network.
    late: Duration,
}

/// Speaks all calls at once, and those again that were held up.
async fn speak_all(calls: &[Call], conditions: &[Condition], round: u64) -> Vec<Heard> {
    let mut best: Vec<Option<Heard>> = calls.iter().map(|_| None).collect();
    for attempt in 1..=ATTEMPTS {
        let is_open = |heard: &Option<Heard>| heard.as_ref().is_none_or(|heard| heard.late > HELD_UP);
        let open: Vec<usize> = (0..calls.len()).filter(|&n| is_open(&best[n])).collect();
        if open.is_empty() {
            break;
        }
        if attempt > 1 {
            eprintln!("{} calls were held up by more than {HELD_UP:?}: attempt {attempt}", open.len());
        }
        let engine = Engine::start();
        let mut running = JoinSet::new();
        for n in open {
            let call = calls[n].clone();
            let (ends, condition) = (engine.bridge(call.spoken).await, conditions[call.condition]);
            let seed = (round << 32) + n as u64;
            running.spawn(async move { (n, speak(call, ends, condition, seed).await) });
        }
        while let Some(done) = running.join_next().await {
            let (n, heard) = done.expect("no panic in an endpoint");
            if best[n].as_ref().is_none_or(|before| heard.late < before.late) {
                best[n] = Some(heard);
            }
        }
        engine.pool.shutdown();
    }
    best.into_iter().map(|heard| heard.expect("every call was spoken")).collect()
}

/// One call: says everything in time, hears everything.
async fn speak(call: Call, ends: Ends, condition: Condition, seed: u64) -> Heard {
    let mouth = UdpSocket::bind((LOOPBACK, 0)).await.expect("a free port on loopback");
    let towards = ends.network.address();
    let impairment = Impairment { seed, loss: f64::from(condition.loss_percent) / 100.0, jitter: condition.jitter };
    let carried = tokio::spawn(ends.network.carry(ends.into, call.packets.len(), FRAME, impairment));
    let until = Instant::now() + FRAME * call.packets.len() as u32 + LINGER;
    let heard = tokio::spawn(listen(ends.ear, until));
    let mut pace = interval_at(Instant::now() + Duration::from_micros(seed * 977 % 20_000), FRAME);
    let ticks = ends.codec.clock().0 / 50;
    for (n, payload) in call.packets.iter().enumerate() {
        pace.tick().await;
        let header = RtpHeader {
            payload_type: ends.codec.static_payload_type().unwrap_or(111),
            marker: n == 0,
            sequence: n as u16,
            timestamp: (n as u32).wrapping_mul(ticks),
            ssrc: 0x5000_0000 + seed as u32,
        };
        let mut datagram = [0; 2048];
        let begin = header.write_to(&mut datagram).expect("room for a header");
        datagram[begin..begin + payload.len()].copy_from_slice(payload);
        mouth.send_to(&datagram[..begin + payload.len()], towards).await.expect("a datagram sent on loopback");
    }
    let (lost, late) = carried.await.expect("no panic in the network");
    let heard = heard.await.expect("no panic in an ear");
    let losses = impairment.losses(call.packets.len());
    assert_eq!(losses.iter().filter(|&&lost| lost).count(), lost, "the seed tells what the network did");
    Heard { heard, losses, late }
}

/// Samples of L16 packets, each at its time.
async fn listen(ear: UdpSocket, until: Instant) -> Vec<i16> {
    let (mut samples, mut first) = (Vec::new(), None);
    let mut buffer = [0; 4096];
    while let Ok(came) = timeout_at(until, ear.recv_from(&mut buffer)).await {
        let (length, _) = came.expect("a datagram on loopback");
        let Ok(packet) = RtpPacket::parse(&buffer[..length]) else { continue };
        let from = packet.timestamp().wrapping_sub(*first.get_or_insert(packet.timestamp())) as usize;
        let (pairs, _) = packet.payload().as_chunks::<2>();
        assert!(from < 100_000_000, "a time stamp far from all others");
        samples.resize(samples.len().max(from + pairs.len()), 0);
        for (sample, &pair) in samples[from..].iter_mut().zip(pairs) {
            *sample = i16::from_be_bytes(pair);
        }
    }
    assert!(!samples.is_empty(), "the engine sent nothing");
    samples
}

/// The Python that has `pesq`; `make pesq` makes it.
fn python() -> PathBuf {
    let folder = std::env::var_os("TANDEM_PESQ").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/tandem/pesq"),
        PathBuf::from,
    );
    let python = folder.join("bin/python");
    assert!(python.exists(), "{} is missing: run `make pesq`", python.display());
    python
}

fn judge(cases: &[Case]) -> Vec<f64> {
    let list: Vec<_> = cases
        .iter()
        .map(|case| {
            let mode = if case.spoken == Spoken::G711 { "nb" } else { "wb" };
            let rate = case.spoken.rate().hz();
            serde_json::json!({ "mode": mode, "rate": rate, "reference": case.reference, "heard": case.heard })
        })
        .collect();
    let mut judge = Command::new(python())
        .arg(crate::repository().join("tests/sound/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the judge starts");
    let stdin = judge.stdin.take().expect("stdin is piped");
    serde_json::to_writer(stdin, &list).expect("the judge reads");
    let output = judge.wait_with_output().expect("the judge ends");
    assert!(output.status.success(), "the judge failed: see above");
    let scores: Vec<f64> = serde_json::from_slice(&output.stdout).expect("the judge tells numbers");
    assert_eq!(scores.len(), cases.len());
    scores
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
