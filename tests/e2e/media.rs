//! One-way audio is explained by the API, and a dead leg ends its call and its dialog.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tests::api::Api;
use tests::rtp::RtpEnd;
use tests::sip::Wire;
use tests::tandem::{Setup, Tandem};
use tokio::time::{Instant, timeout};

const TIMEOUT_S: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(20);
const VOICE: [u8; 160] = [0x20; 160];

/// A caller that writes its SIP messages itself.
pub(crate) struct Caller {
    wire: Wire,
    server: SocketAddr,
    /// Port to which the server sends its requests.
    port: u16,
    /// Tag of the server's To header, once it has answered.
    to_tag: String,
    requests: u32,
}

impl Caller {
    /// Calls `echo` with this RTP port in the SDP; returns the server's media address.
    pub(crate) async fn call(server: SocketAddr, media: u16) -> (Caller, SocketAddr) {
        let wire = Wire::udp(server).await;
        let Wire::Udp(socket) = &wire else { panic!("the wire is UDP") };
        let port = socket.local_addr().expect("a bound socket").port();
        let mut caller = Caller { wire, server, port, to_tag: String::new(), requests: 0 };
        let media = caller.offer(media).await;
        (caller, media)
    }

    /// Sends an initial or further offer with this RTP port; returns the server's media address.
    pub(crate) async fn offer(&mut self, media: u16) -> SocketAddr {
        self.requests += 1;
        let sdp = format!(
            "v=0\r\no=- 1 {} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {media} RTP/AVP 0\r\n\
             a=rtpmap:0 PCMU/8000\r\n",
            self.requests
        );
        self.say("INVITE", Some(&sdp)).await;
        let number = format!("CSeq: {} INVITE", self.requests);
        loop {
            let text = self.hear().await;
            assert!(!text.starts_with("SIP/2.0 4"), "{text}");
            if text.starts_with("SIP/2.0 200") && text.contains(&number) {
                let to = text.lines().find(|line| line.starts_with("To:")).expect("To").to_owned();
                self.to_tag = format!(";tag={}", to.split(";tag=").nth(1).expect("a tag").trim());
                self.say("ACK", None).await;
                let port = text.lines().find_map(|line| line.strip_prefix("m=audio ")).expect("audio");
                let port = port.split(' ').next().and_then(|word| word.parse().ok()).expect("a port");
                return SocketAddr::from(([127, 0, 0, 1], port));
            }
        }
    }

    async fn say(&mut self, method: &str, sdp: Option<&str>) {
        let Caller { server, port, to_tag, requests, .. } = self;
        let (kind, body) = sdp.map_or(("", ""), |sdp| ("Content-Type: application/sdp\r\n", sdp));
        let text = format!(
            "{method} sip:echo@{server} SIP/2.0\r\nVia: SIP/2.0/UDP client.invalid;branch=z9hG4bK{method}{requests};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+15550001@client.invalid>;tag=caller\r\nTo: <sip:echo@{server}>{to_tag}\r\n\
             Call-ID: of-{port}\r\nCSeq: {requests} {method}\r\nContact: <sip:+15550001@127.0.0.1:{port}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert!(self.wire.send(text.as_bytes()).await);
    }

    async fn hear(&mut self) -> String {
        let bytes =
            timeout(PATIENCE, self.wire.receive()).await.expect("the server sends a message").expect("a message");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Sends packets from `end` until `seen` accepts the only leg of the newest call.
async fn speak_until(end: &RtpEnd, to: SocketAddr, n: &mut usize, api: &Api, seen: impl Fn(&Value) -> bool) -> Value {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let deadline = Instant::now() + PATIENCE;
    loop {
        pace.tick().await;
        end.send(to, *n, &VOICE).await;
        *n += 1;
        if n.is_multiple_of(25)
            && let Some(call) = api.newest_call().await
        {
            let id = call["id"].as_str().expect("an id");
            let shown = api.get(&format!("/api/calls/{id}")).await;
            if seen(&shown["legs"][0]) {
                return shown;
            }
            assert!(Instant::now() < deadline, "it was not seen: {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_audio_is_diagnosed_and_a_dead_leg_ends_its_call() {
    let tandem = Tandem::start(&Setup { media_timeout_s: TIMEOUT_S, ..Setup::default() }).await;
    let before = tandem.holdings().await;
    let api = tandem.api("Home").await;
    let (named, other) = (RtpEnd::bind().await, RtpEnd::bind().await);
    let (mut caller, media) = Caller::call(tandem.sip(), named.port()).await;
    let mut n = 0;

    // An undeclared NAT: the SDP contains one port, and packets arrive from another.
    let state = |leg: &Value, expected: &str| leg["flow"]["incoming"]["state"] == expected;
    let shown = speak_until(&other, media, &mut n, &api, |leg| state(leg, "wrong_address")).await;
    let why = format!("packets come from 127.0.0.1:{}, not from 127.0.0.1:{}", other.port(), named.port());
    assert_eq!(shown["legs"][0]["flow"]["incoming"]["detail"], json!(why));
    let labels = "direction=\"in\",state=\"wrong_address\"";
    // Metrics are updated once a second.
    let told = async |metric: &str, labels: &str, wanted: f64| {
        let deadline = Instant::now() + PATIENCE;
        while tandem.metric(metric, labels).await != wanted {
            assert!(Instant::now() < deadline, "{metric} never becomes {wanted}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    told("tandem_media_legs_by_flow", labels, 1.0).await;

    // From the right port audio flows, and its quality is measured.
    let flowing = |leg: &Value| state(leg, "flowing") && leg["quality"]["incoming"]["mos"].is_f64();
    let shown = speak_until(&named, media, &mut n, &api, flowing).await;
    assert!(shown["legs"][0]["quality"]["incoming"]["mos"].as_f64() > Some(4.2), "{shown}");
    told("tandem_media_legs_by_flow", labels, 0.0).await;

    // After this, no more packets arrive.
    let silent_since = Instant::now();
    let bye = loop {
        // Answers to the INVITE may be retransmitted.
        let text = caller.hear().await;
        if text.starts_with("BYE ") {
            break text;
        }
    };
    let waited = silent_since.elapsed().as_secs_f32();
    assert!((TIMEOUT_S as f32 - 2.5..TIMEOUT_S as f32 + 3.0).contains(&waited), "after {waited} s");
    let call = api.call_becomes("ended", PATIENCE).await;
    assert_eq!(call["ended_reason"], "media_timeout", "{call}");
    let shown = api.get(&format!("/api/calls/{}", call["id"].as_str().expect("an id"))).await;
    let kinds: Vec<&str> =
        shown["events"].as_array().expect("events").iter().filter_map(|e| e["type"].as_str()).collect();
    assert!(kinds.contains(&"call.flow") && kinds.contains(&"call.media_timeout"), "{kinds:?}");
    told("tandem_media_timeouts_total", "", 1.0).await;
    let answer = bye.replacen(bye.lines().next().expect("a line"), "SIP/2.0 200 OK", 1);
    assert!(caller.wire.send(answer.as_bytes()).await);
    tandem.gives_back(&before, PATIENCE).await;
    tandem.stop().await;
}
