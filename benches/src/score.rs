//! Evaluation of a record: CPU, delays, loss.
//!
//! Relayed: an output packet carries its input packet's mark, and its delay is the time from that packet's send to its receipt.
//!
//! Transcoded, by onsets:
//! ```text
//! input   |── packet m, sent at S ──o────|            o: onset in the input, by the bare codec of what is sent
//! output              |── packet n, received at R ────O──|     O: the same onset in the output, decoded bare
//! audio delay = (R + offset of O) − (S + offset of o)
//! ```
//! A transcoder that takes no time has a delay of 0: the 20 ms that it takes to fill a packet are not included. Between two
//! onsets, packets are matched by RTP timestamp, so every output packet has a delay, of which the percentiles are computed.
//!
//! Mixed: inputs cannot be identified in the output. Instead of delays, the deviation of the interval between output packets from
//! 20 ms is measured, and every listener must have received something loud.

use anyhow::{Result, ensure};

use crate::generator::{Leg, Record};
use crate::plan::Shape;
use crate::sound::{self, Onset, OnsetFinder};

/// Start of the search for an output onset, relative to its input's send time (clocks and thresholds are not exact).
const EARLIEST_NS: i64 = -5_000_000;
/// End of the search for an output onset.
const LATEST_NS: i64 = 500_000_000;
/// Time after the window's first packet within which its output arrives.
const SETTLED_NS: u64 = 150_000_000;

/// Result of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) cpu_ms_per_call_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// Transcoded cases: audio delay of the slower direction.
    pub(crate) audio_delay_us: Option<f64>,
    /// Audio delay from leg A to B, and from B to A.
    pub(crate) audio_delays_us: Option<[f64; 2]>,
    pub(crate) loss_pct: f64,
    pub(crate) lag_p99_us: f64,
    pub(crate) lag_p999_us: f64,
    /// Number of attempts until the generator was punctual, or until the limit.
    pub(crate) attempts: usize,
}

/// Evaluates a record.
pub(crate) fn score(record: &mut Record) -> Result<Measured> {
    let shape = record.entry.case.shape();
    let heard = match shape {
        Shape::Conference(_) => mixed(record)?,
        Shape::Overheard => overheard(record)?,
        Shape::Bridge if record.entry.case.relayed() => relayed(record, record.legs.len()),
        Shape::Bridge => transcoded(record)?,
    };
    let Heard { mut delays_ns, mut audio_ns, expected, got } = heard;
    ensure!(!delays_ns.is_empty(), "no packet arrived");
    delays_ns.sort_unstable();
    record.lags_ns.sort_unstable();
    let [(ran_before, from), (ran_after, to)] = record.run_time;
    let seconds = (to - from) as f64 / 1e9;
    let medians = audio_ns.each_mut().map(|direction| {
        direction.sort_unstable();
        at(direction, 0.5)
    });
    let audio = shape == Shape::Bridge && !record.entry.case.relayed();
    Ok(Measured {
        cpu_ms_per_call_s: (ran_after - ran_before) as f64 / 1e6 / seconds / record.entry.calls as f64,
        p50_us: at(&delays_ns, 0.5),
        p99_us: at(&delays_ns, 0.99),
        p999_us: at(&delays_ns, 0.999),
        audio_delay_us: audio.then(|| medians[0].max(medians[1])),
        audio_delays_us: audio.then_some(medians),
        loss_pct: 100.0 * (1.0 - got as f64 / expected as f64).max(0.0),
        lag_p99_us: at(&record.lags_ns, 0.99),
        lag_p999_us: at(&record.lags_ns, 0.999),
        attempts: 1,
    })
}

/// Value at a share of sorted nanoseconds, in microseconds.
fn at<T: Copy + Into<i128>>(sorted: &[T], share: f64) -> f64 {
    let index = (sorted.len().max(1) - 1) as f64 * share;
    sorted.get(index.round() as usize).map_or(f64::NAN, |&value| value.into() as f64 / 1e3)
}

/// Packets and delays of the listeners within the window.
struct Heard {
    delays_ns: Vec<i64>,
    /// Delays of onsets, by direction: A to B, B to A.
    audio_ns: [Vec<i64>; 2],
    expected: u64,
    got: u64,
}

/// Results of the first `count` legs, which receive their neighbours' payloads.
fn relayed(record: &Record, count: usize) -> Heard {
    let mut heard = Heard { delays_ns: Vec::new(), audio_ns: Default::default(), expected: 0, got: 0 };
    for (index, speaker) in record.legs[..count].iter().enumerate() {
        let listener = &record.legs[index ^ 1];
        for packet in record.window.0..record.window.1 {
            heard.expected += 1;
            let arrived = listener.ear.arrived_at[packet];
            if arrived != 0 {
                heard.got += 1;
                heard.delays_ns.push(arrived as i64 - speaker.sent_at[packet] as i64);
            }
        }
    }
    heard
}

/// Delays of the parties; the loss includes the supervisors.
fn overheard(record: &Record) -> Result<Heard> {
    let parties = record.entry.calls * 2;
    let mut heard = relayed(record, parties);
    for supervisor in &record.legs[parties..] {
        hears_something(supervisor)?;
        let (expected, got) = throughput(supervisor, supervisor, record.window);
        heard.expected += expected;
        heard.got += got;
    }
    Ok(heard)
}

