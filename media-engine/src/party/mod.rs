//! A party: a SIP user agent on its own sockets that places or takes one call at a time, and sends and
//! receives samples.
//!
//! ```text
//! say(samples) ─▶ worker leg ─ RTP ─▶ Tandem ─ RTP ─▶ worker leg ─ tap ─▶ heard()
//! ```
//!
//! The demo's customer and agent are parties, and so are the far ends in tests and examples. Not here: anything that
//! the engine uses to serve calls; a party shares its modules (sip, sdp, worker) but none of its state.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use codecs::SampleRate;
use tokio::sync::mpsc;

use crate::audio::tap::{self, TapPoint, TapReader};
use crate::config::{MediaConfig, SipConfig, TrunkConfig};
use crate::net::ports::PortRange;
use crate::sdp::{self, Codec, Direction, Local, LocalSrtp, Srtp};
use crate::sip::{DialogId, Invite, SipCommand, SipEvent, Target};
use crate::sip_io::{SipHandle, SipStack};
use crate::units::LegId;
use crate::worker::{LegMedia, Pool, Worker, WorkerCommand, WorkerEvent, WorkerEventKind, WorkerRequest};

/// Name of the trunk that represents Tandem in a party.
const TRUNK: &str = "tandem";
/// The only leg of a party.
const LEG: LegId = LegId(1);
/// Number of received frames that may wait in the tap: twenty seconds.
const HEARD: usize = 1_000;

/// Error of a party, described in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PartyError(String);

fn err(error: impl std::fmt::Display) -> PartyError {
    PartyError(error.to_string())
}

/// Event that a party reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// A call comes in; answer it with [`Party::answer`].
    Rings {
        /// User part of the caller.
        from: String,
    },
    /// The call has ended: the caller gave up, or the other end hung up.
    Over,
    /// The other end rings.
    Ringing,
    /// The other end answered.
    Answered,
    /// The call failed with this SIP status.
    Failed(u16),
    /// The registration was accepted (true) or refused.
    Registered(bool),
    /// A key was pressed at the other end.
    Dtmf(char),
    /// A clip given to [`Party::say`] has been sent completely.
    Said(u64),
}

/// A SIP user agent with media.
pub struct Party {
    sip: SipHandle,
    events: mpsc::Receiver<SipEvent>,
    media_in: mpsc::Sender<WorkerEvent>,
    media: mpsc::Receiver<WorkerEvent>,
    pool: Pool,
    worker: Worker,
    ports: PortRange,
    codecs: Vec<Codec>,
    srtp: Srtp,
    dialog: Option<DialogId>,
    offer: Option<String>,
    local: Option<Local>,
    /// Version of our latest description.
    sdp_version: u64,
    open: bool,
}

impl Party {
    /// Opens sockets on `address`; calls go to Tandem's SIP at `tandem`. `codecs` are in order of preference.
    ///
    /// # Errors
    /// If sockets or threads cannot be created.
    pub async fn start(address: IpAddr, tandem: SocketAddr, codecs: Vec<Codec>) -> Result<Party, PartyError> {
        let listen = vec![format!("udp:{}", SocketAddr::new(address, 0))];
        let config = SipConfig { listen, domain: address.to_string(), ..SipConfig::default() };
        let trunks = [TrunkConfig { name: TRUNK.into(), hosts: vec![tandem.to_string()], ..TrunkConfig::default() }];
        let (sip, events) = SipStack::start(&config, &trunks).await.map_err(err)?;
        let range = (40_000, 49_999);
        let media = MediaConfig { addresses: vec![address], ports: range, ..MediaConfig::default() };
        let pool = Pool::start(&media).map_err(err)?;
        let worker = pool.place();
        let (media_in, media) = mpsc::channel(64);
        let ports = PortRange::new(address, range);
        Ok(Party {
            sip,
            events,
            media_in,
            media,
            pool,
            worker,
            ports,
            codecs,
            srtp: Srtp::Optional,
            dialog: None,
            offer: None,
            local: None,
            sdp_version: 1,
            open: false,
        })
    }

    /// Sets whether calls made and taken from now on are encrypted.
    pub fn set_srtp(&mut self, srtp: Srtp) {
        self.srtp = srtp;
    }

