//! Calls under virtual time: the worker's own switch receives each datagram at the moment at which the network delivers it, and no
//! delay of the machine affects it.

use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use media_engine::leg::rtp::Component;
use media_engine::sdp::{Audio, Codec};
use media_engine::units::LegId;
use media_engine::worker::switch::{Input, Socket, Switch};
use media_engine::worker::{Output, WorkerCommand};

use super::{Call, Condition, Ear, FRAME, LINGER};

const MOUTH: u16 = 4_000;
const EAR: u16 = 4_002;

/// Speaks all calls, on as many threads as there are processors, and returns the received audio of each.
///
/// # Panics
/// When the engine delivers no audio.
pub(super) fn speak_all(calls: &[Call], conditions: &[Condition], round: u64) -> Vec<Vec<i16>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = calls.len().div_ceil(threads).max(1);
    let speak_share = |first: usize, calls: &[Call]| -> Vec<Vec<i16>> {
        let speak = |(n, call): (usize, &Call)| speak(call, conditions[call.condition], call.seed(first + n, round));
        calls.iter().enumerate().map(speak).collect()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = calls
            .chunks(share)
            .enumerate()
            .map(|(nth, calls)| scope.spawn(move || speak_share(nth * share, calls)))
            .collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no panic in a switch")).collect()
    })
}

/// Speaks one call, from its first packet to [`LINGER`] after its last one.
fn speak(call: &Call, condition: Condition, seed: u64) -> Vec<i16> {
    let begun = Instant::now();
    let mut switch = Switch::new(seed, Vec::new(), begun, UNIX_EPOCH);
    let mut open = |port: u16, codec: Codec| {
        let id = LegId(port.into());
        let open = Input::Open { leg: id, audio: Some(Audio::plain(codec, address(port))), nat: false };
        (id, switch.handle(open, begun).slot().expect("it is new"))
    };
    let (speaker, mouth) = open(MOUTH, call.spoken.codec());
    let (listener, ear) = open(EAR, Codec::L16 { rate: call.spoken.rate() });
    switch.handle(WorkerCommand::Bridge { a: speaker, b: listener }.into(), begun);

    let mut arrivals = arrivals(call, condition, seed);
    let end = begun + Call::offset(seed) + FRAME * call.packets.len() as u32 + LINGER;
    let mut heard = Ear::default();
    loop {
        while let Some(output) = switch.poll_output() {
            if let Output::Transmit { slot, socket: Socket::Rtp, bytes, .. } = output
                && slot == ear
            {
                heard.hear(bytes);
            }
        }
        let arrival = arrivals.last().map(|&(after, _)| begun + after);
        let due = switch.poll_timeout().unwrap_or(end);
        if due.min(arrival.unwrap_or(end)) >= end {
            return heard.into_samples();
        }
        match arrival {
            Some(at) if at <= due => {
                let (_, n) = arrivals.pop().expect("there is one");
                switch.handle(Input::datagram(mouth, Component::Rtp, address(MOUTH), &mut call.datagram(n, seed)), at);
            }
            _ => {
                switch.handle(Input::Timeout, due);
            }
        }
    }
}

/// Arrival times of the packets, in descending order; lost packets are absent.
fn arrivals(call: &Call, condition: Condition, seed: u64) -> Vec<(Duration, usize)> {
    let waits = condition.impairment(seed).waits(call.packets.len());
    let sent = |n: usize| Call::offset(seed) + FRAME * n as u32;
    let arrival = |(n, wait): (usize, Option<Duration>)| wait.map(|wait| (sent(n) + wait, n));
    let mut arrivals: Vec<_> = waits.into_iter().enumerate().filter_map(arrival).collect();
    arrivals.sort_by(|a, b| b.cmp(a));
    arrivals
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}
