//! Tables of transactions by key (RFC 3261 sections 17.1.3 and 17.2.3).
//!
//! The endpoint looks transactions up by id, by key or by connection, and takes one out of its table while it changes.
//! Keys stay until the transaction is forgotten. Server transactions are also counted for each network, which bounds
//! the share of one sender.
//!
//! Not here: the handling of transactions (`client`, `server`).

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use super::command::DialogId;
use super::early::EarlyDialogs;
use super::ids::{ClientId, ServerId};
use super::place::Place;
use crate::sip::flow::{Flow, FlowId, network};
use crate::sip::header::Name;
use crate::sip::id_table::IdTable;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{ClientInvite, ClientNonInvite, ServerInvite, ServerNonInvite};
use crate::sip::trunk::TrunkIndex;
use crate::sip::uri::{push_host, push_number};
use crate::sip::wheel::TimerKey;
use crate::sip::write::ResponseHead;

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

#[derive(Clone, Copy, Debug)]
pub(super) enum ServerState {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

/// A transaction that the peer started.
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) key: Box<str>,
    pub(super) merge_key: Option<Box<str>>,
    pub(super) state: ServerState,
    /// Flow of its responses.
    pub(super) reply: Flow,
    /// Our To tag.
    pub(super) tag: Box<str>,
    /// The parts that responses repeat of the request, until it has a final one.
    pub(super) head: Option<ResponseHead>,
    /// The last response, for copies of the request.
    pub(super) response: Vec<u8>,
    /// The leg that it belongs to.
    pub(super) dialog: Option<DialogId>,
    pub(super) timer: Option<TimerKey>,
}

#[derive(Default)]
pub(super) struct Tables {
    clients: IdTable<ClientId, Box<Client>>,
    client_keys: HashMap<Box<str>, ClientId>,
    /// Clients by the connection that carries them; UDP has none.
    client_flows: BTreeSet<(FlowId, ClientId)>,
    servers: IdTable<ServerId, Box<Server>>,
    server_keys: HashMap<Box<str>, ServerId>,
    merged: HashMap<Box<str>, ServerId>,
    /// Number of servers of each network.
    shares: HashMap<IpAddr, usize>,
    last: u64,
    /// Transactions taken out so far, by which tests measure the tables' work.
    #[cfg(test)]
    pub(super) steps: u64,
}

impl Tables {
    pub(super) fn client_id(&mut self) -> ClientId {
        self.last += 1;
        ClientId(self.last)
    }

    pub(super) fn server_id(&mut self) -> ServerId {
        self.last += 1;
        ServerId(self.last)
    }

    pub(super) fn client_find(&self, key: &str) -> Option<ClientId> {
        self.client_keys.get(key).copied()
    }

    pub(super) fn server_find(&self, key: &str) -> Option<ServerId> {
        self.server_keys.get(key).copied()
    }

    pub(super) fn client_is_known(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// Returns whether another branch of the same request is in progress (section 8.2.2.2).
    pub(super) fn is_merged(&self, merge_key: &str) -> bool {
        self.merged.contains_key(merge_key)
    }

    pub(super) fn client_insert(&mut self, client: Box<Client>) {
        self.client_keys.insert(client.key.clone(), client.id);
        if client.flow.transport.is_reliable() {
            self.client_flows.insert((client.flow.id, client.id));
        }
        self.clients.insert(client.id, client);
    }

    pub(super) fn server_insert(&mut self, server: Box<Server>) {
        self.server_keys.insert(server.key.clone(), server.id);
        if let Some(merge_key) = &server.merge_key {
            self.merged.insert(merge_key.clone(), server.id);
        }
        *self.shares.entry(network(server.reply.peer.ip())).or_default() += 1;
        self.servers.insert(server.id, server);
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
        self.client_keys.remove(&client.key);
        self.client_flows.remove(&(client.flow.id, client.id));
    }

    /// Returns our transactions on a connection.
    pub(super) fn clients_on(&self, flow: FlowId) -> Vec<ClientId> {
        let range = (flow, ClientId(0))..=(flow, ClientId(u64::MAX));
        self.client_flows.range(range).map(|(_, client)| *client).collect()
    }

    pub(super) fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(&id).map(|server| &**server)
    }

    /// Takes a server out while it is being changed; its keys stay.
    pub(super) fn server_take(&mut self, id: ServerId) -> Option<Box<Server>> {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        self.servers.remove(&id)
    }

    pub(super) fn server_put_back(&mut self, server: Box<Server>) {
        self.servers.insert(server.id, server);
    }

    /// Forgets the keys of a server that was taken out for good.
    pub(super) fn server_forget(&mut self, server: &Server) {
        self.server_keys.remove(&server.key);
        if let Some(merge_key) = &server.merge_key {
            self.merged.remove(merge_key);
        }
        if let Entry::Occupied(mut share) = self.shares.entry(network(server.reply.peer.ip())) {
            *share.get_mut() -= 1;
            if *share.get() == 0 {
                share.remove();
            }
        }
    }

    /// Returns the number of servers of this address's network.
    pub(super) fn server_count_of(&self, address: IpAddr) -> usize {
        self.shares.get(&network(address)).copied().unwrap_or_default()
    }

    pub(super) fn client_count(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn server_count(&self) -> usize {
        self.servers.len()
    }

    pub(super) fn key_count(&self) -> usize {
        self.client_keys.len()
            + self.client_flows.len()
            + self.server_keys.len()
            + self.merged.len()
            + self.shares.len()
    }
}

/// Returns the key of a client transaction; `method` is as in CSeq. CANCEL shares its branch with the INVITE.
pub(super) fn client_key(branch: &str, method: &str) -> String {
    [branch, " ", method].concat()
}

/// Returns the key of the server transaction that a request belongs to; ACK and CANCEL belong to their INVITE.
pub(super) fn server_key(request: &Message<'_>, method: Method<'_>) -> String {
    let method = match method {
        Method::Ack | Method::Cancel => Method::Invite,
        other => other,
    };
    match request.top_via() {
        Ok(via) if via.has_magic_branch() => {
            let mut key = String::with_capacity(96);
            key.extend([via.branch().unwrap_or_default(), " "]);
            push_host(&mut key, &via.host);
            key.push(':');
            push_number(&mut key, via.port.unwrap_or(5060));
            key.extend([" ", method.as_str()]);
            key
        }
        // RFC 2543: the ACK repeats all of this, with a To tag added.
        _ => {
            let uri = request.request_uri().map_or("", |uri| uri.as_str());
            let via = request.headers(Name::Via).next().unwrap_or_default();
            format!("{uri} {via} {} {method}", identity(request))
        }
    }
}

/// Returns the key by which copies of one request that arrived by several ways are recognised.
pub(super) fn merge_key(request: &Message<'_>) -> String {
    let method = request.method().map_or("", |method| method.as_str());
    format!("{} {method}", identity(request))
}

fn identity(request: &Message<'_>) -> String {
    let from_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
    let cseq = request.cseq().map_or(0, |cseq| cseq.number);
    format!("{from_tag} {} {cseq}", request.call_id().unwrap_or_default())
}
