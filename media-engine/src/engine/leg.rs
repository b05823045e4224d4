//! A leg with its signalling and media, as a call's task holds it.
//!
//! ```text
//! we call it:    make_offers ─ INVITE ─▶ answer ─▶ take_answer ─▶ one kind of media stays open
//! it called us:  reserve (ports) ─▶ make_answer ─ 183 or 200 ─▶ media is open
//! later:         offer_hold ─▶ take_later_answer;    answer_reoffer for offers of the peer
//! ```
//!
//! Invariants: media that was opened at the worker is closed with the leg, or moves with it to another call; ports return with their
//! lease. Not here: the signalling itself (`signalling`), and decisions about the leg (`crate::call`).

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::placement::Claim;
use super::{LegRole, Shared};
use crate::call::{Ending, Holding};
use crate::config::{DtmfWay, HoldShown, TrunkConfig};
use crate::leg::LegError;
use crate::net::ports::{PortLease, PortRange};
use crate::sdp::{self, Audio, Codec, Direction, Local, LocalSrtp, Srtp};
use crate::sip::{DialogId, ReferId, Source};
use crate::units::LegId;
use crate::worker::{LegMedia, Worker, WorkerCommand, WorkerEvent, WorkerRequest};

/// Time in which a worker must produce or process an SDP of a browser leg.
const WORKER_REPLY: Duration = Duration::from_secs(1);

/// Codecs of a plain leg, offered after the caller's own in this order: the widest band first.
const PLAIN_CODECS: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma];

/// Reason why a leg has no media; the text goes to the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoMedia(String);

impl NoMedia {
    /// Creates the error for a leg that has gone meanwhile.
    pub(super) fn no_leg() -> NoMedia {
        NoMedia("the leg has gone".into())
    }
}

/// Offers for a leg that we call; the callee answers one of them.
pub(super) struct Offers {
    /// Plain RTP, in the peer's address family if it is known, otherwise on IPv4 if that is configured.
    pub(super) sdp: String,
    /// Plain RTP for peers on IPv6, if both families are configured and the peer's is not known.
    pub(super) sdp_v6: Option<String>,
    /// WebRTC, if the callee may be a browser.
    pub(super) webrtc_sdp: Option<String>,
}

/// Plain media on IPv6 besides that on IPv4, until the answer arrives.
struct Spare {
    leg: LegId,
    local: Local,
}

/// One leg of a call.
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) role: LegRole,
    /// Far end of the leg: number, agent's name or URI.
    pub(super) peer: String,
    pub(super) dialog: Option<DialogId>,
    /// Offer of a leg that called us; `None` if it wants an offer from us.
    pub(super) offer: Option<String>,
    /// Our answer, once it has been made: early media starts with it, and the call's answer repeats it.
    pub(super) answer: Option<String>,
    /// We made the offer, and its answer will come in the caller's ACK.
    pub(super) awaits_answer: bool,
    /// Audio that was agreed for a plain leg.
    pub(super) audio: Option<Audio>,
    /// Name of the codec that was agreed.
    pub(super) codec: Option<&'static str>,
    /// Ids under which media is open at the worker: plain media, a browser's, or all of them until the answer.
    plain: Option<LegId>,
    spare: Option<Spare>,
    browser: Option<LegId>,
    /// Address of a leg that we call, if it is known in advance.
    pub(super) peer_address: Option<IpAddr>,
    local: Option<Local>,
    lease: Option<PortLease>,
    sdp_version: u64,
    /// The media comes from behind NAT.
    pub(super) nat: bool,
    /// Trunk that carries the leg.
    pub(super) trunk: Option<String>,
    /// Codecs that are offered after the caller's own.
    codecs: Vec<Codec>,
    srtp: Srtp,
    closed: bool,
    /// The other leg has comfort noise, or may have, so that it can be relayed.
    pub(super) noise: bool,
    /// Owner of the leg, proven by address or password; `None` if a URI was called.
    pub(super) owner: Option<Claim>,
    /// REFER of the leg that has no final answer yet.
    pub(super) refer: Option<ReferId>,
    /// The leg was added to a call that was already talking.
    pub(super) added: bool,
    /// Identity that is shown outside to a leg that joins a running call.
    pub(super) shown: Option<String>,
    /// The leg's signalling has no connection.
    pub(super) unreachable: bool,
    /// No sound comes from the leg as far as its media has been judged, nor any sign that sound could come.
    pub(super) silent: bool,
    /// The leg's media shows that nothing at all comes from it any more.
    pub(super) out_of_reach: bool,
    /// The leg is on hold and need not send sound.
    pub(super) on_hold: bool,
    /// Its own telephone has put the call on hold.
    pub(super) holding: Holding,
    /// Gain with which the others hear the leg, in decibels.
    pub(super) gain_db: i8,
    /// How the leg is shown that it is on hold.
    hold_shown: HoldShown,
    /// The leg should be shown that it is on hold; this was offered last; that offer has no answer yet.
    pub(super) hold_wanted: bool,
    pub(super) hold_offered: bool,
    hold_pending: bool,
    /// How keys are sent to the leg.
    pub(super) dtmf: DtmfWay,
    /// How the leg ended, once the machine has reported it.
    pub(super) ending: Option<Ending>,
}

