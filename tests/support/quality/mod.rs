//! Audio quality of calls: speech goes through the engine over a network that loses packets, and PESQ scores the result.
//!
//! ```text
//! speech ─▶ encoder ─▶ Network (loss) ─▶ leg │ worker │ leg ─▶ L16 ─▶ received audio ─▶ judge.py ─▶ MOS-LQO
//!      └──▶ encoder ─▶ decoder ──────────────────────────────▶ the bare codec ───────▶┘
//! ```
//!
//! The far leg receives bare samples, so the score covers the engine's jitter buffer, decoder and concealment. Losses follow from
//! the seed. Another prompt is spoken before each scored prompt, so that the engine has adapted to the network, as it has during a
//! call.
//!
//! Every call is spoken twice with the same packets and the same losses: over real sockets in real time (`sockets`), and through
//! the worker's own switch under virtual time (`simulated`). A machine that stalls for a moment adds delays to the first run that
//! the condition does not contain: the score of such a prompt is taken from virtual time, and the number of these prompts is
//! reported. The promised scores apply to both.

mod simulated;
mod sockets;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use codecs::g711::UlawCodec;
use codecs::opus::{MAX_PAYLOAD, OpusDecoder, OpusEncoder, OpusSettings};
use codecs::{Decoder, Encoder, SampleRate};
use media_engine::rtp::{RtpHeader, RtpPacket};
use media_engine::sdp::Codec;

use crate::impair::Impairment;
use crate::sound::write_raw;
use crate::speech::PROMPTS;

const FRAME: Duration = Duration::from_millis(20);
/// Maximum duration of the speech before the scored prompt.
const LEAD_MS: u32 = 10_000;
/// Time for which the listener records after the last packet.
const LINGER: Duration = Duration::from_millis(600);

/// Codec of the speaking leg. The listening leg receives bare samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// PCMU, 8 kHz; judged narrowband.
    G711,
    /// Opus at 24 kbit/s from 16 kHz, with in-band redundancy and a known loss rate; judged wideband.
    Opus,
}

impl Spoken {
    /// Display name of the codec.
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
        // Full complexity: a talker's device encodes only one call.
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

    /// Decodes the packets that are not lost with the codec alone: redundancy is used, and no packet is late.
    fn bare(self, packets: &[Vec<u8>], lost: &[bool]) -> Vec<i16> {
        let mut decoder = self.decoder();
        let mut frame = vec![0; self.rate().samples_in_ms(20)];
        let mut samples = Vec::new();
        for (n, payload) in packets.iter().enumerate() {
            let next = packets.get(n + 1).filter(|_| lost.get(n + 1) == Some(&false));
            if !lost[n] {
                decoder.decode(payload, &mut frame).expect("encoded packets decode");
            } else if !next.is_some_and(|next| decoder.recover(next, &mut frame)) {
                decoder.conceal(&mut frame);
            }
            samples.extend_from_slice(&frame);
        }
        samples
    }
}

/// Network condition and codec of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// Codec of the leg that is lossy.
    pub spoken: Spoken,
    /// Independent loss, percent.
    pub loss_percent: u8,
    /// Maximum of the packets' random delay, which is uniformly distributed from zero.
    pub jitter: Duration,
}

impl Condition {
    fn impairment(self, seed: u64) -> Impairment {
        Impairment { seed, loss: f64::from(self.loss_percent) / 100.0, jitter: self.jitter }
    }
}

/// Scores of one condition, in MOS-LQO, one for each prompt.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Condition that was measured.
    pub condition: Condition,
    /// Scores of the codec alone with the same lost packets.
    pub bare: Vec<f64>,
    /// Scores of the calls under virtual time.
    pub simulated: Vec<f64>,
    /// Scores of the calls over sockets; for calls that the machine held up, the scores under virtual time.
    pub heard: Vec<f64>,
    /// Number of scores in `heard` that come from sockets.
    pub by_sockets: usize,
}

