//! Sends the stream of every leg and records the received packets, in one thread.
//!
//! ```text
//! due ─▶ stamp ─▶ send ─▶ peer under test ─▶ queued here, stamped by the kernel ─▶ taken in batches ─▶ recorded
//! |◀── warm-up: 2.4 s ──▶|◀────────── window: what is measured ──────────▶|◀── 0.5 s: followers of the last ──▶|
//! ```
//!
//! Between packets the generator sleeps if the time suffices: the kernel takes 50 ms of every second from a thread that never
//! rests, real-time scheduling or not, if others wait for its CPU. A thread that leaves them a twentieth of the time is not
//! interrupted.
//!
//! Streams are spread evenly over 20 ms. Every packet is stamped right before its own send call, so that lateness of the generator
//! is never counted as delay of the peer. The lateness is reported beside the results all the same, since packets sent late come
//! in bursts. No packet is decoded during the measurement: see `score` for the evaluation of the record.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use media_engine::leg::webrtc::DtlsCert;
use media_engine::rtp::{RtpHeader, RtpPacket};
use media_engine::sdp::Codec;

use crate::cpu::{self, RunTime};
use crate::far::{Browser, Sdes};
use crate::peer::{FarEnd, Setup};
use crate::plan::{Entry, Link};
use crate::sound::{self, PHRASE, Recordings};
use crate::wire::{self, Batch, Watch};

/// Interval between a leg's packets.
const TICK_NS: u64 = 20_000_000;
/// Number of packets per leg before the window.
const WARM_UP: usize = 120;
/// Number of packets per leg after the window.
const FOLLOWERS: usize = 25;
/// A longer wait is slept through except for its end, which is spun through.
const SLEEP_NS: u64 = 40_000;
/// Part of a wait that is spun through: the time that waking up takes.
const SPIN_NS: u64 = 15_000;
/// Interval between two rests where waits are shorter.
const REST_EVERY_NS: u64 = 1_000_000;
/// Duration of such a rest: at least a twentieth of the time.
const REST: Duration = Duration::from_micros(60);
/// Interval between two timer calls of the browsers.
const BROWSER_TICK_NS: u64 = 2_000_000;
/// Deadline for the browsers to connect.
const CONNECT: Duration = Duration::from_secs(20);
/// Time for which the generator receives after its last packet.
const DRAIN_NS: u64 = 300_000_000;
/// Maximum size of a sent datagram, in bytes.
const ROOM: usize = 512;
/// Bytes at the end of a relayed payload that identify the packet and its leg.
const MARK: usize = 8;

/// Far end of one leg, with its sent and received stream.
pub(crate) struct Leg {
    pub(crate) codec: Codec,
    far: Far,
    payload_type: u8,
    /// Start of its stream in the recording.
    pub(crate) shift: usize,
    /// Send time of each packet.
    pub(crate) sent_at: Vec<u64>,
    /// Whether it receives the payloads of its neighbour unchanged.
    relayed: bool,
    pub(crate) ear: Ear,
}

/// Packets that a far end received from its neighbour.
pub(crate) struct Ear {
    /// Relayed streams: arrival time of each packet; 0 if it did not arrive.
    pub(crate) arrived_at: Vec<u64>,
    /// Transcoded streams: all received packets.
    pub(crate) heard: Vec<Heard>,
    /// Concatenated payloads of `heard`.
    payloads: Vec<u8>,
}

/// Transport between a far end and its leg.
enum Far {
    /// Plain RTP to this address.
    Plain(SocketAddr),
    /// SRTP keyed by SDES.
    Sdes(Box<Sdes>),
    /// A browser on its own socket.
    Browser(Box<Browser>),
}

/// A packet that a far end received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// Time at which the kernel queued it.
    pub(crate) at: u64,
    /// Timestamp of its RTP header.
    pub(crate) timestamp: u32,
    /// Start of its payload in `payloads`.
    begin: usize,
    /// Length of its payload.
    length: usize,
}

