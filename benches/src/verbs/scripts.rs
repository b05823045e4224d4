//! Time from a caller's last digit to the next prompt, while a thousand call programs collect digits at once.
//!
//! ```text
//! one thread: for each call a packet every 20 ms, silence or a telephone-event ─▶ server: gather ─▶ next prompt
//!                                          last digit's end ◀──── measured ────▶ first packet with sound
//! ```
//! All calls share the client's two sockets; a call is identified by the server's port. A lost digit leaves its collection
//! waiting, so no prompt is played: the call is counted as lost and takes no further part.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use codecs::g711::{ulaw_decode, ulaw_encode};
use media_engine::sip::write::response_to;
use media_engine::sip::{Message, Method, Start};
use rand::RngExt;
use reqwest::Method as Http;
use serde_json::json;
use tests::tandem::{Setup, Tandem};

use crate::Terms;
use crate::cpu;
use crate::latencies::Latencies;
use crate::wire::{self, Batch};

/// Number of simultaneous calls.
const CALLS: usize = 1_000;
/// Number of digits in one collection.
const DIGITS: u8 = 4;
/// Samples in a packet of 20 ms.
const FRAME: u32 = 160;
/// Packets of a held key, one every 20 ms; three more report its end.
const HELD: u32 = 4;
/// Packets of silence after a digit.
const GAP: u32 = 3;
/// Silence after which a prompt has ended, so that callers press keys.
const SILENT: Duration = Duration::from_millis(100);
/// Time after the last digit at which a missing prompt counts as lost.
const LOST: Duration = Duration::from_secs(2);
/// Deadline for starting all calls.
const PATIENCE: Duration = Duration::from_secs(120);
/// RTP payload type of telephone-events.
const EVENTS: u8 = 101;
/// Magnitude above which a sample belongs to a prompt.
const AUDIBLE: i16 = 1_000;

/// Callers' waiting times for the next prompt, and the number of collections that were never answered.
pub(super) struct Waits {
    pub(super) latencies: Latencies,
    pub(super) lost: usize,
}

/// Runs every call through `rounds` collections.
pub(super) fn measure(terms: Terms, rounds: usize) -> Result<Waits> {
    let clients = std::thread::spawn(move || {
        cpu::pin(terms.generator_cpu);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(terms, rounds))
    });
    clients.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the callers' thread panicked")))
}

async fn run(terms: Terms, rounds: usize) -> Result<Waits> {
    let media = wire::open()?;
    let signalling = Signalling::start(media.local_addr()?)?;
    let trunks = vec![("carrier", vec![signalling.address.to_string()])];
    let further = "[dial]\nallow = [\"+1555\"]\ncalls = 2000\ncalls_per_second = 1000\n";
    let setup = Setup { trunks, routes: vec![("+*", "trunk:carrier")], further, ..Setup::default() };
    let tandem = Tandem::start(&setup).await;
    cpu::place(tandem.process().pid(), terms.peer.cpu, terms.peer.realtime)?;
    let api = tandem.api("acme").await;
    let program = json!([
        { "label": "again" },
        { "gather": {
            "prompts": [{ "play": { "tone": { "hz": [700], "duration_ms": 100 } } }],
            "min_digits": DIGITS, "max_digits": DIGITS, "first_timeout_ms": 60_000, "next_timeout_ms": 10_000,
            "into": "digits", "on_digits": "again", "on_timeout": "lost", "on_invalid": "lost",
        } },
        { "label": "lost" },
        { "hangup": {} },
    ]);
    println!("scripts: starting {CALLS} calls");
    let began = Instant::now();
    for call in 0..CALLS {
        let body = json!({ "mode": "direct", "to": format!("+1555{call:07}"), "program": program });
        let (status, answer) = api.ask(Http::POST, "/api/calls", Some(body)).await;
        ensure!(status.is_success(), "call {call}: {status} {answer}");
    }
    let mut callers = Vec::with_capacity(CALLS);
    while callers.len() < CALLS {
        ensure!(began.elapsed() < PATIENCE, "only {} of {CALLS} calls began within {PATIENCE:?}", callers.len());
        match signalling.answered.recv_timeout(Duration::from_secs(1)) {
            Ok(to) => callers.push(Caller::new(to, callers.len() as u32)),
            Err(_) => continue,
        }
    }
    println!("scripts: {CALLS} calls after {:.1} s; {rounds} collections each", began.elapsed().as_secs_f64());
    if terms.peer.realtime {
        cpu::run_before_others()?;
    }
    let waits = Room::new(media, callers).measure(rounds)?;
    tandem.stop().await;
    Ok(waits)
}

