//! Location service (RFC 3261 section 10, RFC 5626): users' passwords, and the contacts where they are reached.
//!
//! ```text
//!   CredentialSet ─▶ passwords ┐                        ┌─▶ flows of a user's contacts ─▶ forked INVITE
//!   REGISTER (authenticated) ──┴─▶ bindings (per flow) ─┤
//!   flow closed, time ───────────────────────────────▶──┘
//! ```
//!
//! - A binding belongs to the flow of its REGISTER and is reached only by it; its URI is never resolved.
//! - A REGISTER changes all of its contacts or none.
//! - Everything expires: passwords and bindings by the wheel, and bindings with their flow. `CredentialEnd` removes all
//!   of a user's at once.
//!
//! Not here: parsing and writing of REGISTER, digest (`endpoint::registration`, `endpoint::authentication`).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::sip::flow::{Flow, FlowId};
use crate::sip::limits::Limits;
use crate::sip::wheel::{TimerKey, TimerWheel};

/// One contact in a REGISTER request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContactChange {
    /// The Contact value as received, without its `expires` parameter: echoed in responses.
    pub(crate) contact: String,
    /// URI of the contact: the target of calls.
    pub(crate) uri: String,
    /// `+sip.instance` and `reg-id`, if both are there (RFC 5626 section 6).
    pub(crate) instance: Option<(String, u32)>,
    /// Granted expiry; zero removes the binding.
    pub(crate) expires: Duration,
}

/// The effect of a REGISTER request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    /// Contacts to set or remove; none for a query.
    Contacts(Vec<ContactChange>),
}

/// The REGISTER request that makes a change.
pub(crate) struct Origin<'r> {
    pub(crate) flow: Flow,
    pub(crate) call_id: &'r str,
    pub(crate) cseq: u32,
    /// Path values (RFC 3327), topmost first.
    pub(crate) path: &'r [String],
}

/// A registered contact.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) contact: String,
    pub(crate) uri: String,
    pub(crate) flow: Flow,
    pub(crate) path: Vec<String>,
    pub(crate) expires_at: Instant,
    instance: Option<(String, u32)>,
    call_id: String,
    cseq: u32,
    timer: TimerKey,
}

impl Binding {
    fn is_replaced_by(&self, change: &ContactChange) -> bool {
        self.uri == change.uri || (self.instance.is_some() && self.instance == change.instance)
    }
}

/// A REGISTER is out of order (RFC 3261 section 10.3 step 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

/// The table of users is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Number of contacts of a user after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reachability {
    pub(crate) user: String,
    pub(crate) contacts: usize,
}

struct Password {
    text: String,
    expires_at: Instant,
    timer: TimerKey,
}

#[derive(Default)]
struct User {
    passwords: Vec<Password>,
    bindings: Vec<Binding>,
}

/// A user who may have an expired password or binding.
struct Due(Box<str>);

/// Passwords and bindings of all users.
pub(crate) struct Registrar {
    users: HashMap<Box<str>, User>,
    by_flow: BTreeSet<(FlowId, Box<str>)>,
    wheel: TimerWheel<Due>,
    limits: Limits,
}

impl Registrar {
    pub(crate) fn new(limits: Limits) -> Registrar {
        Registrar { users: HashMap::new(), by_flow: BTreeSet::new(), wheel: TimerWheel::new(), limits }
    }

    /// Makes `password` valid for `user` for `valid_for`, in addition to those already valid.
    pub(crate) fn credential_set(
        &mut self,
        user: &str,
        password: &str,
        valid_for: Duration,
        now: Instant,
    ) -> Result<(), Full> {
        if !self.users.contains_key(user) && self.users.len() >= self.limits.users {
            return Err(Full);
        }
        let entry = self.users.entry(user.into()).or_default();
        if let Some(known) = entry.passwords.iter().position(|known| known.text == password) {
            self.wheel.cancel(entry.passwords.swap_remove(known).timer);
        }
        if entry.passwords.len() >= self.limits.passwords_per_user {
            let first = entry.passwords.iter().enumerate().min_by_key(|(_, known)| known.expires_at);
            if let Some(first) = first.map(|(index, _)| index) {
                self.wheel.cancel(entry.passwords.swap_remove(first).timer);
            }
        }
        let timer = self.wheel.arm(now, valid_for, Due(user.into()));
        entry.passwords.push(Password { text: password.into(), expires_at: now + valid_for, timer });
        Ok(())
    }

