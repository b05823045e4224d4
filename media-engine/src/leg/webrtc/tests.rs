//! Two legs connected in memory under virtual time; datagrams take 10 ms each way.
//!
//! Side 0 is str0m with its own media path, so it is as independent of ours as a browser; side 1 is a leg as it runs in production. The
//! offers of Chromium and Firefox at the top are also the seeds of the parsers' fuzz tests.
//!
//! Not here: the legs in a switch (`worker::switch::tests_webrtc`).

use std::collections::VecDeque;

use super::*;
use crate::sdp::Direction;
use crate::units::{ClockRate, test_epoch};

/// A voice offer as Chromium makes it: mDNS and TCP candidates beside a usable one, both event clocks, a video line.
pub(super) const CHROMIUM_OFFER: &str = "v=0\r\n\
o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS stream1\r\n\
m=audio 51234 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n\
c=IN IP4 192.0.2.7\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
a=candidate:2071327464 1 udp 2113937151 6e1b4bd6-3b0e-4f6c-9f2d-2b8d9a1f8f11.local 51235 typ host generation 0 network-cost 999\r\n\
a=candidate:1510613869 1 udp 2113937151 192.0.2.7 51234 typ host generation 0 network-id 1 network-cost 50\r\n\
a=candidate:344579997 1 tcp 1518283007 192.0.2.7 9 typ host tcptype active generation 0\r\n\
a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlsl\r\na=ice-options:trickle\r\n\
a=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:1F\r\n\
a=setup:actpass\r\na=mid:0\r\n\
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
a=sendrecv\r\na=msid:stream1 track1\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n\
a=rtpmap:126 telephone-event/8000\r\na=ssrc:2607947206 cname:abc\r\na=ssrc:2607947206 msid:stream1 track1\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendrecv\r\na=rtcp-mux\r\n\
a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n";

/// An offer as Firefox makes it, with all possible attributes at session level.
pub(super) const FIREFOX_OFFER: &str = "v=0\r\n\
o=mozilla...THIS_IS_SDPARTA-99.0 8212476532 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=sendrecv\r\n\
a=fingerprint:sha-256 aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa:aa\r\n\
a=group:BUNDLE 0\r\na=ice-options:trickle\r\na=msid-semantic:WMS *\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\n\
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1\r\na=fmtp:101 0-15\r\n\
a=ice-pwd:8b8a7cbb3bdc4bb4d8a1b3cf4f5e6d7c\r\na=ice-ufrag:1a2b3c4d\r\na=mid:0\r\na=msid:{x} {y}\r\na=rtcp-mux\r\n\
a=rtpmap:109 opus/48000/2\r\na=rtpmap:9 G722/8000/1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:101 telephone-event/8000/1\r\na=setup:actpass\r\na=ssrc:1234567 cname:{z}\r\n";

