//! Organizations with their settings, agents, numbers and programs of numbers, as last read from the store: a table in memory and
//! its copy in a file, so that a server can decide about calls after a start without its database.
//!
//! The file is one JSON object. It is written to a new file, synced, and renamed over the old one. It names the store by a digest
//! of its URL without the password, and the table of another store is not used. It contains names, numbers and programs but no
//! secrets of the server, and has mode 0600. The number of bytes of programs is bounded.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::tenants::Tenant;
use crate::store::{NumberProgram, OrganizationFacts, OrganizationId, ProgramOfNumber};
use crate::tenant::capabilities::Capabilities;
use crate::tenant::text::without_password;
use crate::tenant::voice_config::VoiceConfig;

/// Name of the file in the data folder.
const NAME: &str = "tandem.known";
/// Version of the file's format.
const VERSION: u32 = 1;
/// Largest size of all programs that are kept, in bytes. Those of organizations that are read after it is reached are not.
const PROGRAMS_MAX: usize = 64 * 1024 * 1024;
/// Largest file that is read, in bytes: more organizations and agents than one machine can serve.
const SIZE_MAX: u64 = 256 * 1024 * 1024;

/// Result of looking up the organization of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The call belongs to this organization.
    Tenant(Tenant),
    /// There is no organization.
    Nobody,
    /// The organization could not be determined.
    Unknown,
}

/// Table of known organizations.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownTenants {
    /// Ordered by age; the oldest is the default.
    order: Vec<OrganizationId>,
    organizations: HashMap<OrganizationId, OrganizationFacts>,
    agents: HashMap<String, OrganizationId>,
    numbers: HashMap<String, OrganizationId>,
    /// Size of the programs of all organizations, in bytes.
    programs_size: usize,
    /// Whether the table contains every organization, so that agents and numbers that are missing belong to none.
    complete: bool,
}

impl KnownTenants {
    /// Creates the table of all organizations. The oldest must come first.
    fn of_all(organizations: Vec<OrganizationFacts>) -> KnownTenants {
        let mut known = KnownTenants { complete: true, ..KnownTenants::default() };
        organizations.into_iter().for_each(|facts| known.put(facts));
        known
    }

    /// Declares that the table contains every organization.
    pub(super) fn be_complete(&mut self) {
        self.complete = true;
    }

    /// Returns whether this organization is known.
    pub(super) fn has(&self, organization: OrganizationId) -> bool {
        self.organizations.contains_key(&organization)
    }

    /// Inserts or replaces the entry of an organization.
    pub(super) fn put(&mut self, mut facts: OrganizationFacts) {
        let id = facts.id;
        let before = self.organizations.remove(&id);
        let size = |facts: &OrganizationFacts| facts.programs.iter().map(ProgramOfNumber::size).sum::<usize>();
        self.programs_size = self.programs_size.saturating_sub(before.as_ref().map(size).unwrap_or_default());
        if self.programs_size.saturating_add(size(&facts)) > PROGRAMS_MAX {
            tracing::warn!(organization = %id.0, "there are too many programs of numbers to keep those of an organization; \
                while the database is away, calls to its numbers follow their routes");
            facts.programs.clear();
        }
        self.programs_size = self.programs_size.saturating_add(size(&facts));
        match before {
            Some(before) => {
                let own = |owner: Option<&OrganizationId>| owner == Some(&id);
                for agent in before.agents.iter().filter(|agent| own(self.agents.get(*agent))).collect::<Vec<_>>() {
                    self.agents.remove(agent);
                }
                for number in before.numbers.iter().filter(|number| own(self.numbers.get(*number))).collect::<Vec<_>>()
                {
                    self.numbers.remove(number);
                }
            }
            None => self.order.push(id),
        }
        self.agents.extend(facts.agents.iter().map(|agent| (agent.clone(), id)));
        self.numbers.extend(facts.numbers.iter().map(|number| (number.clone(), id)));
        self.organizations.insert(id, facts);
    }

    /// Updates the settings of a known organization with those just read from the store.
    pub(super) fn learn(&mut self, organization: OrganizationId, config: &VoiceConfig, capabilities: Capabilities) {
        if let Some(facts) = self.organizations.get_mut(&organization) {
            facts.config.clone_from(config);
            facts.capabilities = capabilities;
        }
    }

