//! One leg's signalling and media as a call's task holds them.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::homes::Claim;
use super::{LegRole, Shared};
use crate::call::{Ending, Holding};
use crate::config::{DtmfWay, HoldShown, TrunkConfig};
use crate::leg::LegError;
use crate::net::ports::{PortLease, PortRange};
use crate::sdp::{self, Audio, Codec, Direction, Local, LocalSrtp, Srtp};
use crate::sip::{DialogId, ReferId, Source};
use crate::units::LegId;
use crate::worker::{LegMedia, Worker, WorkerCommand, WorkerEvent, WorkerRequest};

/// How long a worker may take to make or take an SDP of a browser leg.
const WORKER_REPLY: Duration = Duration::from_secs(1);

/// Codecs of a plain leg, in the order we offer them behind the caller's own: the widest band first.
const PLAIN_CODECS: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma];

/// Why a leg has no media; the text goes to the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoMedia(String);

impl NoMedia {
    /// The leg has gone meanwhile.
    pub(super) fn no_leg() -> NoMedia {
        NoMedia("the leg has gone".into())
    }
}

/// What a leg that we call is offered: whoever answers takes one.
pub(super) struct Offers {
    /// Plain RTP: in the peer's family of addresses where that is known, else on IPv4 where that is configured.
    pub(super) sdp: String,
    /// Plain RTP for peers on IPv6, when both families are configured and the peer's is not known.
    pub(super) sdp_v6: Option<String>,
    /// WebRTC.
    pub(super) webrtc_sdp: Option<String>,
}

/// Plain media on IPv6 beside that on IPv4, until the answer.
struct Spare {
    leg: LegId,
    local: Local,
}

/// One leg.
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) role: LegRole,
    /// Number, agent's name or URI.
    pub(super) peer: String,
    pub(super) dialog: Option<DialogId>,
    /// The caller's offer, for legs that called us; `None` when it wants ours.
    pub(super) offer: Option<String>,
    /// Our answer, once it was made: early media has begun with it, and the call's answer repeats it.
    pub(super) answer: Option<String>,
    /// Our offer waits for its answer in the ACK of a caller who made none.
    pub(super) awaits_answer: bool,
    /// What was agreed for a plain leg.
    pub(super) audio: Option<Audio>,
    /// Name of the agreed codec.
    pub(super) codec: Option<&'static str>,
    /// Media that was opened at the worker under these ids: a plain one, a browser's, or all of them until the answer.
    plain: Option<LegId>,
    spare: Option<Spare>,
    browser: Option<LegId>,
    /// Where a leg that we call is reached, when that is known before.
    pub(super) peer_address: Option<IpAddr>,
    local: Option<Local>,
    lease: Option<PortLease>,
    sdp_version: u64,
    /// Media from behind NAT.
    pub(super) nat: bool,
    /// The trunk that carries it.
    pub(super) trunk: Option<String>,
    /// Codecs offered behind the caller's own.
    codecs: Vec<Codec>,
    srtp: Srtp,
    closed: bool,
    /// Whether the other leg has comfort noise, or may have: then it can be relayed.
    pub(super) noise: bool,
    /// Whose it is, as proven by address or password; nobody's who is known, when a URI was called.
    pub(super) owner: Option<Claim>,
    /// Its REFER that has no final answer.
    pub(super) refer: Option<ReferId>,
    /// It was called into a call that talked already, beside the others.
    pub(super) added: bool,
    /// Identity that a leg is shown outside which joins a running call.
    pub(super) shown: Option<String>,
    /// Its signalling has no connection.
    pub(super) unreachable: bool,
    /// No sound comes from it, as far as its media was judged, nor a sign that it could.
    pub(super) silent: bool,
    /// Its media has shown that nothing at all comes from it any more.
    pub(super) out_of_reach: bool,
    /// It need not send any.
    pub(super) on_hold: bool,
    /// Its own telephone has put the call on hold.
    pub(super) holding: Holding,
    /// How loud the others hear it, in decibels.
    pub(super) gain_db: i8,
    /// How it is to be shown that it is on hold.
    hold_shown: HoldShown,
    /// Whether it is to be shown that it is on hold, whether that was offered last, and whether the offer is not answered yet.
    pub(super) hold_wanted: bool,
    pub(super) hold_offered: bool,
    hold_pending: bool,
    /// How keys are pressed towards it.
    pub(super) dtmf: DtmfWay,
    /// How it ended, once the machine has said so.
    pub(super) ending: Option<Ending>,
}

/// A leg that is over, until the worker has closed its media.
pub(super) struct ClosingLeg {
    pub(super) id: LegId,
    pub(super) role: LegRole,
    media: [Option<LegId>; 3],
    /// Closings that the worker has still to report.
    pub(super) open: usize,
}

impl ClosingLeg {
    /// Whether this worker event belongs to the leg.
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

    /// The cause of Q.850 that it ends with, where another leg's was passed on to it.
    pub(super) fn q850(&self) -> Option<u8> {
        self.ending.as_ref().and_then(|ending| ending.q850)
    }