/// A leg that has ended, until the worker has closed its media.
pub(super) struct ClosingLeg {
    pub(super) id: LegId,
    pub(super) role: LegRole,
    media: [Option<LegId>; 3],
    /// Number of closings that the worker has not reported yet.
    pub(super) open: usize,
}

impl ClosingLeg {
    /// Returns whether this media leg belongs to the leg.
    pub(super) fn owns(&self, media: LegId) -> bool {
        self.media.contains(&Some(media))
    }
}

impl Leg {
    pub(super) fn new(id: LegId, role: LegRole, peer: String) -> Leg {
        Leg {
            id,
            role,
            peer,
            dialog: None,
            offer: None,
            answer: None,
            awaits_answer: false,
            audio: None,
            codec: None,
            plain: None,
            spare: None,
            browser: None,
            peer_address: None,
            local: None,
            lease: None,
            sdp_version: 1,
            nat: false,
            trunk: None,
            codecs: PLAIN_CODECS.to_vec(),
            srtp: Srtp::Optional,
            closed: false,
            noise: false,
            owner: None,
            refer: None,
            added: false,
            shown: None,
            unreachable: false,
            silent: false,
            out_of_reach: false,
            on_hold: false,
            holding: Holding::No,
            gain_db: 0,
            hold_shown: HoldShown::Media,
            hold_wanted: false,
            hold_offered: false,
            hold_pending: false,
            dtmf: DtmfWay::Rfc4733,
            ending: None,
        }
    }

    /// Returns the Q.850 cause that the leg ends with, if another leg's cause was passed on to it.
    pub(super) fn q850(&self) -> Option<u8> {
        self.ending.as_ref().and_then(|ending| ending.q850)
    }

    /// Returns whether the leg's only media is a browser's.
    pub(super) fn is_browser(&self) -> bool {
        self.browser.is_some() && self.plain.is_none()
    }

    /// Returns whether the leg sends and receives keys as telephone-events (RFC 4733).
    pub(super) fn knows_telephone_events(&self) -> bool {
        self.is_browser() || self.audio.is_some_and(|audio| audio.telephone_event.is_some())
    }

    /// Forgets media that the worker has closed.
    pub(super) fn media_closed(&mut self, media: LegId) {
        for open in [&mut self.plain, &mut self.browser] {
            open.take_if(|open| *open == media);
        }
        self.spare.take_if(|spare| spare.leg == media);
    }

    /// Returns whether the party may come back after it was lost: only a user's device can, with the same password.
    pub(super) fn may_come_back(&self) -> bool {
        matches!(self.owner(), Some(Source::User(_)))
    }

    /// Returns the owner of the leg.
    pub(super) fn owner(&self) -> Option<&Source> {
        self.owner.as_ref().map(Claim::owner)
    }

    /// Returns the agent whose leg it is.
    pub(super) fn agent(&self) -> Option<&str> {
        match self.owner()? {
            Source::User(user) => Some(user),
            Source::Trunk(_) => None,
        }
    }

