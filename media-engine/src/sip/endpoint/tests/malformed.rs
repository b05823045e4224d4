//! Malformed requests: each fault, in each method, over each transport, gets its one response and leaves nothing.

use super::*;

const METHODS: [&str; 6] = ["INVITE", "OPTIONS", "REGISTER", "BYE", "UPDATE", "MESSAGE"];

/// A request without any fault.
fn right(method: &str, transport: Transport) -> String {
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/{transport} 203.0.113.20:5060;branch=z9hG4bKm1;rport\r\n\
         Max-Forwards: 70\r\nFrom: \"A\" <sip:alice@example.com>;tag=far\r\nTo: <sip:bob@example.com>\r\nCall-ID: m1@far\r\n\
         CSeq: 7 {method}\r\nContact: <sip:alice@203.0.113.20:5060>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A text, its faulty replacement, and the status of the response; `None`: no response can reach the sender.
const WRONGS: [(&str, &str, Option<u16>); 45] = [
    ("From: \"A\" <sip:alice@example.com>;tag=far\r\n", "", Some(400)),
    ("To: <sip:bob@example.com>\r\n", "", Some(400)),
    ("Call-ID: m1@far\r\n", "", Some(400)),
    ("CSeq: 7", "X-CSeq: 7", Some(400)),
    ("Via: ", "X-Via: ", None),
    ("Call-ID:", "From: <sip:eve@example.com>;tag=2\r\nCall-ID:", Some(400)),
    ("Call-ID:", "To: <sip:eve@example.com>\r\nCall-ID:", Some(400)),
    ("Call-ID:", "i: other\r\nCall-ID:", Some(400)),
    ("CSeq: ", "CSeq: 8 OPTIONS\r\nCSeq: ", Some(400)),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 70", Some(400)),
    ("CSeq: 7 ", "CSeq: 2147483648 ", Some(400)),
    ("CSeq: 7 ", "CSeq: 18446744073709551616 ", Some(400)),
    ("CSeq: 7 ", "CSeq: -7 ", Some(400)),
    ("CSeq: 7 ", "CSeq: 7.0 ", Some(400)),
    ("CSeq: 7 ", "CSeq: ", Some(400)),
    ("CSeq: 7 ", "CSeq: 7 X", Some(400)),
    ("Max-Forwards: 70", "Max-Forwards: 256", Some(400)),
    ("Max-Forwards: 70", "Max-Forwards: -1", Some(400)),
    ("Max-Forwards: 70", "Max-Forwards: many", Some(400)),
    ("Max-Forwards: 70", "Max-Forwards:", Some(400)),
    ("Content-Length: 0", "Content-Length: -1", Some(400)),
    ("Content-Length: 0", "Content-Length: x", Some(400)),
    ("Content-Length: 0", "Content-Length: 18446744073709551615", Some(400)),
    ("Content-Length: 0", "Content-Length: 9", Some(400)),
    ("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 1", Some(400)),
    ("Content-Length: 0", "Content-Length: 0 0", Some(400)),
    (" SIP/2.0\r\n", " SIP/3.0\r\n", Some(505)),
    (" SIP/2.0\r\n", " SIP/2.00\r\n", Some(505)),
    (" sip:bob@example.com SIP", " unknown:bob SIP", Some(416)),
    (" sip:bob@example.com SIP", " sip:bob@example.com:0 SIP", Some(400)),
    (" sip:bob@example.com SIP", " sip:bob@exa_mple com SIP", Some(400)),
    (" sip:bob@example.com SIP", " <sip:bob@example.com> SIP", Some(400)),
    (" sip:bob@example.com SIP", " sip:bob@example.com?Subject=x SIP", Some(400)),
    (" sip:bob@example.com SIP", " sip: SIP", Some(400)),
    ("From: \"A\" <", "From: \"A <", Some(400)),
    ("From: \"A\" <sip:alice@example.com>", "From: sip:alice@example.com?x=y", Some(400)),
    ("To: <sip:bob@example.com>", "To: <sip:bob@example.com", Some(400)),
    ("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=1;tag=2", Some(400)),
    ("Max-Forwards", "a line that is no header\r\nMax-Forwards", Some(400)),
    ("Max-Forwards", "Route: not a route\r\nMax-Forwards", Some(400)),
    ("Max-Forwards", "Record-Route: <sip:x\r\nMax-Forwards", Some(400)),
    ("Max-Forwards", "Require: no-such-thing\r\nMax-Forwards", Some(420)),
    ("Contact: <sip:alice@203.0.113.20:5060>", "Contact: <sip:alice@203.0.113.20:99999>", Some(400)),
    ("branch=z9hG4bKm1", "branch=z9hG4bK", Some(400)),
    ("203.0.113.20:5060;branch", "203.0.113.20:5060;;branch", Some(400)),
];

#[test]
fn each_fault_in_each_method_and_transport_is_answered_once_and_leaves_nothing() {
    for (id, transport) in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws].into_iter().enumerate() {
        for method in METHODS {
            for (n, (right_part, wrong_part, status)) in WRONGS.into_iter().enumerate() {
                let mut bench = Bench::new();
                let peer = flow(transport, id as u64 + 1, "203.0.113.20:5060");
                let text = right(method, transport);
                assert!(text.contains(right_part), "wrong {n} applies to {method}");
                bench.receive(&peer, &text.replacen(right_part, wrong_part, 1));
                let answers: Vec<u16> = bench.lines().iter().filter_map(|line| line.get(8..11)?.parse().ok()).collect();
                assert_eq!(answers, Vec::from_iter(status), "{method} over {transport}, wrong {n}: {wrong_part:?}");
                assert!(bench.events.is_empty(), "{method} over {transport}, wrong {n}: {:?}", bench.events);
                assert!(bench.endpoint.is_idle(), "{method} over {transport}, wrong {n}");
            }
        }
    }
}

#[test]
fn the_same_requests_without_a_fault_are_understood() {
    for (method, status) in
        [("INVITE", 407), ("OPTIONS", 200), ("REGISTER", 401), ("BYE", 481), ("UPDATE", 481), ("MESSAGE", 407)]
    {
        let mut bench = Bench::new();
        bench.receive(&flow(Transport::Tcp, 2, "203.0.113.20:5060"), &right(method, Transport::Tcp));
        assert!(bench.only().starts_with(&format!("SIP/2.0 {status}")), "{method}: {}", bench.only());
    }
}
