//! After set-up, relaying, transcoding and mixing RTP neither allocate nor free; only the timers of browser legs do.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "one base instant for a pure test")]

mod counting;

use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use codecs::Encoder;
use codecs::opus::{OpusEncoder, OpusSettings};
use codecs::tones::Sine;
use media_engine::audio::tap::{TapPoint, tap};
use media_engine::leg::rtp::Component;
use media_engine::leg::webrtc::{DtlsCert, PeerOutput, WebRtcPeer};
use media_engine::rtp::RtpHeader;
use media_engine::sdp::{Audio, Codec};
use media_engine::units::{ConferenceId, LegId, Ptime, SampleRate};
use media_engine::worker::switch::{Input, Slot, Switch};
use media_engine::worker::{ConferenceRole, Output, WorkerCommand};

const TICK: Duration = Duration::from_millis(20);

fn audio(codec: Codec, port: u16, ptime_ms: u64) -> Audio {
    Audio {
        ptime: Ptime(Duration::from_millis(ptime_ms)),
        ..Audio::plain(codec, SocketAddr::from(([192, 0, 2, 1], port)))
    }
}

/// Payloads that are encoded before counting starts.
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
        Call::with_ptime(switch, codecs, [20, 20], port, now)
    }

    fn with_ptime(switch: &mut Switch, codecs: [Codec; 2], ptimes_ms: [u64; 2], port: u16, now: Instant) -> Call {
        let audio = [audio(codecs[0], port, ptimes_ms[0]), audio(codecs[1], port + 2, ptimes_ms[1])];
        let ids = [LegId(u64::from(port)), LegId(u64::from(port) + 2)];
        let slots = [0, 1].map(|side| {
            switch.handle(Input::Open { leg: ids[side], audio: Some(audio[side]), nat: false }, now).slot().unwrap()
        });
        switch.handle(WorkerCommand::Bridge { a: ids[0], b: ids[1] }.into(), now);
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
        let bytes = &mut bytes[..12 + payload.len()];
        switch.handle(Input::datagram(self.slots[side], Component::Rtp, audio.remote_rtp, bytes), now);
    }
}