    /// Closes the leg's media for good; `None` if there is none.
    pub(super) fn part_with_media(&mut self, worker: &Worker) -> Option<ClosingLeg> {
        let open = self.close_media(worker);
        let media = [self.plain.take(), self.spare.take().map(|spare| spare.leg), self.browser.take()];
        (open > 0).then_some(ClosingLeg { id: self.id, role: self.role, media, open })
    }

    /// Returns whether some of the leg's media is a browser's, which cannot move to another worker.
    pub(super) fn has_browser_media(&self) -> bool {
        self.browser.is_some()
    }

    /// Returns the leg's ids at the worker.
    pub(super) fn open_media(&self) -> impl Iterator<Item = LegId> + use<> {
        [self.plain, self.spare(), self.browser].into_iter().flatten()
    }

    fn spare(&self) -> Option<LegId> {
        self.spare.as_ref().map(|spare| spare.leg)
    }

    /// Applies a trunk's settings to the leg's media.
    pub(super) fn goes_through(&mut self, trunk: &TrunkConfig) {
        self.trunk = Some(trunk.name.clone());
        (self.nat, self.srtp) = (trunk.nat, trunk.srtp);
        (self.hold_shown, self.dtmf) = (trunk.hold, trunk.dtmf);
        if !trunk.codecs.is_empty() {
            self.codecs.clone_from(&trunk.codecs);
        }
    }

    /// Returns the leg's id at the worker, once its media is open.
    pub(super) fn media(&self) -> Option<LegId> {
        self.browser.or(self.plain)
    }

    /// Returns whether the leg has comfort noise, or has offered it.
    pub(super) fn has_noise(&self) -> bool {
        let offered = || sdp::Session::parse(self.offer.as_ref()?.as_bytes()).ok();
        match &self.audio {
            Some(audio) => audio.comfort_noise.is_some(),
            None => offered().is_some_and(|session| session.offers_comfort_noise()),
        }
    }

    /// Returns whether this media leg belongs to the leg.
    pub(super) fn owns(&self, media: LegId) -> bool {
        self.open_media().any(|open| open == media)
    }

    /// Makes the offers for a leg that we call: plain RTP in every address family, and WebRTC if the other end may be a browser.
    pub(super) async fn make_offers(
        &mut self,
        shared: &Shared,
        worker: &Worker,
        events: &mpsc::Sender<WorkerEvent>,
        prefer: Option<&Codec>,
        may_be_browser: bool,
    ) -> Result<Offers, NoMedia> {
        self.reserve(shared, prefer)?;
        let (Some(local), Some(ports)) = (&self.local, self.lease.take()) else {
            return Err(NoMedia("no ports were reserved".into()));
        };
        let sdp = local.offer(self.sdp_version, Direction::SendRecv);
        let media = LegMedia::Rtp { ports, audio: None, nat: self.nat };
        send(worker, WorkerRequest::LegOpen { leg: self.id, media, events: events.clone() })?;
        self.plain = Some(self.id);
        watch(shared, worker, self.id)?;
        let mut offers = Offers { sdp, sdp_v6: None, webrtc_sdp: None };
        self.offer_on_ipv6(shared, worker, events, prefer, &mut offers)?;
        if !may_be_browser {
            return Ok(offers);
        }
        let browser = shared.new_leg();
        let (reply, answer) = oneshot::channel();
        let media = LegMedia::WebRtcOffering { reply };
        send(worker, WorkerRequest::LegOpen { leg: browser, media, events: events.clone() })?;
        self.browser = Some(browser);
        let webrtc = worker_reply(answer).await?;
        watch(shared, worker, browser)?;
        offers.webrtc_sdp = Some(webrtc);
        Ok(offers)
    }

    /// Adds an offer for peers on IPv6 to one for peers on IPv4, if both are configured and the answerer is not known yet.
    fn offer_on_ipv6(
        &mut self,
        shared: &Shared,
        worker: &Worker,
        events: &mpsc::Sender<WorkerEvent>,
        prefer: Option<&Codec>,
        offers: &mut Offers,
    ) -> Result<(), NoMedia> {
        let v6 = shared.ports.iter().find(|range| range.address().is_ipv6());
        let on_v4 = self.local.as_ref().is_some_and(|local| local.address.is_ipv4());
        let (Some(range), true) = (v6, on_v4 && self.peer_address.is_none() && !self.awaits_answer) else {
            return Ok(());
        };
        let (local, ports) = self.prepare(shared, range, prefer)?;
        offers.sdp_v6 = Some(local.offer(self.sdp_version, Direction::SendRecv));
        let leg = shared.new_leg();
        let media = LegMedia::Rtp { ports, audio: None, nat: self.nat };
        send(worker, WorkerRequest::LegOpen { leg, media, events: events.clone() })?;
        self.spare = Some(Spare { leg, local });
        watch(shared, worker, leg)
    }

