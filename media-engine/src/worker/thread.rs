//! The worker's thread: connects sockets and the mailbox to the switch.
//!
//! ```text
//!            ┌───────────────── one loop ─────────────────┐
//! epoll ──▶ sockets ─ recvmmsg ─▶ ┐                        │
//!        ├▶ mailbox ─ requests ─▶ ├ Input ─▶ Switch::handle├─▶ poll_output ─▶ send / event channel
//!   alarm or beat ──────────────▶ ┘     └─▶ capture        │
//!            └─────────────────────────────────────────────┘
//! ```
//!
//! Parts of a request that cannot be serialised (ports, event channels, replies) stay here; the switch gets the rest as
//! an `Input`.
//!
//! Invariants: the clock is read once per look at the sockets; nothing here waits for anything but the kernel; a full
//! event channel loses events, which is counted. Not here: any decision about media.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use codecs::opus::OpusSettings;
use tokio::sync::mpsc;

use super::capture::{Capture, CapturedSwitch, Start};
use super::command::{Census, DetachedLeg, LegMedia, WorkerCommand, WorkerEvent, WorkerEventKind, WorkerRequest};
use super::mailbox::Mailbox;
use super::meters::Meters;
use super::outbox::Output;
use super::pace::{GATHER, Pace};
use super::switch::{Input, Outcome, Slot, Socket, Switch, contained};
use crate::config::Profile;
use crate::error::StartError;
use crate::leg::rtp::Component;
use crate::leg::webrtc::{Candidates, DtlsCert, LegError, WebRtcPeer};
use crate::net::clock;
use crate::net::epoll::{Alarm, Beat, Epoll, Ready, pin_to_cpu, run_before_others};
use crate::net::ports::PortLease;
use crate::net::supervisor::Post;
use crate::net::udp::{self, ReceiveBatch, SendBatch};
use crate::units::LegId;

/// Packets read from one leg's socket per syscall: more than a 20 ms stream brings unless the thread was held up.
const LEG_BATCH: usize = 8;
/// Syscalls on one leg's socket per look. With a look each millisecond that is 32,000 packets a second: a flood of junk
/// at the leg's port is read away before it fills the socket's buffer and displaces the leg's own packets.
const LEG_ROUNDS: usize = 4;
/// Packets read from a shared socket per syscall.
const SHARED_BATCH: usize = 64;
/// Syscalls on a shared socket per look, so that browsers do not starve plain legs.
const SHARED_ROUNDS: usize = 4;
/// Sockets reported per wait, at most.
const READY: usize = 1024;
/// Requests handled per look, at most.
const REQUESTS: usize = 64;
/// A wake-up this much after its deadline means that the machine held the thread up; packets may have arrived
/// meanwhile.
const HELD_UP: Duration = Duration::from_millis(2);
/// Largest number of looks before the overdue ticks then, so that a flood does not delay them.
const CATCH_UP_LOOKS: usize = 4;
/// How often metrics are published.
const METER_PERIOD: Duration = Duration::from_secs(1);

const TOKEN_WAKE: u64 = u64::MAX;
const TOKEN_ALARM: u64 = u64::MAX - 1;
const TOKEN_SHARED: u64 = 1 << 62;

/// State that the thread keeps for a leg; the switch knows only the leg's slot.
struct Attached {
    events: mpsc::Sender<WorkerEvent>,
    ports: Option<PortLease>,
    /// Number of the last look at which its sockets had data.
    looked: u64,
}

/// How the thread is scheduled and how it encodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) profile: Profile,
    pub(crate) opus: OpusSettings,
    /// CPU that the thread is pinned to.
    pub(crate) cpu: Option<usize>,
    /// Whether the thread runs with real-time priority.
    pub(crate) realtime: bool,
}

/// A worker's thread, before and while it runs.
pub(crate) struct Thread {
    index: usize,
    mailbox: Arc<Mailbox>,
    epoll: Epoll,
    alarm: Alarm,
    beat: Beat,
    switch: CapturedSwitch,
    attached: Vec<Option<Attached>>,
    shared: Vec<(UdpSocket, SocketAddr)>,
    /// Addresses that a NAT in front of the shared ports shows to browsers.
    pub(crate) advertised: Vec<IpAddr>,
    certificate: DtlsCert,
    leg_batch: ReceiveBatch,
    shared_batch: ReceiveBatch,
    send_batch: SendBatch,
    send_socket: usize,
    meters: Meters,
    packets: u64,
    looks: u64,
    schedule: Schedule,
}