/// Deviation of packet intervals from 20 ms.
fn mixed(record: &Record) -> Result<Heard> {
    let mut heard = Heard { delays_ns: Vec::new(), audio_ns: Default::default(), expected: 0, got: 0 };
    for leg in &record.legs {
        hears_something(leg)?;
        let (expected, got) = throughput(leg, leg, record.window);
        heard.expected += expected;
        heard.got += got;
        let window = leg.sent_at[record.window.0]..leg.sent_at[record.window.1];
        let came: Vec<u64> = leg.ear.heard.iter().map(|heard| heard.at).filter(|at| window.contains(at)).collect();
        heard.delays_ns.extend(came.windows(2).map(|two| (two[1] as i64 - two[0] as i64 - 20_000_000).abs()));
    }
    Ok(heard)
}

fn hears_something(leg: &Leg) -> Result<()> {
    let mut finder = OnsetFinder::new(leg.codec)?;
    let loud = leg.ear.heard.iter().any(|heard| finder.is_loud(leg.ear.payload(heard)));
    ensure!(loud, "a listener received nothing");
    Ok(())
}

fn transcoded(record: &Record) -> Result<Heard> {
    let mut heard = Heard { delays_ns: Vec::new(), audio_ns: Default::default(), expected: 0, got: 0 };
    let mut silent = 0;
    for (index, speaker) in record.legs.iter().enumerate() {
        let listener = &record.legs[index ^ 1];
        let onsets = &record.recordings.of(speaker.codec).onsets;
        let before = heard.delays_ns.len();
        direction(speaker, listener, onsets, record.window, &mut heard.delays_ns, &mut heard.audio_ns[index % 2])?;
        silent += usize::from(heard.delays_ns.len() == before);
        let (expected, got) = throughput(speaker, listener, record.window);
        heard.expected += expected;
        heard.got += got;
    }
    ensure!(silent == 0, "{silent} of {} streams never arrived", record.legs.len());
    Ok(heard)
}

/// Delays of one stream: of its packets and of its onsets.
fn direction(
    speaker: &Leg,
    listener: &Leg,
    onsets: &[Onset],
    window: (usize, usize),
    delays_ns: &mut Vec<i64>,
    audio_ns: &mut Vec<i64>,
) -> Result<()> {
    // Every stream begins at a different place of the recording.
    let said: Vec<Onset> = onsets
        .iter()
        .filter_map(|onset| Some(Onset { packet: onset.packet.checked_sub(speaker.shift)?, ..*onset }))
        .filter(|onset| onset.packet < speaker.sent_at.len())
        .collect();
    let ticks = sound::packet_ticks(listener.codec);
    let mut finder = OnsetFinder::new(listener.codec)?;
    // Latest onset: output timestamp, input packet, and difference of the offsets.
    let mut anchor: Option<(u32, usize, i64)> = None;
    for heard in &listener.ear.heard {
        if let Some(offset) = finder.look(listener.ear.payload(heard)) {
            let came = (heard.at + offset) as i64;
            let delay_of = |onset: &Onset| came - (speaker.sent_at[onset.packet] + onset.offset_ns) as i64;
            let matching = said.iter().find(|onset| (EARLIEST_NS..LATEST_NS).contains(&delay_of(onset)));
            if let Some(onset) = matching {
                anchor = Some((heard.timestamp, onset.packet, offset as i64 - onset.offset_ns as i64));
                if (window.0..window.1).contains(&onset.packet) {
                    audio_ns.push(delay_of(onset));
                }
            }
        }
        let Some((timestamp, packet, offsets)) = anchor else { continue };
        let distance = heard.timestamp.wrapping_sub(timestamp) / ticks;
        let packet = packet + distance as usize;
        if (window.0..window.1).contains(&packet)
            && let Some(&sent_at) = speaker.sent_at.get(packet)
        {
            delays_ns.push(heard.at as i64 - sent_at as i64 + offsets);
        }
    }
    Ok(())
}

/// Number of packets that a listener should have received during the window, and number that it received.
fn throughput(speaker: &Leg, listener: &Leg, window: (usize, usize)) -> (u64, u64) {
    let (from, to) = (speaker.sent_at[window.0] + SETTLED_NS, speaker.sent_at[window.1] + SETTLED_NS);
    let came: Vec<u64> = listener.ear.heard.iter().map(|heard| heard.at).filter(|at| (from..to).contains(at)).collect();
    let (Some(first), Some(last)) = (came.first(), came.last()) else { return ((window.1 - window.0) as u64, 0) };
    let expected = expected(first - from, last - first, to - last);
    (expected, (came.len() as u64).min(expected))
}

/// Expected number of packets, one every 20 ms, where the first arrives `before` ns after the window's start, the last `between`
/// after it, and `after` before its end.
fn expected(before: u64, between: u64, after: u64) -> u64 {
    let periods = |span: u64| (span + 10_000_000) / 20_000_000;
    periods(between) + 1 + periods(before).saturating_sub(1) + periods(after).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_begins_late_or_ends_early_has_lost_packets() {
        const MS: u64 = 1_000_000;
        assert_eq!(expected(5 * MS, 980 * MS, 15 * MS), 50);
        assert_eq!(expected(19 * MS, 960 * MS, 21 * MS), 49, "49 or 50 fit");
        assert_eq!(expected(5 * MS, 480 * MS, 515 * MS), 50);
        assert_eq!(expected(505 * MS, 480 * MS, 15 * MS), 49);
    }
}