/// Runs the calls for `ticks`; returns the number of datagrams sent.
fn run(switch: &mut Switch, calls: &[Call], from: u32, ticks: u32, start: Instant) -> u64 {
    let mut sent = 0;
    for n in from..from + ticks {
        let now = start + TICK * n;
        for call in calls {
            for side in 0..2 {
                // Some packets are lost, so that concealment runs too.
                if n % 47 != 13 {
                    call.packet(switch, side, n, now);
                }
            }
        }
        for ms in 0..20 {
            let now = now + Duration::from_millis(ms);
            if switch.poll_timeout().is_some_and(|at| at <= now) {
                switch.handle(Input::Timeout, now);
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
        Call::open(&mut switch, [Codec::G722, Codec::Opus], 4500, start),
        Call::open(&mut switch, [Codec::Pcmu, Codec::Pcma], 4800, start),
        Call::with_ptime(&mut switch, [Codec::Pcmu, Codec::G722], [30, 50], 4600, start),
        Call::with_ptime(&mut switch, [Codec::Opus, Codec::Pcma], [60, 10], 4700, start),
    ];
    switch.handle(Input::Open { leg: LegId(4900), audio: Some(audio(Codec::G722, 4900, 20)), nat: false }, start);
    switch.handle(WorkerCommand::Overhear { leg: LegId(4900), of: vec![LegId(4800), LegId(4202)] }.into(), start);
    let mut readers =
        [(4400, TapPoint::Speech), (4402, TapPoint::Hearing), (4000, TapPoint::Hearing)].map(|(leg, point)| {
            let (writer, reader) = tap(16);
            switch.handle(Input::tap(LegId(leg), point, writer), start);
            reader
        });
    let voice = vec![1_000; 24_000 * 20].into();
    switch.handle(
        WorkerCommand::Play { leg: LegId(4402), segment: 1, rate: SampleRate::HZ_24000, samples: voice, last: true }
            .into(),
        start,
    );
    run(&mut switch, &calls, 0, 100, start);
    let before = counting::calls();
    let sent = run(&mut switch, &calls, 100, 500, start);
    let allocations = counting::calls() - before;
    assert!(sent > 7_000, "{sent} datagrams");
    let counters = switch.counters();
    assert!(counters.packets_relayed > 2_000 && counters.frames > 2_500, "{counters:?}");
    assert!(readers.iter_mut().all(|reader| reader.pop().is_some()));
    assert_eq!(allocations, 0, "allocations and frees in {sent} datagrams");
}

#[test]
fn conferences_allocate_nothing_per_packet() {
    let start = Instant::now();
    let mut switch = Switch::new(3, Vec::new(), start, UNIX_EPOCH);
    let wide = |rate| Codec::L16 { rate };
    let calls = [
        Call::open(&mut switch, [Codec::Pcmu, Codec::Opus], 4000, start),
        Call::open(&mut switch, [wide(SampleRate::HZ_16000), Codec::Opus], 4100, start),
        Call::open(&mut switch, [Codec::Pcma, wide(SampleRate::HZ_24000)], 4200, start),
        Call::open(&mut switch, [Codec::Pcmu, Codec::Pcmu], 4300, start),
    ];
    let role = |leg| match leg {
        4300 => ConferenceRole::Monitor,
        4302 => ConferenceRole::Whisper(LegId(4100)),
        _ => ConferenceRole::Participant,
    };
    for leg in calls.iter().flat_map(|call| call.audio).map(|audio| u64::from(audio.remote_rtp.port())) {
        switch.handle(
            WorkerCommand::ConferenceJoin { conference: ConferenceId(1), leg: LegId(leg), role: role(leg) }.into(),
            start,
        );
    }
    switch.handle(WorkerCommand::ConferenceGain { from: LegId(4000), to: LegId(4202), gain: Some(0.3) }.into(), start);
    run(&mut switch, &calls, 0, 100, start);
    // A gain is changing and a voice stops: both end while allocations are counted.
    switch.handle(WorkerCommand::ConferenceGain { from: LegId(4000), to: LegId(4202), gain: Some(0.6) }.into(), start);
    switch.handle(WorkerCommand::ConferenceGain { from: LegId(4102), to: LegId(4200), gain: Some(0.6) }.into(), start);
    switch.handle(WorkerCommand::Mute { leg: LegId(4200), muted: true }.into(), start + TICK * 100);
    switch.handle(WorkerCommand::LegClose { leg: LegId(4302) }.into(), start + TICK * 100);
    while switch.poll_output().is_some() {}
    let before = counting::calls();
    let sent = run(&mut switch, &calls, 100, 500, start);
    let allocations = counting::calls() - before;
    assert!(sent >= 3_500, "{sent} datagrams");
    assert_eq!((switch.census().mixed, switch.counters().packets_relayed), (7, 0));
    assert_eq!(allocations, 0, "allocations and frees in {sent} datagrams");
}

/// Carries datagrams between the switch and the browsers until none are left.
fn carry(switch: &mut Switch, browsers: &mut [(WebRtcPeer, SocketAddr)], shared: SocketAddr, now: Instant) {
    loop {
        let mut carried = false;
        for (peer, here) in browsers.iter_mut() {
            if peer.poll_timeout() <= now {
                peer.handle_timeout(now);
            }
            while let Some(output) = peer.poll_output() {
                if let PeerOutput::Transmit { mut bytes, .. } = output {
                    carried = true;
                    switch.handle(Input::shared_datagram(0, *here, &mut bytes), now);
                }
            }
        }
        while let Some(output) = switch.poll_output() {
            if let Output::Transmit { to, bytes, .. } = output {
                carried = true;
                let (peer, _) = browsers.iter_mut().find(|(_, here)| *here == to).unwrap();
                peer.handle_datagram(shared, to, bytes, now);
            }
        }
        if !carried {
            return;
        }
    }
}

#[test]
fn relayed_browser_packets_allocate_nothing() {
    let start = Instant::now();
    let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let (shared, certificate) = (address(5000), DtlsCert::generate().unwrap());
    let mut switch = Switch::new(3, vec![shared], start, UNIX_EPOCH);
    let mut browsers: Vec<_> = (0..2_u16)
        .map(|n| {
            let (mut peer, offer) = WebRtcPeer::offer(&[address(6000 + n)], &certificate, start).unwrap();
            let (leg, answer) = WebRtcPeer::accept_offer(&offer, &[shared], &certificate, start).unwrap();
            switch.handle(Input::OpenBrowser { leg: LegId(u64::from(n)), peer: Some(Box::new(leg)) }, start);
            peer.handle_answer(&answer).unwrap();
            (peer, address(6000 + n))
        })
        .collect();
    switch.handle(WorkerCommand::Bridge { a: LegId(0), b: LegId(1) }.into(), start);
    let (mut sent, mut allocations) = (0, 0);
    for ms in 0..12_000 {
        let now = start + Duration::from_millis(ms);
        if switch.poll_timeout().is_some_and(|at| at <= now) {
            switch.handle(Input::Timeout, now);
        }
        carry(&mut switch, &mut browsers, shared, now);
        if ms < 2_000 || ms % 20 != 7 {
            continue;
        }
        for (peer, here) in &mut browsers {
            peer.write_rtp(111, ms / 20, ms as u32 * 48, false, &[0xa5; 60], now).unwrap();
            while let Some(output) = peer.poll_output() {
                let PeerOutput::Transmit { mut bytes, .. } = output else { continue };
                let before = counting::calls();
                switch.handle(Input::shared_datagram(0, *here, &mut bytes), now);
                while let Some(output) = switch.poll_output() {
                    sent += u64::from(matches!(output, Output::Transmit { .. }));
                }
                allocations += counting::calls() - before;
            }
        }
    }
    assert!(sent >= 900 && switch.counters().packets_relayed >= 900, "{sent}: {:?}", switch.counters());
    assert_eq!(allocations, 0, "allocations and frees in {sent} datagrams");
}