/// Runs `target` over seeded mutations of `seeds`; deterministic.
pub(super) fn mutate(seeds: &[&[u8]], rounds: u32, target: fn(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for seed in seeds {
        target(seed);
    }
    for _ in 0..rounds {
        let mut bytes = seeds[next(seeds.len())].to_vec();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(5) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << next(8),
                1 if !bytes.is_empty() => bytes[at] = [0, 0xff, b' ', b'\n', b':', b'-', b'9'][next(7)],
                2 => bytes.truncate(at),
                3 => {
                    let other = seeds[next(seeds.len())];
                    let from = next(other.len());
                    let piece = &other[from..(from + next(64)).min(other.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                _ => drop(bytes.drain(at..(at + next(32)).min(bytes.len()))),
            }
        }
        target(&bytes);
    }
}

const LATENCY: Duration = Duration::from_millis(10);

struct Side {
    peer: WebRtcPeer,
    connected: usize,
    closed: Option<String>,
    received: Vec<(u8, u16, u32, bool, Vec<u8>)>,
    sent: usize,
}

/// Both legs, the datagrams between them, and the time.
struct Pair {
    sides: [Side; 2],
    wire: VecDeque<(Instant, usize, SocketAddr, SocketAddr, Vec<u8>)>,
    now: Instant,
    cut: bool,
    /// Present address of side 0; nothing reaches it by its old address.
    moved: Option<SocketAddr>,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn certificate() -> DtlsCert {
    DtlsCert::generate().unwrap()
}

impl Pair {
    /// Negotiates with the offerer at index 0 and the answerer at index 1.
    fn negotiate() -> Pair {
        Pair::negotiate_with(|answer| answer)
    }

    /// Side 0 uses str0m's own media path, which is as independent of ours as a browser.
    fn negotiate_with(change: impl FnOnce(String) -> String) -> Pair {
        Pair::negotiate_between(&DtlsCert::of_str0m_alone(), change)
    }

    fn negotiate_between(offerer: &DtlsCert, change: impl FnOnce(String) -> String) -> Pair {
        let now = test_epoch();
        let (mut offerer, offer) = WebRtcPeer::offer(&[address(1000)], offerer, now).unwrap();
        let (answerer, answer) = WebRtcPeer::accept_offer(&offer, &[address(2000)], &certificate(), now).unwrap();
        offerer.handle_answer(&change(answer)).unwrap();
        Pair::of(offerer, answerer, now)
    }

    fn of(a: WebRtcPeer, b: WebRtcPeer, now: Instant) -> Pair {
        let side = |peer| Side { peer, connected: 0, closed: None, received: Vec::new(), sent: 0 };
        Pair { sides: [side(a), side(b)], wire: VecDeque::new(), now, cut: false, moved: None }
    }

    fn drain(&mut self, index: usize) {
        while let Some(output) = self.sides[index].peer.poll_output() {
            let side = &mut self.sides[index];
            assert!(side.closed.is_none(), "nothing is returned after Closed");
            match output {
                PeerOutput::Transmit { to, from, bytes } => {
                    side.sent += 1;
                    let reached = self.moved.is_none_or(|moved| index == 0 || to == moved);
                    let (from, to) = match self.moved {
                        Some(moved) if index == 0 => (moved, to),
                        Some(_) => (from, address(1000)),
                        None => (from, to),
                    };
                    if reached && !self.cut {
                        self.wire.push_back((self.now + LATENCY, 1 - index, from, to, bytes));
                    }
                }
                PeerOutput::Rtp { payload_type, seq, timestamp, marker, payload, .. } => {
                    side.received.push((payload_type, seq, timestamp, marker, payload.to_vec()));
                }
                PeerOutput::Connected => side.connected += 1,
                PeerOutput::Closed(reason) => side.closed = Some(reason),
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.drain(0);
            self.drain(1);
            let due = (0..2).map(|index| self.sides[index].peer.poll_timeout()).min().unwrap();
            let arrival = self.wire.front().map_or(end, |datagram| datagram.0);
            let next = due.min(arrival).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            if arrival <= next {
                let (_, index, from, to, bytes) = self.wire.pop_front().unwrap();
                self.sides[index].peer.handle_datagram(from, to, &bytes, next);
                self.drain(index);
            }
            for index in 0..2 {
                if self.sides[index].peer.poll_timeout() <= next {
                    self.sides[index].peer.handle_timeout(next);
                }
            }
        }
    }

    fn connect(mut self) -> Pair {
        self.run(Duration::from_secs(2));
        assert_eq!([self.sides[0].connected, self.sides[1].connected], [1, 1]);
        self
    }

    /// Sends ten packets each way, 20 ms apart, and returns how many of each side's arrived intact.
    fn exchange(&mut self, first: u64) -> [usize; 2] {
        for side in &mut self.sides {
            side.received.clear();
        }
        let mut expected: [Vec<_>; 2] = [Vec::new(), Vec::new()];
        for number in first..first + 10 {
            for index in 0..2 {
                let payload = [index as u8, number as u8, 0xa5, 0, 0xff];
                let (timestamp, marker) = (number as u32 * 960, number == first);
                let now = self.now;
                let peer = &mut self.sides[index].peer;
                let payload_type = peer.audio().unwrap().payload_type;
                if peer.write_rtp(payload_type, number, timestamp, marker, &payload, now).is_ok() {
                    expected[1 - index].push((payload_type, number as u16, timestamp, marker, payload.to_vec()));
                }
            }
            self.run(Duration::from_millis(20));
        }
        self.run(Duration::from_millis(100));
        [0, 1].map(|index| {
            assert_eq!(self.sides[index].received, expected[index], "side {index}");
            expected[index].len()
        })
    }
}

/// Side 0 plays the browser: makes an offer through str0m and applies the answer.
fn browser_reoffers(pair: &mut Pair, change: impl FnOnce(&mut str0m::change::SdpApi<'_>, Mid)) -> String {
    let browser = &mut pair.sides[0].peer;
    let mid = browser.mid.unwrap();
    let mut changes = browser.rtc.sdp_api();
    change(&mut changes, mid);
    let (offer, pending) = changes.apply().unwrap();
    let answer = pair.sides[1].peer.handle_reoffer(&offer.to_sdp_string()).unwrap();
    browser_takes(pair, pending, &answer);
    answer
}

fn browser_takes(pair: &mut Pair, pending: SdpPendingOffer, answer: &str) {
    let browser = &mut pair.sides[0].peer;
    browser.pending = Some(pending);
    browser.handle_answer(answer).unwrap();
}

#[test]
fn two_legs_connect_and_carry_rtp_both_ways_unaltered() {
    let mut pair = Pair::negotiate().connect();
    assert_eq!(pair.exchange(1), [10, 10]);
    assert_eq!(pair.exchange(11), [10, 10]);
    for side in &pair.sides {
        let quality = side.peer.quality();
        assert_eq!((quality.packets_sent, quality.packets_received), (20, 20));
        assert_eq!(quality.datagrams_ignored, 0);
    }
}

#[test]
fn media_survives_the_roll_over_of_the_sequence_number() {
    assert_eq!(Pair::negotiate().connect().exchange(65_530), [10, 10]);
}

#[test]
fn media_bypasses_str0m_as_soon_as_the_leg_is_connected() {
    let mut pair = Pair::negotiate_between(&certificate(), |answer| answer).connect();
    assert_eq!(
        [0, 1].map(|side| pair.sides[side].peer.route()),
        [Some((address(2000), address(1000))), Some((address(1000), address(2000)))]
    );
    assert_eq!(pair.exchange(65_530), [10, 10]);
    let plain = Pair::negotiate().connect();
    assert_eq!([0, 1].map(|side| plain.sides[side].peer.route().is_some()), [false, true]);
}

#[test]
fn reports_to_and_from_str0m_yield_round_trip_and_loss() {
    let mut pair = Pair::negotiate().connect();
    for n in 0..60 {
        // Every tenth number is lost before it is sent, and the browser's reports show it.
        pair.exchange(1 + n * 11);
    }
    let quality = pair.sides[1].peer.quality();
    let round_trip = quality.round_trip.expect("reports crossed");
    assert!(round_trip.abs_diff(LATENCY * 2) < Duration::from_millis(15), "{round_trip:?}");
    assert_eq!(quality.datagrams_ignored, 0);
    for (name, side) in [("we read str0m's", &pair.sides[1]), ("str0m reads ours", &pair.sides[0])] {
        let told = side.peer.quality().far_end;
        let mean = told.loss_sum / told.reports.max(1) as f64;
        assert!(told.reports >= 2 && (0.05..0.13).contains(&mean), "{name}: {told:?}");
    }
}

#[test]
fn media_is_neither_accepted_from_strangers_nor_sent_to_them() {
    let mut pair = Pair::negotiate().connect();
    assert_eq!(pair.exchange(1), [10, 10]);
    let now = pair.now;
    pair.sides[0].peer.write_rtp(111, 50, 4_800, false, &[1, 2, 3], now).unwrap();
    pair.drain(0);
    let (_, _, from, to, bytes) = pair.wire.pop_back().expect("one packet is in transit");
    let peer = &mut pair.sides[1].peer;
    let ignored = peer.quality().datagrams_ignored;
    let mut forged = bytes.clone();
    forged[20] ^= 1;
    let mut refused = vec![(address(6666), bytes.clone()), (from, forged), (from, bytes[..20].to_vec())];
    refused.push((from, [bytes.as_slice(), &[0; 1_000]].concat()));
    let attempts = refused.len() as u64;
    for (source, bytes) in refused {
        assert!(peer.is_media(&bytes));
        let mut bytes = bytes;
        let media = peer.handle_media(source, &mut bytes, now);
        assert!(!matches!(media, Media::Rtp(_) | Media::Rtcp), "{source}: {media:?}");
    }
    assert_eq!(peer.quality().datagrams_ignored, ignored + attempts);
    assert_eq!(peer.route(), Some((from, to)), "nothing is sent to the stranger");
    let media = |peer: &mut WebRtcPeer| match peer.handle_media(from, &mut bytes.clone(), now) {
        Media::Rtp(packet) => Ok(packet.payload().len()),
        other => Err(format!("{other:?}")),
    };
    assert_eq!(media(peer), Ok(3), "nothing was learnt from the forged ones");
    assert_eq!(media(peer), Err("Replayed".into()));
}

#[test]
fn media_follows_the_browser_to_another_address() {
    let mut pair = Pair::negotiate().connect();
    assert_eq!(pair.exchange(1), [10, 10]);
    let moved = address(1777);
    pair.moved = Some(moved);
    browser_reoffers(&mut pair, |changes, _| {
        changes.ice_restart(true);
    });
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.sides[1].peer.route().map(|(to, _)| to), Some(moved));
    assert_eq!(pair.exchange(40), [10, 10]);
}

#[test]
fn media_is_ready_within_five_round_trips() {
    let mut pair = Pair::negotiate();
    pair.run(LATENCY * 10 + Duration::from_millis(60));
    assert_eq!([pair.sides[0].connected, pair.sides[1].connected], [1, 1]);
}

#[test]
fn a_handshake_before_the_pair_is_viable_is_accepted_from_a_verified_address() {
    let mut hello = Vec::new();
    let mut first = Pair::negotiate();
    for _ in 0..1_000 {
        first.run(Duration::from_millis(1));
        hello.extend(first.wire.iter().filter(|datagram| datagram.1 == 1 && datagram.4[0] == 22).map(|d| d.4.clone()));
        if !hello.is_empty() {
            break;
        }
    }
    let now = test_epoch();
    let (mut offerer, offer) = WebRtcPeer::offer(&[address(1000)], &certificate(), now).unwrap();
    let (mut answerer, answer) = WebRtcPeer::accept_offer(&offer, &[address(2000)], &certificate(), now).unwrap();
    // The browser's check overtakes its answer.
    let check = loop {
        match answerer.poll_output() {
            Some(PeerOutput::Transmit { bytes, .. }) => break bytes,
            Some(_) => {}
            None => answerer.handle_timeout(answerer.poll_timeout()),
        }
    };
    offerer.handle_datagram(address(2000), address(1000), &check, now);
    // Browsers take the active role in DTLS.
    offerer.handle_answer(&answer.replace("a=setup:passive", "a=setup:active")).unwrap();
    offerer.handle_datagram(address(2000), address(1000), &hello[0], now);
    assert_eq!(offerer.quality().datagrams_ignored, 0);
    offerer.handle_datagram(address(6666), address(1000), &hello[0], now);
    assert_eq!(offerer.quality().datagrams_ignored, 1);
}

#[test]
fn opus_and_48_khz_events_are_negotiated() {
    let pair = Pair::negotiate();
    for side in &pair.sides {
        let audio = side.peer.audio().unwrap();
        assert_eq!((audio.codec, audio.payload_type, audio.direction), (Codec::Opus, 111, Direction::SendRecv));
        assert_eq!(
            audio.telephone_event.map(|event| (event.payload_type, event.clock)),
            Some((110, ClockRate::HZ_48000))
        );
    }
}

#[test]
fn telephone_events_share_the_stream() {
    let mut pair = Pair::negotiate().connect();
    let now = pair.now;
    pair.sides[0].peer.write_rtp(110, 5, 960, true, &[5, 10, 3, 192], now).unwrap();
    pair.run(Duration::from_millis(50));
    assert_eq!(pair.sides[1].received, [(110, 5, 960, true, vec![5, 10, 3, 192])]);
}

#[test]
fn packets_that_do_not_fit_the_negotiation_are_refused() {
    let mut pair = Pair::negotiate();
    let now = pair.now;
    let early = pair.sides[0].peer.write_rtp(111, 1, 0, false, &[1], now);
    assert!(matches!(early, Err(LegError::NotSending(_))), "{early:?}");
    let mut pair = pair.connect();
    let now = pair.now;
    let peer = &mut pair.sides[0].peer;
    assert_eq!(peer.write_rtp(0, 1, 0, false, &[1], now), Err(LegError::BadPacket(0)));
    assert_eq!(peer.write_rtp(111, 1, 0, false, &[0; MAX_PAYLOAD + 1], now), Err(LegError::BadPacket(111)));
}

#[test]
fn hold_stops_our_sending_and_resume_restarts_it() {
    let mut pair = Pair::negotiate().connect();
    assert_eq!(pair.exchange(1), [10, 10]);
    for (offered, ours, arrived) in [
        (MediaDirection::SendOnly, Direction::RecvOnly, [0, 10]),
        (MediaDirection::SendRecv, Direction::SendRecv, [10, 10]),
        (MediaDirection::Inactive, Direction::Inactive, [0, 0]),
        (MediaDirection::SendRecv, Direction::SendRecv, [10, 10]),
    ] {
        let first = pair.sides[0].peer.quality().packets_sent + 100;
        browser_reoffers(&mut pair, |changes, mid| changes.set_direction(mid, offered));
        assert_eq!(pair.sides[1].peer.audio().unwrap().direction, ours);
        pair.run(Duration::from_millis(100));
        assert_eq!(pair.exchange(first), arrived, "{offered:?}");
    }
}

#[test]
fn ice_restart_changes_the_fragment_and_keeps_media() {
    let mut pair = Pair::negotiate().connect();
    assert_eq!(pair.exchange(1), [10, 10]);
    let before = pair.sides[1].peer.ufrag().to_owned();
    browser_reoffers(&mut pair, |changes, _| {
        changes.ice_restart(true);
    });
    let answerer = &pair.sides[1].peer;
    assert_ne!(answerer.ufrag(), before);
    assert_eq!(answerer.previous_ufrag(), Some(before.as_str()));
    assert_eq!(pair.exchange(20), [10, 10], "while the new checks run");
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.exchange(40), [10, 10], "after consent has been renewed");
    assert_eq!([pair.sides[0].closed.take(), pair.sides[1].closed.take()], [None, None]);
}

#[test]
fn refused_reoffers_leave_the_leg_as_it_was() {
    let mut pair = Pair::negotiate().connect();
    let answerer = &mut pair.sides[1].peer;
    let other_codec = CHROMIUM_OFFER.replace("opus/48000/2", "speex/16000");
    assert_eq!(answerer.handle_reoffer(&other_codec), Err(LegError::NoCommonCodec));
    let stranger = answerer.handle_reoffer(CHROMIUM_OFFER).unwrap_err().to_string();
    assert!(stranger.contains("certificate"), "{stranger}");
    assert!(answerer.handle_reoffer("hello").is_err());
    assert_eq!(pair.exchange(1), [10, 10]);
}

#[test]
fn a_wrong_fingerprint_ends_the_leg_with_a_clear_reason() {
    let mut pair = Pair::negotiate_with(|answer| {
        let at = answer.find("sha-256 ").unwrap() + 8;
        let digit = if &answer[at..=at] == "0" { "1" } else { "0" };
        format!("{}{digit}{}", &answer[..at], &answer[at + 1..])
    });
    pair.run(Duration::from_secs(5));
    let reason = pair.sides[0].closed.clone().expect("the offerer sees the certificate");
    assert!(reason.contains("fingerprint"), "{reason}");
    assert_eq!(pair.sides[0].connected, 0);
    let now = pair.now;
    let late = pair.sides[0].peer.write_rtp(111, 1, 0, false, &[1], now);
    assert!(matches!(late, Err(LegError::Closed(_))), "{late:?}");
}

#[test]
fn junk_from_strangers_and_from_the_peers_address_changes_nothing() {
    let mut pair = Pair::negotiate().connect();
    assert_eq!(pair.exchange(1), [10, 10]);
    let ignored = pair.sides[1].peer.quality().datagrams_ignored;
    let mut state = 7_u32;
    for round in 0..2_000_u32 {
        let mut bytes: Vec<u8> = (0..round % 200)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        // STUN, DTLS (handshake, alert, application data), RTP and RTCP by first byte.
        if let Some(first) = bytes.first_mut() {
            *first = [0, 1, 20, 21, 22, 23, 0x80, 0x81, 63][round as usize % 9];
        }
        if bytes.len() > 13 && (20..64).contains(&bytes[0]) && round % 2 == 0 {
            let length = (bytes.len() - 13) as u16;
            bytes[1..3].copy_from_slice(&[0xfe, 0xfd]);
            bytes[3..5].copy_from_slice(&[0, (round % 3) as u8]);
            bytes[11..13].copy_from_slice(&length.to_be_bytes());
        }
        let from = if round % 2 == 0 { address(1000) } else { address(6666) };
        let now = pair.now;
        pair.sides[1].peer.handle_datagram(from, address(2000), &bytes, now);
        pair.drain(1);
    }
    assert!(pair.sides[1].peer.quality().datagrams_ignored >= ignored + 1_000, "every stranger's datagram is counted");
    assert_eq!(pair.sides[1].closed, None);
    assert_eq!(pair.exchange(20), [10, 10]);
}

#[test]
fn a_silent_browser_ends_the_leg_after_consent_and_grace() {
    let mut pair = Pair::negotiate().connect();
    pair.cut = true;
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.sides[1].closed, None, "a short break is survived");
    pair.run(Duration::from_secs(50));
    assert_eq!(pair.sides[1].closed.as_deref(), Some("the browser stopped answering"));
}

#[test]
fn an_unreachable_browser_ends_the_leg_with_advice() {
    let mut pair = Pair::negotiate();
    pair.cut = true;
    pair.run(Duration::from_secs(40));
    let reason = pair.sides[1].closed.clone().unwrap();
    assert!(reason.contains("media.address"), "{reason}");
}

#[test]
fn close_notifies_the_browser() {
    let mut pair = Pair::negotiate().connect();
    pair.sides[0].peer.close();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.sides[0].closed, None, "the side that closes is not notified");
    assert_eq!(pair.sides[1].closed.as_deref(), Some("the browser closed the media connection"));
}

#[test]
fn datagrams_to_a_wildcard_address_count_for_the_first_candidate() {
    let now = test_epoch();
    let (mut offerer, offer) = WebRtcPeer::offer(&[address(1000)], &certificate(), now).unwrap();
    let public = SocketAddr::from(([203, 0, 113, 9], 2000));
    let (answerer, answer) = WebRtcPeer::accept_offer(&offer, &[public], &certificate(), now).unwrap();
    offerer.handle_answer(&answer).unwrap();
    let mut pair = Pair::of(offerer, answerer, now);
    for _ in 0..200 {
        pair.drain(0);
        pair.drain(1);
        for datagram in &mut pair.wire {
            if datagram.1 == 1 {
                datagram.3 = SocketAddr::from(([0, 0, 0, 0], 2000));
            }
        }
        pair.run(Duration::from_millis(5));
    }
    assert_eq!(pair.sides[1].connected, 1);
}

#[test]
fn a_browser_gets_the_advertised_address_beside_our_own() {
    let own = [SocketAddr::from(([10, 0, 0, 5], 20_000)), "[2001:db8::5]:20002".parse().unwrap()];
    let advertised = ["203.0.113.9".parse().unwrap(), "2001:db8:1::9".parse().unwrap()];
    let candidates = Candidates { own: &own, advertised: &advertised };
    let (_, answer) = WebRtcPeer::accept_offer(CHROMIUM_OFFER, candidates, &certificate(), test_epoch()).unwrap();
    for told in [
        " 10.0.0.5 20000 typ host",
        " 2001:db8::5 20002 typ host",
        " 203.0.113.9 20000 typ srflx",
        " 2001:db8:1::9 20002 typ srflx",
    ] {
        assert!(answer.contains(told), "{told} is missing:\n{answer}");
    }
}

#[test]
fn an_answer_to_chromium_is_complete_and_rejects_the_video() {
    let addresses = [SocketAddr::from(([203, 0, 113, 9], 20_000)), SocketAddr::from(([10, 0, 0, 5], 20_000))];
    let (peer, answer) = WebRtcPeer::accept_offer(CHROMIUM_OFFER, &addresses, &certificate(), test_epoch()).unwrap();
    for line in [
        "a=group:BUNDLE 0",
        "m=audio 20000 UDP/TLS/RTP/SAVPF 111 110",
        "c=IN IP4 203.0.113.9",
        "a=rtcp-mux",
        "a=setup:passive",
        "a=mid:0",
        "a=sendrecv",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:110 telephone-event/48000",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=end-of-candidates",
        "m=video 0 UDP/TLS/RTP/SAVPF 96 97",
        "a=mid:1",
    ] {
        assert!(answer.lines().any(|found| found == line), "{line} is missing:\n{answer}");
    }
    for address in addresses {
        let candidate = format!(" {} {} typ host", address.ip(), address.port());
        assert!(answer.contains(&candidate), "{candidate} is missing:\n{answer}");
    }
    assert!(
        !answer.contains("trickle") && !answer.contains("transport-cc") && !answer.contains("telephone-event/8000")
    );
    assert!(answer.find("m=audio").unwrap() < answer.find("m=video").unwrap());
    assert!(answer.contains(&format!("a=ice-ufrag:{}\r\n", peer.ufrag())));
    assert!(answer.lines().all(|line| !line.is_empty()) && answer.ends_with("\r\n"));
}

#[test]
fn versions_of_our_descriptions_increase() {
    let mut pair = Pair::negotiate().connect();
    let origin = |sdp: &str| sdp.lines().find_map(|line| line.strip_prefix("o=- ")).unwrap().to_owned();
    let first = browser_reoffers(&mut pair, |changes, mid| changes.set_direction(mid, MediaDirection::SendOnly));
    let second = browser_reoffers(&mut pair, |changes, mid| changes.set_direction(mid, MediaDirection::SendRecv));
    assert!(origin(&first).contains(" 2 IN"), "{first}");
    assert!(origin(&second).contains(" 3 IN"), "{second}");
}

#[test]
fn narrowband_browsers_get_g711_with_8_khz_events() {
    let offer = CHROMIUM_OFFER.replace("opus/48000/2", "speex/16000");
    let (peer, answer) = WebRtcPeer::accept_offer(&offer, &[address(2000)], &certificate(), test_epoch()).unwrap();
    let audio = peer.audio().unwrap();
    assert_eq!((audio.codec, audio.payload_type), (Codec::Pcmu, 0));
    assert_eq!(audio.telephone_event.map(|event| (event.payload_type, event.clock)), Some((126, ClockRate::HZ_8000)));
    assert!(answer.contains("m=audio 2000 UDP/TLS/RTP/SAVPF 0 126\r\n"), "{answer}");
}

#[test]
fn mutated_offers_are_answered_or_refused_without_panic() {
    // Fewer rounds than for the parser's own target, because each offer that parses builds a whole leg.
    fn accept(bytes: &[u8]) {
        thread_local! {
            static CERTIFICATE: DtlsCert = certificate();
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let _ =
            CERTIFICATE.with(|certificate| WebRtcPeer::accept_offer(text, &[address(1)], certificate, test_epoch()));
    }
    mutate(&[CHROMIUM_OFFER.as_bytes(), FIREFOX_OFFER.as_bytes()], 2_000, accept);
}

#[test]
fn an_answer_without_an_offer_is_out_of_order() {
    let mut pair = Pair::negotiate();
    let again = pair.sides[0].peer.handle_answer(CHROMIUM_OFFER);
    assert!(matches!(again, Err(LegError::OutOfOrder(_))), "{again:?}");
}