/// Speaks all prompts under all conditions at once, `rounds` times with different losses, and scores them.
///
/// # Panics
/// When a tool is missing, or the engine delivers no audio.
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
    for round in 0..rounds {
        let by_sockets = sockets::speak_all(&calls, conditions, round).await;
        let simulated = tokio::task::block_in_place(|| simulated::speak_all(&calls, conditions, round));
        for (n, (call, (by_sockets, simulated))) in calls.iter().zip(by_sockets.into_iter().zip(simulated)).enumerate()
        {
            let losses = conditions[call.condition].impairment(call.seed(n, round)).losses(call.packets.len());
            let bare = call.spoken.bare(&call.packets, &losses);
            let mut add = |way: Way, heard: &[i16]| {
                let heard = keep(folder.path(), &format!("{}-{round}-{way:?}.raw", call.name), heard);
                cases.push(call.case(way, heard));
            };
            add(Way::Bare, &bare);
            add(Way::Simulated, &simulated);
            if let Some(heard) = by_sockets {
                add(Way::Sockets, &heard);
            }
        }
    }
    let scores = tokio::task::block_in_place(|| judge(&cases));
    let judged = conditions.iter().enumerate().map(|(at, condition)| {
        let mut judged =
            Judged { condition: *condition, bare: Vec::new(), simulated: Vec::new(), heard: Vec::new(), by_sockets: 0 };
        for (case, &score) in cases.iter().zip(&scores).filter(|(case, _)| case.condition == at) {
            match case.way {
                Way::Bare => judged.bare.push(score),
                Way::Simulated => {
                    judged.simulated.push(score);
                    judged.heard.push(score);
                }
                // The case follows directly after its simulation.
                Way::Sockets => {
                    judged.by_sockets += 1;
                    *judged.heard.last_mut().expect("every call is simulated") = score;
                }
            }
        }
        judged
    });
    judged.collect()
}

/// Conditions for which the project promises a score, and the lowest permitted mean score of each.
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

/// Maximum difference in MOS by which a call without loss may score below its bare codec.
pub const ALLOWED_BELOW_BARE: f64 = 0.10;

/// Returns a sentence for each promise of [`PROMISED`] that a measurement breaks.
pub fn broken_promises(judged: &[Judged]) -> Vec<String> {
    let mut broken = Vec::new();
    for (judged, (_, _, least)) in judged.iter().zip(PROMISED) {
        let (name, loss) = (judged.condition.spoken.name(), judged.condition.loss_percent);
        let least = least.unwrap_or(mean(&judged.bare) - ALLOWED_BELOW_BARE);
        for (how, each) in [("over sockets", &judged.heard), ("under virtual time", &judged.simulated)] {
            if mean(each) < least {
                broken
                    .push(format!("{name} at {loss} % loss {how}: {:.2}, promised {least:.2} {each:.2?}", mean(each)));
            }
        }
    }
    broken
}

/// Measures the conditions of [`PROMISED`].
pub async fn measure_promised(rounds: u64) -> Vec<Judged> {
    let conditions =
        PROMISED.map(|(spoken, loss_percent, _)| Condition { spoken, loss_percent, jitter: Duration::ZERO });
    measure(&conditions, rounds).await
}

/// Formats the result of [`measure_promised`] as a Markdown table.
pub fn table(judged: &[Judged]) -> String {
    let mut out = String::from(
        "| codec | loss | promised | heard | of these over sockets | under virtual time | codec alone |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (judged, (_, _, least)) in judged.iter().zip(PROMISED) {
        let promised =
            least.map_or_else(|| format!("≥ codec − {ALLOWED_BELOW_BARE:.2}"), |least| format!("≥ {least:.1}"));
        let (name, loss) = (judged.condition.spoken.name(), judged.condition.loss_percent);
        let (heard, simulated, bare) = (mean(&judged.heard), mean(&judged.simulated), mean(&judged.bare));
        let (by_sockets, all) = (judged.by_sockets, judged.heard.len());
        out += &format!(
            "| {name} | {loss} % | {promised} | {heard:.2} | {by_sockets} of {all} | {simulated:.2} | {bare:.2} |\n"
        );
    }
    out
}

/// One prompt under one condition.
#[derive(Clone, Debug)]
struct Call {
    spoken: Spoken,
    condition: usize,
    name: String,
    /// Packets of the leading speech and of the prompt.
    packets: Vec<Vec<u8>>,
    /// File name of the original prompt.
    reference: String,
}