    /// Registers at Tandem as `user`; [`Noticed::Registered`] reports the outcome.
    ///
    /// # Errors
    /// If the SIP stack is overloaded; try again later.
    pub fn register(&self, user: &str, password: &str) -> Result<(), PartyError> {
        let (user, password) = (user.to_owned(), password.to_owned());
        self.command(SipCommand::Register { trunk: TRUNK.into(), user, password, expires: Duration::from_secs(600) })
    }

    /// Calls a user part at Tandem; [`Noticed`] reports the progress.
    ///
    /// # Errors
    /// If there are no free ports, or the SIP stack is overloaded.
    pub fn call(&mut self, from: &str, to: &str) -> Result<(), PartyError> {
        let local = self.open_media(None)?;
        let sdp = local.offer(1, Direction::SendRecv);
        self.local = Some(local);
        let dialog = DialogId::outgoing();
        self.dialog = Some(dialog);
        let target = Target::Trunk { name: TRUNK.into(), user: to.into() };
        self.command(Invite::new(dialog, target, sdp).from_user(from).into())
    }

    /// Answers the call that rings.
    ///
    /// # Errors
    /// If there is no call to answer, or no codec in common.
    pub fn answer(&mut self) -> Result<(), PartyError> {
        let (Some(dialog), Some(offer)) = (self.dialog, self.offer.take()) else {
            return Err(err("there is no call to answer"));
        };
        let session = sdp::Session::parse(offer.as_bytes()).map_err(err)?;
        let lease = self.ports.lease().map_err(err)?;
        let mut local = self.local_for(lease.rtp_port(), lease.rtcp_port())?;
        let (sdp, audio) = local.answer(&session, 1).map_err(err)?;
        local.srtp.agreed = audio.srtp;
        let media = LegMedia::Rtp { ports: lease, audio: Some(audio), nat: false };
        self.media_command(WorkerRequest::LegOpen { leg: LEG, media, events: self.media_in.clone() })?;
        self.open = true;
        self.local = Some(local);
        self.command(SipCommand::Accept { dialog, sdp })
    }

    /// Sends samples to the other end after earlier clips; [`Noticed::Said`] reports when they have been sent.
    ///
    /// # Errors
    /// If the media worker is overloaded; the clip is not sent.
    pub fn say(&self, clip: u64, rate: SampleRate, samples: &[i16]) -> Result<(), PartyError> {
        let samples = samples.into();
        self.media_command(WorkerCommand::Play { leg: LEG, segment: clip, rate, samples, last: true })
    }

    /// Returns a tap with a copy of the audio that the other end sends from now on.
    ///
    /// # Errors
    /// If the media worker is overloaded; there is no tap then.
    pub fn heard(&self) -> Result<TapReader, PartyError> {
        let (tap, reader) = tap::tap(HEARD);
        self.media_command(WorkerRequest::Tap { leg: LEG, point: TapPoint::Speech, tap })?;
        Ok(reader)
    }

    /// Sends a key press to the other end.
    ///
    /// # Errors
    /// If the media worker is overloaded; the key is not sent.
    pub fn press(&self, digit: char) -> Result<(), PartyError> {
        self.media_command(WorkerCommand::SendDtmf { leg: LEG, digit, duration_ms: 160 })
    }

    /// Hangs up, or cancels an unanswered call.
    pub fn hang_up(&mut self) {
        if let Some(dialog) = self.dialog.take() {
            // The command that fits the dialog's state is carried out, the other is ignored.
            for command in [SipCommand::Cancel { dialog }, SipCommand::Bye { dialog, reason: None }] {
                if self.sip.send(command).is_err() {
                    tracing::warn!("party: the SIP stack is overloaded");
                }
            }
        }
        self.close_media();
    }

    /// Waits for the next event; `None` when the party has ended.
    pub async fn next(&mut self) -> Option<Noticed> {
        loop {
            let noticed = tokio::select! {
                event = self.events.recv() => self.on_sip(event?),
                Some(event) = self.media.recv() => match event.kind {
                    WorkerEventKind::Dtmf { digit, .. } => Some(Noticed::Dtmf(digit)),
                    WorkerEventKind::PlayDone { segment } => Some(Noticed::Said(segment)),
                    _ => None,
                },
            };
            if noticed.is_some() {
                return noticed;
            }
        }
    }

    /// Stops the party and frees its sockets and threads.
    pub async fn stop(mut self) {
        self.hang_up();
        self.sip.stop().await;
        self.pool.shutdown();
    }