/// Complete record of one run.
pub(crate) struct Record {
    pub(crate) entry: Entry,
    pub(crate) legs: Vec<Leg>,
    pub(crate) recordings: Arc<Recordings>,
    /// Numbers of the first packet of the window and of the first one after it.
    pub(crate) window: (usize, usize),
    /// Run time of the peer's threads, and the time of the reading, at the start and the end of the window.
    pub(crate) run_time: [(u64, u64); 2],
    /// Lateness of each packet of the window when it was sent.
    pub(crate) lags_ns: Vec<u64>,
}

/// The far ends of all calls of one measurement.
pub(crate) struct Generator {
    entry: Entry,
    socket: UdpSocket,
    /// Receives RTCP and is never read.
    rtcp: UdpSocket,
    /// Browsers, with their offers, until their legs are known.
    browsers: Vec<Option<(Browser, String)>>,
    watch: Watch,
    legs: Vec<Leg>,
    recordings: Arc<Recordings>,
    packets: usize,
    window: (usize, usize),
    by_port: HashMap<u16, usize>,
    lags_ns: Vec<u64>,
}

/// Numbers of the first packet of the window and of the first one after it.
fn window(span: Duration) -> (usize, usize) {
    (WARM_UP, WARM_UP + (span.as_nanos() as u64 / TICK_NS) as usize)
}

/// Number of packets of recorded audio that a run of `span` needs.
pub(crate) fn recorded_packets(span: Duration) -> usize {
    window(span).1 + FOLLOWERS + PHRASE
}

impl Generator {
    /// Opens sockets and allocates buffers for a measured time of `span`; `recordings` contain at least [`recorded_packets`].
    pub(crate) fn new(entry: Entry, span: Duration, recordings: Arc<Recordings>) -> Result<Generator> {
        let window = window(span);
        let packets = window.1 + FOLLOWERS;
        let count = entry.legs();
        let links = entry.case.links(entry.peer);
        let certificate = DtlsCert::generate()?;
        let mut browsers = Vec::with_capacity(count);
        for index in 0..count {
            let browser = links[index % 2] == Link::Browser;
            browsers.push(if browser { Some(Browser::new(&certificate)?) } else { None });
        }
        Ok(Generator {
            entry,
            socket: wire::open()?,
            rtcp: UdpSocket::bind("127.0.0.1:0")?,
            browsers,
            watch: Watch::new()?,
            legs: Vec::with_capacity(count),
            recordings,
            packets,
            window,
            by_port: HashMap::with_capacity(count),
            lags_ns: Vec::with_capacity(count * (window.1 - window.0)),
        })
    }

    /// Returns the description of the legs that the peer must open.
    pub(crate) fn setup(&self) -> Result<Setup> {
        Ok(Setup {
            case: self.entry.case,
            generator: self.socket.local_addr()?,
            rtcp: self.rtcp.local_addr()?,
            offers: self.browsers.iter().map(|browser| browser.as_ref().map(|(_, offer)| offer.clone())).collect(),
        })
    }

    /// Applies the peer's answer.
    pub(crate) fn connect(&mut self, ends: &[FarEnd]) -> Result<()> {
        ensure!(ends.len() == self.entry.legs(), "the peer set up {} legs", ends.len());
        for (index, end) in ends.iter().enumerate() {
            let codec = self.entry.case.codecs()[index % 2];
            let relayed = self.entry.is_relayed(index);
            let far = match (self.browsers[index].take(), &end.answer) {
                (Some((mut browser, _)), Some(answer)) => {
                    browser.answer(answer)?;
                    self.watch.add(&browser.socket, index)?;
                    Far::Browser(Box::new(browser))
                }
                (None, None) => {
                    self.by_port.insert(end.address.port(), index);
                    match &end.keys {
                        Some(keys) => Far::Sdes(Box::new(Sdes::new(end.address, keys)?)),
                        None => Far::Plain(end.address),
                    }
                }
                _ => bail!("leg {index} is a browser's on one side only"),
            };
            let transcoded = if relayed { 0 } else { self.packets + 50 };
            self.legs.push(Leg {
                codec,
                far,
                payload_type: end.payload_type,
                shift: index * 37 % PHRASE,
                sent_at: Vec::with_capacity(self.packets),
                relayed,
                ear: Ear {
                    arrived_at: vec![0; if relayed { self.packets } else { 0 }],
                    heard: Vec::with_capacity(transcoded),
                    payloads: Vec::with_capacity(transcoded * 172),
                },
            });
        }
        Ok(())
    }