    /// Returns the organization of a call of this agent or to this number.
    pub(super) fn owner(&self, agent: Option<&str>, number: Option<&str>) -> Owner {
        let by_agent = agent.and_then(|agent| self.agents.get(agent));
        let by_number = || number.and_then(|number| self.numbers.get(number));
        let found = match by_agent.or_else(by_number) {
            Some(found) => Some(found),
            None if !self.complete => return Owner::Unknown,
            None => self.order.first(),
        };
        // The table is empty, but an organization may have been created meanwhile.
        match found.and_then(|id| self.organizations.get(id)) {
            None => Owner::Unknown,
            Some(facts) => Owner::Tenant(Tenant {
                organization: facts.id,
                config: facts.capabilities.applied(facts.config.clone()),
                glossary: facts.glossary.clone(),
                capabilities: facts.capabilities,
            }),
        }
    }

    /// Returns the program of an organization's number, if it is known.
    pub(super) fn program(&self, organization: OrganizationId, number: &str) -> Option<NumberProgram> {
        let programs = &self.organizations.get(&organization)?.programs;
        let found = programs.iter().find(|program| program.number == number);
        found.map(|found| found.program.clone())
    }

    /// Returns the organization of an agent, if it is known.
    pub(super) fn agent(&self, agent: &str) -> Option<OrganizationId> {
        self.agents.get(agent).copied()
    }

    /// Returns whether no organization is known.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn in_order(&self) -> Vec<&OrganizationFacts> {
        self.order.iter().filter_map(|id| self.organizations.get(id)).collect()
    }
}

/// Content of the file.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    store: &'a str,
    organizations: Vec<&'a OrganizationFacts>,
}

#[derive(Deserialize)]
struct ReadBack {
    version: u32,
    store: String,
    organizations: Vec<OrganizationFacts>,
}

/// Copy of the table in the data folder.
#[derive(Clone, Debug)]
pub(crate) struct KnownFile {
    path: PathBuf,
    store: String,
}

impl KnownFile {
    /// Returns the file in a data folder, for the store with this URL.
    pub(crate) fn new(data: &Path, store_url: &str) -> KnownFile {
        let digest = Sha256::digest(without_password(store_url).as_bytes());
        KnownFile { path: data.join(NAME), store: hex::encode(&digest[..16]) }
    }

    /// Returns whether an earlier run has left a table of this store. Blocks.
    pub(crate) fn is_there(&self) -> bool {
        self.read().is_some()
    }

