//! Once calls stand, relaying and transcoding RTP neither allocates nor frees.
//!
//! One test only: the counter is the process's, and a second test thread would disturb it.

#![allow(unsafe_code, reason = "a global allocator that counts")]
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "one base instant for a pure test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use codecs::Encoder;
use codecs::opus::{OpusEncoder, OpusSettings};
use codecs::tones::Sine;
use media_engine::audio::tap::tap;
use media_engine::rtp::RtpHeader;
use media_engine::sdp::{Audio, Codec, Direction};
use media_engine::units::{LegId, Ptime, SampleRate};
use media_engine::worker::Output;
use media_engine::worker::switch::{Slot, Socket, Switch};

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is handed on to the system's allocator with its arguments unchanged; counting touches one atomic and never
// allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `pointer` came from `System` by way of `alloc` above, with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TICK: Duration = Duration::from_millis(20);

fn audio(codec: Codec, port: u16) -> Audio {
    let payload_type = codec.static_payload_type().unwrap_or(111);
    Audio {
        codec,
        payload_type,
        receive_payload_type: payload_type,
        telephone_event: None,
        ptime: Ptime::MS_20,
        remote_rtp: SocketAddr::from(([192, 0, 2, 1], port)),
        remote_rtcp: SocketAddr::from(([192, 0, 2, 1], port + 1)),
        rtcp_mux: false,
        direction: Direction::SendRecv,
    }
}

/// Payloads made before counting starts.
fn sounds(codec: Codec) -> Vec<Vec<u8>> {
    let mut pcm = [0; 960];
    let mut sine = Sine::new(SampleRate::HZ_48000, 440.0, -12.0);
    let mut encoder = OpusEncoder::new(SampleRate::HZ_48000, OpusSettings::default()).unwrap();
    let one = |n: u32| match codec {
        Codec::Opus => {
            sine.fill(&mut pcm);
            let mut out = vec![0; 1500];
            let length = encoder.encode(&pcm, &mut out).unwrap();
            out.truncate(length);
            out
        }
        _ => vec![0x80 | (n % 128) as u8; 160],
    };
    (0..50).map(one).collect()
}

struct Call {
    slots: [Slot; 2],
    audio: [Audio; 2],
    sounds: [Vec<Vec<u8>>; 2],
}

impl Call {
    fn open(switch: &mut Switch, codecs: [Codec; 2], port: u16, now: Instant) -> Call {
        let audio = [audio(codecs[0], port), audio(codecs[1], port + 2)];
        let ids = [LegId(u64::from(port)), LegId(u64::from(port) + 2)];
        let slots = [0, 1].map(|side| switch.leg_open_rtp(ids[side], Some(audio[side]), false, now));
        switch.bridge(ids[0], ids[1], now);
        Call { slots, audio, sounds: codecs.map(sounds) }
    }

    fn packet(&self, switch: &mut Switch, side: usize, n: u32, now: Instant) {
        let audio = &self.audio[side];
        let payload = &self.sounds[side][n as usize % self.sounds[side].len()];
        let header = RtpHeader {
            payload_type: audio.payload_type,
            marker: false,
            sequence: n as u16,
            timestamp: n.wrapping_mul(audio.codec.clock().0 / 50),
            ssrc: 0x5000 + u32::from(audio.remote_rtp.port()),
        };
        let mut bytes = [0; 1500];
        header.write_to(&mut bytes).unwrap();
        bytes[12..12 + payload.len()].copy_from_slice(payload);
        let bytes = &bytes[..12 + payload.len()];
        switch.handle_datagram(self.slots[side], Socket::Rtp, audio.remote_rtp, bytes, now);
    }
}

/// Runs the calls for `ticks`; returns datagrams sent.
fn run(switch: &mut Switch, calls: &[Call], from: u32, ticks: u32, start: Instant) -> u64 {
    let mut sent = 0;
    for n in from..from + ticks {
        let now = start + TICK * n;
        for call in calls {
            for side in 0..2 {
                // A lost packet now and then, so that concealment runs too.
                if n % 47 != 13 {
                    call.packet(switch, side, n, now);
                }
            }
        }
        for ms in 0..20 {
            let now = now + Duration::from_millis(ms);
            if switch.poll_timeout().is_some_and(|at| at <= now) {
                switch.handle_timeout(now);
            }
            while let Some(output) = switch.poll_output() {
                sent += u64::from(matches!(output, Output::Transmit { .. }));
            }
        }
    }
    sent
}

#[test]
fn relay_and_transcoding_allocate_nothing_per_packet() {
    let start = Instant::now();
    let mut switch = Switch::new(3, Vec::new(), start, UNIX_EPOCH);
    let calls = [
        Call::open(&mut switch, [Codec::Pcmu, Codec::Pcmu], 4000, start),
        Call::open(&mut switch, [Codec::Pcmu, Codec::Opus], 4100, start),
        Call::open(&mut switch, [Codec::Opus, Codec::Opus], 4200, start),
        Call::open(&mut switch, [Codec::L16 { rate: SampleRate::HZ_16000 }, Codec::Pcma], 4300, start),
        Call::open(&mut switch, [Codec::Pcmu, Codec::Pcmu], 4400, start),
    ];
    let (writer, mut reader) = tap(16);
    switch.tap(LegId(4400), writer, start);
    let voice = vec![1_000; 24_000 * 20].into_boxed_slice();
    switch.play(LegId(4402), 1, SampleRate::HZ_24000, voice, true, start);
    run(&mut switch, &calls, 0, 100, start);
    let before = CALLS.load(Ordering::Relaxed);
    let sent = run(&mut switch, &calls, 100, 500, start);
    let allocations = CALLS.load(Ordering::Relaxed) - before;
    assert!(sent > 4_800, "{sent} datagrams");
    let counters = switch.counters();
    assert!(counters.packets_relayed > 2_000 && counters.frames > 2_500, "{counters:?}");
    assert!(reader.pop().is_some());
    assert_eq!(allocations, 0, "allocations and frees in {sent} datagrams");
}
