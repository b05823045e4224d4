//! Publishes a worker's counters to the metrics recorder once a second, never on the packet path.

use std::sync::atomic::Ordering;

use super::mailbox::Mailbox;
use super::pace::Pace;
use super::switch::{Counters, Switch};
use crate::leg::flow::{Incoming, Outgoing};

/// Counters as published last, to compute the increments.
pub(crate) struct Meters {
    worker: String,
    reported: Counters,
    reported_overflow: u64,
    /// Datagrams that the system refused to send.
    pub(crate) send_refused: u64,
    /// Events dropped because their channel was full.
    pub(crate) events_dropped: u64,
}

impl Meters {
    pub(crate) fn new(index: usize) -> Meters {
        Meters {
            worker: index.to_string(),
            reported: Counters::default(),
            reported_overflow: 0,
            send_refused: 0,
            events_dropped: 0,
        }
    }

    /// Publishes the increments since the last call, and the present gauges.
    pub(crate) fn report(&mut self, switch: &Switch, mailbox: &Mailbox, pace: &Pace) {
        let (now, was) = (switch.counters(), self.reported);
        let add = |name: &'static str, count: u64| {
            metrics::counter!(name, "worker" => self.worker.clone()).increment(count);
        };
        add("tandem_media_datagrams_received_total", now.datagrams - was.datagrams);
        add("tandem_media_packets_sent_total", now.packets_sent - was.packets_sent);
        add("tandem_media_packets_relayed_total", now.packets_relayed - was.packets_relayed);
        add("tandem_media_packets_foreign_total", now.foreign - was.foreign);
        add("tandem_media_packets_unproven_total", now.unproven - was.unproven);
        add("tandem_media_sources_moved_total", now.sources_moved - was.sources_moved);
        add("tandem_media_packets_malformed_total", now.malformed - was.malformed);
        add("tandem_media_packets_unauthentic_total", now.unauthentic - was.unauthentic);
        add("tandem_media_packets_replayed_total", now.replayed - was.replayed);
        add("tandem_media_packets_unroutable_total", now.unroutable - was.unroutable);
        add("tandem_media_datagrams_strange_total", now.strangers - was.strangers);
        add("tandem_media_frames_total", now.frames - was.frames);
        add("tandem_media_frames_failed_total", now.frames_failed - was.frames_failed);
        add("tandem_media_ticks_skipped_total", now.ticks_skipped - was.ticks_skipped);
        add("tandem_media_play_overflow_total", now.play_overflow - was.play_overflow);
        add("tandem_media_commands_void_total", now.commands_void - was.commands_void);
        add("tandem_media_timeouts_total", now.media_timeouts - was.media_timeouts);
        add("tandem_media_panics_total", now.panics - was.panics);
        add("tandem_media_outbox_overflow_total", switch.outbox_overflow() - self.reported_overflow);
        add("tandem_media_send_refused_total", std::mem::take(&mut self.send_refused));
        add("tandem_media_events_dropped_total", std::mem::take(&mut self.events_dropped));
        add("tandem_media_mailbox_refused_total", mailbox.refused.swap(0, Ordering::Relaxed));
        (self.reported, self.reported_overflow) = (now, switch.outbox_overflow());
        let census = switch.census();
        let set = |name: &'static str, count: usize| {
            metrics::gauge!(name, "worker" => self.worker.clone()).set(count as f64);
        };
        set("tandem_media_legs", census.legs);
        set("tandem_media_browser_legs", census.browser_legs);
        set("tandem_media_bridged_legs", census.bridged);
        set("tandem_media_conferences", census.conferences);
        set("tandem_media_mixed_legs", census.mixed);
        set("tandem_media_taps", census.taps);
        set("tandem_media_mailbox", mailbox.len());
        set("tandem_media_gathering", usize::from(pace.is_gathering()));
        metrics::gauge!("tandem_media_load", "worker" => self.worker.clone()).set(f64::from(pace.load()));
        self.report_flows("in", &Incoming::WORDS, &census.incoming);
        self.report_flows("out", &Outgoing::WORDS, &census.outgoing);
    }

    fn report_flows(&self, direction: &'static str, states: &[&'static str], counts: &[usize]) {
        for (&state, &count) in states.iter().zip(counts) {
            let labels = [("worker", self.worker.clone()), ("direction", direction.into()), ("state", state.into())];
            metrics::gauge!("tandem_media_legs_by_flow", &labels).set(count as f64);
        }
    }
}
