//! Who may do what: one table of roles and actions. What does not stand in it is forbidden.
//!
//! An API key acts with the actions of its scopes, at most those of an admin.
//!
//! Invariant: nobody gives, changes or takes away rights beyond their own ([`Rights::cover`]): a role, an invitation, a key.

use crate::store::Role;

/// Something that may be done. Its word is what scopes of keys and the pages use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// See the organization: its name, members and roles.
    OrganizationRead,
    /// Change the organization.
    OrganizationWrite,
    /// Invite people, change roles, remove members.
    TeamWrite,
    /// See API keys (never their secrets).
    ApiKeysRead,
    /// Make and revoke API keys.
    ApiKeysWrite,
    /// See voice configuration, targets, caller identities and capabilities.
    VoiceRead,
    /// Change them.
    VoiceWrite,
    /// See calls that one is or was in, with the words that were said meanwhile.
    CallsReadOwn,
    /// See every call of the organization, with its words.
    CallsRead,
    /// Make and end calls, speak into them, register a browser telephone.
    CallsDial,
    /// Listen to running calls, whisper to a party, barge in.
    CallsMonitor,
    /// Set outcomes and write notes.
    CallsAnnotate,
    /// Take calls out as CSV or JSON.
    CallsExport,
    /// See the SIP messages of a call with their texts and numbers.
    CallsTrace,
    /// Hear recordings of calls that were made while one was in them.
    RecordingsReadOwn,
    /// Hear every recording of the organization.
    RecordingsRead,
    /// Change how long recordings and records are kept.
    RetentionWrite,
    /// Read and export what was done by whom.
    AuditRead,
    /// See usage and limits.
    UsageRead,
}

use Action::{
    ApiKeysRead, ApiKeysWrite, AuditRead, CallsAnnotate, CallsDial, CallsExport, CallsMonitor, CallsRead, CallsReadOwn,
    CallsTrace, OrganizationRead, OrganizationWrite, RecordingsRead, RecordingsReadOwn, RetentionWrite, TeamWrite,
    UsageRead, VoiceRead, VoiceWrite,
};

/// Every action, with its word and what it means.
pub const ACTIONS: [(Action, &str, &str); 19] = [
    (OrganizationRead, "organization.read", "see the organization, its members and roles"),
    (OrganizationWrite, "organization.write", "change the organization"),
    (TeamWrite, "team.write", "invite people, change roles, remove members"),
    (ApiKeysRead, "api_keys.read", "see API keys"),
    (ApiKeysWrite, "api_keys.write", "make and revoke API keys"),
    (VoiceRead, "voice.read", "see voice configuration, targets, caller identities, capabilities"),
    (VoiceWrite, "voice.write", "change voice configuration, targets, caller identities, capabilities"),
    (CallsReadOwn, "calls.read_own", "see one's own calls"),
    (CallsRead, "calls.read", "see every call"),
    (CallsDial, "calls.dial", "make and end calls"),
    (CallsMonitor, "calls.monitor", "listen to running calls, whisper, barge in"),
    (CallsAnnotate, "calls.annotate", "set outcomes, write notes"),
    (CallsExport, "calls.export", "export calls"),
    (CallsTrace, "calls.trace", "see SIP messages whole"),
    (RecordingsReadOwn, "recordings.read_own", "hear recordings of one's own calls"),
    (RecordingsRead, "recordings.read", "hear every recording"),
    (RetentionWrite, "retention.write", "change how long things are kept"),
    (AuditRead, "audit.read", "read the audit log"),
    (UsageRead, "usage.read", "see usage and limits"),
];

/// Every role, the mightiest first.
pub const ROLES: [Role; 6] = [Role::Owner, Role::Admin, Role::Supervisor, Role::Agent, Role::Compliance, Role::Viewer];

/// The words of what a key with these scopes may do; without scopes all that an admin may.
pub fn key_scopes(scopes: Option<&[String]>) -> Vec<&'static str> {
    let scoped = |action: &&Action| scopes.is_none_or(|scopes| scopes.iter().any(|word| word == action.as_str()));
    actions(Role::Admin).iter().filter(scoped).map(|action| action.as_str()).collect()
}

/// The table of roles and actions in Markdown, as the documentation shows it.
pub fn table() -> String {
    let mut text = String::from("| permission | |");
    for role in ROLES {
        text.push_str(&format!(" {} |", role.as_str()));
    }
    text.push_str("\n|---|---|");
    text.push_str(&":-:|".repeat(ROLES.len()));
    text.push('\n');
    for (action, word, meaning) in ACTIONS {
        text.push_str(&format!("| `{word}` | {meaning} |"));
        for role in ROLES {
            text.push_str(if actions(role).contains(&action) { " ✓ |" } else { " |" });
        }
        text.push('\n');
    }
    text
}

/// A set of actions: what somebody may do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u32);

impl Rights {
    /// None at all.
    pub const NONE: Rights = Rights(0);

    /// Those of a role.
    pub fn of_role(role: Role) -> Rights {
        Rights::of(actions(role))
    }

    /// Those of a key with these scopes, at most an admin's; without scopes all of an admin's.
    pub fn of_key(scopes: Option<&[Action]>) -> Rights {
        let most = Rights::of_role(Role::Admin);
        scopes.map_or(most, |scopes| Rights(Rights::of(scopes).0 & most.0))
    }

    /// Those of a key whose scopes are these words; one that this version does not know permits nothing.
    pub fn of_key_words(scopes: Option<&[String]>) -> Rights {
        let actions: Option<Vec<Action>> =
            scopes.map(|words| words.iter().filter_map(|word| Action::from_word(word)).collect());
        Rights::of_key(actions.as_deref())
    }

