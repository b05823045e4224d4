//! The stack's metrics and their labels: few and fixed, whatever peers send.

use crate::sip::trace::TraceCensus;
use crate::sip::{Sizes, Transport, TrunkStatus};

/// Counts requests by method, responses as `response`.
pub(super) fn message(bytes: &[u8]) {
    const METHODS: [&str; 14] = [
        "INVITE",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "REGISTER",
        "INFO",
        "UPDATE",
        "PRACK",
        "MESSAGE",
        "REFER",
        "NOTIFY",
        "SUBSCRIBE",
        "PUBLISH",
    ];
    let bytes = bytes.trim_ascii_start();
    if bytes.starts_with(b"SIP/") {
        metrics::counter!("tandem_sip_responses_total").increment(1);
        return;
    }
    let first = bytes.split(|&b| b == b' ').next().unwrap_or_default();
    let method = METHODS.into_iter().find(|method| method.as_bytes() == first).unwrap_or("other");
    metrics::counter!("tandem_sip_requests_total", "method" => method).increment(1);
}

/// Counts a refused message, connection or stranger.
pub(super) fn refused(why: &'static str) {
    metrics::counter!("tandem_sip_refused_total", "why" => why).increment(1);
}

/// Counts a connection that a listener could not accept, such as when descriptors have run out.
pub(super) fn accept_failed(transport: Transport) {
    metrics::counter!("tandem_sip_accept_failed_total", "transport" => transport.via_token()).increment(1);
}

/// Counts a full bounded queue, whose message was refused or dropped or whose connection was closed.
pub(super) fn queue_full(queue: &'static str) {
    metrics::counter!("tandem_sip_queue_full_total", "queue" => queue).increment(1);
}

/// Counts a datagram that could not be sent; retransmission recovers it.
pub(super) fn send_failed() {
    metrics::counter!("tandem_sip_send_failed_total").increment(1);
}

/// Updates the gauge when a connection opens (1) or closes (−1).
pub(super) fn connections(transport: Transport, change: f64) {
    metrics::gauge!("tandem_sip_connections", "transport" => transport.via_token()).increment(change);
}

/// Counts a closed connection by the reason.
pub(super) fn closed(why: &'static str) {
    metrics::counter!("tandem_sip_connections_closed_total", "why" => why).increment(1);
}

/// Updates the gauges of the trunks' state.
pub(super) fn trunks(trunks: &[TrunkStatus]) {
    for trunk in trunks {
        let healthy = trunk.places.iter().filter(|place| place.healthy).count();
        metrics::gauge!("tandem_trunk_calls", "trunk" => trunk.name.clone()).set(trunk.calls);
        metrics::gauge!("tandem_trunk_places_healthy", "trunk" => trunk.name.clone()).set(healthy as f64);
        if let Some(registered) = trunk.registered {
            metrics::gauge!("tandem_trunk_registered", "trunk" => trunk.name.clone())
                .set(f64::from(u8::from(registered)));
        }
    }
}

/// Updates the gauges of kept messages, and the counters of dropped ones.
pub(super) fn trace(census: &TraceCensus) {
    metrics::gauge!("tandem_sip_trace_dialogs").set(census.dialogs as f64);
    metrics::gauge!("tandem_sip_trace_bytes").set(census.bytes as f64);
    metrics::counter!("tandem_sip_trace_dropped_total", "what" => "message").absolute(census.dropped_messages);
    metrics::counter!("tandem_sip_trace_dropped_total", "what" => "dialog").absolute(census.dropped_dialogs);
}

/// Updates the gauges of the endpoint's sizes.
pub(super) fn sizes(sizes: &Sizes) {
    let set = |name: &'static str, count: usize| metrics::gauge!(name).set(count as f64);
    set("tandem_sip_dialogs", sizes.dialogs);
    set("tandem_sip_transactions", sizes.server_transactions + sizes.client_transactions);
    set("tandem_sip_timers", sizes.timers);
    set("tandem_sip_contacts", sizes.contacts);
}