    /// Reads the table that was written last. Returns `None` if there is none of this store, or if it cannot be read, which is
    /// logged. Blocks.
    pub(super) fn read(&self) -> Option<KnownTenants> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot read the saved settings of organizations");
                return None;
            }
        };
        let mut text = Vec::new();
        let read = file.take(SIZE_MAX).read_to_end(&mut text).map_err(|error| error.to_string());
        let parsed = read.and_then(|_| serde_json::from_slice::<ReadBack>(&text).map_err(|error| error.to_string()));
        match parsed {
            Ok(back) if back.version == VERSION && back.store == self.store => {
                Some(KnownTenants::of_all(back.organizations))
            }
            Ok(_) => {
                tracing::warn!(path = %self.path.display(), "the saved settings belong to another store or version and are not used");
                None
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), error, "the saved settings are damaged and are not used");
                None
            }
        }
    }

    /// Returns the content for [`KnownFile::write`].
    pub(super) fn content(&self, known: &KnownTenants) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Written { version: VERSION, store: &self.store, organizations: known.in_order() })
    }

    /// Replaces the file. The new content is on the disk when this returns. Blocks.
    pub(super) fn write(&self, content: &[u8]) -> std::io::Result<()> {
        let fresh = self.path.with_extension("known-new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use uuid::Uuid;

    use super::*;

    fn facts(agents: &[&str], numbers: &[&str], record: bool) -> OrganizationFacts {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        OrganizationFacts {
            id: OrganizationId(Uuid::now_v7()),
            glossary: Default::default(),
            config: VoiceConfig { record, ..VoiceConfig::default() },
            capabilities: Capabilities::default(),
            agents: owned(agents),
            numbers: owned(numbers),
            programs: Vec::new(),
        }
    }

    fn whose(known: &KnownTenants, agent: Option<&str>, number: Option<&str>) -> Option<OrganizationId> {
        match known.owner(agent, number) {
            Owner::Tenant(tenant) => Some(tenant.organization),
            Owner::Nobody | Owner::Unknown => None,
        }
    }

    #[test]
    fn a_call_belongs_to_its_agent_then_its_number_then_the_oldest_organization() {
        let (first, second) = (facts(&["ana"], &["+15550100"], true), facts(&["ben"], &["+15550101"], false));
        let mut known = KnownTenants::of_all(vec![first.clone(), second.clone()]);
        let of = |known: &KnownTenants, agent, number| whose(known, agent, number).unwrap();
        assert_eq!(of(&known, Some("ben"), Some("+15550100")), second.id);
        assert_eq!(of(&known, None, Some("+15550101")), second.id);
        assert_eq!(of(&known, Some("eve"), None), first.id);
        // A number that moved to the other organization, reported in either order.
        known.put(OrganizationFacts { numbers: vec![], ..second.clone() });
        known.put(OrganizationFacts { numbers: vec!["+15550101".into()], ..first.clone() });
        known.put(OrganizationFacts { numbers: vec![], ..second });
        assert_eq!(of(&known, None, Some("+15550101")), first.id);
        assert_eq!(KnownTenants::of_all(vec![]).owner(None, None), Owner::Unknown);
        assert_eq!(KnownTenants::default().owner(None, None), Owner::Unknown);
        assert_eq!(whose(&known, None, None), Some(first.id));
    }

    fn program_of(number: &str, text: String) -> ProgramOfNumber {
        let updated_at = jiff::Timestamp::UNIX_EPOCH;
        let (number_id, program) = (Uuid::nil(), Some(text));
        let program = NumberProgram { number_id, program, program_url: None, fallback: None, updated_at };
        ProgramOfNumber { number: number.into(), program }
    }

    #[test]
    fn programs_are_known_by_organization_and_number_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownFile::new(folder.path(), "sqlite:t.db");
        let (mut first, second) = (facts(&[], &["+15550100"], true), facts(&[], &["+15550101"], false));
        first.programs = vec![program_of("+15550100", "[]".into())];
        let known = KnownTenants::of_all(vec![first.clone(), second.clone()]);
        file.write(&file.content(&known).unwrap()).unwrap();
        for known in [known, file.read().expect("the table")] {
            assert_eq!(known.program(first.id, "+15550100").as_ref(), Some(&first.programs[0].program));
            assert_eq!(known.program(first.id, "+15550101"), None);
            assert_eq!(known.program(second.id, "+15550100"), None, "the number of another organization");
        }
    }

    #[test]
    fn programs_beyond_the_bound_are_not_kept_until_there_is_room() {
        let (mut large, mut small) = (facts(&[], &["+15550100"], true), facts(&[], &["+15550101"], true));
        large.programs = vec![program_of("+15550100", "x".repeat(PROGRAMS_MAX))];
        small.programs = vec![program_of("+15550101", "[]".into())];
        let mut known = KnownTenants::of_all(vec![large.clone(), small.clone()]);
        assert!(known.program(large.id, "+15550100").is_some());
        assert_eq!(known.program(small.id, "+15550101"), None);
        assert_eq!(whose(&known, None, Some("+15550101")), Some(small.id), "the organization itself is known");
        known.put(OrganizationFacts { programs: Vec::new(), ..large.clone() });
        known.put(small.clone());
        assert!(known.program(small.id, "+15550101").is_some());
        assert_eq!(known.programs_size, 2);
    }

    #[test]
    fn the_table_survives_a_restart_and_is_not_used_for_another_store() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownFile::new(folder.path(), "postgres://tandem:one@localhost/calls");
        assert!(file.read().is_none());
        let (first, second) = (facts(&["ana"], &[], true), facts(&[], &["+15550101"], false));
        let known = KnownTenants::of_all(vec![first.clone(), second.clone()]);
        file.write(&file.content(&known).unwrap()).unwrap();
        assert_eq!(std::fs::metadata(folder.path().join(NAME)).unwrap().mode() & 0o777, 0o600);
        // A new password does not make it another store.
        let again = KnownFile::new(folder.path(), "postgres://tandem:two@localhost/calls").read().unwrap();
        assert_eq!(again.in_order(), [&first, &second]);
        assert_eq!(again.owner(Some("ana"), None), known.owner(Some("ana"), None));
        assert!(KnownFile::new(folder.path(), "postgres://tandem:one@localhost/other").read().is_none());
        let whole = std::fs::read(folder.path().join(NAME)).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(folder.path().join(NAME), &whole[..cut]).unwrap();
            assert!(file.read().is_none(), "cut at {cut}");
        }
    }
}
