//! A desk phone with several lines: complete SIP messages over UDP, and PCMU with a distinct tone on every line.
//!
//! ```text
//! socket ─▶ task: answers BYE, NOTIFY and OPTIONS, drops retransmissions ─▶ next(…)
//! line: dialog + Sound (task: sends its tone every 20 ms, buffers received audio)
//! ```
//!
//! The phone is for tests only: it is not fast, and it trusts its server.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use media_engine::sip::digest::{self, Challenge};
use media_engine::sip::write::response_to;
use media_engine::sip::{Message, Method, Name, Start};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use self::line_sound::Sound;
use crate::api::Api;
use crate::sound;
use crate::tandem::Tandem;

mod line_sound;

/// Level of the tone of every line, in dBFS.
pub const LEVEL_DBFS: f32 = -12.0;
const RATE: SampleRate = SampleRate::HZ_8000;
/// Deadline for a registration to be answered and for a tone to be heard.
const HEARD: Duration = Duration::from_secs(10);
/// Capacity of the queue of received messages.
const KEPT_MESSAGES: usize = 1_024;

/// A phone with one user name and one UDP socket.
pub struct Desk {
    user: String,
    password: Option<String>,
    server: SocketAddr,
    own: SocketAddr,
    socket: Arc<UdpSocket>,
    messages: mpsc::Receiver<String>,
    /// Messages that arrived before a caller waited for them.
    backlog: VecDeque<String>,
    ears: JoinHandle<()>,
    requests: u32,
}

/// One call of a phone, with its dialog state.
pub struct Line {
    call_id: String,
    /// From and To of the requests that this phone sends.
    local: String,
    remote: String,
    target: String,
    cseq: u32,
    invite_cseq: u32,
    version: u32,
    /// The answer with which the server accepted the line's call; empty if the server called.
    pub answer: String,
    /// Audio that the line sends and receives.
    pub sound: Sound,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.ears.abort();
    }
}

/// Asserts that a line hears all of `tones` at their level and none of `others` for half a second before the deadline.
#[track_caller]
pub fn hears_tones<'a>(
    what: &'a str,
    line: &'a mut Line,
    tones: &'a [f32],
    others: &'a [f32],
) -> impl Future<Output = ()> + 'a {
    let at = std::panic::Location::caller();
    async move {
        let until = Instant::now() + HEARD;
        loop {
            let heard = line.sound.hears(0.5, HEARD).await;
            let level = |hertz: &f32| sound::find(&heard, RATE, *hertz).tone_dbfs;
            let is_heard = tones.iter().all(|hertz| level(hertz) > LEVEL_DBFS - 6.0);
            if is_heard && others.iter().all(|hertz| level(hertz) < LEVEL_DBFS - 25.0) {
                return;
            }
            let levels: Vec<(f32, f32)> = tones.iter().chain(others).map(|hertz| (*hertz, level(hertz))).collect();
            assert!(Instant::now() < until, "{at}: {what}: expected {tones:?} Hz only, heard (Hz, dBFS) {levels:?}");
        }
    }
}

/// Asserts that each of two lines hears the tone of the other and nothing else. Each line comes with the tone that it sends.
pub async fn hear_each_other((a, a_hz): (&mut Line, f32), (b, b_hz): (&mut Line, f32)) {
    let (what_a, what_b) = (format!("{a_hz} Hz hears"), format!("{b_hz} Hz hears"));
    tokio::join!(a.sound.hears_tone(&what_a, b_hz, HEARD), b.sound.hears_tone(&what_b, a_hz, HEARD));
}

impl Line {
    /// Returns the value of a Replaces header that identifies this call from the server's side.
    pub fn replaces(&self) -> String {
        let tag = |address: &str| address.rsplit_once(";tag=").expect("a tag").1.to_owned();
        format!("{};to-tag={};from-tag={}", self.call_id, tag(&self.remote), tag(&self.local))
    }

    fn sdp(&self, address: IpAddr, direction: &str) -> String {
        sdp(address, self.sound.port, self.version, direction)
    }
}

fn sdp(address: IpAddr, port: u16, version: u32, direction: &str) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- {port} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
    )
}

/// Returns the address to which a session description asks audio to be sent.
fn sound_of(message: &str) -> Option<SocketAddr> {
    let value = |start: &str| message.lines().find_map(|line| line.strip_prefix(start));
    let address: IpAddr = value("c=IN IP4 ").or_else(|| value("c=IN IP6 "))?.trim().parse().ok()?;
    Some(SocketAddr::new(address, value("m=audio ")?.split(' ').next()?.parse().ok()?))
}

