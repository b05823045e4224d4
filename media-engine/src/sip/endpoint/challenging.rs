//! Challenges of trunks: a request that gets 401 or 407 is sent again with the trunk's password (RFC 3261 section 22).
//!
//! The new request has the same Call-ID and tags, the next CSeq and its own branch. A password is used only for the
//! trunk that it belongs to, once for each request, and twice more if only the nonce was stale. An ACK cannot be
//! challenged: the ACK of a 2xx repeats the credentials of its INVITE.

use std::time::Instant;

use super::Endpoint;
use super::early_dialogs::EarlyDialogs;
use super::ids::{ClientId, TagOwner};
use super::proof::{Proof, proof};
use super::tables::{Client, ClientUser};
use crate::sip::header::Name;
use crate::sip::message::Message;
use crate::sip::write::with_credentials;

/// Headers that hold credentials.
const PROOFS: [Name; 2] = [Name::Authorization, Name::ProxyAuthorization];

impl Client {
    /// Returns the credentials that the request was sent with; the ACK for its 2xx carries the same (RFC 3261 section
    /// 22.1).
    pub(super) fn proofs(&self) -> Vec<Proof> {
        let Some(original) = &self.original else { return Vec::new() };
        let Ok(request) = Message::parse(&original.bytes) else { return Vec::new() };
        let lines = |header| request.lines(header).map(move |value| Proof { header, value: value.to_owned() });
        PROOFS.into_iter().flat_map(lines).collect()
    }
}

impl Endpoint {
    /// Sends a challenged request again with the trunk's password; returns whether it did. The old transaction then has
    /// no user any more.
    pub(super) fn answer_challenge(
        &mut self,
        client: &mut Client,
        response: &Message<'_>,
        status: u16,
        now: Instant,
    ) -> bool {
        if !matches!(status, 401 | 407) || self.is_given_up(&client.user) || !self.has_room() {
            return false;
        }
        let Some(original) = client.original.take() else { return false };
        let Ok(request) = Message::parse(&original.bytes) else { return false };
        let (Some(method), Ok(cseq)) = (request.method(), request.cseq().map(|cseq| cseq.number)) else { return false };
        // A Contact may have led the request elsewhere: only the trunk itself may challenge it.
        if !self.trunks.trunk(original.trunk).owns(&client.flow) {
            return false;
        }
        let Some(account) = self.trunks.settings(original.trunk).credentials.clone() else { return false };
        let uri = request.request_uri().map_or("", |uri| uri.as_str());
        let account = (account.user.as_str(), account.password.as_str());
        let request_line = (method.as_str(), uri);
        let Some(proof) = proof(response, status, original.answered, account, request_line, &mut self.tokens) else {
            self.trunks.note_error(original.trunk, format!("{status}: the trunk rejected our password"));
            return false;
        };
        let branch = self.tokens.branch_again(request.top_via().ok().and_then(|via| via.branch()));
        let cseq = self.number_after(&request, cseq);
        let bytes =
            with_credentials(&request, &self.config.via(&client.flow, &branch), cseq, proof.header, &proof.value);
        let user = std::mem::replace(&mut client.user, ClientUser::Nobody);
        let next = self.start_client_of(Some(original.trunk), client.flow, &branch, method, bytes, user, now);
        self.replace_transaction(client.id, next, original.answered + 1, now);
        true
    }

    /// Returns the next number of the dialog that a request of ours belongs to.
    fn number_after(&mut self, request: &Message<'_>, cseq: u32) -> u32 {
        let tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        if let Some(TagOwner::Leg(id)) = self.legs.owner_of(tag)
            && let Some(talking) = self.legs.talking(id)
        {
            return talking.dialog.next_cseq();
        }
        cseq.saturating_add(1)
    }

    /// Returns whether the result of the request is no longer wanted.
    fn is_given_up(&self, user: &ClientUser) -> bool {
        matches!(user, ClientUser::Fork(fork) if fork.abandoned)
    }

    /// Replaces the old transaction by the new one wherever it is referred to.
    fn replace_transaction(&mut self, old: ClientId, next: ClientId, answered: u8, now: Instant) {
        let Some(mut client) = self.tables.client_take(next) else { return };
        if let ClientUser::Fork(fork) = &client.user {
            self.drop_early_offer(fork.dialog, old, None, now);
        }
        if let Some(original) = &mut client.original {
            original.answered = answered;
        }
        match &mut client.user {
            ClientUser::Fork(fork) => {
                self.legs.give_tag(fork.local_tag.clone(), TagOwner::Fork(next));
                if let Some(calling) = self.legs.calling(fork.dialog) {
                    for (id, _) in calling.forks.iter_mut().filter(|(id, _)| *id == old) {
                        *id = next;
                    }
                }
                (fork.provisional, fork.early) = (false, EarlyDialogs::default());
                self.attempt_again(fork.dialog, now);
            }
            ClientUser::Reinvite(dialog) | ClientUser::Refresh(dialog) => {
                if let Some(talking) = self.legs.talking(*dialog) {
                    let number = talking.dialog.local_cseq;
                    let sent = talking.our_offer.as_mut().and_then(|offer| offer.sent.as_mut());
                    if let Some(sent) = sent.filter(|(id, _)| *id == old) {
                        *sent = (next, number);
                        client.forget_at = Some(now + self.config.unanswered);
                    }
                }
            }
            ClientUser::Refer(_)
            | ClientUser::Notify(_)
            | ClientUser::Register(_)
            | ClientUser::Probe(_)
            | ClientUser::Nobody => {}
        }
        let state = client.state;
        self.settle_client(client, Some(state), now);
    }
}
