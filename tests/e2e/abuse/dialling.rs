//! Destinations spelled to pass the dial guard; identities; loops.
//!
//! ```text
//! customer (trunk, 127.0.0.2) ── Tandem ── agents (registered, 127.0.0.1)        bystander (no trunk, 127.0.0.3)
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use media_engine::sip::digest::{self, Challenge};
use media_engine::sip::write::response_to;
use media_engine::sip::{Message, Method as SipMethod, Name, Start};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::Api;
use tests::desk::{Desk, Line};
use tests::ports;
use tests::tandem::{Setup, Tandem};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
const HZ: f32 = 440.0;

/// A UDP socket that refuses every call and stores the requests.
struct Recorder {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    came: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    async fn at(address: SocketAddr) -> Recorder {
        let socket = UdpSocket::bind(address).await.expect("an address on loopback");
        let address = socket.local_addr().expect("its address");
        let (heard, came): (Arc<Mutex<Vec<String>>>, Arc<Notify>) = Default::default();
        let (list, told) = (Arc::clone(&heard), Arc::clone(&came));
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if let Ok(message) = Message::parse(text.as_bytes())
                    && let Start::Request { method: SipMethod::Invite, .. } = message.start()
                {
                    let refusal = response_to(&message, None, 603, "Decline", Some("carrier")).build();
                    // The server may have ended.
                    let _ = socket.send_to(&refusal, from).await;
                }
                list.lock().expect("no panic").push(text);
                told.notify_one();
            }
        });
        Recorder { address, heard, came, task }
    }

    /// Request-URIs of the received INVITEs.
    fn called(&self) -> Vec<String> {
        let heard = self.heard.lock().expect("no panic");
        let invites = heard.iter().filter(|text| text.starts_with("INVITE "));
        invites.map(|text| text.split(' ').nth(1).unwrap_or_default().to_owned()).collect()
    }

    /// Waits for the first INVITE to this user.
    async fn invite(&self, user: &str) -> String {
        let wanted = format!("INVITE sip:{user}@");
        let look = async {
            loop {
                let found = self.heard.lock().expect("no panic").iter().find(|text| text.starts_with(&wanted)).cloned();
                match found {
                    Some(invite) => return invite,
                    None => self.came.notified().await,
                }
            }
        };
        timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("no call to {user}: {:?}", self.called()))
    }

    fn heard_nothing(&self, what: &str) {
        let heard = self.heard.lock().expect("no panic");
        assert!(heard.is_empty(), "{what}: {heard:?}");
    }
}

fn loopback(last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], ports::free()))
}

/// Asks the API to call `to`; returns status and body of the answer.
async fn dial(api: &Api, to: &str) -> (StatusCode, Value) {
    api.ask(Method::POST, "/api/calls", Some(json!({ "mode": "direct", "to": to }))).await
}

/// Returns whether the destination itself was refused, as opposed to the rate of requests.
fn is_refused(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 403 | 404 | 422)
}