    /// Runs the measurement on `cpu`, with the CPU time of process `pid`.
    pub(crate) fn run(self, pid: u32, cpu: usize, realtime: bool) -> Result<Record> {
        let worker = std::thread::Builder::new().name("generator".into()).spawn(move || {
            cpu::pin(cpu);
            if realtime {
                cpu::run_before_others()?;
            }
            self.measure(&RunTime::of(pid)?)
        })?;
        worker.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?
    }

    fn measure(mut self, run_time: &RunTime) -> Result<Record> {
        let (mut batch, mut readings) = (Batch::new(), [(0, 0); 2]);
        self.connect_browsers(&mut batch)?;
        let browsers = self.legs.iter().any(|leg| matches!(leg.far, Far::Browser(_)));
        let start = wire::now_ns() + TICK_NS;
        let (mut tick_at, mut rested_at) = (start, start);
        let count = self.legs.len();
        let step = TICK_NS / count as u64;
        for packet in 0..self.packets {
            if packet == self.window.0 || packet == self.window.1 {
                readings[usize::from(packet == self.window.1)] = (run_time.read_ns()?, wire::now_ns());
            }
            for index in 0..count {
                let due = start + TICK_NS * packet as u64 + step * index as u64;
                let now = loop {
                    let now = wire::now_ns();
                    if now >= due {
                        break now;
                    }
                    self.receive(&mut batch);
                    if browsers && now >= tick_at {
                        tick_at = now + BROWSER_TICK_NS;
                        self.tick_browsers();
                    }
                    let left = due.saturating_sub(wire::now_ns());
                    if left > SLEEP_NS {
                        std::thread::sleep(Duration::from_nanos(left - SPIN_NS));
                        rested_at = due;
                    } else if now >= rested_at + REST_EVERY_NS {
                        std::thread::sleep(REST);
                        rested_at = now;
                    }
                };
                if (self.window.0..self.window.1).contains(&packet) {
                    self.lags_ns.push(now - due);
                }
                self.send(index, packet)?;
            }
        }
        let end = wire::now_ns() + DRAIN_NS;
        while wire::now_ns() < end {
            self.receive(&mut batch);
        }
        let Generator { entry, legs, recordings, window, lags_ns, .. } = self;
        Ok(Record { entry, legs, recordings, window, run_time: readings, lags_ns })
    }

    fn send(&mut self, index: usize, packet: usize) -> Result<()> {
        let leg = &mut self.legs[index];
        let payload = &self.recordings.of(leg.codec).payloads[packet + leg.shift];
        let header = RtpHeader {
            payload_type: leg.payload_type,
            marker: packet == 0,
            sequence: packet as u16,
            timestamp: packet as u32 * sound::packet_ticks(leg.codec),
            ssrc: 0x7000_0000 + index as u32,
        };
        let mut bytes = [0; ROOM];
        let begin = header.write_to(&mut bytes)?;
        let length = begin + payload.len();
        bytes.get_mut(begin..length).context("a payload is too long")?.copy_from_slice(payload);
        if leg.relayed {
            mark(&mut bytes[begin..length], index as u32, packet as u32);
        }
        let sent_at = match &mut leg.far {
            Far::Plain(to) => {
                let now = wire::now_ns();
                wire::send(&self.socket, *to, &bytes[..length]);
                now
            }
            Far::Sdes(sdes) => sdes.say(&self.socket, &mut bytes, length)?,
            Far::Browser(browser) => browser.say(header, packet, &bytes[begin..length])?,
        };
        leg.sent_at.push(sent_at);
        Ok(())
    }

