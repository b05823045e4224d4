//! Identities within an endpoint: of transactions, and of the owners of our tags.

use super::command::DialogId;

/// A transaction that we started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientId(pub(super) u64);

/// A transaction that a peer started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerId(pub(super) u64);

/// The owner of one of our tags, to which a request with that tag belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagOwner {
    Leg(DialogId),
    /// An INVITE of ours that has no answer yet.
    Fork(ClientId),
}