/// Waits until a call that the API created has ended, and returns the cause.
async fn ended(api: &Api, made: &Value) -> String {
    let path = format!("/api/calls/{}", made["id"].as_str().expect("an id"));
    let look = async {
        loop {
            let call = api.get(&path).await;
            if let Some(reason) = call["ended_reason"].as_str() {
                return reason.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, look).await.expect("the call ends")
}

fn header(text: &str, name: Name) -> String {
    Message::parse(text.as_bytes()).expect("a SIP message").header(name).unwrap_or_default().to_owned()
}

/// User parts that some network may take for a blocked number.
fn spellings() -> Vec<String> {
    let mut all = Vec::new();
    for plain in ["+19005551234", "+881612345678", "+449098790000"] {
        let digits = &plain[1..];
        let spaced = format!("+{}-{}-{}", &digits[..1], &digits[1..4], &digits[4..]);
        let escaped: String = digits.bytes().map(|byte| format!("%{byte:02X}")).collect();
        all.extend([
            plain.to_owned(),
            digits.to_owned(),
            format!("%2B{digits}"),
            format!("%2b{digits}"),
            format!("%252B{digits}"),
            format!("+{escaped}"),
            format!("%2B{escaped}"),
            spaced.clone(),
            spaced.replace('-', "."),
            spaced.replace('-', "%20"),
            spaced.replace('-', "%2D"),
            spaced.replace('-', "_"),
            spaced.replace('-', "~"),
            spaced.replace('-', "!"),
            spaced.replace('-', "*"),
            spaced.replace('-', "&"),
            spaced.replace('-', ","),
            spaced.replace('-', "/"),
            spaced.replace('-', "'"),
            spaced.replace('-', "%09"),
            spaced.replace('-', "%00"),
            spaced.replace('-', "x"),
            spaced.replace('-', "%3B"),
            format!("({plain})"),
            format!("%09{plain}"),
            format!("%20{plain}"),
            format!("{plain}%20"),
            format!("{plain}%0D%0A"),
            format!("{plain}%23"),
            format!("+{plain}"),
            format!("++{plain}"),
            format!("-{plain}"),
            format!("00{digits}"),
            format!("011{digits}"),
            format!("+00{digits}"),
            format!("+011{digits}"),
            format!("0{digits}"),
            format!("0{plain}"),
            format!("00{plain}"),
            format!("*31*{digits}"),
            format!("%23{}", digits),
            format!("{plain}$"),
            format!("%EF%BC%8B{digits}"),
            format!("{plain}=1"),
        ]);
    }
    all
}

/// A server with an agent and a carrier that refuses every call; every number that is not blocked may be called.
struct Desks {
    tandem: Tandem,
    api: Api,
    anna: Desk,
    customer: Desk,
    carrier: Recorder,
    bystander: Recorder,
}

/// Host of a carrier's trunk with its priority, as operators often write it.
fn with_turn(address: SocketAddr) -> Vec<String> {
    vec![format!("{address};priority=1")]
}

impl Desks {
    async fn open(further: &'static str) -> Desks {
        let carrier = Recorder::at(SocketAddr::from(([127, 0, 0, 2], 0))).await;
        let customer = loopback(4);
        let tandem = Tandem::start(&Setup {
            trunks: vec![("carrier", with_turn(carrier.address)), ("customers", vec![customer.to_string()])],
            routes: vec![("100", "agent:anna"), ("*", "trunk:carrier")],
            further,
            ..Setup::default()
        })
        .await;
        let api = tandem.api("acme").await;
        let (anna, _) = Desk::of_agent(&tandem, "anna").await;
        let customer = Desk::start_at(customer, tandem.sip(), "+15550142").await;
        let bystander = Recorder::at(SocketAddr::from(([127, 0, 0, 3], 0))).await;
        Desks { tandem, api, anna, customer, carrier, bystander }
    }

    /// Lets the customer call and anna answer.
    async fn talk(&mut self) -> (Line, Line) {
        let (customer, anna) = tokio::join!(self.customer.call("100", HZ, "", PATIENCE), async {
            let invite = self.anna.rings(PATIENCE).await;
            self.anna.answer(&invite, HZ, PATIENCE).await
        });
        (customer.expect("anna answered"), anna)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_blocked_number_reaches_the_carrier_by_the_api() {
    let desks = Desks::open("[dial]\ncalls_per_second = 10000\n").await;
    let at = desks.carrier.address;
    let hosts = [
        at.to_string(),
        at.ip().to_string(),
        format!("{}:9", at.ip()),
        format!("[::ffff:{}]:{}", at.ip(), at.port()),
        format!("{}.", at.ip()),
        "2130706434".into(),
        "0x7f000002".into(),
        "127.2".into(),
        desks.bystander.address.to_string(),
    ];
    let mut tried = 0;
    for user in spellings() {
        for host in &hosts {
            let (status, answer) = dial(&desks.api, &format!("sip:{user}@{host}")).await;
            assert!(is_refused(status), "{user}@{host}: {status} {answer}");
            tried += 1;
        }
        let (status, answer) = dial(&desks.api, &user).await;
        assert!(is_refused(status), "{user}: {status} {answer}");
    }
    // Permitted numbers are called; no other INVITE came before.
    for to in ["+34911222333".to_owned(), format!("sip:%2B34-911.222333@{at}")] {
        let (status, made) = dial(&desks.api, &to).await;
        assert_eq!(status, StatusCode::CREATED, "{to}: {made}");
        assert_eq!(ended(&desks.api, &made).await, "rejected", "by the carrier");
    }
    let called = desks.carrier.called();
    assert_eq!(called.len(), 2, "{tried} spellings: {called:?}");
    assert!(called.iter().all(|uri| *uri == format!("sip:+34911222333@{at}")), "{called:?}");
    desks.bystander.heard_nothing("no organization listed it");
    assert!(desks.tandem.metric("tandem_dial_refused_total", "").await > f64::from(tried) / 4.0);
    desks.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_blocked_number_reaches_the_carrier_from_a_telephone() {
    let mut desks = Desks::open("").await;
    for user in spellings() {
        let refused = desks.anna.call(&user, HZ, "", PATIENCE).await.err();
        assert!(matches!(refused, Some(400 | 403 | 404)), "{user}: {refused:?}");
    }
    assert_eq!(desks.anna.call("+34911222333", HZ, "", PATIENCE).await.err(), Some(403), "the carrier's own 603");
    assert_eq!(desks.carrier.called(), [format!("sip:+34911222333@{}", desks.carrier.address)]);
    desks.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_blocked_number_reaches_the_carrier_by_a_transfer() {
    let mut desks = Desks::open("").await;
    let (_customer, mut anna) = desks.talk().await;
    let (here, there, elsewhere) = (desks.tandem.sip(), desks.carrier.address, desks.bystander.address);
    for (n, user) in spellings().iter().enumerate() {
        let host = [here, there, elsewhere][n % 3];
        let to = if n % 7 == 0 { format!("<tel:{user}>") } else { format!("<sip:{user}@{host}>") };
        let (status, answer) = desks.anna.refers(&mut anna, &to, PATIENCE).await;
        if status == Some(202) {
            let told = desks.anna.notified(&anna, PATIENCE).await;
            assert!(matches!(told.last(), Some(400 | 403 | 404)), "{to}: {told:?}");
        } else {
            assert!(matches!(status, Some(400 | 416)), "{to}: {answer}");
        }
    }
    let to = format!("<sip:+34911222333@{there}>");
    assert_eq!(desks.anna.refers(&mut anna, &to, PATIENCE).await.0, Some(202));
    assert_eq!(desks.anna.notified(&anna, PATIENCE).await.last(), Some(&603));
    assert_eq!(desks.carrier.called(), [format!("sip:+34911222333@{there}")]);
    desks.bystander.heard_nothing("no organization listed it");
    desks.anna.hang_up(&mut anna, PATIENCE).await;
    desks.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_resolves_to_a_trunk_is_that_trunk_and_internal_hosts_are_refused() {
    let carrier = Recorder::at(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let (listed, inside) = (Recorder::at(loopback(5)).await, Recorder::at(loopback(6)).await);
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", with_turn(carrier.address))],
        trunk_settings: "options_s = 0\nfrom = \"+34910000001\"\n",
        // One address of 127.0.0.0/8 is listed; `localhost` resolves to the carrier's.
        further: "[dial]\nuris = [\"localhost\", \"ip6-localhost\", \"127.0.0.5\", \"*.example.com\", \"nowhere.invalid\"]\n",
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    let port = carrier.address.port();
    let refused = format!("sip:+19005551234@localhost:{port}");
    assert_eq!(dial(&api, &refused).await.0, StatusCode::FORBIDDEN);
    // The number is permitted, and is checked again once the name has resolved to the carrier's address: the call is the trunk's.
    let (status, made) = dial(&api, &format!("sip:+34911222333@localhost:{port}")).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let invite = carrier.invite("+34911222333").await;
    assert!(header(&invite, Name::From).starts_with("<sip:+34910000001@"), "{invite}");
    assert_eq!(ended(&api, &made).await, "rejected");
    // A name without an address, and a name of another host that resolves to an internal address.
    let (status, made) = dial(&api, "sip:+34911222334@nowhere.invalid:5070").await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    // Without an answering name server it is unknown whether the name exists.
    let reason = ended(&api, &made).await;
    assert!(["not_found", "unreachable"].contains(&reason.as_str()), "{reason}");
    for to in [format!("sip:x@{}", inside.address), format!("sip:x@[::1]:{port}"), "sip:x@169.254.169.254:80".into()] {
        assert_eq!(dial(&api, &to).await.0, StatusCode::FORBIDDEN, "{to}");
    }
    let (status, made) = dial(&api, &format!("sip:bob@{};transport=tcp", listed.address)).await;
    assert!(status.is_client_error(), "parameters steer nothing: {made}");
    let (status, made) = dial(&api, &format!("sip:bob@{}", listed.address)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let invite = listed.invite("bob").await;
    assert!(invite.starts_with(&format!("INVITE sip:bob@{} SIP/2.0", listed.address)), "{invite}");
    inside.heard_nothing("it is not listed");
    assert_eq!(carrier.called().len(), 1, "{:?}", carrier.called());
    // No log contains a called number in full; the server's stop asserts that.
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_carrier_sees_the_name_of_an_agent() {
    let mut desks = Desks::open("").await;
    assert!(desks.anna.call("+34911222333", HZ, "", PATIENCE).await.is_err());
    let invite = desks.carrier.invite("+34911222333").await;
    assert!(header(&invite, Name::From).starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), "{invite}");
    assert!(!invite.to_lowercase().contains("anna"), "{invite}");

    // A number of another organization, or an unassigned one, is not shown.
    let from = |number: &str| json!({ "mode": "direct", "to": "+34911222444", "from": number });
    for number in ["+34910000001", "sip:boss@bank.example"] {
        let (status, answer) = desks.api.ask(Method::POST, "/api/calls", Some(from(number))).await;
        assert_eq!(
            (status, &answer["type"]),
            (StatusCode::FORBIDDEN, &json!("urn:tandem:problem:caller-id-refused")),
            "{number}: {answer}"
        );
    }
    desks.tandem.run_command(&["number", "assign", "--org", "acme", "+34910000001"]).await;
    let (status, made) = desks.api.ask(Method::POST, "/api/calls", Some(from("+34910000001"))).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let invite = desks.carrier.invite("+34911222444").await;
    assert!(header(&invite, Name::From).starts_with("<sip:+34910000001@"), "{invite}");

    // By a rule: from a telephone, and in a transfer.
    let numbers = desks.api.get("/api/caller-id/numbers").await;
    let number = numbers["numbers"][0]["id"].clone();
    let rule = json!({ "number_id": number, "agent": "anna", "destination_prefix": "+34" });
    let (status, rule) = desks.api.ask(Method::POST, "/api/caller-id/rules", Some(rule)).await;
    assert_eq!(status, StatusCode::CREATED, "{rule}");
    assert!(desks.anna.call("0034911222555", HZ, "", PATIENCE).await.is_err());
    let invite = desks.carrier.invite("0034911222555").await;
    assert!(header(&invite, Name::From).starts_with("<sip:+34910000001@"), "{invite}");
    let (_customer, mut anna) = desks.talk().await;
    let to = format!("sip:+34911222666@{}", desks.tandem.sip());
    desks.anna.refer(&mut anna, &to, None, PATIENCE).await;
    assert_eq!(desks.anna.notified(&anna, PATIENCE).await.last(), Some(&603));
    let invite = desks.carrier.invite("+34911222666").await;
    assert!(header(&invite, Name::From).starts_with("<sip:+34910000001@"), "{invite}");
    assert!(!invite.to_lowercase().contains("anna"), "{invite}");
    assert_eq!(header(&invite, Name::MaxForwards), "69", "of the customer's INVITE");
    desks.anna.hang_up(&mut anna, PATIENCE).await;
    desks.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_another_organization_does_not_ring() {
    let carrier = loopback(2);
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![carrier.to_string()])],
        routes: vec![("100", "agent:anna"), ("200", "agent:eve")],
        ..Setup::default()
    })
    .await;
    let (mut anna, _) = Desk::of_agent(&tandem, "anna").await;
    let theirs = tandem.api("globex").await;
    let account = tandem.agent("globex", "eve").await;
    let session = Api::sign_in(&tandem.http, &account.email, &account.password).await;
    let token = session.post("/api/webrtc/token").await;
    let mut eve = Desk::start("127.0.0.1", tandem.sip(), "eve").await;
    eve.register(token["password"].as_str().expect("a password"), PATIENCE).await;

    // By route, by the API, by REFER.
    assert_eq!(eve.call("100", HZ, "", PATIENCE).await.err(), Some(480));
    for to in ["sip:anna@127.0.0.1".to_owned(), format!("sip:%61nna@{}", tandem.sip())] {
        let (status, made) = dial(&theirs, &to).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        assert_eq!(ended(&theirs, &made).await, "no_answer", "{to}: as if no telephone were registered");
    }
    let bridge = json!({ "mode": "bridge", "agent": "anna", "to": "+34911222333" });
    assert_eq!(theirs.ask(Method::POST, "/api/calls", Some(bridge)).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let mut customer = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
    let (talks, mut line) = tokio::join!(customer.call("200", HZ, "", PATIENCE), async {
        let invite = eve.rings(PATIENCE).await;
        eve.answer(&invite, HZ, PATIENCE).await
    });
    let mut talks = talks.expect("eve answered");
    for host in ["127.0.0.1".to_owned(), tandem.sip().to_string()] {
        eve.refer(&mut line, &format!("sip:anna@{host}"), None, PATIENCE).await;
        let told = eve.notified(&line, PATIENCE).await;
        assert!(matches!(told.last(), Some(404 | 480)), "{told:?}");
        customer.refer(&mut talks, &format!("sip:anna@{host}"), None, PATIENCE).await;
        let told = customer.notified(&talks, PATIENCE).await;
        assert!(matches!(told.last(), Some(403 | 404 | 480)), "{told:?}");
    }
    // By an attended transfer: the carrier's party tries to merge two calls of different organizations.
    let (second, mut with_anna) = tokio::join!(customer.call("100", HZ, "", PATIENCE), async {
        let invite = anna.rings(PATIENCE).await;
        assert!(invite.contains("+15550142"), "the first call that reaches anna is the carrier's: {invite}");
        anna.answer(&invite, HZ, PATIENCE).await
    });
    let second = second.expect("anna answered");
    customer.refer(&mut talks, "sip:anna@127.0.0.1", Some(&second), PATIENCE).await;
    assert_eq!(customer.notified(&talks, PATIENCE).await.last(), Some(&403));
    anna.hang_up(&mut with_anna, PATIENCE).await;
    eve.hang_up(&mut line, PATIENCE).await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legs_added_by_transfers_count_and_emergency_calls_have_their_own_bound() {
    let mut desks = Desks::open(
        "[dial]\ncalls = 1\nemergency_calls = 1\nemergency_calls_per_minute = 3\nemergency_trunk = \"customers\"\n",
    )
    .await;
    let (_customer, mut anna) = desks.talk().await;
    let refer = format!("sip:+34911222333@{}", desks.tandem.sip());
    desks.anna.refer(&mut anna, &refer, None, PATIENCE).await;
    assert_eq!(desks.anna.notified(&anna, PATIENCE).await.last(), Some(&603), "one call more is within the bound");
    // Another call uses the only place now; it rings at the customer's phone.
    let there = format!("sip:+34911222334@{}", desks.customer.address());
    let free = async {
        // A failed leg releases its place with the event that reports the failure.
        while dial(&desks.api, &there).await.0 != StatusCode::CREATED {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, free).await.expect("the place is released");
    desks.customer.rings(PATIENCE).await;
    desks.anna.refer(&mut anna, &refer, None, PATIENCE).await;
    assert_eq!(desks.anna.notified(&anna, PATIENCE).await.last(), Some(&403), "the organization's bound");
    assert_eq!(desks.carrier.called().len(), 1, "{:?}", desks.carrier.called());
    // That bound does not apply to an emergency call; repeated emergency calls have a bound of their own.
    let (status, urgent) = dial(&desks.api, "sip:1-1-2@anywhere.example").await;
    assert_eq!(status, StatusCode::CREATED, "{urgent}");
    let (status, answer) = dial(&desks.api, "112").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{answer}");
    assert!(desks.tandem.metric("tandem_calls_limited_total", "limit=\"emergencies\"").await >= 1.0);
    desks.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_looped_invite_is_not_sent_again() {
    let port = ports::free();
    let own: &'static str = format!("udp:127.0.0.1:{port}").leak();
    let carrier = Recorder::at(SocketAddr::from(([127, 0, 0, 2], 0))).await;
    let tandem = Tandem::start(&Setup {
        sip: vec![own],
        trunks: vec![
            ("loop", vec![format!("127.0.0.1:{port}")]),
            ("carrier", vec![carrier.address.to_string()]),
            ("telephones", vec!["127.0.0.7".into()]),
        ],
        routes: vec![("+1555*", "trunk:loop"), ("+34*", "trunk:carrier")],
        further: "[dial]\nemergency_trunk = \"loop\"\n",
        ..Setup::default()
    })
    .await;
    let mut caller = Desk::start("127.0.0.7", tandem.sip(), "+15550142").await;
    assert!(caller.call("+15550100", HZ, "", PATIENCE).await.is_err(), "our own 482 ends it");
    let calls = tandem.metric("tandem_calls_total", "").await;
    assert!(calls <= 2.0, "one INVITE has made {calls} calls");
    assert!(tandem.metric("tandem_sip_refused_total", "loop").await >= 1.0);
    // A looped emergency call ends as well.
    let api = tandem.api("acme").await;
    let (status, made) = dial(&api, "112").await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    ended(&api, &made).await;
    assert!(
        tandem.metric("tandem_calls_total", "").await <= calls + 3.0,
        "{}",
        tandem.metric("tandem_calls_total", "").await
    );

    assert!(caller.call("+34911222333", HZ, "", PATIENCE).await.is_err());
    let invite = carrier.invite("+34911222333").await;
    assert_eq!(header(&invite, Name::MaxForwards), "69", "one less than the caller's");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_sender_addresses_silence_no_telephone() {
    let tandem = Tandem::start(&Setup::default()).await;
    let account = tandem.agent("acme", "anna").await;
    let session = Api::sign_in(&tandem.http, &account.email, &account.password).await;
    let token = session.post("/api/webrtc/token").await;
    let password = token["password"].as_str().expect("a password").to_owned();
    // Requests from the telephone's address whose sender does not receive the answers: invented nonces, and a nonce that was given
    // to another address.
    let foreign = challenge(&UdpSocket::bind("127.0.0.9:0").await.expect("a socket"), tandem.sip(), "x").await;
    let socket = UdpSocket::bind("127.0.0.8:0").await.expect("a socket");
    for n in 0..30 {
        let mut made_up = foreign.clone();
        if n % 2 == 0 {
            made_up.nonce = format!("{n:064x}");
        }
        let credentials = digest::answer(&made_up, "anna", "wrong", "REGISTER", "sip:127.0.0.1", "c", 1);
        let request = register(&format!("forged{n}"), 2, &format!("Authorization: {credentials}\r\n"));
        socket.send_to(request.as_bytes(), tandem.sip()).await.expect("sent");
    }
    let mut desk = Desk::start("127.0.0.8", tandem.sip(), "anna").await;
    desk.register(&password, PATIENCE).await;
    assert_eq!(tandem.metric("tandem_sip_scanners_total", "").await, 0.0);
    // A password guesser at its own address is silenced as before.
    let guesser = UdpSocket::bind("127.0.0.10:0").await.expect("a socket");
    let own = challenge(&guesser, tandem.sip(), "y").await;
    for n in 0..10 {
        let credentials = digest::answer(&own, "anna", "wrong", "REGISTER", "sip:127.0.0.1", "c", n + 1);
        let request = register(&format!("guess{n}"), 2, &format!("Authorization: {credentials}\r\n"));
        guesser.send_to(request.as_bytes(), tandem.sip()).await.expect("sent");
        answer(&guesser).await;
    }
    let silenced = async {
        while tandem.metric("tandem_sip_scanners_total", "").await != 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, silenced).await.expect("it is silenced");
    tandem.stop().await;
}

fn register(call_id: &str, cseq: u32, extra: &str) -> String {
    format!(
        "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{call_id}-{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:anna@127.0.0.1>;tag=1\r\nTo: <sip:anna@127.0.0.1>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:anna@127.0.0.1:9>\r\n{extra}Content-Length: 0\r\n\r\n"
    )
}

async fn answer(socket: &UdpSocket) -> String {
    let mut buffer = [0; 4096];
    let came = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer").expect("a datagram");
    String::from_utf8_lossy(&buffer[..came]).into_owned()
}

/// Returns the server's challenge to a REGISTER without a password.
async fn challenge(socket: &UdpSocket, server: SocketAddr, call_id: &str) -> Challenge {
    socket.send_to(register(call_id, 1, "").as_bytes(), server).await.expect("sent");
    let answer = answer(socket).await;
    let message = Message::parse(answer.as_bytes()).expect("a SIP message");
    message.lines(Name::WwwAuthenticate).find_map(|line| Challenge::parse(line).ok()).expect("a challenge")
}