fn header(text: &str, name: Name) -> String {
    Message::parse(text.as_bytes()).expect("a SIP message").header(name).unwrap_or_default().to_owned()
}

fn is_request(text: &str, method: &str) -> bool {
    text.starts_with(&format!("{method} "))
}

fn status_of(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

fn escaped(value: &str) -> String {
    value.replace('%', "%25").replace('@', "%40").replace(';', "%3B").replace('=', "%3D").replace(':', "%3A")
}

impl Desk {
    /// Opens a phone of `user` on `address`, without registering it.
    pub async fn start(address: &str, server: SocketAddr, user: &str) -> Desk {
        let ip: IpAddr = address.parse().expect("an address");
        Desk::start_at(SocketAddr::new(ip, 0), server, user).await
    }

    /// Returns the registered phone of a new agent of the organization acme, and that agent's API session.
    pub async fn of_agent(tandem: &Tandem, name: &str) -> (Desk, Api) {
        Desk::of_agent_at(tandem, "127.0.0.1", tandem.sip(), name).await
    }

    /// Like [`Desk::of_agent`], on `address` and registered with the listener `server`.
    pub async fn of_agent_at(tandem: &Tandem, address: &str, server: SocketAddr, name: &str) -> (Desk, Api) {
        Desk::of_member_at(tandem, address, server, (name, "admin")).await
    }

    /// Returns the registered phone and the API session of a new member who sees only their own calls.
    pub async fn of_own_calls(tandem: &Tandem, name: &str) -> (Desk, Api) {
        Desk::of_member_at(tandem, "127.0.0.1", tandem.sip(), (name, "agent")).await
    }

    async fn of_member_at(
        tandem: &Tandem,
        address: &str,
        server: SocketAddr,
        (name, role): (&str, &str),
    ) -> (Desk, Api) {
        let account = tandem.member("acme", name, role).await;
        let session = Api::sign_in(&tandem.http, &account.email, &account.password).await;
        let token = session.post("/api/webrtc/token").await;
        assert_eq!(token["username"], name, "{token}");
        let mut desk = Desk::start(address, server, name).await;
        desk.register(token["password"].as_str().expect("a password"), HEARD).await;
        (desk, session)
    }

    /// Opens a phone of `user` bound to `own`, without registering it.
    pub async fn start_at(own: SocketAddr, server: SocketAddr, user: &str) -> Desk {
        let socket = Arc::new(UdpSocket::bind(own).await.expect("a socket for signalling"));
        let own = socket.local_addr().expect("its address");
        let (heard, messages) = mpsc::channel(KEPT_MESSAGES);
        let ears = tokio::spawn(listen(socket.clone(), own, heard));
        let (password, backlog) = (None, VecDeque::new());
        Desk { user: user.into(), password, server, own, socket, messages, backlog, ears, requests: 0 }
    }

    /// Address of the phone's SIP socket.
    pub fn address(&self) -> SocketAddr {
        self.own
    }

    /// Registers with a password, which later calls use too. Panics when the registration fails.
    pub async fn register(&mut self, password: &str, deadline: Duration) {
        let (status, answer) = self.registers(password, deadline).await;
        assert_eq!(status, Some(200), "{answer}");
    }

    /// Registers and returns the status of the final answer and its text, whether it succeeded or not.
    pub async fn registers(&mut self, password: &str, deadline: Duration) -> (Option<u16>, String) {
        self.password = Some(password.into());
        let call_id = self.fresh("register");
        let address = format!("<sip:{}@{}>", self.user, self.server);
        let (from, extra) = (format!("{address};tag=reg"), "Expires: 600\r\n");
        let uri = format!("sip:{}", self.server);
        let (answer, ..) = self.ask("REGISTER", &uri, (&from, &address), &call_id, 1, extra, "", deadline).await;
        (status_of(&answer), answer)
    }

    /// Password of the registration, if there is one.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Places a call and waits for the answer; `extra` holds further header lines.
    ///
    /// # Errors
    /// The status of the final answer when the call is refused.
    pub async fn call(&mut self, to: &str, hertz: f32, extra: &str, deadline: Duration) -> Result<Line, u16> {
        let call_id = self.fresh("call");
        let sound = Sound::start(self.own.ip(), hertz).await;
        let offer = sdp(self.own.ip(), sound.port, 1, "sendrecv");
        let local = format!("<sip:{}@{}>;tag={}", self.user, self.own, self.requests);
        let uri = format!("sip:{to}@{}", self.server);
        let remote = format!("<{uri}>");
        let (answer, cseq) = self.ask("INVITE", &uri, (&local, &remote), &call_id, 1, extra, &offer, deadline).await;
        match status_of(&answer) {
            Some(200) => {}
            status => return Err(status.expect("an answer")),
        }
        let _ = sound.to.send(sound_of(&answer));
        let contact = header(&answer, Name::Contact);
        let target = contact.trim_matches(['<', '>']).to_owned();
        let remote = header(&answer, Name::To);
        let mut line = Line { call_id, local, remote, target, cseq, invite_cseq: cseq, version: 1, answer, sound };
        self.acknowledge(&mut line).await;
        Ok(line)
    }

    /// Answers a ringing call with 200, and sends a clip and then silence.
    pub async fn answer_saying(&mut self, invite: &str, clip: &[i16], deadline: Duration) -> Line {
        let sound = Sound::start(self.own.ip(), 0.0).await;
        sound.say(clip);
        self.answer_with(invite, sound, deadline).await
    }

    /// Waits for an INFO on a line, answers it, and returns its body.
    pub async fn informed(&mut self, line: &Line, deadline: Duration) -> String {
        let is_it = |text: &str| is_request(text, "INFO") && text.contains(&line.call_id);
        let info = self.next("INFO", deadline, is_it).await;
        self.respond(&info, 200, "").await;
        info.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// Waits for an incoming call, answers 180 and returns the INVITE.
    pub async fn rings(&mut self, deadline: Duration) -> String {
        let invite = self.next("INVITE", deadline, |text| is_request(text, "INVITE")).await;
        self.respond(&invite, 180, "").await;
        invite
    }

    /// Sends the caller of a ringing call a tone before the answer (183).
    pub async fn announce(&mut self, invite: &str, hertz: f32) -> Sound {
        let sound = Sound::start(self.own.ip(), hertz).await;
        self.respond(invite, 183, &sdp(self.own.ip(), sound.port, 1, "sendrecv")).await;
        let _ = sound.to.send(sound_of(invite));
        sound
    }

    /// Answers a ringing call with 200.
    pub async fn answer(&mut self, invite: &str, hertz: f32, deadline: Duration) -> Line {
        let sound = Sound::start(self.own.ip(), hertz).await;
        self.answer_with(invite, sound, deadline).await
    }

    /// Answers a ringing call and continues the audio of its [`Desk::announce`].
    pub async fn answer_with(&mut self, invite: &str, sound: Sound, deadline: Duration) -> Line {
        let answer = sdp(self.own.ip(), sound.port, 1, "sendrecv");
        self.respond(invite, 200, &answer).await;
        let _ = sound.to.send(sound_of(invite));
        let call_id = header(invite, Name::CallId);
        let acknowledged = |text: &str| is_request(text, "ACK") && text.contains(&call_id);
        self.next("ACK", deadline, acknowledged).await;
        let contact = header(invite, Name::Contact);
        let target = contact.trim_matches(['<', '>']).to_owned();
        let local = format!("{};tag={}", header(invite, Name::To), self.tag());
        let remote = header(invite, Name::From);
        let answer = String::new();
        Line { call_id, local, remote, target, cseq: 0, invite_cseq: 0, version: 1, answer, sound }
    }

    /// Refuses a ringing call with `status`.
    pub async fn refuse(&mut self, invite: &str, status: u16) {
        self.respond(invite, status, "").await;
    }

    /// Like [`Desk::refuse`], with further headers such as Reason and Warning.
    pub async fn refuse_with(&mut self, invite: &str, status: u16, headers: &[(&str, &str)]) {
        let invite = Message::parse(invite.as_bytes()).expect("a SIP message");
        let refusal = response_to(&invite, None, status, "Said", Some(&self.tag()));
        let refusal = headers.iter().fold(refusal, |refusal, (name, value)| refusal.header(name, value)).build();
        self.socket.send_to(&refusal, self.server).await.expect("a datagram sent on loopback");
    }

    /// Places a call that must fail, and returns the refusal.
    pub async fn is_refused(&mut self, to: &str, deadline: Duration) -> String {
        let call_id = self.fresh("refused");
        let offer = sdp(self.own.ip(), 4_000, 1, "sendrecv");
        let local = format!("<sip:{}@{}>;tag={}", self.user, self.own, self.requests);
        let uri = format!("sip:{to}@{}", self.server);
        let remote = format!("<{uri}>");
        let (answer, _) = self.ask("INVITE", &uri, (&local, &remote), &call_id, 1, "", &offer, deadline).await;
        assert!(status_of(&answer).is_some_and(|status| status >= 300), "{answer}");
        answer
    }

    /// Waits until a ringing call is cancelled, answers 487 and returns the CANCEL.
    pub async fn is_cancelled(&mut self, invite: &str, deadline: Duration) -> String {
        let call_id = header(invite, Name::CallId);
        let of_call = |text: &str| is_request(text, "CANCEL") && text.contains(&call_id);
        let cancel = self.next("CANCEL", deadline, of_call).await;
        self.respond(&cancel, 200, "").await;
        self.respond(invite, 487, "").await;
        cancel
    }

    /// Offers a changed direction such as `sendonly`, and waits for the answer.
    pub async fn redirect(&mut self, line: &mut Line, direction: &str, deadline: Duration) {
        line.version += 1;
        let offer = line.sdp(self.own.ip(), direction);
        let answer = self.within(line, "INVITE", "", &offer, deadline).await;
        assert_eq!(status_of(&answer), Some(200), "{answer}");
        line.invite_cseq = line.cseq;
        let _ = line.sound.to.send(sound_of(&answer).filter(|_| direction.starts_with("send")));
        self.acknowledge(line).await;
    }

    /// Waits until the server offers a changed direction, answers with the matching one and returns the offer.
    pub async fn is_redirected(&mut self, line: &mut Line, deadline: Duration) -> String {
        let of_line = |method| move |text: &str, call_id: &str| is_request(text, method) && text.contains(call_id);
        let call_id = line.call_id.clone();
        let offer = self.next("INVITE", deadline, |text| of_line("INVITE")(text, &call_id)).await;
        line.version += 1;
        let direction =
            match offer.lines().find(|line| line.starts_with("a=sendonly") || line.starts_with("a=inactive")) {
                Some("a=sendonly") => "recvonly",
                Some(_) => "inactive",
                None => "sendrecv",
            };
        let answer = line.sdp(self.own.ip(), direction);
        self.respond(&offer, 200, &answer).await;
        let _ = line.sound.to.send(sound_of(&offer).filter(|_| direction == "sendrecv"));
        self.next("ACK", deadline, |text| of_line("ACK")(text, &call_id)).await;
        offer
    }

    /// Waits for a key sent by SIP INFO, answers the request and returns the key.
    pub async fn hears_info(&mut self, line: &Line, deadline: Duration) -> char {
        let of_line = |text: &str| is_request(text, "INFO") && text.contains(&line.call_id);
        let info = self.next("INFO", deadline, of_line).await;
        self.respond(&info, 200, "").await;
        assert!(info.contains("application/dtmf-relay"), "{info}");
        let key = info.lines().find_map(|line| line.strip_prefix("Signal=")).and_then(|key| key.chars().next());
        key.unwrap_or_else(|| panic!("no key in {info}"))
    }

    /// Presses a key by SIP INFO (`application/dtmf-relay`), and waits for the answer.
    pub async fn info(&mut self, line: &mut Line, key: char, deadline: Duration) {
        let kind = "Content-Type: application/dtmf-relay\r\n";
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        let answer = self.within(line, "INFO", kind, &body, deadline).await;
        assert_eq!(status_of(&answer), Some(200), "{answer}");
    }

    /// Sends REFER, which the server must accept. `replaces` is a line at the target, named in a Replaces header.
    pub async fn refer(&mut self, line: &mut Line, to: &str, replaces: Option<&Line>, deadline: Duration) {
        let to = match replaces {
            Some(other) => format!("<{to}?Replaces={}>", escaped(&other.replaces())),
            None => format!("<{to}>"),
        };
        let (status, answer) = self.refers(line, &to, deadline).await;
        assert_eq!(status, Some(202), "{answer}");
    }

    /// Sends REFER with any value of Refer-To and returns the answer's status and text, whether it was accepted or not.
    pub async fn refers(&mut self, line: &mut Line, to: &str, deadline: Duration) -> (Option<u16>, String) {
        let answer = self.within(line, "REFER", &format!("Refer-To: {to}\r\n"), "", deadline).await;
        (status_of(&answer), answer)
    }

    /// Statuses that NOTIFY reports for a line's REFER, up to the final one.
    pub async fn notified(&mut self, line: &Line, deadline: Duration) -> Vec<u16> {
        let lines = self.notified_status_lines(line, deadline).await;
        lines.iter().map(|line| status_of(line).unwrap_or_else(|| panic!("no status in {line}"))).collect()
    }

    /// Status lines that NOTIFY reports for a line's REFER, up to the final one.
    pub async fn notified_status_lines(&mut self, line: &Line, deadline: Duration) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while lines.last().and_then(|line| status_of(line)).is_none_or(|status| status < 200) {
            let of_line = |text: &str| is_request(text, "NOTIFY") && text.contains(&line.call_id);
            let notify = self.next("NOTIFY", deadline, of_line).await;
            let fragment = notify.split("\r\n\r\n").nth(1).unwrap_or_else(|| panic!("no status in {notify}"));
            lines.push(fragment.trim_end().to_owned());
        }
        lines
    }

    /// Waits until the server hangs up a line, and returns the BYE.
    pub async fn is_hung_up(&mut self, line: &Line, deadline: Duration) -> String {
        let of_line = |text: &str| is_request(text, "BYE") && text.contains(&line.call_id);
        self.next("BYE", deadline, of_line).await
    }

    /// Hangs up and waits for the answer to the BYE.
    pub async fn hang_up(&mut self, line: &mut Line, deadline: Duration) {
        self.hang_up_with(line, "", deadline).await;
    }

    /// Hangs up with further header lines, such as a Reason.
    pub async fn hang_up_with(&mut self, line: &mut Line, extra: &str, deadline: Duration) {
        let answer = self.within(line, "BYE", extra, "", deadline).await;
        assert_eq!(status_of(&answer), Some(200), "{answer}");
    }

    async fn acknowledge(&mut self, line: &mut Line) {
        let ack =
            self.request("ACK", &line.target, (&line.local, &line.remote), &line.call_id, line.invite_cseq, "", "");
        self.send(&ack).await;
    }

    /// Sends a request in a line's dialog and returns its final answer.
    async fn within(&mut self, line: &mut Line, method: &str, extra: &str, body: &str, deadline: Duration) -> String {
        let addresses = (line.local.clone(), line.remote.clone());
        let (target, call_id) = (line.target.clone(), line.call_id.clone());
        let (local, remote) = (addresses.0.as_str(), addresses.1.as_str());
        let next = line.cseq + 1;
        let (answer, cseq) = self.ask(method, &target, (local, remote), &call_id, next, extra, body, deadline).await;
        line.cseq = cseq;
        answer
    }

    /// Sends a request, and again with the password when challenged. Returns the final answer and the CSeq number of its request.
    #[allow(clippy::too_many_arguments)]
    async fn ask(
        &mut self,
        method: &str,
        uri: &str,
        addresses: (&str, &str),
        call_id: &str,
        cseq: u32,
        extra: &str,
        body: &str,
        deadline: Duration,
    ) -> (String, u32) {
        let request = self.request(method, uri, addresses, call_id, cseq, extra, body);
        let answer = self.exchange(&request, deadline).await;
        let (Some(401 | 407), Some(password)) = (status_of(&answer), self.password.clone()) else {
            return (answer, cseq);
        };
        if method == "INVITE" {
            self.acknowledge_refusal(&request, &answer).await;
        }
        let message = Message::parse(answer.as_bytes()).expect("a SIP message");
        let mut challenges = message.lines(Name::WwwAuthenticate).chain(message.lines(Name::ProxyAuthenticate));
        let challenge = challenges.find_map(|line| Challenge::parse(line).ok()).expect("a challenge");
        let name = if status_of(&answer) == Some(401) { "Authorization" } else { "Proxy-Authorization" };
        let credentials = digest::answer(&challenge, &self.user, &password, method, uri, "cnonce", 1);
        let extra = format!("{extra}{name}: {credentials}\r\n");
        let request = self.request(method, uri, addresses, call_id, cseq + 1, &extra, body);
        let answer = self.exchange(&request, deadline).await;
        if method == "INVITE" && status_of(&answer).is_some_and(|status| status >= 300) {
            self.acknowledge_refusal(&request, &answer).await;
        }
        (answer, cseq + 1)
    }

    /// Sends the ACK of a final answer other than 2xx, within the INVITE's transaction.
    async fn acknowledge_refusal(&mut self, invite: &str, answer: &str) {
        let line = |name| header(invite, name);
        let ack = format!(
            "ACK {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\n\
             Content-Length: 0\r\n\r\n",
            invite.split(' ').nth(1).unwrap_or_default(),
            line(Name::Via),
            line(Name::From),
            header(answer, Name::To),
            line(Name::CallId),
            line(Name::CSeq).split(' ').next().unwrap_or_default(),
        );
        self.send(&ack).await;
    }

    async fn exchange(&mut self, request: &str, deadline: Duration) -> String {
        self.send(request).await;
        let (call_id, cseq) = (header(request, Name::CallId), header(request, Name::CSeq));
        let is_final = |text: &str| {
            status_of(text).is_some_and(|status| status >= 200)
                && header(text, Name::CallId) == call_id
                && header(text, Name::CSeq) == cseq
        };
        self.next("an answer", deadline, is_final).await
    }

    /// Returns the next message that `wanted` accepts; other messages stay in the backlog.
    async fn next(&mut self, what: &str, deadline: Duration, wanted: impl Fn(&str) -> bool) -> String {
        if let Some(at) = self.backlog.iter().position(|text| wanted(text)) {
            return self.backlog.remove(at).expect("the message was found there");
        }
        let until = Instant::now() + deadline;
        loop {
            match timeout_at(until, self.messages.recv()).await {
                Ok(Some(text)) if wanted(&text) => return text,
                Ok(Some(text)) => self.backlog.push_back(text),
                _ => {
                    let came: Vec<&str> = self.backlog.iter().filter_map(|text| text.lines().next()).collect();
                    panic!("{}: no {what} arrived within {deadline:?}, but {came:?}", self.user);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn request(
        &mut self,
        method: &str,
        uri: &str,
        (from, to): (&str, &str),
        call_id: &str,
        cseq: u32,
        extra: &str,
        body: &str,
    ) -> String {
        self.requests += 1;
        let (own, branch) = (self.own, self.requests);
        let kind =
            if body.is_empty() || extra.contains("Content-Type: ") { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{}-{branch};rport\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{}@{own}>\r\n{extra}{kind}Content-Length: {}\r\n\r\n{body}",
            own.port(),
            self.user,
            body.len()
        )
    }

    async fn respond(&self, request: &str, status: u16, body: &str) {
        let bytes = response(request, status, &self.tag(), self.own, body);
        self.socket.send_to(&bytes, self.server).await.expect("a datagram sent on loopback");
    }

    async fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).await.expect("a datagram sent on loopback");
    }

    fn tag(&self) -> String {
        format!("desk{}", self.own.port())
    }

    fn fresh(&mut self, what: &str) -> String {
        self.requests += 1;
        format!("{what}{}-{}", self.requests, self.own)
    }
}

fn response(request: &str, status: u16, tag: &str, own: SocketAddr, body: &str) -> Vec<u8> {
    let request = Message::parse(request.as_bytes()).expect("a SIP message");
    let response =
        response_to(&request, None, status, "Said", Some(tag)).header("Contact", format!("<sip:desk@{own}>"));
    if body.is_empty() { response.build() } else { response.body("application/sdp", body).build() }
}

/// Passes every message on once, and answers the requests that every phone answers.
async fn listen(socket: Arc<UdpSocket>, own: SocketAddr, heard: mpsc::Sender<String>) {
    let mut seen = HashSet::new();
    let mut buffer = vec![0; 65_536];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Ok(text) = String::from_utf8(buffer[..length].to_vec()) else { continue };
        let Ok(message) = Message::parse(text.as_bytes()) else { continue };
        if let Start::Request { method, .. } = message.start() {
            if matches!(method, Method::Bye | Method::Notify | Method::Options) {
                let tag = format!("desk{}", own.port());
                let bytes = response(&text, 200, &tag, own, "");
                // The server may have ended.
                let _ = socket.send_to(&bytes, from).await;
            }
            let via = message.header(Name::Via).unwrap_or_default();
            if !seen.insert(format!("{method:?} {via}")) {
                continue;
            }
        }
        // A phone whose messages are not read stops listening; otherwise the socket's buffer would overflow.
        if heard.send(text).await.is_err() {
            return;
        }
    }
}