    /// Waits until all browsers are connected.
    fn connect_browsers(&mut self, batch: &mut Batch) -> Result<()> {
        let end = Instant::now() + CONNECT;
        loop {
            let mut waiting = 0;
            for leg in &self.legs {
                if let Far::Browser(browser) = &leg.far {
                    waiting += usize::from(!browser.is_connected()?);
                }
            }
            if waiting == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{waiting} browsers did not connect within {CONNECT:?}");
            self.tick_browsers();
            self.receive(batch);
        }
    }

    /// Processes the timers of the browsers.
    fn tick_browsers(&mut self) {
        let now = Instant::now();
        for leg in &mut self.legs {
            if let Far::Browser(browser) = &mut leg.far {
                browser.tick(now);
            }
        }
    }

    /// Processes a batch of received datagrams.
    fn receive(&mut self, batch: &mut Batch) {
        for index in 0..batch.receive(&self.socket) {
            let (port, at, bytes) = batch.datagram(index);
            let Some(&listener) = self.by_port.get(&port) else { continue };
            let Leg { far, ear, relayed, .. } = &mut self.legs[listener];
            let bytes = match far {
                Far::Sdes(sdes) => sdes.open(bytes),
                _ => Some(&*bytes),
            };
            let Some(Ok(packet)) = bytes.map(RtpPacket::parse) else { continue };
            ear.hear(packet.timestamp(), packet.payload(), at, *relayed, listener ^ 1);
        }
        if self.by_port.len() == self.legs.len() {
            return;
        }
        for ready in 0..self.watch.look() {
            let listener = self.watch.token(ready);
            let Leg { far: Far::Browser(browser), ear, relayed, .. } = &mut self.legs[listener] else { continue };
            for index in 0..batch.receive(&browser.socket) {
                let (port, at, bytes) = batch.datagram(index);
                browser
                    .take(port, bytes, |timestamp, payload| ear.hear(timestamp, payload, at, *relayed, listener ^ 1));
            }
        }
    }
}

impl Ear {
    /// Records a packet from leg `speaker`.
    fn hear(&mut self, timestamp: u32, payload: &[u8], at: u64, relayed: bool, speaker: usize) {
        if relayed {
            // Silence from before the bridge has no mark. Of duplicates, the first counts.
            let place = marked(payload, speaker as u32).and_then(|number| self.arrived_at.get_mut(number as usize));
            if let Some(place) = place
                && *place == 0
            {
                *place = at;
            }
        } else if self.heard.len() < self.heard.capacity() {
            let begin = self.payloads.len();
            self.payloads.extend_from_slice(payload);
            self.heard.push(Heard { at, timestamp, begin, length: payload.len() });
        }
    }

    /// Returns the payload of an entry of `heard`.
    pub(crate) fn payload(&self, heard: &Heard) -> &[u8] {
        &self.payloads[heard.begin..heard.begin + heard.length]
    }
}

/// Writes leg and packet number over the end of a payload; the codec's first byte is unchanged.
fn mark(payload: &mut [u8], leg: u32, packet: u32) {
    if let Some(at) = payload.len().checked_sub(MARK) {
        payload[at..at + 4].copy_from_slice(&leg.to_be_bytes());
        payload[at + 4..].copy_from_slice(&packet.to_be_bytes());
    }
}

/// Returns the packet number in a payload that was marked for leg `leg`.
fn marked(payload: &[u8], leg: u32) -> Option<u32> {
    let words = payload.last_chunk::<MARK>()?;
    let [leg_word, packet_word] = [words[..4].try_into().ok()?, words[4..].try_into().ok()?];
    (u32::from_be_bytes(leg_word) == leg).then(|| u32::from_be_bytes(packet_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_names_the_packet_and_its_leg() {
        let mut payload = [0xff; 160];
        mark(&mut payload, 5, 321);
        assert_eq!((marked(&payload, 5), marked(&payload, 4)), (Some(321), None));
        assert_eq!(payload[..152], [0xff; 152]);
        let mut short = [1; MARK - 1];
        mark(&mut short, 5, 1);
        assert_eq!((short, marked(&short, 5)), ([1; MARK - 1], None));
    }
}
