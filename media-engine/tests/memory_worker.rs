//! Memory per call, including libopus: growth of the heap by 20 calls that have run for a while.
//!
//! This file contains one test only, because the heap belongs to the process.

#![allow(unsafe_code, reason = "queries the heap of the C library")]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "sim/phones.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod phones;

use std::time::Duration;

use media_engine::audio::tap::tap;
use media_engine::sdp::Codec;
use media_engine::units::LegId;
use media_engine::worker::WorkerCommand;
use media_engine::worker::switch::Input;
use phones::{Lab, MS, audio};

const CALLS: u16 = 20;

/// Bytes that are allocated now, by Rust and by C.
fn in_use() -> usize {
    // SAFETY: the call has no arguments and returns a structure of numbers.
    let heap = unsafe { libc::mallinfo2() };
    heap.uordblks + heap.hblkhd
}

/// Returns the bytes of a call between two codecs.
fn per_call(codecs: [Codec; 2], taps: usize) -> usize {
    let mut lab = Lab::new(1);
    // The first calls let the worker's tables grow and create lazily allocated values.
    let mut phones = Vec::new();
    for n in 0..2 * CALLS {
        let (audio, side) = (audio(codecs[usize::from(n % 2)], 4_000 + n * 2, 20), n % 2);
        let phone = lab.phone(audio);
        phones.push((phone, side));
    }
    let ids: Vec<LegId> = phones.iter().map(|(phone, _)| phone.id).collect();
    for id in &ids {
        lab.tell(WorkerCommand::LegClose { leg: *id });
        lab.drain();
    }
    // Memory of the simulated phones is not part of the switch.
    let before = in_use();
    let mut readers = Vec::new();
    for (phone, side) in &mut phones {
        phone.slot = lab
            .switch
            .handle(Input::Open { leg: phone.id, audio: Some(phone.audio), nat: false }, lab.now)
            .slot()
            .unwrap();
        if *side == 1 {
            lab.tell(WorkerCommand::Bridge { a: LegId(phone.id.0 - 2), b: phone.id });
        }
        for _ in 0..taps {
            let (writer, reader) = tap(1);
            lab.tap(phone.id, writer);
            readers.push(reader);
        }
    }
    for _ in 0..40 {
        for (phone, _) in &mut phones {
            let (header, payload) = phone.say();
            lab.deliver(phone, &header, &payload);
        }
        lab.advance(MS * 20);
        lab.sent.clear();
        lab.events.clear();
    }
    let grown = in_use().saturating_sub(before);
    lab.advance(Duration::from_millis(1));
    grown / usize::from(CALLS)
}

#[test]
fn memory_per_call_stays_within_its_bound() {
    let budgets = [
        ([Codec::Pcmu, Codec::Pcmu], 0, 20_000),
        ([Codec::Opus, Codec::Opus], 0, 20_000),
        ([Codec::Pcmu, Codec::Pcma], 0, 20_000),
        ([Codec::Pcmu, Codec::G722], 0, 120_000),
        ([Codec::Pcmu, Codec::Opus], 0, 180_000),
        ([Codec::G722, Codec::Opus], 0, 200_000),
        ([Codec::Pcmu, Codec::Pcmu], 1, 90_000),
    ];
    for (codecs, taps, budget) in budgets {
        let bytes = per_call(codecs, taps);
        println!("{codecs:?}, {taps} taps a leg: {bytes} bytes a call");
        assert!(bytes <= budget, "{codecs:?}, {taps} taps: {bytes} of {budget}");
    }
}
