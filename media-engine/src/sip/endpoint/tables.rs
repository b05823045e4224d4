//! Our own requests: their transactions, and the look-up of one by id, by key or by connection (RFC 3261 section 17.1.3).
//!
//! [`Tables`] owns them. The endpoint takes a transaction out while it changes, and puts it back; its keys stay until it is
//! forgotten.
//!
//! Not here: the handling of transactions (`client`), requests of peers (`servers`).

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::command::DialogId;
use super::early_dialogs::EarlyDialogs;
use super::ids::ClientId;
use super::place::Place;
use crate::sip::flow::{Flow, FlowId};
use crate::sip::id_table::IdTable;
use crate::sip::transaction::{ClientInvite, ClientNonInvite};
use crate::sip::trunk::TrunkIndex;
use crate::sip::wheel::TimerKey;

#[derive(Clone, Copy, Debug)]
pub(super) enum ClientState {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

/// A transaction that we started.
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) key: Box<str>,
    pub(super) state: ClientState,
    pub(super) flow: Flow,
    /// Message to retransmit: the request, or after a failure of INVITE its ACK. Empty if nothing is retransmitted.
    pub(super) bytes: Vec<u8>,
    pub(super) user: ClientUser,
    pub(super) timer: Option<TimerKey>,
    /// Time at which a cancelled INVITE is forgotten, whatever its state (section 9.1).
    pub(super) forget_at: Option<Instant>,
    /// The request as sent, for the case that a trunk challenges it.
    pub(super) original: Option<Box<Original>>,
}

/// A request that may be sent again with a trunk's password.
pub(super) struct Original {
    pub(super) trunk: TrunkIndex,
    pub(super) bytes: Vec<u8>,
    /// Challenges answered so far.
    pub(super) answered: u8,
}

/// The owner of a response.
pub(super) enum ClientUser {
    /// An INVITE that starts a call.
    Fork(Box<Fork>),
    /// A re-INVITE in an answered call.
    Reinvite(DialogId),
    /// An UPDATE that keeps the session alive.
    Refresh(DialogId),
    /// A registration of our own, by its index.
    Register(usize),
    /// An OPTIONS that probes the health of a trunk.
    Probe(Box<Place>),
    /// A REFER of ours.
    Refer(DialogId),
    /// A NOTIFY about the peer's REFER.
    Notify(DialogId),
    /// BYE, CANCEL, INFO, PRACK: the response has no consequence.
    Nobody,
}

/// One INVITE of an outgoing call; a call to a user sends one to each of its contacts.
pub(super) struct Fork {
    pub(super) dialog: DialogId,
    /// Our From value, tag included.
    pub(super) local: String,
    pub(super) local_tag: Box<str>,
    /// Our Contact value.
    pub(super) contact: String,
    /// Whether the call continues without this fork: an answer is hung up.
    pub(super) abandoned: bool,
    /// Reason in its CANCEL (RFC 3326).
    pub(super) cancel_reason: Option<Box<str>>,
    /// Whether a provisional response has arrived, so that CANCEL may be sent.
    pub(super) provisional: bool,
    pub(super) cancelled: bool,
    /// To tag of the answer that established the call.
    pub(super) winner: Option<Box<str>>,
    /// Destination of a trunk's call.
    pub(super) place: Option<Place>,
    pub(super) early: EarlyDialogs,
    /// The INVITE, kept after a refusal for another try.
    pub(super) request: Vec<u8>,
    /// Whether a longer session interval has been proposed after a 422.
    pub(super) raised: bool,
    /// Contacts of a redirection that are still to be tried, the next one last.
    pub(super) contacts: Option<Vec<(String, Flow)>>,
}

impl Fork {
    /// Returns the trunk destination whose health its responses show; none once a redirection has led elsewhere.
    pub(super) fn tried_place(&self) -> Option<&Place> {
        self.place.as_ref().filter(|_| self.contacts.is_none())
    }
}

/// Our transactions, by id, by key and by connection.
#[derive(Default)]
pub(super) struct Tables {
    clients: IdTable<ClientId, Box<Client>>,
    keys: HashMap<Box<str>, ClientId>,
    /// Clients by the connection that carries them; UDP is not listed.
    flows: BTreeSet<(FlowId, ClientId)>,
    last: u64,
    /// Transactions taken out so far, by which tests measure the table's work.
    #[cfg(test)]
    pub(super) steps: u64,
}

impl Tables {
    pub(super) fn client_id(&mut self) -> ClientId {
        self.last += 1;
        ClientId(self.last)
    }

    pub(super) fn client_find(&self, key: &str) -> Option<ClientId> {
        self.keys.get(key).copied()
    }

    pub(super) fn client_is_known(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    pub(super) fn client_insert(&mut self, client: Box<Client>) {
        self.keys.insert(client.key.clone(), client.id);
        if client.flow.transport.is_reliable() {
            self.flows.insert((client.flow.id, client.id));
        }
        self.clients.insert(client.id, client);
    }

    pub(super) fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(&id).map(|client| &**client)
    }

    /// Takes a client out while it is being changed; its keys stay.
    pub(super) fn client_take(&mut self, id: ClientId) -> Option<Box<Client>> {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        self.clients.remove(&id)
    }

    pub(super) fn client_put_back(&mut self, client: Box<Client>) {
        self.clients.insert(client.id, client);
    }

    /// Forgets the keys of a client that was taken out for good.
    pub(super) fn client_forget(&mut self, client: &Client) {
        self.keys.remove(&client.key);
        self.flows.remove(&(client.flow.id, client.id));
    }

    /// Returns our transactions on a connection.
    pub(super) fn clients_on(&self, flow: FlowId) -> Vec<ClientId> {
        let range = (flow, ClientId(0))..=(flow, ClientId(u64::MAX));
        self.flows.range(range).map(|(_, client)| *client).collect()
    }

    pub(super) fn client_count(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn key_count(&self) -> usize {
        self.keys.len() + self.flows.len()
    }
}

/// Returns the key of a client transaction; `method` is as in CSeq. CANCEL shares its branch with the INVITE.
pub(super) fn client_key(branch: &str, method: &str) -> String {
    [branch, " ", method].concat()
}