/// Opens what the thread waits on: epoll with the mailbox, the shared sockets and an alarm; and the beat.
fn open_waiters(mailbox: &Mailbox, shared: &[(UdpSocket, SocketAddr)]) -> io::Result<(Epoll, Alarm, Beat)> {
    let (epoll, alarm) = (Epoll::new()?, Alarm::new()?);
    epoll.add(&mailbox.wake, TOKEN_WAKE)?;
    epoll.add_alarm(&alarm, TOKEN_ALARM)?;
    for (at, (socket, _)) in shared.iter().enumerate() {
        epoll.add(socket, TOKEN_SHARED | at as u64)?;
    }
    Ok((epoll, alarm, Beat::new()?))
}

/// Returns the error for a thread that could not be started.
pub(super) fn start_error(error: &io::Error) -> StartError {
    let problem = format!("a media thread could not be started: {error}");
    StartError::Config { key: "media.workers".into(), problem }
}

impl Thread {
    /// Opens the thread's resources. `shared` are the bound sockets for browser legs with the addresses that browsers
    /// are given.
    ///
    /// # Errors
    /// The kernel refused epoll, an alarm or a timer, or the capture file could not be created; the engine does not
    /// start.
    pub(crate) fn new(
        index: usize,
        mailbox: Arc<Mailbox>,
        shared: Vec<(UdpSocket, SocketAddr)>,
        certificate: DtlsCert,
        seed: u64,
        schedule: Schedule,
        capture: Option<&Path>,
    ) -> Result<Thread, StartError> {
        let (now, wall) = (clock::now(), clock::system_now());
        let (epoll, alarm, beat) = open_waiters(&mailbox, &shared).map_err(|error| start_error(&error))?;
        let candidates: Vec<SocketAddr> = shared.iter().map(|(_, address)| *address).collect();
        let capture = capture.map(|folder| {
            let start = Start::new(seed, wall, candidates.clone(), schedule.opus);
            start_capture(folder, index, start, now)
        });
        let switch = Switch::new(seed, candidates, now, wall).with_opus(schedule.opus);
        let switch = CapturedSwitch::new(switch, capture.transpose()?);
        Ok(Thread {
            index,
            mailbox,
            epoll,
            alarm,
            beat,
            switch,
            attached: Vec::new(),
            shared,
            advertised: Vec::new(),
            certificate,
            leg_batch: ReceiveBatch::new(LEG_BATCH),
            shared_batch: ReceiveBatch::new(SHARED_BATCH),
            send_batch: SendBatch::new(SHARED_BATCH),
            send_socket: 0,
            meters: Meters::new(index),
            packets: 0,
            looks: 1,
            schedule,
        })
    }

    /// Runs until the mailbox is stopped, then closes every leg.
    pub(crate) fn run(mut self, post: &Post) {
        self.apply_schedule();
        let mut ready = Ready::with_capacity(READY);
        let mut now = clock::now();
        let mut pace = Pace::new(self.schedule.profile, self.schedule.opus.complexity, now, clock::thread_run_time());
        let mut meter_at = now + METER_PERIOD;
        while !self.mailbox.is_stopping() {
            post.check();
            let deadline = self.switch.poll_timeout().map_or(meter_at, |at| at.min(meter_at));
            if let Err(error) = self.wait(pace.is_beating(), deadline, &mut ready) {
                tracing::error!(worker = self.index, %error, "waiting for sockets failed; the media thread ends");
                break;
            }
            now = clock::now();
            self.look(&ready, now);
            if let Err(error) = self.catch_up(deadline, now, &mut ready) {
                tracing::error!(worker = self.index, %error, "sockets could not be polled; the media thread ends");
                break;
            }
            while self.switch.poll_timeout().is_some_and(|at| at <= now) {
                self.switch.handle(Input::Timeout, now);
                self.drain(now);
            }
            if now >= meter_at {
                meter_at = now + METER_PERIOD;
                self.meters.report(&self.switch, &self.mailbox, &pace);
            }
            pace.on_packets(std::mem::take(&mut self.packets));
            if pace.is_due(now) {
                pace.on_window(now, clock::thread_run_time(), self.switch.counters().packets_relayed);
                self.mailbox.publish_load(pace.load());
                if let Some(complexity) = pace.new_effort() {
                    self.switch.handle(Input::Effort { complexity }, now);
                }
            }
            if let Some(until) = pace.rest_until(now).filter(|_| !pace.is_beating()) {
                let until = self.switch.poll_timeout().map_or(until, |at| at.min(until));
                std::thread::sleep(until.saturating_duration_since(clock::now()));
            }
        }
        self.close_all(now);
        self.meters.report(&self.switch, &self.mailbox, &pace);
    }