    fn of(actions: &[Action]) -> Rights {
        Rights(actions.iter().fold(0, |set, action| set | 1 << *action as u32))
    }

    /// Whether this action is among them.
    pub fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    /// Whether all of `other` are among them.
    pub fn cover(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether these may make, change and remove members of this role.
    pub fn cover_role(self, role: Role) -> bool {
        self.cover(Rights::of_role(role))
    }
}

/// What a role may do.
pub fn actions(role: Role) -> &'static [Action] {
    match role {
        Role::Owner => &[
            OrganizationRead,
            OrganizationWrite,
            TeamWrite,
            ApiKeysRead,
            ApiKeysWrite,
            VoiceRead,
            VoiceWrite,
            CallsReadOwn,
            CallsRead,
            CallsDial,
            CallsMonitor,
            CallsAnnotate,
            CallsExport,
            CallsTrace,
            RecordingsReadOwn,
            RecordingsRead,
            RetentionWrite,
            AuditRead,
            UsageRead,
        ],
        Role::Admin => &[
            OrganizationRead,
            OrganizationWrite,
            TeamWrite,
            ApiKeysRead,
            ApiKeysWrite,
            VoiceRead,
            VoiceWrite,
            CallsReadOwn,
            CallsRead,
            CallsDial,
            CallsMonitor,
            CallsAnnotate,
            CallsExport,
            CallsTrace,
            RecordingsReadOwn,
            RecordingsRead,
            AuditRead,
            UsageRead,
        ],
        Role::Supervisor => &[
            OrganizationRead,
            VoiceRead,
            CallsReadOwn,
            CallsRead,
            CallsDial,
            CallsMonitor,
            CallsAnnotate,
            CallsExport,
            RecordingsReadOwn,
            RecordingsRead,
            UsageRead,
        ],
        Role::Agent => &[OrganizationRead, VoiceRead, CallsReadOwn, CallsDial, CallsAnnotate, RecordingsReadOwn],
        Role::Compliance => &[
            OrganizationRead,
            CallsReadOwn,
            CallsRead,
            CallsExport,
            RecordingsReadOwn,
            RecordingsRead,
            RetentionWrite,
            AuditRead,
            UsageRead,
        ],
        Role::Viewer => &[OrganizationRead, CallsReadOwn, CallsRead, UsageRead],
    }
}

impl Action {
    /// Its word, such as `calls.dial`.
    pub fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(action, ..)| *action == self).map_or("", |(_, word, _)| word)
    }

    /// The action of a word.
    pub fn from_word(word: &str) -> Option<Action> {
        ACTIONS.iter().find(|(_, known, _)| *known == word).map(|(action, ..)| *action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_the_one_that_holds() {
        let documented = include_str!("../../docs/permissions.md");
        assert!(documented.contains(&table()), "docs/permissions.md is stale; its table is now:\n{}", table());
    }

    #[test]
    fn every_action_has_one_word_and_somebody_who_may_do_it() {
        for (action, word, _) in ACTIONS {
            assert_eq!(Action::from_word(word), Some(action));
            assert_eq!(action.as_str(), word);
            assert!(actions(Role::Owner).contains(&action), "not even an owner may {word}");
        }
    }

    #[test]
    fn roles_are_what_they_are_called() {
        let may = |role, action| actions(role).contains(&action);
        assert!(may(Role::Compliance, AuditRead) && may(Role::Compliance, RecordingsRead));
        assert!(!may(Role::Compliance, CallsDial) && !may(Role::Compliance, VoiceWrite));
        assert!(may(Role::Agent, CallsReadOwn) && !may(Role::Agent, CallsRead) && !may(Role::Agent, RecordingsRead));
        assert!(may(Role::Supervisor, CallsMonitor) && !may(Role::Agent, CallsMonitor));
        assert!(may(Role::Supervisor, CallsRead) && !may(Role::Supervisor, VoiceWrite));
        let changes =
            [CallsDial, CallsAnnotate, VoiceWrite, TeamWrite, ApiKeysWrite, OrganizationWrite, RetentionWrite];
        assert!(changes.into_iter().all(|action| !may(Role::Viewer, action)));
        assert!(actions(Role::Admin).iter().all(|action| may(Role::Owner, *action)));
    }

    #[test]
    fn nobody_covers_more_than_their_own() {
        let admin = Rights::of_role(Role::Admin);
        for role in [Role::Admin, Role::Supervisor, Role::Agent, Role::Viewer] {
            assert!(admin.cover_role(role), "{role:?}");
        }
        // Compliance changes how long things are kept, which an admin may not.
        assert!(!admin.cover_role(Role::Owner) && !admin.cover_role(Role::Compliance));
        assert!(ROLES.into_iter().all(|role| Rights::of_role(Role::Owner).cover_role(role)));
        let key = Rights::of_key(Some(&[TeamWrite, RetentionWrite]));
        assert!(key.has(TeamWrite) && !key.has(RetentionWrite) && !key.cover_role(Role::Viewer));
        assert_eq!(Rights::of_key(None), admin);
        assert!(ROLES.into_iter().all(|role| !Rights::NONE.cover_role(role)));
    }

    #[test]
    fn a_key_may_no_more_than_an_admin() {
        let asked = ["calls.read".to_owned(), "retention.write".to_owned(), "no.such".to_owned()];
        assert_eq!(key_scopes(Some(&asked)), ["calls.read"]);
        assert_eq!(key_scopes(None).len(), actions(Role::Admin).len());
    }
}