/// Path by which a prompt reached its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The codec alone.
    Bare,
    /// Through the engine, under virtual time.
    Simulated,
    /// Through the engine, over sockets.
    Sockets,
}

/// A pair of files to be scored.
#[derive(Debug)]
struct Case {
    spoken: Spoken,
    condition: usize,
    way: Way,
    reference: String,
    heard: String,
}

impl Call {
    fn case(&self, way: Way, heard: String) -> Case {
        Case { spoken: self.spoken, condition: self.condition, way, reference: self.reference.clone(), heard }
    }

    /// Seed for the losses of call number `n` in a round.
    fn seed(&self, n: usize, round: u64) -> u64 {
        (round << 32) + n as u64
    }

    /// Delay of the first packet: calls are spread over one frame.
    fn offset(seed: u64) -> Duration {
        Duration::from_micros(seed * 977 % 20_000)
    }

    /// Returns packet number `n` as an RTP datagram.
    fn datagram(&self, n: usize, seed: u64) -> Vec<u8> {
        let codec = self.spoken.codec();
        let header = RtpHeader {
            payload_type: codec.static_payload_type().unwrap_or(111),
            marker: n == 0,
            sequence: n as u16,
            timestamp: (n as u32).wrapping_mul(codec.clock().0 / 50),
            ssrc: 0x5000_0000 + seed as u32,
        };
        let mut datagram = vec![0; 12];
        header.write_to(&mut datagram).expect("room for a header");
        datagram.extend_from_slice(&self.packets[n]);
        datagram
    }
}

/// Collects the samples of L16 packets, each at its time.
#[derive(Debug, Default)]
struct Ear {
    samples: Vec<i16>,
    first: Option<u32>,
}

impl Ear {
    fn hear(&mut self, datagram: &[u8]) {
        let Ok(packet) = RtpPacket::parse(datagram) else { return };
        let from = packet.timestamp().wrapping_sub(*self.first.get_or_insert(packet.timestamp())) as usize;
        let (pairs, _) = packet.payload().as_chunks::<2>();
        assert!(from < 100_000_000, "a time stamp far from all others");
        self.samples.resize(self.samples.len().max(from + pairs.len()), 0);
        for (sample, &pair) in self.samples[from..].iter_mut().zip(pairs) {
            *sample = i16::from_be_bytes(pair);
        }
    }

    fn into_samples(self) -> Vec<i16> {
        assert!(!self.samples.is_empty(), "the engine sent nothing");
        self.samples
    }
}

/// Synthesises and encodes every prompt, and stores it as a reference.
fn prepare(spoken: Spoken, conditions: &[(usize, &Condition)], folder: &Path, calls: &mut Vec<Call>) {
    let rate = spoken.rate();
    let prompts = PROMPTS.map(|prompt| prompt.speak(rate, folder));
    for (n, prompt) in prompts.iter().enumerate() {
        let other = &prompts[(n + 1) % prompts.len()];
        let mut said = other[..rate.samples_in_ms(LEAD_MS).min(other.len())].to_vec();
        said.extend_from_slice(prompt);
        // Codec look-ahead and delay push the last samples out of the last frame.
        said.resize(said.len() + rate.samples_in_ms(100), 0);
        let reference = keep(folder, &format!("reference-{}-{n}.raw", rate.hz()), prompt);
        for &(at, condition) in conditions {
            let packets = spoken.packets(&said, condition.loss_percent);
            let name = format!("{at}-{n}");
            calls.push(Call { spoken, condition: at, name, packets, reference: reference.clone() });
        }
    }
}

/// Writes `samples` to a file in `folder`, in the format of `judge.py`, and returns its name.
fn keep(folder: &Path, name: &str, samples: &[i16]) -> String {
    let path = folder.join(name);
    write_raw(&path, samples);
    path.to_str().expect("temporary folders have names of text").to_owned()
}

/// Path of the Python interpreter that has `pesq`; `make pesq` installs it.
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
    let scores: Vec<f64> = serde_json::from_slice(&output.stdout).expect("the judge prints numbers");
    assert_eq!(scores.len(), cases.len());
    scores
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