/// Answers every call, in a thread of its own.
struct Signalling {
    address: SocketAddr,
    /// Media address of each answered call.
    answered: std::sync::mpsc::Receiver<SocketAddr>,
    over: Arc<AtomicBool>,
}

impl Drop for Signalling {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Signalling {
    fn start(media: SocketAddr) -> Result<Signalling> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let address = socket.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let (tell, answered) = std::sync::mpsc::channel();
        let is_over = Arc::clone(&over);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            let mut known = HashMap::new();
            while !is_over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let Ok(message) = Message::parse(&buffer[..length]) else { continue };
                let Start::Request { method, .. } = message.start() else { continue };
                if matches!(method, Method::Ack) {
                    continue;
                }
                let response = response_to(&message, None, 200, "OK", Some("callee"));
                let response = response.header("Contact", format!("<sip:callee@{address}>"));
                let bytes = if matches!(method, Method::Invite) {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let (Some(id), Some(to)) = (line(&text, "Call-ID: "), sound_of(&text)) else { continue };
                    if known.insert(id.to_owned(), to).is_none() && tell.send(to).is_err() {
                        return;
                    }
                    response.body("application/sdp", answer(media)).build()
                } else {
                    response.build()
                };
                // The server may have ended.
                let _ = socket.send_to(&bytes, from);
            }
        });
        Ok(Signalling { address, answered, over })
    }
}

fn answer(media: SocketAddr) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 {EVENTS}\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:{EVENTS} telephone-event/8000\r\na=fmtp:{EVENTS} 0-15\r\na=sendrecv\r\n"
    )
}

fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(start)).map(str::trim)
}

/// Returns the address to which a session description asks audio to be sent.
fn sound_of(text: &str) -> Option<SocketAddr> {
    let address = line(text, "c=IN IP4 ")?.parse().ok()?;
    Some(SocketAddr::new(address, line(text, "m=audio ")?.split(' ').next()?.parse().ok()?))
}

/// State of a caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Waiting for the prompt.
    Listens,
    /// Hearing the prompt.
    Hears,
    /// Pressing keys, with the number of packets since the first one.
    Presses(u32),
    /// Finished: a digit was lost, or all rounds are done.
    Rests,
}

struct Caller {
    to: SocketAddr,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// RTP timestamp at which the held key began.
    pressed_at: u32,
    does: Does,
    /// Arrival of the last packet with sound, and start of the wait for a prompt.
    heard_ns: u64,
    waits_ns: u64,
    rounds: usize,
}

impl Caller {
    fn new(to: SocketAddr, ssrc: u32) -> Caller {
        let (does, waits_ns) = (Does::Hears, wire::now_ns());
        Caller { to, ssrc, sequence: 0, timestamp: 0, pressed_at: 0, does, heard_ns: waits_ns, waits_ns, rounds: 0 }
    }

