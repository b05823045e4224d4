//! Limits of open event streams: for each user, each key and each organization.
//!
//! An open stream costs a connection, a page of events and repeated look-ups in the store, for as long as its client likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use uuid::Uuid;

use crate::auth::Actor;
use crate::http::problem::Problem;

/// Largest number of streams of one organization, if there are enough connections.
const PER_ORGANIZATION: usize = 4096;
/// Largest number of streams of one key. A key belongs to a program, which may pass the transcript of one call to a thousand
/// listeners.
const PER_KEY: usize = 2048;
/// Largest number of streams of one user, who has a few pages open.
const PER_PERSON: usize = 64;
/// Seconds after which a refused client may try again.
const RETRY_S: u32 = 10;

/// Counts open event streams; clones share the counts.
#[derive(Clone)]
pub struct Listeners {
    open: Arc<Mutex<HashMap<Holder, usize>>>,
    per_organization: usize,
    per_key: usize,
    per_person: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Organization(Uuid),
    /// User or key within an organization.
    Actor(Uuid, Option<Uuid>),
}

impl Listeners {
    /// Creates a counter with limits for a listener of `connections` connections: half of them for one organization, a quarter
    /// for one key, a sixteenth for one user.
    pub fn new(connections: usize) -> Listeners {
        Listeners {
            open: Arc::default(),
            per_organization: (connections / 2).min(PER_ORGANIZATION),
            per_key: (connections / 4).min(PER_KEY),
            per_person: (connections / 16).clamp(4, PER_PERSON),
        }
    }

    /// Counts a stream until the returned value is dropped.
    ///
    /// # Errors
    /// Returns 429 if there are too many open streams; the client should close one or try again later.
    pub(crate) fn listen(&self, actor: &Actor) -> Result<Listening, Problem> {
        let own = if actor.person.is_some() { self.per_person } else { self.per_key };
        self.take(actor.organization.0, actor.by.id, own)
    }

    /// Counts a stream of an actor who may have `most` streams.
    fn take(&self, organization: Uuid, actor: Option<Uuid>, most: usize) -> Result<Listening, Problem> {
        let (tenant, own) = (Holder::Organization(organization), Holder::Actor(organization, actor));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (holder, most, whose) in
            [(own, most, "of this user or key"), (tenant, self.per_organization, "of this organization")]
        {
            if open.get(&holder).copied().unwrap_or(0) >= most {
                metrics::counter!("tandem_streams_refused_total").increment(1);
                return Err(Problem {
                    retry_after: Some(RETRY_S),
                    ..Problem::new(
                        StatusCode::TOO_MANY_REQUESTS,
                        "too-many-streams",
                        "Too many event streams",
                        format!("{most} streams {whose} are open; close one first"),
                    )
                });
            }
        }
        for holder in [own, tenant] {
            *open.entry(holder).or_default() += 1;
        }
        Ok(Listening { open: Arc::clone(&self.open), holders: [own, tenant] })
    }
}

#[cfg(test)]
impl Listening {
    /// Returns the place of a single stream.
    pub(super) fn of_a_test() -> Listening {
        Listeners::new(64).take(Uuid::nil(), None, 1).expect("the first stream is allowed")
    }
}

/// Place of an open stream. The stream is counted until this is dropped.
pub struct Listening {
    open: Arc<Mutex<HashMap<Holder, usize>>>,
    holders: [Holder; 2],
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for holder in &self.holders {
            if let Some(count) = open.get_mut(holder) {
                *count -= 1;
                if *count == 0 {
                    open.remove(holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_bounded_by_actor_and_by_organization_and_given_back() {
        let listeners = Listeners::new(200);
        let most = listeners.per_person;
        assert_eq!((most, listeners.per_key, listeners.per_organization), (12, 50, 100));
        let (tenant, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let one = Some(Uuid::from_u128(3));
        let mut held: Vec<Listening> = (0..12).map(|_| listeners.take(tenant, one, most).unwrap()).collect();
        assert!(listeners.take(tenant, one, most).is_err_and(|problem| problem.detail.contains("user or key")));
        assert!(listeners.take(other, one, most).is_ok(), "the same user in another organization");
        held.extend((0..88).map(|n| listeners.take(tenant, Some(Uuid::from_u128(10 + n / 11)), most).unwrap()));
        let refused = listeners.take(tenant, Some(Uuid::from_u128(99)), most);
        assert!(refused.is_err_and(|problem| problem.detail.contains("organization")));
        held.pop();
        assert!(listeners.take(tenant, Some(Uuid::from_u128(99)), most).is_ok());
        drop(held);
        assert!(listeners.open.lock().unwrap().is_empty());
    }
}