    /// Waits for the next beat, or for the first packet, command or deadline.
    fn wait(&mut self, beats: bool, deadline: Instant, ready: &mut Ready) -> io::Result<()> {
        if beats {
            self.beat.start(|| self.switch.next_tick_after(clock::now()), GATHER)?;
            self.beat.wait()?;
            self.epoll.look(ready)
        } else {
            self.beat.stop()?;
            self.alarm.set(deadline)?;
            self.epoll.wait(ready)
        }
    }

    /// Applies the CPU and the priority of the schedule. A refusal of the system is logged, and the thread runs all the
    /// same.
    fn apply_schedule(&self) {
        let Schedule { cpu, realtime, .. } = self.schedule;
        if let Some(cpu) = cpu
            && let Err(error) = pin_to_cpu(cpu)
        {
            tracing::warn!(worker = self.index, cpu, %error, "the media thread could not be pinned; check `media.cpus`");
        }
        if realtime && let Err(error) = run_before_others() {
            tracing::warn!(worker = self.index, %error, "`media.realtime` was refused; run as root or with CAP_SYS_NICE");
        }
    }

    /// A thread that was held up has ticks to make up for. Before they play, this reads everything that arrived
    /// meanwhile, including packets behind a leg's first one and packets since the wait. Otherwise a tick would conceal
    /// packets that lie in the socket.
    fn catch_up(&mut self, deadline: Instant, now: Instant, ready: &mut Ready) -> io::Result<()> {
        if now.saturating_duration_since(deadline) < HELD_UP {
            return Ok(());
        }
        for _ in 0..CATCH_UP_LOOKS {
            self.epoll.look(ready)?;
            if ready.len() == 0 {
                break;
            }
            self.look(ready, now);
        }
        Ok(())
    }

    fn look(&mut self, ready: &Ready, now: Instant) {
        let mut woken = false;
        self.looks += 1;
        for index in 0..ready.len() {
            match ready.token(index) {
                TOKEN_WAKE => woken = true,
                TOKEN_ALARM => self.alarm.rang(),
                token if token & TOKEN_SHARED != 0 => self.receive_shared((token & !TOKEN_SHARED) as usize, now),
                token => {
                    let component = if token & 1 == 0 { Component::Rtp } else { Component::Rtcp };
                    self.receive_leg(Slot((token >> 1) as u32), component, now);
                }
            }
        }
        if woken {
            self.mailbox.wake.acknowledge();
            for _ in 0..REQUESTS {
                let Some(request) = self.mailbox.next() else { break };
                self.handle_request(request, now);
                self.drain(now);
            }
            if self.mailbox.len() > 0 {
                self.mailbox.wake.wake();
            }
        }
    }

    fn receive_leg(&mut self, slot: Slot, component: Component, now: Instant) {
        let Some(Some(place)) = self.attached.get_mut(slot.index()) else { return };
        // A stream brings a packet now and then; a socket that also had one at the previous look has more of them, or
        // is flooded.
        let again = std::mem::replace(&mut place.looked, self.looks) + 1 >= self.looks;
        let most = if again { LEG_BATCH } else { 1 };
        for _ in 0..LEG_ROUNDS {
            let Some(ports) = self.attached.get(slot.index()).and_then(|a| a.as_ref()?.ports.as_ref()) else { return };
            let from_socket = if component == Component::Rtp { &ports.rtp } else { &ports.rtcp };
            let Ok(count) = self.leg_batch.receive(from_socket, most) else { return };
            self.packets += count as u64;
            for index in 0..count {
                if let Some((from, bytes)) = self.leg_batch.datagram(index) {
                    self.switch.handle(Input::datagram(slot, component, from, bytes), now);
                }
            }
            self.drain(now);
            if count < LEG_BATCH {
                return;
            }
        }
    }