    fn on_sip(&mut self, event: SipEvent) -> Option<Noticed> {
        if let SipEvent::Incoming { dialog, from_user, sdp, .. } = event {
            if self.dialog.is_some() {
                self.command(SipCommand::Reject { dialog, status: 486, reason: None, q850: None }).ok();
                return None;
            }
            self.dialog = Some(dialog);
            self.offer = sdp;
            self.command(SipCommand::Progress { dialog, status: 180, sdp: None }).ok();
            return Some(Noticed::Rings { from: from_user });
        }
        if let SipEvent::RegistrationState { ok, .. } = event {
            return Some(Noticed::Registered(ok));
        }
        if event.dialog() != self.dialog {
            return None;
        }
        match event {
            SipEvent::Progress { status, .. } if status > 100 => Some(Noticed::Ringing),
            SipEvent::Answered { sdp, .. } => match self.take_answer(&sdp) {
                Ok(()) => Some(Noticed::Answered),
                Err(error) => {
                    tracing::warn!(%error, "party: the answer cannot be used");
                    self.hang_up();
                    Some(Noticed::Failed(488))
                }
            },
            SipEvent::Failed { status, .. } => {
                self.dialog = None;
                self.close_media();
                Some(Noticed::Failed(status))
            }
            SipEvent::Reoffer { dialog, sdp } => {
                match self.answer_reoffer(&sdp) {
                    Ok(sdp) => self.command(SipCommand::AcceptReinvite { dialog, sdp }).ok(),
                    Err(_) => self.command(SipCommand::RejectReinvite { dialog, status: 488 }).ok(),
                };
                None
            }
            SipEvent::Ended { .. } => {
                self.dialog = None;
                self.close_media();
                Some(Noticed::Over)
            }
            _ => None,
        }
    }

    fn take_answer(&mut self, answer: &str) -> Result<(), PartyError> {
        let session = sdp::Session::parse(answer.as_bytes()).map_err(err)?;
        let local = self.local.as_mut().ok_or_else(|| err("no offer was made"))?;
        let audio = local.accept(&session).map_err(err)?;
        local.srtp.agreed = audio.srtp;
        self.media_command(WorkerCommand::RtpUpdate { leg: LEG, audio })
    }

    fn answer_reoffer(&mut self, offer: &str) -> Result<String, PartyError> {
        let session = sdp::Session::parse(offer.as_bytes()).map_err(err)?;
        let local = self.local.as_mut().ok_or_else(|| err("there is no media"))?;
        self.sdp_version += 1;
        let (sdp, audio) = local.answer(&session, self.sdp_version).map_err(err)?;
        local.srtp.agreed = audio.srtp;
        self.media_command(WorkerCommand::RtpUpdate { leg: LEG, audio })?;
        Ok(sdp)
    }

    fn open_media(&mut self, audio: Option<sdp::Audio>) -> Result<Local, PartyError> {
        self.close_media();
        let ports = self.ports.lease().map_err(err)?;
        let local = self.local_for(ports.rtp_port(), ports.rtcp_port())?;
        let media = LegMedia::Rtp { ports, audio, nat: false };
        self.media_command(WorkerRequest::LegOpen { leg: LEG, media, events: self.media_in.clone() })?;
        self.open = true;
        Ok(local)
    }

    fn local_for(&self, rtp_port: u16, rtcp_port: u16) -> Result<Local, PartyError> {
        let session_id = u64::from(rtp_port);
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| err("the system's random source failed"))?;
        Ok(Local {
            address: self.ports.address(),
            rtp_port,
            rtcp_port,
            session_id,
            codecs: self.codecs.clone(),
            comfort_noise: false,
            srtp: LocalSrtp::new(self.srtp, secret),
        })
    }

    fn close_media(&mut self) {
        if std::mem::take(&mut self.open) {
            self.media_command(WorkerCommand::LegClose { leg: LEG }).ok();
        }
    }

    fn command(&self, command: SipCommand) -> Result<(), PartyError> {
        self.sip.send(command).map_err(|_| err("the SIP stack is overloaded"))
    }

    fn media_command(&self, command: impl Into<WorkerRequest>) -> Result<(), PartyError> {
        self.worker.send(command).map_err(|_| err("the media worker is overloaded"))
    }
}
