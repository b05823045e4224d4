//! A plain RTP endpoint: it sends known bytes and stores every packet that it receives.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::ports;

/// Bytes in 20 ms of G.711.
const PAYLOAD: usize = 160;
const HEADER: usize = 12;

/// A UDP socket that sends and receives PCMU.
pub struct RtpEnd {
    socket: UdpSocket,
    port: u16,
}

/// A parsed RTP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Sequence number of the packet.
    pub sequence: u16,
    /// Timestamp in samples of 8 kHz.
    pub timestamp: u32,
    /// Payload type, without the marker bit.
    pub payload_type: u8,
    /// Payload after the RTP header.
    pub payload: Vec<u8>,
    /// Address that sent the packet.
    pub source: SocketAddr,
}

impl RtpEnd {
    /// Binds an even UDP port on 127.0.0.1.
    pub async fn bind() -> RtpEnd {
        let port = ports::free();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port was free a moment ago");
        RtpEnd { socket, port }
    }

    /// UDP port of the socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends `count` packets of seeded noise to `to`, one every 20 ms, and stores what arrives until all packets have arrived or
    /// `linger` has passed since the last one was sent. Returns the sent and the received packets, both in order.
    pub async fn exchange(
        &self,
        to: SocketAddr,
        seed: u64,
        count: usize,
        linger: Duration,
    ) -> (Vec<Packet>, Vec<Packet>) {
        let mut noise = StdRng::seed_from_u64(seed);
        let (first, clock, ssrc): (u16, u32, u32) = (noise.random(), noise.random(), noise.random());
        let (mut sent, mut came) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut buffer = [0; 2048];
        let mut until = Instant::now() + Duration::from_millis(20) * count as u32 + linger;
        while came.len() < count {
            tokio::select! {
                _ = pace.tick(), if sent.len() < count => {
                    let n = sent.len();
                    let mut payload = vec![0; PAYLOAD];
                    noise.fill(&mut payload[..]);
                    let packet = Packet {
                        sequence: first.wrapping_add(n as u16),
                        timestamp: clock.wrapping_add((n * PAYLOAD) as u32),
                        payload_type: 0,
                        payload,
                        source: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
                    };
                    self.socket.send_to(&packet.write(n == 0, ssrc), to).await.expect("a datagram sent on loopback");
                    sent.push(packet);
                    until = Instant::now() + Duration::from_millis(20) * (count - n) as u32 + linger;
                }
                received = timeout_at(until, self.socket.recv_from(&mut buffer)) => match received {
                    Ok(Ok((length, source))) => came.extend(Packet::parse(&buffer[..length], source)),
                    Ok(Err(error)) => panic!("port {}: {error}", self.port),
                    Err(_) => break,
                },
            }
        }
        (sent, came)
    }

    /// Sends packet `n` of a PCMU stream.
    pub async fn send(&self, to: SocketAddr, n: usize, payload: &[u8]) {
        let packet = Packet {
            sequence: n as u16,
            timestamp: (n * PAYLOAD) as u32,
            payload_type: 0,
            payload: payload.to_vec(),
            source: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
        };
        let bytes = packet.write(n == 0, u32::from(self.port));
        self.socket.send_to(&bytes, to).await.expect("a datagram sent on loopback");
    }

    /// Waits for one RTP packet and discards it.
    pub async fn heard(&self) {
        let mut buffer = [0; 2048];
        loop {
            let (length, source) = self.socket.recv_from(&mut buffer).await.expect("a datagram on loopback");
            if Packet::parse(&buffer[..length], source).is_some() {
                return;
            }
        }
    }

    /// Waits for `count` keys as telephone-events (RFC 4733) of `payload_type`, each with its end, and returns them.
    pub async fn keys(&self, payload_type: u8, count: usize, deadline: Duration) -> String {
        const KEYS: &[u8; 16] = b"0123456789*#ABCD";
        let until = Instant::now() + deadline;
        let mut buffer = [0; 2048];
        let (mut keys, mut last) = (String::new(), None);
        while keys.len() < count {
            let received = timeout_at(until, self.socket.recv_from(&mut buffer)).await;
            let Ok(Ok((length, source))) = received else {
                panic!("only the keys {keys:?} arrived within {deadline:?}")
            };
            let Some(packet) = Packet::parse(&buffer[..length], source) else { continue };
            // The end is sent three times; packets of one event share a timestamp.
            let is_end = packet.payload.get(1).is_some_and(|flags| flags & 0x80 != 0);
            if packet.payload_type == payload_type && is_end && last != Some(packet.timestamp) {
                last = Some(packet.timestamp);
                keys.push(char::from(KEYS[usize::from(packet.payload[0])]));
            }
        }
        keys
    }

