//! A call beside hostile datagrams, under virtual time: it loses nothing, and no hostile sender gets an answer.

use super::*;
use crate::rtp::fuzz::mutate::Random;

const SEED: u64 = 0xbad_cab1e;
/// Hostile datagrams in each millisecond: 10,000 a second.
const JUNK: usize = 10;

fn stranger(n: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, (n % 250) as u8], 1024 + (n % 60_000) as u16))
}

/// Returns a hostile datagram, and whether it is harmless even from the phone's own address.
fn junk(random: &mut Random, victim: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = match random.below(8) {
        // RTP as the victim would send it.
        0 => return (victim.to_vec(), false),
        // Truncated, and longer than any packet of ours.
        1 => victim[..random.below(12)].to_vec(),
        2 => vec![0x80; 1_400 + random.below(64_000)],
        // RTCP BYE.
        3 => return (vec![0x81, 203, 0, 1, 0, 0, 0, 9], true),
        // STUN, DTLS ClientHello.
        4 => [&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0, 6, 0, 4, b'a', b':', b'b', b'c']].concat(),
        5 => [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1][..], &[1; 200]].concat(),
        6 => Vec::new(),
        _ => (0..random.below(400)).map(|_| random.next() as u8).collect(),
    };
    if bytes.len() > 12 && bytes[0] >> 6 == 2 {
        // Otherwise it would be valid voice or a valid key from the victim's own address.
        bytes[1] = 0x70 | (bytes[1] & 0x0f);
    }
    (bytes, true)
}

#[test]
fn a_call_beside_ten_thousand_hostile_datagrams_a_second_loses_nothing() {
    println!("seed {SEED:#x}");
    let mut random = Random::new(SEED);
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 10);
    lab.heard(&b);
    let victim = [&[0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &[0x20; 160]].concat();
    for packet in 0..250 {
        for _ in 0..20 * JUNK {
            let (bytes, may_be_own) = junk(&mut random, &victim);
            let component = if random.below(4) == 0 { Component::Rtcp } else { Component::Rtp };
            let own = if component == Component::Rtp { a.audio.remote_rtp } else { a.audio.remote_rtcp };
            let from = if may_be_own && random.below(4) == 0 { own } else { stranger(random.next() as usize) };
            lab.switch.handle(Input::datagram(a.slot, component, from, &mut bytes.clone()), lab.now);
            lab.switch.handle(Input::shared_datagram(0, stranger(packet), &mut bytes.clone()), lab.now);
        }
        lab.talk(&mut a, 1);
    }
    let heard = lab.heard(&b);
    assert_eq!(heard.len(), 250);
    assert!(heard.windows(2).all(|pair| pair[1].0.sequence == pair[0].0.sequence.wrapping_add(1)));
    let known = [a.audio.remote_rtp, a.audio.remote_rtcp, b.audio.remote_rtp, b.audio.remote_rtcp];
    let answered: Vec<_> = lab.sent.iter().filter(|(_, _, to, _)| !known.contains(to)).collect();
    assert!(answered.is_empty(), "{answered:?}");
    let counters = lab.switch.counters();
    assert!(counters.foreign > 20_000 && counters.malformed > 5_000 && counters.strangers > 40_000, "{counters:?}");
    assert_eq!(counters.panics, 0);
    assert_eq!(
        lab.switch.census().incoming[crate::leg::flow::Incoming::Flowing.index()],
        1,
        "and its media counts as flowing"
    );
}