    fn receive_shared(&mut self, at: usize, now: Instant) {
        for _ in 0..SHARED_ROUNDS {
            let Some((socket, _)) = self.shared.get(at) else { return };
            let Ok(count) = self.shared_batch.receive(socket, SHARED_BATCH) else { return };
            self.packets += count as u64;
            for index in 0..count {
                if let Some((from, bytes)) = self.shared_batch.datagram(index) {
                    self.switch.handle(Input::shared_datagram(at, from, bytes), now);
                }
            }
            self.drain(now);
            if count < SHARED_BATCH {
                return;
            }
        }
    }

    /// Delivers the switch's outputs.
    fn drain(&mut self, now: Instant) {
        let Thread { switch, attached, shared, send_batch, send_socket, meters, mailbox, .. } = self;
        while let Some(output) = switch.poll_output(now) {
            match output {
                Output::Transmit { socket: Socket::Shared(at), to, bytes, .. } => {
                    if send_batch.is_full() || *send_socket != at {
                        flush(send_batch, shared, *send_socket, meters);
                        *send_socket = at;
                    }
                    send_batch.push(to, bytes);
                }
                Output::Transmit { slot, socket, to, bytes } => {
                    let ports = attached.get(slot.index()).and_then(|a| a.as_ref()?.ports.as_ref());
                    let Some(ports) = ports else { continue };
                    let through = if socket == Socket::Rtp { &ports.rtp } else { &ports.rtcp };
                    if !udp::send(through, to, bytes) {
                        meters.send_refused += 1;
                    }
                }
                Output::Event(slot, event) => {
                    let closed = matches!(event.kind, WorkerEventKind::Closed(_));
                    if let WorkerEventKind::Failed(why) = &event.kind {
                        tracing::warn!(leg = %event.leg, why, "a media leg failed");
                    }
                    let Some(place) = attached.get_mut(slot.index()) else { continue };
                    if let Some(Attached { events, .. }) = place
                        && let Err(mpsc::error::TrySendError::Full(_)) = events.try_send(event)
                    {
                        meters.events_dropped += 1;
                    }
                    if closed && place.take().is_some() {
                        mailbox.legs.fetch_sub(1, Ordering::Relaxed);
                    }
                }
            }
        }
        flush(send_batch, shared, *send_socket, meters);
    }

    fn handle_request(&mut self, request: WorkerRequest, now: Instant) {
        match request {
            WorkerRequest::Command(command) => {
                self.switch.handle(command.into(), now);
            }
            WorkerRequest::LegOpen { leg, media, events } => self.open(leg, media, events, now),
            // If the caller has gone away, the leg is dropped.
            WorkerRequest::LegDetach { leg, reply } => {
                if let Some(detached) = self.detach(leg, now) {
                    let _ = reply.send(detached);
                }
            }
            WorkerRequest::LegAttach { leg, detached: DetachedLeg { moving, ports }, events } => {
                match self.switch.handle(Input::Attach { leg, moving: Some(moving) }, now).slot() {
                    Some(slot) => self.attach_ports(leg, slot, ports, events, now),
                    None => self.uncount_leg(),
                }
            }
            WorkerRequest::LegEvents { leg, events } => {
                let slot = self.switch.slot_of(leg);
                if let Some(Some(place)) = slot.and_then(|slot| self.attached.get_mut(slot.index())) {
                    place.events = events;
                }
            }
            // If the caller has gone away, the reply is dropped.
            WorkerRequest::WebRtcAnswer { leg, sdp, reply } => {
                if let Outcome::Applied(applied) = self.switch.handle(Input::WebRtcAnswer { leg, sdp }, now) {
                    let _ = reply.send(applied);
                }
            }
            WorkerRequest::WebRtcReoffer { leg, sdp, reply } => {
                if let Outcome::Answer(answer) = self.switch.handle(Input::WebRtcReoffer { leg, sdp }, now) {
                    let _ = reply.send(answer);
                }
            }
            WorkerRequest::Tap { leg, point, tap } => {
                self.switch.handle(Input::tap(leg, point, tap), now);
            }
            WorkerRequest::Untap { leg } => {
                let taps = self.switch.deserted_taps(leg);
                self.switch.handle(Input::Untap { leg, taps }, now);
            }
            WorkerRequest::Census { reply } => {
                let ports = self.attached.iter().flatten().filter(|attached| attached.ports.is_some()).count();
                let _ = reply.send(Census { ports, mailbox: self.mailbox.len(), ..self.switch.census() });
            }
        }
    }