    /// Its media is a browser's and nothing else.
    pub(super) fn is_browser(&self) -> bool {
        self.browser.is_some() && self.plain.is_none()
    }

    /// Whether keys reach it, and come from it, as telephone-events (RFC 4733).
    pub(super) fn knows_telephone_events(&self) -> bool {
        self.is_browser() || self.audio.is_some_and(|audio| audio.telephone_event.is_some())
    }

    /// The worker has closed this media.
    pub(super) fn media_closed(&mut self, media: LegId) {
        for open in [&mut self.plain, &mut self.browser] {
            open.take_if(|open| *open == media);
        }
        self.spare.take_if(|spare| spare.leg == media);
    }

    /// Whether its party may come back after it was lost: a user's device, with the same password.
    pub(super) fn may_come_back(&self) -> bool {
        matches!(self.owner(), Some(Source::User(_)))
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> Option<&Source> {
        self.owner.as_ref().map(Claim::owner)
    }

    /// The agent whose leg it is.
    pub(super) fn agent(&self) -> Option<&str> {
        match self.owner()? {
            Source::User(user) => Some(user),
            Source::Trunk(_) => None,
        }
    }

    /// Closes its media for good; `None` when there is none.
    pub(super) fn part_with_media(&mut self, worker: &Worker) -> Option<ClosingLeg> {
        let open = self.close_media(worker);
        let media = [self.plain.take(), self.spare.take().map(|spare| spare.leg), self.browser.take()];
        (open > 0).then_some(ClosingLeg { id: self.id, role: self.role, media, open })
    }

    /// Some of its media is a browser's, and on its worker to stay.
    pub(super) fn has_browser_media(&self) -> bool {
        self.browser.is_some()
    }

    /// Its names at the worker.
    pub(super) fn open_media(&self) -> impl Iterator<Item = LegId> + use<> {
        [self.plain, self.spare(), self.browser].into_iter().flatten()
    }

    fn spare(&self) -> Option<LegId> {
        self.spare.as_ref().map(|spare| spare.leg)
    }

    /// Its media is as its trunk wants it.
    pub(super) fn goes_through(&mut self, trunk: &TrunkConfig) {
        self.trunk = Some(trunk.name.clone());
        (self.nat, self.srtp) = (trunk.nat, trunk.srtp);
        (self.hold_shown, self.dtmf) = (trunk.hold, trunk.dtmf);
        if !trunk.codecs.is_empty() {
            self.codecs.clone_from(&trunk.codecs);
        }
    }

    /// The leg's name at the worker, once its media is open.
    pub(super) fn media(&self) -> Option<LegId> {
        self.browser.or(self.plain)
    }

    /// Whether the leg has comfort noise, or has offered it.
    pub(super) fn has_noise(&self) -> bool {
        let offered = || sdp::Session::parse(self.offer.as_ref()?.as_bytes()).ok();
        match &self.audio {
            Some(audio) => audio.comfort_noise.is_some(),
            None => offered().is_some_and(|session| session.offers_comfort_noise()),
        }
    }

    /// Whether this worker event belongs to the leg.
    pub(super) fn owns(&self, media: LegId) -> bool {
        self.open_media().any(|open| open == media)
    }

    /// Offers for a leg that we call: plain RTP in every family of addresses, and WebRTC when the other end may be a browser.
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
        let webrtc = within(answer).await?;
        watch(shared, worker, browser)?;
        offers.webrtc_sdp = Some(webrtc);
        Ok(offers)
    }

    /// Adds an offer for peers on IPv6 to one for peers on IPv4, when both are configured and nobody knows yet who answers.
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

    /// An answer to a plain offer has come: from here on the leg is on the answerer's family of addresses.
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

    /// Whether the answer to our offers can be changed: not when it chooses between a browser's media and plain ones.
    pub(super) fn takes_early_media(&self) -> bool {
        self.browser.is_none() && self.plain.is_some()
    }