    /// Settles on the answerer's address family when an answer to a plain offer has come.
    fn settle_family(&mut self, worker: &Worker, answer: &sdp::Session) {
        let Some(spare) = self.spare.take() else { return };
        let on_v6 = answer.connection_address().is_some_and(|address| address.to_canonical().is_ipv6());
        if on_v6 {
            close(worker, self.plain.replace(spare.leg));
            self.local = Some(spare.local);
        } else {
            close(worker, Some(spare.leg));
        }
    }

    /// Returns whether the answer may still change: not if it chooses between a browser's media and plain media.
    pub(super) fn takes_early_media(&self) -> bool {
        self.browser.is_none() && self.plain.is_some()
    }

    /// Takes an answer to our first offer, and closes the media that it did not choose. A forked callee may answer more than
    /// once: the last answer counts.
    pub(super) async fn take_answer(&mut self, worker: &Worker, answer: &str) -> Result<(), NoMedia> {
        let session = sdp::Session::parse(answer.as_bytes()).map_err(sdp_error)?;
        if sdp::is_webrtc(&session) {
            let browser = self.browser.ok_or_else(|| NoMedia("the peer answered a plain offer with WebRTC".into()))?;
            let (reply, done) = oneshot::channel();
            send(worker, WorkerRequest::WebRtcAnswer { leg: browser, sdp: answer.to_owned(), reply })?;
            worker_reply(done).await?;
            self.codec = webrtc_codec(&session);
            close(worker, self.plain.take());
            close(worker, self.spare.take().map(|spare| spare.leg));
            return Ok(());
        }
        self.settle_family(worker, &session);
        let local = self.local.as_mut().ok_or_else(|| NoMedia("no offer was made".into()))?;
        local.srtp.reopen();
        let audio = local.accept(&session).map_err(sdp_error)?;
        local.srtp.agreed = audio.srtp;
        self.codec = Some(audio.codec.name());
        let leg = self.plain.ok_or_else(|| NoMedia("the plain leg is closed".into()))?;
        // A repeated answer, as after early media, changes nothing.
        if self.audio != Some(audio) {
            send(worker, WorkerCommand::RtpUpdate { leg, audio })?;
            self.audio = Some(audio);
        }
        close(worker, self.browser.take());
        Ok(())
    }

    /// Takes the answer to a later offer, which repeated the agreement or showed that the leg is on hold.
    pub(super) fn take_later_answer(&mut self, worker: &Worker, answer: &str) -> Result<(), NoMedia> {
        self.hold_pending = false;
        if self.browser.is_some() {
            // A repeated offer to a browser changes nothing.
            return Ok(());
        }
        let session = sdp::Session::parse(answer.as_bytes()).map_err(sdp_error)?;
        let (Some(local), Some(leg)) = (&mut self.local, self.plain) else {
            return Err(NoMedia("the leg has no plain media".into()));
        };
        let audio = local.accept(&session).map_err(sdp_error)?;
        local.srtp.agreed = audio.srtp;
        send(worker, WorkerCommand::RtpUpdate { leg, audio })?;
        self.codec = Some(audio.codec.name());
        self.audio = Some(audio);
        Ok(())
    }

