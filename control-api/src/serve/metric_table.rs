//! All metrics: their names, kinds, labels and descriptions.
//!
//! ```text
//! METRICS ─ describe ─▶ recorder ─▶ "# HELP" lines of /metrics
//!    └────── table ───▶ docs/metrics.md (a test compares them)
//! ```
//!
//! Invariant: a metric that any crate records has a row here and the prefix `tandem_`; `tests/architecture` reads the sources and
//! fails otherwise. Not here: the values, which are recorded where they arise.

use Kind::{Counter, Gauge, Histogram};

/// How values of a metric add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Metric with its description.
struct Metric {
    kind: Kind,
    name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "only the documentation lists the labels"))]
    labels: &'static [&'static str],
    /// One or more sentences in Markdown.
    description: &'static str,
}

const fn metric(kind: Kind, name: &'static str, labels: &'static [&'static str], description: &'static str) -> Metric {
    Metric { kind, name, labels, description }
}

/// Every metric, sorted by name.
#[rustfmt::skip]
const METRICS: &[Metric] = &[
    metric(Histogram, "tandem_amd_decision_seconds", &["verdict"], "Sound that was heard since the answer when a verdict was given."),
    metric(Counter, "tandem_amd_failures_total", &[], "Customers that were connected unscreened, because their media thread was overloaded."),
    metric(Gauge, "tandem_amd_listeners", &[], "Legs that are listened to, to tell what answered them."),
    metric(Counter, "tandem_amd_verdicts_total", &["verdict"], "Verdicts about what answered a customer's leg."),
    metric(Counter, "tandem_audit_failed_total", &[], "Entries of the audit log that could not be written."),
    metric(Counter, "tandem_audit_refused_total", &[], "Entries of the audit log that were refused because the queue was full."),
    metric(Counter, "tandem_call_inputs_dropped_total", &[], "Signalling events that a call's task did not take in time."),
    metric(Counter, "tandem_call_panics_total", &[], "Tasks of calls that panicked; each ended its call only."),
    metric(Counter, "tandem_call_places_freed_total", &[], "Places in call limits that were freed because their call was no longer running."),
    metric(Counter, "tandem_calls_ended_by_length_total", &[], "Calls that were ended because they reached `[sip] max_call_s`."),
    metric(Counter, "tandem_calls_limited_total", &["limit"], "Calls and legs refused by an organization's limits: `running`, `rate`, `emergencies`, `emergency_rate`."),
    metric(Counter, "tandem_calls_refused_total", &["why"], "Calls that were refused: no media capacity, draining, no route, the control plane does not take events, a call to be replaced that has ended."),
    metric(Gauge, "tandem_calls_running", &[], "Calls that are running."),
    metric(Counter, "tandem_calls_total", &[], "Calls that have begun."),
    metric(Counter, "tandem_calls_unassigned_total", &[], "Calls whose organization was unknown while the database was away."),
    metric(Counter, "tandem_capture_blocks_dropped_total", &[], "Blocks that a capture of media lost because its writer was too slow."),
    metric(Counter, "tandem_capture_lines_dropped_total", &[], "Lines that a capture of calls lost because its writer was too slow."),
    metric(Counter, "tandem_decisions_from_memory_total", &[], "Decisions about calls that were made from memory because the database did not answer."),
    metric(Counter, "tandem_dial_refused_total", &["why"], "Destinations that were not called, by reason."),
    metric(Gauge, "tandem_disk_free_bytes", &["folder"], "Free bytes in the file system of the folder (`recordings`)."),
    metric(Counter, "tandem_engine_ends_delayed_total", &[], "Ends of calls that had to wait for room on the way to the control plane. None is dropped."),
    metric(Counter, "tandem_engine_events_dropped_total", &[], "Events of calls that were dropped because the control plane did not take them."),
    metric(Counter, "tandem_events_of_unknown_calls_total", &[], "Events of calls that the store does not know."),
    metric(Counter, "tandem_events_refused_total", &[], "Events that the database refused for good and that were put aside (`tandem refused`)."),
    metric(Counter, "tandem_events_total", &[], "Events that were stored and published."),
    metric(Counter, "tandem_hold_music_missed_total", &[], "Calls whose music on hold was not fetched because too many waited for theirs."),
    metric(Counter, "tandem_hosts_refused_total", &[], "Requests for an unknown host that a fresh installation refused."),
    metric(Counter, "tandem_http_accept_failed_total", &["listener"], "Connections that an HTTP listener could not accept."),
    metric(Counter, "tandem_http_ambiguous_framing_total", &[], "Requests whose length was ambiguous."),
    metric(Gauge, "tandem_http_connections", &["listener"], "Open HTTP connections."),
    metric(Counter, "tandem_http_connections_closed_total", &["listener", "why"], "HTTP connections that were closed: `displaced`, `silent`, `stalled`, `stopped`."),
    metric(Counter, "tandem_http_connections_refused_total", &["listener", "why"], "HTTP connections that were refused: `connections`, `connections_of_address`."),
    metric(Counter, "tandem_http_malformed_total", &["listener"], "HTTP connections that ended because a request was malformed."),
    metric(Counter, "tandem_http_panics_total", &[], "Panics in the handling of a request."),
    metric(Histogram, "tandem_http_request_seconds", &["route", "method", "status"], "Time until the answer to a request begins."),
    metric(Counter, "tandem_http_requests_total", &["route", "method", "status"], "HTTP requests. `route` contains placeholders, never identities."),
    metric(Counter, "tandem_ingest_backlog_full_total", &[], "Events that had to wait for room in the backlog in front of the store."),
    metric(Counter, "tandem_jobs_total", &["kind", "outcome"], "Background jobs: `sessions.expire`, `usage.roll_up`, `retention.apply`, `transcripts.repair`; `done` or `failed`."),
    metric(Counter, "tandem_known_write_failures_total", &[], "Failures to write `tandem.known`."),
    metric(Counter, "tandem_legs_undecided_total", &[], "Legs of transfers about which no decision came within 2 s."),
    metric(Counter, "tandem_logins_failed_total", &[], "Log-ins with a wrong address or password."),
    metric(Counter, "tandem_logins_throttled_total", &[], "Attempts that were refused because they came too early."),
    metric(Counter, "tandem_mails_failed_total", &[], "Mails that could not be handed over."),
    metric(Counter, "tandem_mails_throttled_total", &[], "Mails that were not sent because an address had had enough of them."),
    metric(Gauge, "tandem_media_bridged_legs", &["worker"], "Legs that are bridged."),
    metric(Gauge, "tandem_media_browser_legs", &["worker"], "Legs of browsers."),
    metric(Counter, "tandem_media_commands_void_total", &["worker"], "Commands that named an unknown leg or did not fit their leg."),
    metric(Gauge, "tandem_media_conferences", &["worker"], "Conferences that are open."),
    metric(Counter, "tandem_media_datagrams_received_total", &["worker"], "Datagrams received."),
    metric(Counter, "tandem_media_datagrams_strange_total", &["worker"], "Datagrams at the browsers' shared port that belong to no leg."),
    metric(Counter, "tandem_media_events_dropped_total", &["worker"], "Events of a media thread that were dropped."),
    metric(Counter, "tandem_media_frames_failed_total", &["worker"], "Frames that could not be encoded or sent."),
    metric(Counter, "tandem_media_frames_total", &["worker"], "Frames generated for listeners."),
    metric(Gauge, "tandem_media_gathering", &["worker"], "1 while packets gather (profile `throughput`, or `auto` under load), else 0."),
    metric(Gauge, "tandem_media_legs", &["worker"], "Media legs."),
    metric(Gauge, "tandem_media_legs_by_flow", &["worker", "direction", "state"], "Legs by state of their sound. `in`: `on_hold`, `no_packets_yet`, `wrong_address`, `undecryptable`, `wrong_payload_type`, `silence`, `flowing`, `stopped`, `unreachable`. `out`: `on_hold`, `nothing_to_send`, `sending`, `far_end_reports_loss`, `far_end_reports_nothing`."),
    metric(Gauge, "tandem_media_load", &["worker"], "Share of time that a media thread is busy, 0 to 1. Above 0.85 it gets no new calls."),
    metric(Gauge, "tandem_media_mailbox", &["worker"], "Commands that wait for a media thread."),
    metric(Counter, "tandem_media_mailbox_refused_total", &["worker"], "Commands that a full mailbox refused."),
    metric(Gauge, "tandem_media_mixed_legs", &["worker"], "Legs in conferences."),
    metric(Histogram, "tandem_media_mos", &["direction"], "Estimated quality (E-model, ITU-T G.107) of each leg every 5 s: `in`, `out`."),
    metric(Counter, "tandem_media_outbox_overflow_total", &["worker"], "Datagrams that did not fit into the outbox of a media thread."),
    metric(Counter, "tandem_media_packets_foreign_total", &["worker"], "Datagrams from an address that does not belong to the leg."),
    metric(Counter, "tandem_media_packets_malformed_total", &["worker"], "Datagrams that were not a valid packet for the leg."),
    metric(Counter, "tandem_media_packets_relayed_total", &["worker"], "RTP packets that were relayed."),
    metric(Counter, "tandem_media_packets_replayed_total", &["worker"], "Packets that had arrived before; with SRTP also packets that were far too late."),
    metric(Counter, "tandem_media_packets_sent_total", &["worker"], "RTP packets sent, relayed ones included."),
    metric(Counter, "tandem_media_packets_unauthentic_total", &["worker"], "Encrypted datagrams that the key of the leg could not open."),
    metric(Counter, "tandem_media_packets_unproven_total", &["worker"], "Packets from an address that may yet prove to belong to a leg behind NAT."),
    metric(Counter, "tandem_media_packets_unroutable_total", &["worker"], "Valid packets that could not be forwarded: on hold, or no common telephone-event."),
    metric(Counter, "tandem_media_panics_total", &["worker"], "Panics that a media thread caught."),
    metric(Counter, "tandem_media_play_overflow_total", &["worker"], "Chunks of voice that did not fit into their queue."),
    metric(Counter, "tandem_media_send_refused_total", &["worker"], "Datagrams that the kernel refused to send."),
    metric(Counter, "tandem_media_sources_moved_total", &["worker"], "Legs behind NAT whose media moved to a new address."),
    metric(Gauge, "tandem_media_taps", &["worker"], "Taps: copies of audio for recordings, recognition and supervisors."),
    metric(Counter, "tandem_media_ticks_skipped_total", &["worker"], "Ticks that were skipped because the thread was held up."),
    metric(Counter, "tandem_media_timeouts_total", &["worker"], "Legs that were dead: nothing arrived for `[media] timeout_s`."),
    metric(Counter, "tandem_number_calls_total", &["outcome"], "Calls that speak a code: `spoken`, `unanswered`, `unspoken`, `refused`."),
    metric(Counter, "tandem_passwords_refused_total", &[], "Password checks that were refused because too many waited."),
    metric(Counter, "tandem_phones_forgotten_total", &[], "Entries of the table of telephones opened by API keys that made room for newer ones."),
    metric(Counter, "tandem_plays_forgotten_total", &[], "Entries of the table of played recordings that were dropped because it was full."),
    metric(Counter, "tandem_program_fetches_failed_total", &[], "Call programs that a server did not supply."),
    metric(Counter, "tandem_provider_reports_dropped_total", &[], "Changes of state of speech providers that were dropped."),
    metric(Counter, "tandem_rate_limit_forgotten_total", &[], "Buckets of rate limits that were dropped because the table was full."),
    metric(Counter, "tandem_rate_limited_total", &[], "Requests that were refused with 429 by rate limits."),
    metric(Counter, "tandem_recording_legs_left_out_total", &[], "Legs that were left out of a recording because a file has 16 channels at most."),
    metric(Counter, "tandem_recording_panics_total", &[], "Panics in one recording; the others went on."),
    metric(Counter, "tandem_recording_reports_dropped_total", &[], "Reports of recordings that their call did not take."),
    metric(Counter, "tandem_recording_seal_lost_total", &[], "Recordings whose last order was lost because the recorder was overloaded."),
    metric(Counter, "tandem_recording_tap_gap_frames_total", &[], "Frames that a recording missed because its ring was full."),
    metric(Counter, "tandem_recordings_interrupted_total", &[], "Recordings that ended early: a full disk, an I/O error, a panic, a failed sync."),
    metric(Counter, "tandem_recordings_synced_by_writer_total", &[], "Files that the recorder's thread synced itself because the syncing thread was busy."),
    metric(Counter, "tandem_registrations_untold_total", &[], "Registrations that the pages do not show because too many waited for the store."),
    metric(Counter, "tandem_segments_repaired_total", &["result"], "Missed sentences that were recognised again: `heard`, `nothing_heard`, `failed`."),
    metric(Counter, "tandem_signed_urls_refused_total", &[], "Signed URLs that were altered or have expired."),
    metric(Counter, "tandem_signup_codes_refused_total", &[], "First sign-ups without the right code."),
    metric(Counter, "tandem_sip_accept_failed_total", &["transport"], "Connections that a SIP listener could not accept, for instance for lack of descriptors."),
    metric(Counter, "tandem_sip_commands_dropped_total", &[], "Commands of calls that the SIP stack did not take."),
    metric(Gauge, "tandem_sip_connections", &["transport"], "Open SIP connections."),
    metric(Counter, "tandem_sip_connections_closed_total", &["why"], "SIP connections that were closed, by reason, such as `displaced`, `stranger`, `idle`, `queue_full`, `write_failed`."),
    metric(Gauge, "tandem_sip_contacts", &[], "Registered contacts."),
    metric(Gauge, "tandem_sip_dialogs", &[], "SIP dialogs that are open."),
    metric(Counter, "tandem_sip_queue_full_total", &["queue"], "Bounded queues of the SIP stack that were full: `datagrams`, `events`, `connection`, `commands`."),
    metric(Counter, "tandem_sip_refused_total", &["why"], "SIP messages, connections and strangers that were refused, by reason, such as `address_full`, `connections`, `connections_of_address`, `websockets`."),
    metric(Counter, "tandem_sip_requests_total", &["method"], "SIP requests received; methods that are not known count as `other`."),
    metric(Counter, "tandem_sip_responses_total", &[], "SIP responses received."),
    metric(Counter, "tandem_sip_scanners_total", &[], "Addresses that were silenced after wrong SIP passwords."),
    metric(Counter, "tandem_sip_send_failed_total", &[], "SIP datagrams that could not be sent."),
    metric(Gauge, "tandem_sip_timers", &[], "Timers of the SIP stack."),
    metric(Gauge, "tandem_sip_trace_bytes", &[], "Bytes of SIP messages kept for traces."),
    metric(Gauge, "tandem_sip_trace_dialogs", &[], "Dialogs whose messages are kept for traces."),
    metric(Counter, "tandem_sip_trace_dropped_total", &["what"], "What had to make room in the traces: `message`, `dialog`."),
    metric(Gauge, "tandem_sip_transactions", &[], "Server and client transactions."),
    metric(Gauge, "tandem_sip_websockets", &[], "Open SIP WebSockets."),
    metric(Counter, "tandem_speech_bad_chunks_total", &[], "Chunks of synthesised audio that were not mono and 16 bit."),
    metric(Counter, "tandem_speech_bad_events_total", &[], "Events of a speech provider that could not be read."),
    metric(Counter, "tandem_speech_echo_frames_total", &[], "Frames of 20 ms that were the echo of what the party was played, and were not recognised."),
    metric(Counter, "tandem_speech_echo_paths_total", &[], "Echoes whose delay and attenuation were found."),
    metric(Counter, "tandem_speech_echo_segments_total", &[], "Segments that were dropped because they had the words of a translation that the party was played."),
    metric(Counter, "tandem_speech_failures_total", &["kind"], "Requests that a speech provider failed: `stt`, `translate`, `tts`."),
    metric(Counter, "tandem_speech_overflow_total", &["kind"], "Work for a speech provider that found its queue full: `stt`, `translate`, `tts`, `playout`."),
    metric(Counter, "tandem_speech_restarts_total", &["kind"], "Starts of a speech provider again after a fault: `stt`, `translator`, `tts`."),
    metric(Counter, "tandem_speech_tap_gap_frames_total", &[], "Frames that recognition missed because its ring was full."),
    metric(Gauge, "tandem_spool_bytes", &[], "Bytes of events that wait in the spool for the database."),
    metric(Counter, "tandem_spool_dropped_total", &[], "Events that were lost because the spool was full or could not be written."),
    metric(Counter, "tandem_spool_events_total", &[], "Events that went into the spool."),
    metric(Counter, "tandem_spool_unreserved_total", &[], "Starts at which the disk had no room to reserve for the spool."),
    metric(Counter, "tandem_sse_gaps_total", &[], "Gap markers that slow listeners of event streams got."),
    metric(Counter, "tandem_store_connect_failures_total", &[], "Failed attempts to reach a database that was away at start."),
    metric(Gauge, "tandem_store_connected", &[], "0 while a server that started without its database has not reached it, 1 afterwards."),
    metric(Counter, "tandem_store_connections_discarded_total", &[], "Database connections that were closed because their transaction had not ended."),
    metric(Counter, "tandem_store_errors_total", &[], "Requests that failed because of the store."),
    metric(Counter, "tandem_store_retries_total", &[], "Attempts to write waiting events that found the store away."),
    metric(Counter, "tandem_store_timeouts_total", &[], "Writes that were given up because the store did not answer in time."),
    metric(Counter, "tandem_streams_refused_total", &[], "Event streams that were refused because too many were open."),
    metric(Counter, "tandem_supervised_ends_total", &["name"], "Parts of the server that failed; the first one ends the process."),
    metric(Counter, "tandem_translation_events_dropped_total", &[], "Events of translation that the call did not take."),
    metric(Counter, "tandem_translation_failures_total", &[], "Calls whose translation ended before the call because of a fault."),
    metric(Counter, "tandem_translation_levels_total", &["level"], "Changes of how translations reach a listener: `voice`, `faster`, `text`, `original`."),
    metric(Counter, "tandem_translation_orders_dropped_total", &[], "Orders to the translation of a call that its task did not take."),
    metric(Gauge, "tandem_trunk_calls", &["trunk"], "Calls of the trunk."),
    metric(Counter, "tandem_trunk_calls_failed_total", &["trunk", "status"], "Legs through the trunk that failed, by SIP status."),
    metric(Gauge, "tandem_trunk_places_healthy", &["trunk"], "Addresses of the trunk that answer."),
    metric(Gauge, "tandem_trunk_registered", &["trunk"], "1 while registered, 0 otherwise; for trunks with `register`."),
    metric(Counter, "tandem_trunk_set_aside_total", &["trunk"], "Times that an address of the trunk was set aside."),
    metric(Counter, "tandem_worker_commands_dropped_total", &[], "Commands of calls that a media thread did not take."),
];

/// Tells the global recorder what each metric means.
pub(crate) fn describe() {
    for Metric { kind, name, description, .. } in METRICS {
        let description = description.replace('`', "");
        match kind {
            Counter => metrics::describe_counter!(*name, description),
            Gauge => metrics::describe_gauge!(*name, description),
            Histogram => metrics::describe_histogram!(*name, description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of docs/metrics.md.
    fn table() -> String {
        let mut table = "| name | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
        for Metric { kind, name, labels, description } in METRICS {
            let kind = format!("{kind:?}").to_lowercase();
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!(" {}", labels.join(", ")) };
            table += &format!("| `{name}` | {kind} |{labels} | {description} |\n");
        }
        table
    }

    #[test]
    fn the_table_in_the_documentation_is_current() {
        let documented = include_str!("../../../docs/metrics.md");
        assert!(documented.contains(&table()), "docs/metrics.md is out of date; its table should be:\n{}", table());
    }

    #[test]
    fn metrics_are_sorted_and_described_in_sentences() {
        assert!(METRICS.is_sorted_by(|a, b| a.name < b.name));
        for Metric { name, description, .. } in METRICS {
            assert!(description.ends_with('.') && description.len() > 10, "{name}: {description}");
        }
    }
}
