//! Call legs: what the engine knows as a dialog.
//!
//! ```text
//!   incoming: Ringing ──Accept──▶ Talking ──ACK──▶ (acknowledged) ──BYE──▶ gone
//!   outgoing: Calling ──2xx────▶ Talking                           ──BYE──▶ gone
//! ```
//! A leg that the engine hangs up before the ACK has come stays, unseen by the engine, until it may send BYE
//! (RFC 3261 section 15).

use std::time::{Duration, Instant};

use super::command::DialogId;
use super::flow::{Flow, FlowId};
use super::referring::Referred;
use super::reliable::{RAck, Reliable};
use super::session::Refresh;
use super::tables::{ClientId, ServerId};
use super::trunking::{Attempts, TrunkIndex};
use crate::sip::dialog::Dialog;
use crate::sip::reason::Told;
use crate::sip::transaction::Resend;
use crate::sip::wheel::TimerKey;

pub(super) struct Leg {
    pub(super) id: DialogId,
    pub(super) state: LegState,
    /// Unanswered calls: when to give up. Answered ones: when to send the 2xx again.
    pub(super) timer: Option<TimerKey>,
    /// Session refresh or expiry (RFC 4028).
    pub(super) session_timer: Option<TimerKey>,
    /// When an offer that met 491 is tried again.
    pub(super) offer_timer: Option<TimerKey>,
    /// When a REFER of ours is given up whose peer tells nothing.
    pub(super) refer_timer: Option<TimerKey>,
    /// Connections that it hangs on.
    pub(super) flows: Vec<FlowId>,
    /// The trunk whose call it is.
    pub(super) trunk: Option<TrunkIndex>,
    /// The user whose device it is: one that may come back by another connection.
    pub(super) user: Option<Box<str>>,
    /// Its connection is gone, and it has not come back.
    pub(super) unreachable: bool,
}

pub(super) enum LegState {
    /// An incoming call that has no final answer.
    Ringing(Box<Ringing>),
    /// An outgoing call that has no answer.
    Calling(Calling),
    /// An answered call.
    Talking(Box<Talking>),
}

pub(super) struct Ringing {
    pub(super) invite: ServerId,
    /// Its number, which the ACK repeats.
    pub(super) cseq: u32,
    pub(super) dialog: Dialog,
    /// The INVITE had no session description: our 2xx makes the offer.
    pub(super) wants_offer: bool,
    pub(super) session: Option<SessionTimer>,
    pub(super) peer: PeerAbilities,
    /// When this endpoint ends it by itself.
    pub(super) until: Instant,
    pub(super) reliable: Reliable,
    /// The peer's UPDATE or PRACK with an offer that waits for the engine.
    pub(super) peer_offer: Option<PeerOffer>,
}

#[derive(Default)]
pub(super) struct Calling {
    /// INVITEs that may still be answered.
    pub(super) forks: Vec<(ClientId, Flow)>,
    /// The best failure so far.
    pub(super) failure: Option<Failure>,
    /// The last progress told, so that forks that ring together are told once.
    pub(super) progress: u16,
    /// A trunk's call: what further places would be called with.
    pub(super) attempts: Option<Box<Attempts>>,
    /// Early dialogs so far, of all INVITEs together: their numbers.
    pub(super) early_count: u32,
    /// The callee's UPDATE with an offer that waits for the engine.
    pub(super) peer_offer: Option<EarlyOffer>,
}

/// An offer of a callee that has not answered yet.
pub(super) struct EarlyOffer {
    pub(super) server: ServerId,
    /// The INVITE and the number of the early dialog.
    pub(super) client: ClientId,
    pub(super) fork: u32,
    pub(super) sdp: String,
}

pub(super) struct Talking {
    pub(super) dialog: Dialog,
    /// Our session description as it was last agreed: the offer when a re-INVITE asks for one.
    pub(super) sdp: String,
    /// A 2xx of ours that waits for its ACK.
    pub(super) unacknowledged: Option<Unacknowledged>,
    /// The peer's request with an offer that waits for the engine.
    pub(super) peer_offer: Option<PeerOffer>,
    /// Our re-INVITE, under way or to be tried again.
    pub(super) our_offer: Option<OurOffer>,
    pub(super) session: Option<SessionTimer>,
    pub(super) refresh: Refresh,
    pub(super) peer: PeerAbilities,
    /// A reliable provisional answer whose PRACK has not come.
    pub(super) unpracked: Option<RAck>,
    /// The peer's REFER that the engine carries out.
    pub(super) referred: Option<Referred>,
    /// Our REFER is in progress.
    pub(super) refers: bool,
    /// The engine has hung up: BYE leaves with this Reason once the ACK has come.
    pub(super) closing: Option<Option<String>>,
}

/// An offer of ours in a re-INVITE.
pub(super) struct OurOffer {
    pub(super) sdp: String,
    /// The re-INVITE and its number; `None` while it waits to be tried again after a 491.
    pub(super) sent: Option<(ClientId, u32)>,
    /// How often it was sent.
    pub(super) tries: u8,
    /// It changes nothing and only keeps the session alive.
    pub(super) refreshes: bool,
}

pub(super) struct Unacknowledged {
    pub(super) cseq: u32,
    pub(super) resend: Resend,
    pub(super) reply: Flow,
    pub(super) bytes: Vec<u8>,
    /// The ACK carries the answer to our offer.
    pub(super) offered: bool,
}

pub(super) struct PeerOffer {
    pub(super) server: ServerId,
    pub(super) cseq: u32,
    /// re-INVITE, whose answer waits for an ACK; else UPDATE.
    pub(super) is_invite: bool,
    pub(super) session: Option<SessionTimer>,
}

/// How a place or a contact refused a call.
pub(super) struct Failure {
    pub(super) status: u16,
    /// The reason phrase.
    pub(super) reason: String,
    /// What it said besides; `None`: nobody answered, or not even the request could be sent.
    pub(super) told: Option<Box<Told>>,
}

/// What the peer has said of itself in Allow and Supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerAbilities {
    pub(super) update: bool,
    pub(super) timer: bool,
}

/// An agreed session interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionTimer {
    pub(super) interval: Duration,
    pub(super) we_refresh: bool,
}

impl SessionTimer {
    /// When to act next: after a refresh halfway when the next one is ours, else when the session is as good as over
    /// (RFC 4028 section 10). `refreshing`: our refresh is being sent, and half the interval has passed.
    pub(super) fn delay(&self, refreshing: bool) -> Duration {
        let end = self.interval - (self.interval / 3).min(Duration::from_secs(32));
        match (self.we_refresh, refreshing) {
            (false, _) => end,
            (true, false) => self.interval / 2,
            (true, true) => end - self.interval / 2,
        }
    }
}

impl Leg {
    pub(super) fn new(id: DialogId, state: LegState) -> Box<Leg> {
        Box::new(Leg {
            id,
            state,
            timer: None,
            session_timer: None,
            offer_timer: None,
            refer_timer: None,
            flows: Vec::new(),
            trunk: None,
            user: None,
            unreachable: false,
        })
    }

    /// Whether the engine still knows this leg.
    pub(super) fn is_open(&self) -> bool {
        !matches!(&self.state, LegState::Talking(talking) if talking.closing.is_some())
    }
}