    /// Opens the media of a leg that called us, and makes the answer. `prefer` is the codec of the other leg, so that packets can
    /// be relayed between both.
    pub(super) async fn make_answer(
        &mut self,
        shared: &Shared,
        worker: &Worker,
        events: &mpsc::Sender<WorkerEvent>,
        prefer: Option<&Codec>,
    ) -> Result<String, NoMedia> {
        let offer = self.offer.clone().ok_or_else(|| NoMedia("there is no offer to answer".into()))?;
        let session = sdp::Session::parse(offer.as_bytes()).map_err(sdp_error)?;
        if sdp::is_webrtc(&session) {
            let (reply, answer) = oneshot::channel();
            let media = LegMedia::WebRtcOffered { offer, reply };
            send(worker, WorkerRequest::LegOpen { leg: self.id, media, events: events.clone() })?;
            self.browser = Some(self.id);
            let answer = worker_reply(answer).await?;
            watch(shared, worker, self.id)?;
            self.codec = sdp::Session::parse(answer.as_bytes()).ok().as_ref().and_then(webrtc_codec);
            return Ok(answer);
        }
        if self.lease.is_none() {
            self.reserve(shared, None)?;
        }
        let (Some(local), Some(ports)) = (&mut self.local, self.lease.take()) else {
            return Err(NoMedia("no ports were reserved".into()));
        };
        let all = std::mem::take(&mut local.codecs);
        local.codecs = prefer.copied().into_iter().collect();
        // Packets of the same codec are relayed, with comfort noise only if the other leg supports it.
        local.comfort_noise = self.noise;
        let same_codec = if local.codecs.is_empty() { None } else { local.answer(&session, self.sdp_version).ok() };
        local.codecs = all;
        local.comfort_noise = true;
        let (answer, audio) = match same_codec {
            Some(found) => found,
            None => local.answer(&session, self.sdp_version).map_err(sdp_error)?,
        };
        local.srtp.agreed = audio.srtp;
        self.codec = Some(audio.codec.name());
        let media = LegMedia::Rtp { ports, audio: Some(audio), nat: self.nat };
        send(worker, WorkerRequest::LegOpen { leg: self.id, media, events: events.clone() })?;
        self.plain = Some(self.id);
        watch(shared, worker, self.id)?;
        self.audio = Some(audio);
        Ok(answer)
    }

    /// Returns the offer that shows a plain leg that it is on hold or no longer on hold; `None`: there is nothing to show, or an
    /// offer is pending.
    pub(super) fn offer_hold(&mut self, agents: HoldShown) -> Option<String> {
        let on = self.hold_wanted;
        let how = if self.trunk.is_some() { self.hold_shown } else { agents };
        let direction = match how {
            HoldShown::Media => return None,
            _ if !on => Direction::SendRecv,
            HoldShown::SendOnly => Direction::SendOnly,
            HoldShown::Inactive => Direction::Inactive,
        };
        let is_due = self.plain.is_some() && self.hold_offered != on && !self.hold_pending;
        let audio = self.audio.filter(|_| is_due)?;
        let local = self.local.as_mut()?;
        (self.hold_offered, self.hold_pending) = (on, true);
        self.sdp_version += 1;
        let all = std::mem::replace(&mut local.codecs, vec![audio.codec]);
        let offer = local.offer(self.sdp_version, direction);
        local.codecs = all;
        Some(offer)
    }

    /// Handles an offer that the leg did not accept; `again`: another offer was pending, so it has to be repeated.
    pub(super) fn hold_offer_failed(&mut self, again: bool) {
        if std::mem::take(&mut self.hold_pending) && again {
            self.hold_offered = !self.hold_offered;
        }
    }

    /// Answers a re-INVITE: hold, resume, change of codec or address, ICE restart.
    pub(super) async fn answer_reoffer(&mut self, worker: &Worker, offer: &str) -> Result<String, NoMedia> {
        if let Some(browser) = self.browser {
            let (reply, answer) = oneshot::channel();
            send(worker, WorkerRequest::WebRtcReoffer { leg: browser, sdp: offer.to_owned(), reply })?;
            return worker_reply(answer).await;
        }
        let session = sdp::Session::parse(offer.as_bytes()).map_err(sdp_error)?;
        let (Some(local), Some(leg)) = (&mut self.local, self.plain) else {
            return Err(NoMedia("the leg has no media yet".into()));
        };
        let (answer, audio) = local.answer(&session, self.sdp_version + 1).map_err(sdp_error)?;
        self.sdp_version += 1;
        local.srtp.agreed = audio.srtp;
        send(worker, WorkerCommand::RtpUpdate { leg, audio })?;
        self.codec = Some(audio.codec.name());
        self.audio = Some(audio);
        Ok(answer)
    }