    /// Takes an answer to our first offer, and closes the media that it did not choose. A callee that is forked answers
    /// more than once: the last answer counts.
    pub(super) async fn take_answer(&mut self, worker: &Worker, answer: &str) -> Result<(), NoMedia> {
        let session = sdp::Session::parse(answer.as_bytes()).map_err(sdp_error)?;
        if sdp::is_webrtc(&session) {
            let browser = self.browser.ok_or_else(|| NoMedia("a WebRTC answer to a plain offer".into()))?;
            let (reply, done) = oneshot::channel();
            send(worker, WorkerRequest::WebRtcAnswer { leg: browser, sdp: answer.to_owned(), reply })?;
            within(done).await?;
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
        // The same answer again, as after early media, changes nothing.
        if self.audio != Some(audio) {
            send(worker, WorkerCommand::RtpUpdate { leg, audio })?;
            self.audio = Some(audio);
        }
        close(worker, self.browser.take());
        Ok(())
    }

    /// Takes the answer to a later offer: one that repeated what was agreed, or showed that the leg is on hold.
    pub(super) fn take_later_answer(&mut self, worker: &Worker, answer: &str) -> Result<(), NoMedia> {
        self.hold_pending = false;
        if self.browser.is_some() {
            // The same offer again restarts nothing: there is nothing new to agree on.
            return Ok(());
        }
        let session = sdp::Session::parse(answer.as_bytes()).map_err(sdp_error)?;
        let (Some(local), Some(leg)) = (&mut self.local, self.plain) else {
            return Err(NoMedia("not a plain leg".into()));
        };
        let audio = local.accept(&session).map_err(sdp_error)?;
        local.srtp.agreed = audio.srtp;
        send(worker, WorkerCommand::RtpUpdate { leg, audio })?;
        self.codec = Some(audio.codec.name());
        self.audio = Some(audio);
        Ok(())
    }

    /// Opens the media of a leg that called us and makes the answer. `prefer`: the codec of the other leg, so
    /// that both can be relayed.
    pub(super) async fn make_answer(
        &mut self,
        shared: &Shared,
        worker: &Worker,
        events: &mpsc::Sender<WorkerEvent>,
        prefer: Option<&Codec>,
    ) -> Result<String, NoMedia> {
        let offer = self.offer.clone().ok_or_else(|| NoMedia("no offer to answer".into()))?;
        let session = sdp::Session::parse(offer.as_bytes()).map_err(sdp_error)?;
        if sdp::is_webrtc(&session) {
            let (reply, answer) = oneshot::channel();
            let media = LegMedia::WebRtcOffered { offer, reply };
            send(worker, WorkerRequest::LegOpen { leg: self.id, media, events: events.clone() })?;
            self.browser = Some(self.id);
            let answer = within(answer).await?;
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
        // Packets of the same codec are relayed: comfort noise only if the other leg knows it.
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

    /// The offer that shows a plain leg that it is on hold, or is so no more; `None`: there is nothing to show, or an offer is under way.
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

    /// The leg took no offer; `again`: another one was under way.
    pub(super) fn hold_offer_failed(&mut self, again: bool) {
        if std::mem::take(&mut self.hold_pending) && again {
            self.hold_offered = !self.hold_offered;
        }
    }

    /// Answers a re-INVITE: hold, resume, codec or address change, ICE restart.
    pub(super) async fn answer_reoffer(&mut self, worker: &Worker, offer: &str) -> Result<String, NoMedia> {
        if let Some(browser) = self.browser {
            let (reply, answer) = oneshot::channel();
            send(worker, WorkerRequest::WebRtcReoffer { leg: browser, sdp: offer.to_owned(), reply })?;
            return within(answer).await;
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

    /// Takes ports for plain media: early, so that a lack of them refuses the call before anybody answers.
    pub(super) fn reserve(&mut self, shared: &Shared, prefer: Option<&Codec>) -> Result<(), NoMedia> {
        let range = self.port_range(shared)?;
        let (local, lease) = self.prepare(shared, range, prefer)?;
        (self.local, self.lease) = (Some(local), Some(lease));
        Ok(())
    }

    /// Ports of a range, and what is said of media there.
    fn prepare(
        &self,
        shared: &Shared,
        range: &PortRange,
        prefer: Option<&Codec>,
    ) -> Result<(Local, PortLease), NoMedia> {
        let lease = range.lease().map_err(|error| NoMedia(error.to_string()))?;
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| NoMedia("the system's random source failed".into()))?;
        // The caller's own first, so that both legs can be relayed; but nothing that the trunk does not want.
        let prefer = prefer.filter(|codec| self.trunk.is_none() || self.codecs.contains(codec));
        let mut codecs: Vec<Codec> = prefer.into_iter().copied().collect();
        codecs.extend(self.codecs.iter().filter(|codec| Some(*codec) != prefer));
        let local = Local {
            address: shared.config.media.told(range.address()),
            rtp_port: lease.rtp_port(),
            rtcp_port: lease.rtcp_port(),
            session_id: u64::from(lease.rtp_port()) << 32 | self.id.0 & 0xffff_ffff,
            codecs,
            srtp: LocalSrtp::new(self.srtp, secret),
            comfort_noise: self.noise,
        };
        Ok((local, lease))
    }

    /// Media of the other end's address family, as far as it is known; else IPv4, where that is configured.
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

    /// Closes all media of the leg; tells how many closings the worker will report.
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

/// Tells the worker when the leg is to be held for dead.
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

async fn within<T>(reply: oneshot::Receiver<Result<T, LegError>>) -> Result<T, NoMedia> {
    match tokio::time::timeout(WORKER_REPLY, reply).await {
        Ok(Ok(result)) => result.map_err(|error| NoMedia(error.to_string())),
        Ok(Err(_)) => Err(NoMedia("the leg ended meanwhile".into())),
        Err(_) => Err(NoMedia("the media worker did not answer within 1 s".into())),
    }
}
