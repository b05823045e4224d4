//! Permissions: one table of roles and actions. An action that is not in the table is forbidden.
//!
//! An API key may perform the actions of its scopes, at most those of an admin.
//!
//! Invariant: nobody can grant, change or remove rights beyond their own ([`Rights::cover`]), be it by a role, an invitation or a
//! key.

use super::role::Role;

/// Action that requires permission. Scopes of keys and the web pages refer to it by its name, such as `calls.dial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// View the organization: its name, members and roles.
    OrganizationRead,
    /// Change the organization's name and limits.
    OrganizationWrite,
    /// Invite people, change roles, remove members.
    TeamWrite,
    /// View API keys, but never their secrets.
    ApiKeysRead,
    /// Create and revoke API keys.
    ApiKeysWrite,
    /// View voice configuration, targets, caller IDs and capabilities.
    VoiceRead,
    /// Change voice configuration, targets, caller IDs and capabilities.
    VoiceWrite,
    /// View calls that the user is or was in, with the transcript of that time.
    CallsReadOwn,
    /// View every call of the organization, with its transcript.
    CallsRead,
    /// Start and end calls, speak into them, register a browser phone.
    CallsDial,
    /// Listen to running calls, whisper to a party, barge in.
    CallsMonitor,
    /// Set outcomes and write notes.
    CallsAnnotate,
    /// Export calls as CSV or JSON.
    CallsExport,
    /// View the SIP messages of a call in full.
    CallsTrace,
    /// Listen to recordings made while the user was in the call.
    RecordingsReadOwn,
    /// Listen to every recording of the organization.
    RecordingsRead,
    /// Change retention times of recordings and events.
    RetentionWrite,
    /// View and export the audit log.
    AuditRead,
    /// View usage and request limits.
    UsageRead,
}

use Action::{
    ApiKeysRead, ApiKeysWrite, AuditRead, CallsAnnotate, CallsDial, CallsExport, CallsMonitor, CallsRead, CallsReadOwn,
    CallsTrace, OrganizationRead, OrganizationWrite, RecordingsRead, RecordingsReadOwn, RetentionWrite, TeamWrite,
    UsageRead, VoiceRead, VoiceWrite,
};

/// All actions with their names and descriptions.
pub const ACTIONS: [(Action, &str, &str); 19] = [
    (OrganizationRead, "organization.read", "view the organization, its members and roles"),
    (OrganizationWrite, "organization.write", "change the organization"),
    (TeamWrite, "team.write", "invite people, change roles, remove members"),
    (ApiKeysRead, "api_keys.read", "view API keys"),
    (ApiKeysWrite, "api_keys.write", "create and revoke API keys"),
    (VoiceRead, "voice.read", "view voice configuration, targets, caller IDs and capabilities"),
    (VoiceWrite, "voice.write", "change voice configuration, targets, caller IDs and capabilities"),
    (CallsReadOwn, "calls.read_own", "view the user's own calls"),
    (CallsRead, "calls.read", "view every call"),
    (CallsDial, "calls.dial", "start and end calls"),
    (CallsMonitor, "calls.monitor", "listen to running calls, whisper, barge in"),
    (CallsAnnotate, "calls.annotate", "set outcomes and write notes"),
    (CallsExport, "calls.export", "export calls"),
    (CallsTrace, "calls.trace", "view SIP messages in full"),
    (RecordingsReadOwn, "recordings.read_own", "listen to recordings of the user's own calls"),
    (RecordingsRead, "recordings.read", "listen to every recording"),
    (RetentionWrite, "retention.write", "change retention times"),
    (AuditRead, "audit.read", "read the audit log"),
    (UsageRead, "usage.read", "view usage and limits"),
];

/// All roles, from the most powerful down.
pub const ROLES: [Role; 6] = [Role::Owner, Role::Admin, Role::Supervisor, Role::Agent, Role::Compliance, Role::Viewer];

/// Returns the names of the actions that a key with these scopes may perform. Without scopes these are all actions of an admin.
pub fn key_scopes(scopes: Option<&[String]>) -> Vec<&'static str> {
    let scoped = |action: &&Action| scopes.is_none_or(|scopes| scopes.iter().any(|word| word == action.as_str()));
    actions(Role::Admin).iter().filter(scoped).map(|action| action.as_str()).collect()
}

/// Returns the table of roles and actions in Markdown, as shown in the documentation.
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

/// Set of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u32);

impl Rights {
    /// The empty set.
    pub const NONE: Rights = Rights(0);

    /// Returns the rights of a role.
    pub fn of_role(role: Role) -> Rights {
        Rights::of(actions(role))
    }

    /// Returns the rights of a key with these scopes, at most those of an admin. Without scopes these are all rights of an admin.
    pub fn of_key(scopes: Option<&[Action]>) -> Rights {
        let most = Rights::of_role(Role::Admin);
        scopes.map_or(most, |scopes| Rights(Rights::of(scopes).0 & most.0))
    }

    /// Returns the rights of a key whose scopes have these names. Names that this version does not know grant nothing.
    pub fn of_key_words(scopes: Option<&[String]>) -> Rights {
        let actions: Option<Vec<Action>> =
            scopes.map(|words| words.iter().filter_map(|word| Action::from_word(word)).collect());
        Rights::of_key(actions.as_deref())
    }

    fn of(actions: &[Action]) -> Rights {
        Rights(actions.iter().fold(0, |set, action| set | 1 << *action as u32))
    }

    /// Returns whether the set contains this action.
    pub fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    /// Returns whether the set contains all of `other`.
    pub fn cover(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether the holder may create, change and remove members of this role.
    pub fn cover_role(self, role: Role) -> bool {
        self.cover(Rights::of_role(role))
    }
}

/// Returns the actions that a role may perform.
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
    /// Returns the name of the action, such as `calls.dial`.
    pub fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(action, ..)| *action == self).map_or("", |(_, word, _)| word)
    }

    /// Returns the action with this name.
    pub fn from_word(word: &str) -> Option<Action> {
        ACTIONS.iter().find(|(_, known, _)| *known == word).map(|(action, ..)| *action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_current() {
        let documented = include_str!("../../../docs/permissions.md");
        assert!(documented.contains(&table()), "docs/permissions.md is out of date; its table should be:\n{}", table());
    }

    #[test]
    fn every_action_has_one_name_and_owners_may_perform_it() {
        for (action, word, _) in ACTIONS {
            assert_eq!(Action::from_word(word), Some(action));
            assert_eq!(action.as_str(), word);
            assert!(actions(Role::Owner).contains(&action), "an owner may not perform {word}");
        }
    }

    #[test]
    fn roles_have_the_permissions_that_their_names_promise() {
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
        // Compliance may change retention times, which an admin may not.
        assert!(!admin.cover_role(Role::Owner) && !admin.cover_role(Role::Compliance));
        assert!(ROLES.into_iter().all(|role| Rights::of_role(Role::Owner).cover_role(role)));
        let key = Rights::of_key(Some(&[TeamWrite, RetentionWrite]));
        assert!(key.has(TeamWrite) && !key.has(RetentionWrite) && !key.cover_role(Role::Viewer));
        assert_eq!(Rights::of_key(None), admin);
        assert!(ROLES.into_iter().all(|role| !Rights::NONE.cover_role(role)));
    }

    #[test]
    fn a_key_has_at_most_the_rights_of_an_admin() {
        let asked = ["calls.read".to_owned(), "retention.write".to_owned(), "no.such".to_owned()];
        assert_eq!(key_scopes(Some(&asked)), ["calls.read"]);
        assert_eq!(key_scopes(None).len(), actions(Role::Admin).len());
    }
}