    /// Takes ports for plain media, early enough that a lack of ports refuses the call before it is answered.
    pub(super) fn reserve(&mut self, shared: &Shared, prefer: Option<&Codec>) -> Result<(), NoMedia> {
        let range = self.port_range(shared)?;
        let (local, lease) = self.prepare(shared, range, prefer)?;
        (self.local, self.lease) = (Some(local), Some(lease));
        Ok(())
    }

    /// Leases ports of a range, and describes the media on them.
    fn prepare(
        &self,
        shared: &Shared,
        range: &PortRange,
        prefer: Option<&Codec>,
    ) -> Result<(Local, PortLease), NoMedia> {
        let lease = range.lease().map_err(|error| NoMedia(error.to_string()))?;
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| NoMedia("the system's random source failed".into()))?;
        // The caller's own codec comes first, so that packets can be relayed, unless the trunk does not want it.
        let prefer = prefer.filter(|codec| self.trunk.is_none() || self.codecs.contains(codec));
        let mut codecs: Vec<Codec> = prefer.into_iter().copied().collect();
        codecs.extend(self.codecs.iter().filter(|codec| Some(*codec) != prefer));
        let local = Local {
            address: shared.config.media.advertised_for(range.address()),
            rtp_port: lease.rtp_port(),
            rtcp_port: lease.rtcp_port(),
            session_id: u64::from(lease.rtp_port()) << 32 | self.id.0 & 0xffff_ffff,
            codecs,
            srtp: LocalSrtp::new(self.srtp, secret),
            comfort_noise: self.noise,
        };
        Ok((local, lease))
    }

    /// Returns the ports of the other end's address family if it is known, otherwise those on IPv4 if configured.
    fn port_range<'a>(&self, shared: &'a Shared) -> Result<&'a PortRange, NoMedia> {
        let offered = || sdp::Session::parse(self.offer.as_ref()?.as_bytes()).ok()?.connection_address();
        let is_v4 = self.peer_address.or_else(offered).is_none_or(|address| address.to_canonical().is_ipv4());
        shared
            .ports
            .iter()
            .find(|range| range.address().is_ipv4() == is_v4)
            .or_else(|| shared.ports.first())
            .ok_or_else(|| NoMedia("media.address: no address is configured".into()))
    }

    /// Closes all media of the leg; returns how many closings the worker will report.
    pub(super) fn close_media(&mut self, worker: &Worker) -> usize {
        self.lease = None;
        if std::mem::replace(&mut self.closed, true) {
            return 0;
        }
        self.open_media().inspect(|leg| close(worker, Some(*leg))).count()
    }
}

fn webrtc_codec(session: &sdp::Session) -> Option<&'static str> {
    session.first_audio_codec().map(|codec| codec.name())
}

/// Sets the time after which the worker reports a silent leg as dead.
fn watch(shared: &Shared, worker: &Worker, leg: LegId) -> Result<(), NoMedia> {
    send(worker, WorkerCommand::MediaTimeout { leg, after: shared.config.media_timeout })
}

fn close(worker: &Worker, leg: Option<LegId>) {
    if let Some(leg) = leg
        && worker.send(WorkerCommand::LegClose { leg }).is_err()
    {
        tracing::error!(%leg, "the worker is overloaded: a leg could not be closed");
    }
}

pub(super) fn send(worker: &Worker, request: impl Into<WorkerRequest>) -> Result<(), NoMedia> {
    worker.send(request).map_err(|_| NoMedia("the media worker is overloaded".into()))
}

fn sdp_error(error: sdp::SdpError) -> NoMedia {
    NoMedia(error.to_string())
}

async fn worker_reply<T>(reply: oneshot::Receiver<Result<T, LegError>>) -> Result<T, NoMedia> {
    match tokio::time::timeout(WORKER_REPLY, reply).await {
        Ok(Ok(result)) => result.map_err(|error| NoMedia(error.to_string())),
        Ok(Err(_)) => Err(NoMedia("the leg has ended meanwhile".into())),
        Err(_) => Err(NoMedia("the media worker did not answer within 1 s".into())),
    }
}
