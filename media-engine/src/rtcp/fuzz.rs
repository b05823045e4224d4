//! Fuzz function of this module: no input causes a panic or violates an invariant.

use super::packet::{Packet, parse};
use super::write::{write_bye, write_receiver_report, write_sender_report};

/// Checks that iteration ends and that every report is read back as written.
pub fn fuzz_rtcp(bytes: &[u8]) {
    let mut out = [0; 1024];
    let mut packets = 0;
    for packet in parse(bytes) {
        packets += 1;
        match packet {
            Packet::SenderReport { report, blocks } => {
                let count = blocks.clone().count();
                assert!(count <= 31);
                let one: Vec<_> = blocks.take(31).collect();
                let len = write_sender_report(&mut out, &report, &one).expect("31 blocks fit 1024 bytes");
                let again = parse(&out[..len]).next();
                assert!(matches!(again, Some(Packet::SenderReport { report: r, blocks: b })
                    if r == report && b.clone().eq(one.iter().copied())));
            }
            Packet::ReceiverReport { ssrc, blocks } => {
                let all: Vec<_> = blocks.collect();
                let len = write_receiver_report(&mut out, ssrc, &all).expect("31 blocks fit 1024 bytes");
                let again = parse(&out[..len]).next();
                assert!(matches!(again, Some(Packet::ReceiverReport { ssrc: s, blocks: b })
                    if s == ssrc && b.clone().eq(all.iter().copied())));
            }
            Packet::Sdes(sdes) => {
                assert!(sdes.items().all(|item| item.text.len() <= 255));
                assert!(sdes.items().count() <= bytes.len());
                assert!(sdes.cname().is_none_or(|name| name.len() <= 255));
            }
            Packet::Bye(bye) => {
                assert!(bye.sources().count() <= 31);
                if let Some(Ok(reason)) = bye.reason().map(str::from_utf8) {
                    assert!(write_bye(&mut out, 1, reason).is_ok());
                }
            }
            Packet::Other { body, .. } => assert!(body.len() <= bytes.len()),
        }
    }
    assert!(packets <= bytes.len() / 4);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::{Compound, ReportBlock, SenderReport, Session, write_compound};
    use super::*;
    use crate::rtp::fuzz::mutate::mutate_and_run;
    use crate::units::test_epoch;

    fn seeds() -> Vec<Vec<u8>> {
        let sender = SenderReport { ssrc: 2, ntp: 1 << 40, rtp_timestamp: 160, packets: 1, octets: 160 };
        let block = ReportBlock { ssrc: 1, last_sender_report: 5, ..ReportBlock::default() };
        let mut seeds: Vec<Vec<u8>> = [(Some(sender), true), (None, false)]
            .into_iter()
            .map(|(sender, bye)| {
                let mut out = [0; 256];
                let blocks = [block; 2];
                let compound = Compound { ssrc: 2, sender, blocks: &blocks, cname: "someone", bye };
                let len = write_compound(&mut out, &compound).unwrap();
                out[..len].to_vec()
            })
            .collect();
        let mut out = [0; 64];
        let len = write_bye(&mut out, 2, "gone").unwrap();
        seeds.push(out[..len].to_vec());
        seeds.push(vec![0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0xa0, 204, 0, 2, 9, 9, 9, 9, 0, 0, 0, 4]);
        seeds
    }

    fn session(bytes: &[u8]) {
        let base = test_epoch();
        let mut session = Session::new(1, "us", base, UNIX_EPOCH + Duration::from_secs(1_700_000_000), 1);
        session.handle_datagram(bytes, base + Duration::from_secs(3));
        assert!(session.round_trip().is_none_or(|time| time <= Duration::from_secs(30)));
        assert!(session.malformed() <= 1);
    }

    #[test]
    fn mutated_rtcp_violates_no_invariant() {
        mutate_and_run(&seeds(), 50_000, fuzz_rtcp);
    }

    #[test]
    fn mutated_rtcp_leaves_a_session_consistent() {
        mutate_and_run(&seeds(), 20_000, session);
    }
}