    /// Removes all passwords and bindings of `user`; returns a change if there were bindings.
    pub(crate) fn credential_end(&mut self, user: &str) -> Option<Reachability> {
        if let Some(entry) = self.users.get_mut(user) {
            for password in entry.passwords.drain(..) {
                self.wheel.cancel(password.timer);
            }
        }
        let was_reached = !self.bindings(user).is_empty();
        let change = self.remove_where(user, |_| true);
        was_reached.then_some(change)
    }

    /// Returns the passwords of `user` that are valid now.
    pub(crate) fn passwords<'r>(&'r self, user: &str, now: Instant) -> impl Iterator<Item = &'r str> {
        let passwords = self.users.get(user).map_or(&[][..], |user| &user.passwords);
        passwords.iter().filter(move |password| now < password.expires_at).map(|password| password.text.as_str())
    }

    /// Returns the bindings by which `user` is reached now.
    pub(crate) fn bindings(&self, user: &str) -> &[Binding] {
        self.users.get(user).map_or(&[], |user| &user.bindings)
    }

    /// Applies a REGISTER request of an authenticated user; returns the number of contacts afterwards.
    pub(crate) fn update(
        &mut self,
        user: &str,
        change: &Change,
        origin: &Origin<'_>,
        now: Instant,
    ) -> Result<usize, OutOfOrder> {
        let bindings = self.bindings(user);
        let stale = |binding: &Binding| binding.call_id == origin.call_id && origin.cseq <= binding.cseq;
        let touched = |binding: &Binding| match change {
            Change::RemoveAll => true,
            Change::Contacts(contacts) => contacts.iter().any(|change| binding.is_replaced_by(change)),
        };
        if bindings.iter().any(|binding| touched(binding) && stale(binding)) {
            return Err(OutOfOrder);
        }
        self.unindex_flows(user);
        let entry = self.users.entry(user.into()).or_default();
        let mut index = 0;
        while index < entry.bindings.len() {
            if touched(&entry.bindings[index]) {
                self.wheel.cancel(entry.bindings.remove(index).timer);
            } else {
                index += 1;
            }
        }
        if let Change::Contacts(contacts) = change {
            for contact in contacts.iter().filter(|contact| !contact.expires.is_zero()) {
                if entry.bindings.len() >= self.limits.contacts_per_user {
                    // Phones that make up a new contact at every start would lock themselves out, so the oldest one is
                    // removed.
                    self.wheel.cancel(entry.bindings.remove(0).timer);
                }
                let timer = self.wheel.arm(now, contact.expires, Due(user.into()));
                entry.bindings.push(Binding {
                    contact: contact.contact.clone(),
                    uri: contact.uri.clone(),
                    flow: origin.flow,
                    path: origin.path.to_vec(),
                    expires_at: now + contact.expires,
                    instance: contact.instance.clone(),
                    call_id: origin.call_id.into(),
                    cseq: origin.cseq,
                    timer,
                });
            }
        }
        let contacts = entry.bindings.len();
        self.index_flows(user);
        self.forget_if_empty(user);
        Ok(contacts)
    }

    /// Returns whether a flow has bindings.
    pub(crate) fn has_flow(&self, flow: FlowId) -> bool {
        self.by_flow.range((flow, Box::from(""))..).next().is_some_and(|(known, _)| *known == flow)
    }

    /// Removes the bindings of a flow that has closed.
    pub(crate) fn flow_closed(&mut self, flow: FlowId) -> Vec<Reachability> {
        let range = (flow, Box::from(""))..(FlowId(flow.0.saturating_add(1)), Box::from(""));
        let users: Vec<Box<str>> = self.by_flow.range(range).map(|(_, user)| user.clone()).collect();
        users.iter().map(|user| self.remove_where(user, |binding| binding.flow.id == flow)).collect()
    }

    /// Returns the time of the next [`Registrar::expire`] call.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Removes what has expired; returns the users who lost contacts.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Reachability> {
        let mut changed = Vec::new();
        while let Some(Due(user)) = self.wheel.expire(now) {
            if let Some(entry) = self.users.get_mut(&user) {
                entry.passwords.retain(|password| now < password.expires_at);
            }
            if self.bindings(&user).iter().any(|binding| binding.expires_at <= now) {
                changed.push(self.remove_where(&user, |binding| binding.expires_at <= now));
            }
            self.forget_if_empty(&user);
        }
        changed
    }

    /// Returns the number of registered contacts of all users.
    pub(crate) fn contact_count(&self) -> usize {
        self.users.values().map(|user| user.bindings.len()).sum()
    }

    /// Returns the number of passwords of all users.
    pub(crate) fn password_count(&self) -> usize {
        self.users.values().map(|user| user.passwords.len()).sum()
    }

    fn remove_where(&mut self, user: &str, gone: impl Fn(&Binding) -> bool) -> Reachability {
        self.unindex_flows(user);
        if let Some(entry) = self.users.get_mut(user) {
            for binding in entry.bindings.iter().filter(|binding| gone(binding)) {
                self.wheel.cancel(binding.timer);
            }
            entry.bindings.retain(|binding| !gone(binding));
        }
        self.index_flows(user);
        let contacts = self.bindings(user).len();
        self.forget_if_empty(user);
        Reachability { user: user.into(), contacts }
    }

    fn unindex_flows(&mut self, user: &str) {
        for binding in self.users.get(user).map_or(&[][..], |entry| &entry.bindings) {
            self.by_flow.remove(&(binding.flow.id, user.into()));
        }
    }

    fn index_flows(&mut self, user: &str) {
        for binding in self.users.get(user).map_or(&[][..], |entry| &entry.bindings) {
            self.by_flow.insert((binding.flow.id, user.into()));
        }
    }

    fn forget_if_empty(&mut self, user: &str) {
        if self.users.get(user).is_some_and(|entry| entry.passwords.is_empty() && entry.bindings.is_empty()) {
            self.users.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::flow::Transport;
    use crate::units::test_epoch;

    fn flow(id: u64) -> Flow {
        Flow {
            id: FlowId(id),
            transport: Transport::Ws,
            local: "192.0.2.1:8080".parse().unwrap(),
            peer: "198.51.100.9:40000".parse().unwrap(),
        }
    }

    fn contact(uri: &str, instance: Option<&str>, seconds: u64) -> Change {
        Change::Contacts(vec![ContactChange {
            contact: format!("<{uri}>"),
            uri: uri.into(),
            instance: instance.map(|instance| (instance.into(), 1)),
            expires: Duration::from_secs(seconds),
        }])
    }

    fn registrar() -> Registrar {
        Registrar::new(Limits { users: 2, passwords_per_user: 2, contacts_per_user: 2, ..Limits::default() })
    }

    fn register(registrar: &mut Registrar, flow_id: u64, cseq: u32, change: &Change, now: Instant) -> usize {
        let call_id = format!("call-{flow_id}");
        let origin = Origin { flow: flow(flow_id), call_id: &call_id, cseq, path: &[] };
        registrar.update("alice", change, &origin, now).unwrap()
    }

    #[test]
    fn several_passwords_are_valid_until_each_expires_and_the_oldest_gives_way() {
        let start = test_epoch();
        let mut registrar = registrar();
        for (password, seconds) in [("a", 10), ("b", 20), ("c", 30)] {
            registrar.credential_set("alice", password, Duration::from_secs(seconds), start).unwrap();
        }
        assert_eq!(registrar.passwords("alice", start).collect::<Vec<_>>().len(), 2);
        let later = start + Duration::from_secs(20);
        assert_eq!(registrar.passwords("alice", later).collect::<Vec<_>>(), ["c"]);
        registrar.expire(start + Duration::from_secs(30));
        assert_eq!((registrar.password_count(), registrar.users.len(), registrar.next()), (0, 0, None));
    }

    #[test]
    fn ending_a_user_removes_its_passwords_and_bindings_and_no_others() {
        let start = test_epoch();
        let mut registrar = registrar();
        let hour = Duration::from_secs(3600);
        for (user, password) in [("alice", "1"), ("alice", "2"), ("bob", "3")] {
            registrar.credential_set(user, password, hour, start).unwrap();
        }
        register(&mut registrar, 1, 1, &contact("sip:x@a.invalid", None, 60), start);
        register(&mut registrar, 2, 1, &contact("sip:y@b.invalid", None, 60), start);
        assert_eq!(registrar.credential_end("alice"), Some(Reachability { user: "alice".into(), contacts: 0 }));
        assert_eq!((registrar.passwords("alice", start).count(), registrar.bindings("alice").len()), (0, 0));
        assert!(!registrar.has_flow(FlowId(1)) && !registrar.has_flow(FlowId(2)));
        assert_eq!(registrar.passwords("bob", start).collect::<Vec<_>>(), ["3"]);
        // No timer is left for what was removed, and an unknown user can be ended too.
        assert_eq!(registrar.expire(start + Duration::from_secs(60)), []);
        assert_eq!((registrar.credential_end("alice"), registrar.credential_end("nobody")), (None, None));
        registrar.credential_end("bob");
        assert_eq!((registrar.users.len(), registrar.next()), (0, None));
        // A new password lets the user in again.
        registrar.credential_set("alice", "4", hour, start).unwrap();
        assert_eq!(registrar.passwords("alice", start).collect::<Vec<_>>(), ["4"]);
    }

    #[test]
    fn users_are_bounded_but_known_ones_still_get_passwords() {
        let start = test_epoch();
        let mut registrar = registrar();
        let hour = Duration::from_secs(3600);
        assert_eq!(registrar.credential_set("a", "1", hour, start), Ok(()));
        assert_eq!(registrar.credential_set("b", "1", hour, start), Ok(()));
        assert_eq!(registrar.credential_set("c", "1", hour, start), Err(Full));
        assert_eq!(registrar.credential_set("a", "2", hour, start), Ok(()));
    }

    #[test]
    fn a_closed_flow_takes_its_bindings_and_no_others() {
        let start = test_epoch();
        let mut registrar = registrar();
        assert_eq!(register(&mut registrar, 1, 1, &contact("sip:x@a.invalid", None, 60), start), 1);
        assert_eq!(register(&mut registrar, 2, 1, &contact("sip:y@b.invalid", None, 60), start), 2);
        assert_eq!(registrar.flow_closed(FlowId(1)), [Reachability { user: "alice".into(), contacts: 1 }]);
        assert_eq!(registrar.bindings("alice")[0].uri, "sip:y@b.invalid");
        assert_eq!(registrar.flow_closed(FlowId(1)), []);
        registrar.expire(start + Duration::from_secs(60));
        assert!(registrar.users.is_empty() && registrar.by_flow.is_empty() && registrar.wheel.len() == 0);
    }

    #[test]
    fn an_instance_that_comes_back_by_another_flow_replaces_itself() {
        let start = test_epoch();
        let mut registrar = registrar();
        register(&mut registrar, 1, 1, &contact("sip:x@a.invalid", Some("<urn:uuid:1>"), 60), start);
        assert_eq!(register(&mut registrar, 2, 1, &contact("sip:z@c.invalid", Some("<urn:uuid:1>"), 60), start), 1);
        assert_eq!(registrar.bindings("alice")[0].flow.id, FlowId(2));
        assert_eq!(registrar.flow_closed(FlowId(1)), [], "the old flow has nothing any more");
        assert_eq!(registrar.contact_count(), 1);
    }

    #[test]
    fn an_old_register_is_refused_and_star_removes_all() {
        let start = test_epoch();
        let mut registrar = registrar();
        register(&mut registrar, 1, 5, &contact("sip:x@a.invalid", None, 60), start);
        let origin = Origin { flow: flow(1), call_id: "call-1", cseq: 5, path: &[] };
        assert_eq!(registrar.update("alice", &contact("sip:x@a.invalid", None, 0), &origin, start), Err(OutOfOrder));
        assert_eq!(register(&mut registrar, 1, 6, &contact("sip:x@a.invalid", None, 60), start), 1);
        assert_eq!(register(&mut registrar, 1, 7, &Change::RemoveAll, start), 0);
        assert!(registrar.users.is_empty() && registrar.by_flow.is_empty() && registrar.wheel.len() == 0);
    }

    #[test]
    fn one_contact_too_many_replaces_the_oldest_one() {
        let start = test_epoch();
        let mut registrar = registrar();
        for n in 0..4u32 {
            register(&mut registrar, 1, n, &contact(&format!("sip:{n}@a.invalid"), None, 60), start);
        }
        let uris: Vec<&str> = registrar.bindings("alice").iter().map(|binding| binding.uri.as_str()).collect();
        assert_eq!(uris, ["sip:2@a.invalid", "sip:3@a.invalid"]);
        assert_eq!(registrar.wheel.len(), 2);
    }
}
