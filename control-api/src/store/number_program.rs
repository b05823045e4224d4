//! Call programs of numbers, and the versions of the secrets that sign requests for programs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::audit_log::{By, Deed};
use super::db::Row;
use super::{OrganizationId, ProgramOfNumber, Store, StoreError, now};

/// The program that handles calls to a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberProgram {
    /// Identity of the number.
    pub number_id: Uuid,
    /// The program as JSON, if it is stored here.
    pub program: Option<String>,
    /// URL from which the program is requested, if it is not stored here.
    pub program_url: Option<String>,
    /// The program as JSON that runs if the requested one cannot be obtained.
    pub fallback: Option<String>,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

/// Versions of the secret that signs requests to program servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSecretVersions {
    /// Version that was put in force last.
    pub newest: u64,
    /// Time until which the version before the newest one is in force as well; `None`: it is not.
    pub previous_until: Option<Timestamp>,
}

/// Progress of a call program, as events report it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramStep {
    /// State: `started`, `step_started`, `step_ended`, `fell_back` or `ended`.
    pub state: String,
    /// Number of the program in its call, from 0; each program that a webhook returns is the next one.
    pub program: Option<u32>,
    /// Number of the step in the program, from 0.
    pub step: Option<u64>,
    /// Path of the step as in the errors of a program, such as `steps[3]`.
    pub path: Option<String>,
    /// Verb of the step.
    pub verb: Option<String>,
    /// Outcome of the step or of the program.
    pub outcome: Option<String>,
    /// Digits that were pressed, unless they are secret.
    pub digits: Option<String>,
    /// Explanation of the outcome.
    pub detail: Option<String>,
    /// Duration of a recording or conversation, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Number of steps of a program that begins.
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

/// Program to set for a number, as it was sent and checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgramDraft<'a> {
    /// Program as JSON.
    pub program: Option<&'a str>,
    /// URL of the server that supplies it.
    pub program_url: Option<&'a str>,
    /// Program that runs when that server fails, as JSON.
    pub fallback: Option<&'a str>,
    /// Number of its steps, for the audit log.
    pub steps: usize,
}

/// Returns the summary of a program for the audit log, without its texts and without the query of its URL.
fn audit_summary(program: &NumberProgram) -> serde_json::Value {
    let url = program.program_url.as_deref().map(|url| url.split('?').next().unwrap_or_default());
    let bytes = |text: &Option<String>| text.as_ref().map(String::len);
    json!({"program_bytes": bytes(&program.program), "program_url": url, "fallback_bytes": bytes(&program.fallback)})
}

/// Returns the target of an action in the audit log.
fn of(number: Uuid) -> String {
    format!("caller_id_number:{number}")
}

impl Store {
    /// Returns the program of a tenant's number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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

    /// Returns the program that handles calls to a number, which the tenant must have proven.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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

    /// Sets or replaces the program of a tenant's number, with its row in the audit log. `None` if there is no such number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn number_program_put(
        &self,
        organization: OrganizationId,
        number: Uuid,
        new: &ProgramDraft<'_>,
        before: Option<&NumberProgram>,
        by: &By,
    ) -> Result<Option<NumberProgram>, StoreError> {
        let sql = "INSERT INTO number_programs (number_id, organization_id, program, program_url, fallback, updated_at) \
                   SELECT n.id, n.organization_id, $3, $4, $5, $6 FROM caller_id_numbers n \
                   WHERE n.organization_id = $1 AND n.id = $2 \
                   ON CONFLICT (number_id) DO UPDATE SET program = excluded.program, \
                   program_url = excluded.program_url, fallback = excluded.fallback, updated_at = excluded.updated_at";
        let ProgramDraft { program, program_url, fallback, steps } = *new;
        let after = NumberProgram {
            number_id: number,
            program: program.map(Into::into),
            program_url: program_url.map(Into::into),
            fallback: fallback.map(Into::into),
            updated_at: now(),
        };
        let values = [
            organization.into(),
            number.into(),
            program.into(),
            program_url.into(),
            fallback.into(),
            after.updated_at.into(),
        ];
        let deed = Deed::new("caller_id.number.program", of(number))
            .after(json!({"steps": steps, "program": audit_summary(&after)}));
        let deed = before.iter().fold(deed, |deed, before| deed.before(audit_summary(before)));
        let is_set = self.run_audited(organization, sql, &values, by, deed).await?;
        self.settings_changed(organization);
        Ok(is_set.then_some(after))
    }

    /// Removes the program of a number, with its row in the audit log. Returns `false` if it has none.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn number_program_delete(
        &self,
        organization: OrganizationId,
        before: &NumberProgram,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM number_programs WHERE organization_id = $1 AND number_id = $2";
        let deed = Deed::new("caller_id.number.program", of(before.number_id)).before(audit_summary(before));
        let values = [organization.into(), before.number_id.into()];
        let removed = self.run_audited(organization, sql, &values, by, deed).await?;
        self.settings_changed(organization);
        Ok(removed)
    }

    /// Returns the programs of a tenant's proven numbers, in the order of the numbers.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub(super) async fn number_programs_of_calls(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<ProgramOfNumber>, StoreError> {
        let sql = "SELECT n.number, p.number_id, p.program, p.program_url, p.fallback, p.updated_at \
                   FROM number_programs p \
                   JOIN caller_id_numbers n ON n.organization_id = p.organization_id AND n.id = p.number_id \
                   WHERE p.organization_id = $1 AND n.proven_at IS NOT NULL ORDER BY n.number";
        let rows = self.db.rows(organization, sql, &[organization.into()]).await?;
        rows.iter().map(|row| Ok(ProgramOfNumber { number: row.text("number")?, program: program(row)? })).collect()
    }

    /// Returns the versions of the secret that are in force; `None` while there is no key from which they are derived.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn program_secret_versions(
        &self,
        organization: OrganizationId,
    ) -> Result<Option<ProgramSecretVersions>, StoreError> {
        let sql = "SELECT program_secret, previous_program_secret_until FROM signing_keys WHERE organization_id = $1";
        let row = self.db.row(organization, sql, &[organization.into()]).await?;
        let versions = |row: &Row| {
            let previous_until = row.time_opt("previous_program_secret_until")?;
            Ok(ProgramSecretVersions { newest: row.count("program_secret")?, previous_until })
        };
        row.as_ref().map(versions).transpose()
    }

    /// Puts the next version of the secret in force. The version before it stays in force until `previous_until`.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn program_secret_replace(
        &self,
        organization: OrganizationId,
        previous_until: Timestamp,
        by: &By,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE signing_keys SET program_secret = program_secret + 1, previous_program_secret_until = $2 \
                   WHERE organization_id = $1";
        let deed = Deed::new("program_secret.replace", "program_secret");
        self.run_audited(organization, sql, &[organization.into(), previous_until.into()], by, deed).await.map(drop)
    }

    /// Takes the version before the newest one out of force. Returns `false` if it was not in force.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn program_secret_revoke_previous(
        &self,
        organization: OrganizationId,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE signing_keys SET previous_program_secret_until = NULL \
                   WHERE organization_id = $1 AND previous_program_secret_until > $2";
        let deed = Deed::new("program_secret.revoke_previous", "program_secret");
        self.run_audited(organization, sql, &[organization.into(), now().into()], by, deed).await
    }
}