    fn open(&mut self, leg: LegId, media: LegMedia, events: mpsc::Sender<WorkerEvent>, now: Instant) {
        match media {
            LegMedia::Rtp { ports, audio, nat } => {
                let Some(slot) = self.switch.handle(Input::Open { leg, audio, nat }, now).slot() else {
                    return self.uncount_leg();
                };
                self.attach_ports(leg, slot, ports, events, now);
            }
            LegMedia::WebRtcOffered { offer, reply } => {
                let opened = self.open_browser(leg, events, now, |candidates, certificate| {
                    WebRtcPeer::accept_offer(&offer, candidates, certificate, now)
                });
                let _ = reply.send(opened);
            }
            LegMedia::WebRtcOffering { reply } => {
                let opened = self.open_browser(leg, events, now, |candidates, certificate| {
                    WebRtcPeer::offer(candidates, certificate, now)
                });
                let _ = reply.send(opened);
            }
        }
    }

    /// Opens a browser leg on the transport that `make` creates; returns the SDP for the browser.
    fn open_browser(
        &mut self,
        leg: LegId,
        events: mpsc::Sender<WorkerEvent>,
        now: Instant,
        make: impl FnOnce(Candidates<'_>, &DtlsCert) -> Result<(WebRtcPeer, String), LegError>,
    ) -> Result<String, LegError> {
        let own: Vec<SocketAddr> = self.shared.iter().map(|(_, address)| *address).collect();
        let candidates = Candidates { own: &own, advertised: &self.advertised };
        let made = contained(|| make(candidates, &self.certificate)).unwrap_or_else(|why| Err(LegError::Media(why)));
        let opened = made.and_then(|(peer, sdp)| {
            let opened = self.switch.handle(Input::OpenBrowser { leg, peer: Some(Box::new(peer)) }, now);
            let slot = opened.slot().ok_or(LegError::OutOfOrder("the worker already has a leg with this identity"))?;
            self.attach(slot, Attached { events, ports: None, looked: 0 });
            Ok(sdp)
        });
        if opened.is_err() {
            self.uncount_leg();
        }
        opened
    }

    /// Uncounts a leg that was refused; its event channel closes without an event.
    fn uncount_leg(&mut self) {
        self.mailbox.legs.fetch_sub(1, Ordering::Relaxed);
    }

    fn attach_ports(
        &mut self,
        leg: LegId,
        slot: Slot,
        ports: PortLease,
        events: mpsc::Sender<WorkerEvent>,
        now: Instant,
    ) {
        let token = u64::from(slot.0) << 1;
        let added = self.epoll.add(&ports.rtp, token).and_then(|()| self.epoll.add(&ports.rtcp, token | 1));
        self.attach(slot, Attached { events, ports: Some(ports), looked: 0 });
        if let Err(error) = added {
            let why = format!("its sockets cannot be polled: {error}");
            self.switch.handle(Input::Fail { leg, why }, now);
        }
    }

    /// Takes a leg and its sockets out of this thread, after everything that the leg had to send was sent.
    fn detach(&mut self, leg: LegId, now: Instant) -> Option<DetachedLeg> {
        let Outcome::Detached(moving, slot) = self.switch.handle(Input::Detach { leg }, now) else { return None };
        self.drain(now);
        let ports = self.attached.get_mut(slot.index())?.take()?.ports?;
        self.mailbox.legs.fetch_sub(1, Ordering::Relaxed);
        for removed in [self.epoll.remove(&ports.rtp), self.epoll.remove(&ports.rtcp)] {
            if let Err(error) = removed {
                tracing::warn!(%leg, %error, "a socket of a detached leg could not be removed from epoll");
            }
        }
        Some(DetachedLeg { moving, ports })
    }

    fn attach(&mut self, slot: Slot, attached: Attached) {
        if self.attached.len() <= slot.index() {
            self.attached.resize_with(slot.index() + 1, || None);
        }
        self.attached[slot.index()] = Some(attached);
    }

    fn close_all(&mut self, now: Instant) {
        // Requests from before the stop are handled first, so that every opened leg also reports `Closed`.
        while let Some(request) = self.mailbox.next() {
            self.handle_request(request, now);
            self.drain(now);
        }
        while let Some(leg) = self.switch.any_leg() {
            self.switch.handle(WorkerCommand::LegClose { leg }.into(), now);
            self.drain(now);
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Also when the thread ends by a panic: requests are refused from now on instead of piling up.
        self.mailbox.stop();
        while self.mailbox.next().is_some() {}
    }
}

/// Begins the thread's capture and logs a warning about it.
///
/// # Errors
/// The capture file could not be created in `folder`.
fn start_capture(folder: &Path, index: usize, start: Start, now: Instant) -> Result<Capture, StartError> {
    let (capture, file) = Capture::start(folder, index, start, now).map_err(|error| StartError::Config {
        key: "debug.capture".into(),
        problem: format!("{}: {error}; choose a folder that this user may write to", folder.display()),
    })?;
    tracing::warn!(worker = index, file = %file.display(), "all media of this worker is being written to a capture");
    Ok(capture)
}

fn flush(batch: &mut SendBatch, shared: &[(UdpSocket, SocketAddr)], at: usize, meters: &mut Meters) {
    if let Some((socket, _)) = shared.get(at) {
        meters.send_refused += batch.flush(socket) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::net::ports::PortRange;
    use crate::sdp::{Audio, Codec};

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const PORTS: (u16, u16) = (27_900, 27_998);

    /// Returns a thread that does not run, with one leg; the address at which the leg receives; and the leg's events.
    fn with_leg(now: Instant) -> (Thread, SocketAddr, mpsc::Receiver<WorkerEvent>) {
        let schedule = Schedule { profile: Profile::Auto, opus: OpusSettings::default(), cpu: None, realtime: false };
        let (mailbox, certificate) = (Mailbox::new().unwrap(), DtlsCert::generate().unwrap());
        let mut thread = Thread::new(0, mailbox, Vec::new(), certificate, 1, schedule, None).unwrap();
        let ports = PortRange::new(LOOPBACK, PORTS).lease().unwrap();
        let to = SocketAddr::new(LOOPBACK, ports.rtp_port());
        let (events, told) = mpsc::channel(16);
        let audio = Some(Audio::plain(Codec::Pcmu, SocketAddr::new(LOOPBACK, 9)));
        let media = LegMedia::Rtp { ports, audio, nat: false };
        thread.handle_request(WorkerRequest::LegOpen { leg: LegId(1), media, events }, now);
        (thread, to, told)
    }

    /// Counts the packets that a thread reads before its tick when four lie in the leg's socket and it wakes `late`
    /// after its deadline.
    fn read_before_the_tick(late: Duration) -> u64 {
        let now = clock::now();
        let (mut thread, to, _told) = with_leg(now);
        let phone = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        let mut ready = Ready::with_capacity(READY);
        phone.send_to(&[0x80; 172], to).unwrap();
        thread.epoll.wait(&mut ready).unwrap();
        for _ in 0..3 {
            phone.send_to(&[0x80; 172], to).unwrap();
        }
        thread.look(&ready, now + late);
        thread.catch_up(now, now + late, &mut ready).unwrap();
        thread.packets
    }

    #[test]
    fn a_thread_that_was_held_up_reads_everything_before_overdue_ticks() {
        assert_eq!(read_before_the_tick(Duration::from_millis(30)), 4);
        assert_eq!(read_before_the_tick(Duration::ZERO), 1, "a thread that is on time reads one packet");
    }

    #[test]
    fn a_second_leg_of_one_identity_is_refused_and_its_events_end() {
        let now = clock::now();
        let (mut thread, _, _told) = with_leg(now);
        let (events, mut told) = mpsc::channel(1);
        let ports = PortRange::new(LOOPBACK, PORTS).lease().unwrap();
        let media = LegMedia::Rtp { ports, audio: None, nat: false };
        thread.mailbox.send(WorkerRequest::LegOpen { leg: LegId(1), media, events }).unwrap();
        let request = thread.mailbox.next().unwrap();
        thread.handle_request(request, now);
        assert_eq!(told.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!((thread.mailbox.legs.load(Ordering::Relaxed), thread.switch.census().legs), (0, 1));
        assert_eq!(thread.switch.counters().commands_void, 1);
    }
}