    /// Builds the packet for the next 20 ms.
    fn packet(&mut self, silence: u8) -> Vec<u8> {
        let mut packet = Vec::with_capacity(172);
        let key = match self.does {
            Does::Presses(n) if n % (HELD + GAP) < HELD => Some((n / (HELD + GAP), n % (HELD + GAP))),
            _ => None,
        };
        if let Some((_, 0)) = key {
            self.pressed_at = self.timestamp;
        }
        let marker = if matches!(key, Some((_, 0))) { 0x80 } else { 0 };
        packet.push(0x80);
        packet.push(if key.is_some() { EVENTS | marker } else { 0 });
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(if key.is_some() { self.pressed_at } else { self.timestamp }.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        match key {
            Some((digit, held)) => {
                let end = if held + 1 == HELD { 0x80 } else { 0 };
                packet.extend([digit as u8 + 1, end | 10]);
                packet.extend(((held + 1) * FRAME).to_be_bytes()[2..].iter());
            }
            None => packet.resize(12 + FRAME as usize, silence),
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME);
        packet
    }
}

/// All callers on one socket.
struct Room {
    media: UdpSocket,
    callers: Vec<Caller>,
    /// Index of the caller by the server's port.
    by_port: HashMap<u16, usize>,
    latencies: Latencies,
    lost: usize,
}

impl Room {
    fn new(media: UdpSocket, callers: Vec<Caller>) -> Room {
        let by_port = callers.iter().enumerate().map(|(index, caller)| (caller.to.port(), index)).collect();
        Room { media, callers, by_port, latencies: Latencies::default(), lost: 0 }
    }

    fn measure(mut self, rounds: usize) -> Result<Waits> {
        let silence = ulaw_encode(0);
        let mut batch = Batch::new();
        // Each caller sends at its own moment within 20 ms.
        let mut slots: Vec<Vec<usize>> = vec![Vec::new(); 20];
        for index in 0..self.callers.len() {
            slots[rand::rng().random_range(0..20)].push(index);
        }
        let began = Instant::now();
        let mut slot = 0u32;
        while self.callers.iter().any(|caller| caller.does != Does::Rests) {
            ensure!(began.elapsed() < PATIENCE, "the collections took more than {PATIENCE:?}");
            let due = began + Duration::from_millis(u64::from(slot));
            while Instant::now() < due {
                self.listen(&mut batch)?;
                std::thread::sleep(Duration::from_micros(100));
            }
            for &index in &slots[slot as usize % 20] {
                self.act(index, rounds, silence);
            }
            self.listen(&mut batch)?;
            slot += 1;
        }
        Ok(Waits { latencies: self.latencies, lost: self.lost })
    }

    /// Runs the next 20 ms of a caller.
    fn act(&mut self, index: usize, rounds: usize, silence: u8) {
        let caller = &mut self.callers[index];
        let now = wire::now_ns();
        let since = |then: u64| Duration::from_nanos(now.saturating_sub(then));
        match caller.does {
            Does::Hears if since(caller.heard_ns) > SILENT => caller.does = Does::Presses(0),
            Does::Listens if since(caller.waits_ns) > LOST => {
                caller.does = Does::Rests;
                self.lost += 1;
            }
            _ => {}
        }
        let packet = caller.packet(silence);
        if let Does::Presses(n) = caller.does {
            let is_last = n + 1 == u32::from(DIGITS - 1) * (HELD + GAP) + HELD;
            if is_last {
                caller.waits_ns = wire::now_ns();
            }
            caller.does = if is_last { Does::Listens } else { Does::Presses(n + 1) };
        }
        wire::send(&self.media, caller.to, &packet);
        if caller.does == Does::Listens && caller.rounds >= rounds {
            caller.does = Does::Rests;
        }
    }

    fn listen(&mut self, batch: &mut Batch) -> Result<()> {
        loop {
            let count = batch.receive(&self.media);
            for index in 0..count {
                let (port, at, packet) = batch.datagram(index);
                let Some(caller) = self.by_port.get(&port).map(|&index| &mut self.callers[index]) else { continue };
                let is_sound = packet.len() > 12 && packet[1] & 0x7f == 0;
                if !is_sound || packet[12..].iter().all(|&code| ulaw_decode(code).abs() < AUDIBLE) {
                    continue;
                }
                caller.heard_ns = at;
                match caller.does {
                    Does::Listens => {
                        self.latencies.add(Duration::from_nanos(at.saturating_sub(caller.waits_ns)));
                        caller.does = Does::Hears;
                        caller.rounds += 1;
                    }
                    Does::Presses(n) if n > HELD => {
                        anyhow::bail!("a prompt was played before the last digit: a digit was counted twice")
                    }
                    Does::Presses(_) | Does::Hears | Does::Rests => {}
                }
            }
            if count == 0 {
                return Ok(());
            }
        }
    }
}