    /// Waits for the source address of packets to this end, while `other` sends to its leg at `through`. Also returns the number
    /// of packets sent until then.
    pub async fn peer(&self, deadline: Duration, other: &RtpEnd, through: SocketAddr) -> (SocketAddr, usize) {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut buffer = [0; 2048];
        let wait = async {
            let mut sent = 0;
            loop {
                tokio::select! {
                    _ = pace.tick() => {
                        other.send(through, sent, &[0xff; PAYLOAD]).await;
                        sent += 1;
                    }
                    received = self.socket.recv_from(&mut buffer) => {
                        return (received.expect("a datagram on loopback").1, sent);
                    }
                }
            }
        };
        tokio::time::timeout(deadline, wait).await.unwrap_or_else(|_| panic!("no packet arrived at port {}", self.port))
    }
}

impl Packet {
    fn write(&self, marker: bool, ssrc: u32) -> Vec<u8> {
        let mut bytes = vec![0x80, u8::from(marker) << 7 | self.payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Returns `None` for anything but a plain RTP packet (RTCP, a keep-alive).
    fn parse(bytes: &[u8], source: SocketAddr) -> Option<Packet> {
        if bytes.len() < HEADER || bytes[0] != 0x80 || (64..96).contains(&(bytes[1] & 0x7f)) {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Some(Packet {
            sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
            timestamp: word(4),
            payload_type: bytes[1] & 0x7f,
            payload: bytes[HEADER..].to_vec(),
            source,
        })
    }
}

/// Asserts that every packet sent came back once, with its bytes, sequence number and timestamp unchanged relative to the stream.
#[track_caller]
pub fn assert_unaltered(what: &str, sent: &[Packet], came: &[Packet]) {
    let by_payload: HashMap<&[u8], usize> =
        sent.iter().enumerate().map(|(n, packet)| (packet.payload.as_slice(), n)).collect();
    let places: Vec<Option<usize>> = came.iter().map(|packet| by_payload.get(&packet.payload[..]).copied()).collect();
    let altered: Vec<String> = (came.iter().zip(&places).enumerate())
        .filter(|(_, (_, place))| place.is_none())
        .map(|(n, (packet, _))| {
            let (payload, before) = (&packet.payload, n.checked_sub(1).and_then(|n| places[n]));
            let head = &payload[..payload.len().min(16)];
            let sequence = packet.sequence.wrapping_sub(came[0].sequence);
            format!(
                "the {n}th, after the packet {before:?}: +{sequence}, type {}, from {}, {} bytes {head:x?}",
                packet.payload_type,
                packet.source,
                payload.len()
            )
        })
        .collect();
    assert!(altered.is_empty(), "{what}: packets arrived whose bytes were never sent: {altered:#?}");
    let missing: Vec<usize> = (0..sent.len()).filter(|n| !places.contains(&Some(*n))).collect();
    assert!(missing.is_empty(), "{what}: {} of {} packets never arrived: {missing:?}", missing.len(), sent.len());
    assert_eq!(came.len(), sent.len(), "{what}: packets arrived twice");
    for (packet, place) in came.iter().zip(&places) {
        let n = place.expect("counted above");
        let (sequence, timestamp) = (n as u16, (n * PAYLOAD) as u32);
        let first = &came[places.iter().position(|place| *place == Some(0)).expect("none is missing")];
        assert_eq!(packet.sequence.wrapping_sub(first.sequence), sequence, "{what}: packet {n} was renumbered");
        assert_eq!(
            packet.timestamp.wrapping_sub(first.timestamp),
            timestamp,
            "{what}: packet {n} has another timestamp"
        );
        assert_eq!(packet.payload_type, 0, "{what}: packet {n} has another payload type");
    }
}

#[cfg(test)]
mod tests {
    use super::{PAYLOAD, Packet, assert_unaltered};

    fn stream() -> Vec<Packet> {
        let packet = |n: usize| Packet {
            sequence: 65_530_u16.wrapping_add(n as u16),
            timestamp: (n * PAYLOAD) as u32,
            payload_type: 0,
            payload: vec![n as u8; PAYLOAD],
            source: "127.0.0.1:1".parse().unwrap(),
        };
        (0..20).map(packet).collect()
    }

    fn fails(alter: impl FnOnce(&mut Vec<Packet>) + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(|| {
            let mut came = stream();
            alter(&mut came);
            assert_unaltered("a stream", &stream(), &came);
        })
        .is_err()
    }

    #[test]
    fn permitted_changes_by_a_relay_pass_and_others_fail() {
        assert!(!fails(|_| {}));
        assert!(!fails(|came| came.swap(3, 4)), "reordering by the network is not an alteration");
        assert!(fails(|came| came[5].payload[7] ^= 1), "one bit");
        assert!(fails(|came| drop(came.remove(9))), "a lost packet");
        assert!(fails(|came| came.push(came[2].clone())), "a packet twice");
        assert!(fails(|came| came[6].sequence += 1), "another number");
        assert!(fails(|came| came[6].timestamp += 80), "another time");
        assert!(fails(|came| came[6].payload_type = 8), "another codec");
    }
}
