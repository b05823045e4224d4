//! Call programs of numbers, and the secrets that sign requests for them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::db::Row;
use super::{OrganizationId, Store, StoreError, now};

/// What happens to whoever calls a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberProgram {
    /// The number's identity.
    pub number_id: Uuid,
    /// The program as JSON, when it has one of its own.
    pub program: Option<String>,
    /// Where its program is asked for, when it has none.
    pub program_url: Option<String>,
    /// The program as JSON that runs when another one cannot be had.
    pub fallback: Option<String>,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

/// News of a call program, as they are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramStep {
    /// `started`, `step_started`, `step_ended`, `fell_back` or `ended`.
    pub state: String,
    /// The programs of a call are counted from 0: what a webhook gives is the next one.
    pub program: Option<u32>,
    /// The program's steps are counted from 0.
    pub step: Option<u64>,
    /// The step in the words of a program's errors, such as `steps[3]`.
    pub path: Option<String>,
    /// What the step does.
    pub verb: Option<String>,
    /// What came of the step or of the program.
    pub outcome: Option<String>,
    /// What was pressed, unless it is secret.
    pub digits: Option<String>,
    /// Why.
    pub detail: Option<String>,
    /// How long a recording is, or a conversation was.
    pub duration_ms: Option<u64>,
    /// Steps of a program that begins.
    pub steps: Option<u64>,
}

fn program(row: &Row) -> Result<NumberProgram, StoreError> {
    Ok(NumberProgram {
        number_id: row.uuid("number_id")?,
        program: row.text_opt("program")?,
        program_url: row.text_opt("program_url")?,
        fallback: row.text_opt("fallback")?,
        updated_at: row.time("updated_at")?,
    })
}

impl Store {
    /// The program of a tenant's number.
    pub async fn number_program_show(
        &self,
        organization: OrganizationId,
        number: Uuid,
    ) -> Result<Option<NumberProgram>, StoreError> {
        let sql = "SELECT number_id, program, program_url, fallback, updated_at FROM number_programs \
                   WHERE organization_id = $1 AND number_id = $2";
        let row = self.db.row(organization, sql, &[organization.into(), number.into()]).await?;
        row.as_ref().map(program).transpose()
    }

    /// The program that takes calls to a number which the tenant has proven.
    pub async fn number_program_of_call(
        &self,
        organization: OrganizationId,
        number: &str,
    ) -> Result<Option<NumberProgram>, StoreError> {
        let sql = "SELECT p.number_id, p.program, p.program_url, p.fallback, p.updated_at FROM number_programs p \
                   JOIN caller_id_numbers n ON n.organization_id = p.organization_id AND n.id = p.number_id \
                   WHERE p.organization_id = $1 AND n.number = $2 AND n.proven_at IS NOT NULL";
        let row = self.db.row(organization, sql, &[organization.into(), number.into()]).await?;
        row.as_ref().map(program).transpose()
    }

    /// Gives a tenant's number a program in place of what it had; nothing when the number is not there.
    pub async fn number_program_put(
        &self,
        organization: OrganizationId,
        number: Uuid,
        (program, program_url): (Option<&str>, Option<&str>),
        fallback: Option<&str>,
    ) -> Result<Option<NumberProgram>, StoreError> {
        let sql = "INSERT INTO number_programs (number_id, organization_id, program, program_url, fallback, updated_at) \
                   SELECT n.id, n.organization_id, $3, $4, $5, $6 FROM caller_id_numbers n \
                   WHERE n.organization_id = $1 AND n.id = $2 \
                   ON CONFLICT (number_id) DO UPDATE SET program = excluded.program, \
                   program_url = excluded.program_url, fallback = excluded.fallback, updated_at = excluded.updated_at";
        let values =
            [organization.into(), number.into(), program.into(), program_url.into(), fallback.into(), now().into()];
        self.db.run(organization, sql, &values).await?;
        self.number_program_show(organization, number).await
    }

    /// Takes a number's program away; `false`: it has none.
    pub async fn number_program_delete(&self, organization: OrganizationId, number: Uuid) -> Result<bool, StoreError> {
        let sql = "DELETE FROM number_programs WHERE organization_id = $1 AND number_id = $2";
        Ok(self.db.run(organization, sql, &[organization.into(), number.into()]).await? > 0)
    }

    /// Which of the secrets that the tenant's signing key gives is in force; nothing while there is no key.
    pub async fn program_secret_version(&self, organization: OrganizationId) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT program_secret FROM signing_keys WHERE organization_id = $1";
        let row = self.db.row(organization, sql, &[organization.into()]).await?;
        row.as_ref().map(|row| row.count("program_secret")).transpose()
    }

    /// Puts the next secret in force.
    pub async fn program_secret_replace(&self, organization: OrganizationId) -> Result<(), StoreError> {
        let sql = "UPDATE signing_keys SET program_secret = program_secret + 1 WHERE organization_id = $1";
        self.db.run(organization, sql, &[organization.into()]).await.map(drop)
    }
}
