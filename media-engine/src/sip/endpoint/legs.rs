//! Call legs: what the engine sees as dialogs.
//!
//! ```text
//!   incoming: Ringing ──Accept──▶ Talking ──ACK──▶ (acknowledged) ──BYE──▶ gone
//!   outgoing: Calling ──2xx────▶ Talking                           ──BYE──▶ gone
//! ```
//! A leg that the engine hangs up before the ACK has arrived is kept, unseen by the engine, until BYE may be sent (RFC
//! 3261 section 15).

use std::time::Instant;

use super::abilities::PeerAbilities;
use super::attempts::Attempts;
use super::command::DialogId;
use super::ids::{ClientId, ServerId};
use super::referrals::Referrals;
use super::reliable::{RAck, Reliable};
use super::session_timer::{Session, SessionTimer};
use crate::sip::dialog::Dialog;
use crate::sip::flow::{Flow, FlowId};
use crate::sip::reason::Told;
use crate::sip::transaction::Resend;
use crate::sip::trunk::TrunkIndex;
use crate::sip::wheel::TimerKey;

pub(super) struct Leg {
    pub(super) id: DialogId,
    pub(super) state: LegState,
    /// Unanswered calls: time to give up. Answered calls: next repeat of the 2xx.
    pub(super) timer: Option<TimerKey>,
    /// Next try of an offer that met 491.
    pub(super) offer_timer: Option<TimerKey>,
    /// Connections that carry the leg.
    pub(super) flows: Vec<FlowId>,
    /// Trunk of the call, if it is one of a trunk.
    pub(super) trunk: Option<TrunkIndex>,
    /// User whose device this is, if it may come back by another connection.
    pub(super) user: Option<Box<str>>,
    /// Whether its connection has closed and it has not come back.
    pub(super) unreachable: bool,
}

pub(super) enum LegState {
    /// An incoming call without final response.
    Ringing(Box<Ringing>),
    /// An outgoing call without answer.
    Calling(Calling),
    /// An answered call.
    Talking(Box<Talking>),
}

pub(super) struct Ringing {
    pub(super) invite: ServerId,
    /// CSeq number of the INVITE, which the ACK repeats.
    pub(super) cseq: u32,
    pub(super) dialog: Dialog,
    /// Whether the INVITE had no session description, so that our 2xx makes the offer.
    pub(super) wants_offer: bool,
    pub(super) session: Option<SessionTimer>,
    pub(super) peer: PeerAbilities,
    /// Time at which this endpoint ends the call by itself.
    pub(super) until: Instant,
    pub(super) reliable: Reliable,
    /// Headers of the 200 that will answer the call.
    pub(super) headers: Vec<(&'static str, String)>,
    /// The peer's UPDATE or PRACK with an offer that waits for the engine.
    pub(super) peer_offer: Option<PeerOffer>,
}

#[derive(Default)]
pub(super) struct Calling {
    /// INVITEs that may still be answered.
    pub(super) forks: Vec<(ClientId, Flow)>,
    /// The best failure so far.
    pub(super) failure: Option<Failure>,
    /// Status of the last reported progress, so that forks that ring together are reported once.
    pub(super) progress: u16,
    /// State of a trunk's call that may try further destinations.
    pub(super) attempts: Option<Box<Attempts>>,
    /// Number of early dialogs so far, of all INVITEs together.
    pub(super) early_count: u32,
    /// The callee's UPDATE with an offer that waits for the engine.
    pub(super) peer_offer: Option<EarlyOffer>,
}

/// An offer of a callee that has not answered yet.
pub(super) struct EarlyOffer {
    pub(super) server: ServerId,
    /// Transaction of the INVITE, and number of the early dialog.
    pub(super) client: ClientId,
    pub(super) fork: u32,
    pub(super) sdp: String,
}

pub(super) struct Talking {
    pub(super) dialog: Dialog,
    /// Our session description as last agreed: the offer if a re-INVITE asks for one.
    pub(super) sdp: String,
    /// A 2xx of ours that waits for its ACK.
    pub(super) unacknowledged: Option<Unacknowledged>,
    /// The peer's request with an offer that waits for the engine.
    pub(super) peer_offer: Option<PeerOffer>,
    /// Our re-INVITE, sent or waiting for its next try.
    pub(super) our_offer: Option<OurOffer>,
    pub(super) session: Session,
    pub(super) peer: PeerAbilities,
    /// A reliable provisional response whose PRACK has not arrived.
    pub(super) unpracked: Option<RAck>,
    pub(super) referrals: Referrals,
    /// Set if the engine has hung up: BYE with this Reason is sent once the ACK has arrived.
    pub(super) closing: Option<Option<String>>,
}

/// An offer of ours in a re-INVITE.
pub(super) struct OurOffer {
    pub(super) sdp: String,
    /// Transaction and CSeq number of the re-INVITE; `None` while it waits for its next try after a 491.
    pub(super) sent: Option<(ClientId, u32)>,
    /// How often it was sent.
    pub(super) tries: u8,
    /// Whether it changes nothing and only keeps the session alive.
    pub(super) refreshes: bool,
}

pub(super) struct Unacknowledged {
    pub(super) cseq: u32,
    pub(super) resend: Resend,
    pub(super) reply: Flow,
    pub(super) bytes: Vec<u8>,
    /// Whether the ACK carries the answer to our offer.
    pub(super) offered: bool,
}

pub(super) struct PeerOffer {
    pub(super) server: ServerId,
    pub(super) cseq: u32,
    /// Whether it is a re-INVITE, whose answer waits for an ACK, and not an UPDATE.
    pub(super) is_invite: bool,
    pub(super) session: Option<SessionTimer>,
}

/// A refusal of a call by a trunk destination or a contact.
pub(super) struct Failure {
    pub(super) status: u16,
    /// Reason phrase of the refusal.
    pub(super) reason: String,
    /// Further details of the refusal; `None` if there was no response, or not even the request could be sent.
    pub(super) told: Option<Box<Told>>,
}

impl Leg {
    pub(super) fn new(id: DialogId, state: LegState) -> Box<Leg> {
        Box::new(Leg {
            id,
            state,
            timer: None,
            offer_timer: None,
            flows: Vec::new(),
            trunk: None,
            user: None,
            unreachable: false,
        })
    }

    /// Returns whether the engine still knows this leg.
    pub(super) fn is_open(&self) -> bool {
        !matches!(&self.state, LegState::Talking(talking) if talking.closing.is_some())
    }
}
