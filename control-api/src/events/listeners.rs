//! How many event streams are open: of each person, of each key, and of each organization.
//!
//! A stream holds a connection, a page of events and a look at the store from time to time, for as long as its client likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use uuid::Uuid;

use crate::auth::Actor;
use crate::problem::Problem;

/// Most streams of one organization, key and person, where there are connections enough. A key is a program, which may pass
/// one call's words on to a thousand listeners; a person has some pages open.
const PER_ORGANIZATION: usize = 4096;
const PER_KEY: usize = 2048;
const PER_PERSON: usize = 64;
/// Seconds after which one that was refused may try again.
const RETRY_S: u32 = 10;

/// Counts open streams.
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
    /// A person or key, in an organization.
    Actor(Uuid, Option<Uuid>),
}

impl Listeners {
    /// None open; bounds for a listener that takes `connections`: half of them for one organization, a quarter for one key, a
    /// sixteenth for one person.
    pub fn new(connections: usize) -> Listeners {
        Listeners {
            open: Arc::default(),
            per_organization: (connections / 2).min(PER_ORGANIZATION),
            per_key: (connections / 4).min(PER_KEY),
            per_person: (connections / 16).clamp(4, PER_PERSON),
        }
    }

    /// Counts a stream until what is returned is dropped.
    ///
    /// # Errors
    /// 429: there are too many.
    pub(crate) fn listen(&self, actor: &Actor) -> Result<Listening, Problem> {
        let own = if actor.person.is_some() { self.per_person } else { self.per_key };
        self.take(actor.organization.0, actor.by.id, own)
    }

    /// Counts a stream of an actor, who may have `most`.
    fn take(&self, organization: Uuid, actor: Option<Uuid>, most: usize) -> Result<Listening, Problem> {
        let (tenant, own) = (Holder::Organization(organization), Holder::Actor(organization, actor));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (holder, most, whose) in
            [(own, most, "of this person or key"), (tenant, self.per_organization, "of this organization")]
        {
            if open.get(&holder).copied().unwrap_or(0) >= most {
                metrics::counter!("tandem_streams_refused_total").increment(1);
                return Err(Problem {
                    retry_after: Some(RETRY_S),
                    ..Problem::new(
                        StatusCode::TOO_MANY_REQUESTS,
                        "too-many-streams",
                        "Too many event streams are open",
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
    /// The place of the only stream.
    pub(super) fn of_a_test() -> Listening {
        Listeners::new(64).take(Uuid::nil(), None, 1).expect("the first one")
    }
}

/// An open stream's place.
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
        assert!(listeners.take(tenant, one, most).is_err_and(|problem| problem.detail.contains("person or key")));
        assert!(listeners.take(other, one, most).is_ok(), "the same person elsewhere");
        held.extend((0..88).map(|n| listeners.take(tenant, Some(Uuid::from_u128(10 + n / 11)), most).unwrap()));
        let refused = listeners.take(tenant, Some(Uuid::from_u128(99)), most);
        assert!(refused.is_err_and(|problem| problem.detail.contains("organization")));
        held.pop();
        assert!(listeners.take(tenant, Some(Uuid::from_u128(99)), most).is_ok());
        drop(held);
        assert!(listeners.open.lock().unwrap().is_empty());
    }
}
