//! Caller identities: the numbers of an organization and the rules by which they are shown.
//!
//! ```text
//! listed ─ code typed back, or assigned by the operator ─▶ proven: calls to it are the organization's, rules may show it
//! ```
//!
//! Invariants: an unproven number has no effect: calls to it are not the organization's, and it is not shown. Any
//! number of organizations may list a number, but at most one has proven it.
//!
//! Not here: the call that speaks the code (`routes`), the choice of a number for a call (`calls/caller_identity`).

use jiff::Timestamp;
use serde::Serialize;
use sqlx::AssertSqlSafe;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::{Row, Tx};
use super::{OrganizationId, Place, Store, StoreError, now, taken};

/// A number that an organization lists. Once it is proven, the organization may show it, and calls to it are the
/// organization's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallerIdNumber {
    /// Identity of the number.
    pub id: Uuid,
    /// The number itself, E.164.
    #[schema(example = "+15555550100")]
    pub number: String,
    /// Purpose of the number, for people.
    pub label: String,
    /// Time at which it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Time at which it was proven; null if it was not, and so has no effect on calls and may not be shown.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proven_at: Option<Timestamp>,
    /// How it was proven, if it was.
    pub proven_by: Option<Proof>,
}

/// How a number was proven to belong to an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The operator assigned it.
    Operator,
    /// A code that was spoken in a call to the number was typed back.
    Code,
    /// The number was listed before numbers had to be proven, in a store with one organization.
    Migration,
}

impl Proof {
    fn as_str(self) -> &'static str {
        match self {
            Proof::Operator => "operator",
            Proof::Code => "code",
            Proof::Migration => "migration",
        }
    }
}

/// Result of assigning a number to an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// The number is the organization's and is proven.
    Done(CallerIdNumber),
    /// This other organization has proven the number.
    Elsewhere(OrganizationId),
}

/// A rule for the number that is shown in calls. A null field matches every call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallerIdRule {
    /// Identity of the rule.
    pub id: Uuid,
    /// Rules are tried from the lowest position to the highest, rules of equal position by age.
    pub position: u32,
    /// Identity of the number that is shown.
    pub number_id: Uuid,
    /// The number that is shown, E.164.
    #[schema(example = "+15555550100")]
    pub number: String,
    /// SIP user name of the only agent whose calls match.
    pub agent: Option<String>,
    /// Name of the only campaign whose calls match.
    pub campaign: Option<String>,
    /// Prefix of the called numbers that match, such as `+34`.
    #[schema(example = "+34")]
    pub destination_prefix: Option<String>,
    /// Time at which the rule was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Content of a new or changed rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdRuleDraft {
    /// Position of the rule; `None` puts a new rule last and leaves an existing one in place.
    pub position: Option<u32>,
    /// Identity of the number to show, which must be the tenant's.
    pub number_id: Uuid,
    /// SIP user name of the only agent whose calls match.
    pub agent: Option<String>,
    /// Name of the only campaign whose calls match.
    pub campaign: Option<String>,
    /// Prefix of the called numbers that match, `+` and digits.
    pub destination_prefix: Option<String>,
}

impl CallerIdRule {
    /// Returns whether the rule matches calls of this agent, outside any campaign, to this destination.
    pub fn fits(&self, agent: Option<&str>, to: &str) -> bool {
        self.agent.as_deref().is_none_or(|only| agent == Some(only))
            && self.campaign.is_none()
            && self.destination_prefix.as_deref().is_none_or(|prefix| to.starts_with(prefix))
    }
}

const NUMBER: &str = "id, number, label, created_at, proven_at, proven_by";

/// Text of [`StoreError::Taken`] when two organizations prove a number at once.
const ELSEWHERE: &str = "a proof of this number by another organization";

fn number(row: &Row) -> Result<CallerIdNumber, StoreError> {
    let proven_by = match row.text_opt("proven_by")?.as_deref() {
        None => None,
        Some("operator") => Some(Proof::Operator),
        Some("code") => Some(Proof::Code),
        Some("migration") => Some(Proof::Migration),
        Some(_) => return Err(StoreError::Corrupt { column: "proven_by" }),
    };
    Ok(CallerIdNumber {
        id: row.uuid("id")?,
        number: row.text("number")?,
        label: row.text("label")?,
        created_at: row.time("created_at")?,
        proven_at: row.time_opt("proven_at")?,
        proven_by,
    })
}

fn rule(row: &Row) -> Result<CallerIdRule, StoreError> {
    Ok(CallerIdRule {
        id: row.uuid("id")?,
        position: u32::try_from(row.int("position")?).map_err(|_| StoreError::Corrupt { column: "position" })?,
        number_id: row.uuid("number_id")?,
        number: row.text("number")?,
        agent: row.text_opt("agent")?,
        campaign: row.text_opt("campaign")?,
        destination_prefix: row.text_opt("destination_prefix")?,
        created_at: row.time("created_at")?,
    })
}

const ONE_RULE: &str = "SELECT r.id, r.position, r.number_id, n.number, r.agent, r.campaign, r.destination_prefix, \
                        r.created_at FROM caller_id_rules r JOIN caller_id_numbers n \
                        ON n.organization_id = r.organization_id AND n.id = r.number_id \
                        WHERE r.organization_id = $1 AND r.id = $2";

/// Returns a rule that was written in this unit of work.
async fn rule_in(tx: &mut Tx, organization: OrganizationId, id: Uuid) -> Result<CallerIdRule, StoreError> {
    let row = tx.row(ONE_RULE, &[organization.into(), id.into()]).await?;
    rule(&row.ok_or(StoreError::Corrupt { column: "caller_id_rules.number_id" })?)
}

/// Returns the target of an action on a number in the audit log.
fn number_of(id: Uuid) -> String {
    format!("caller_id_number:{id}")
}

/// Returns the target of an action on a rule in the audit log.
fn rule_of(id: Uuid) -> String {
    format!("caller_id_rule:{id}")
}

impl Store {
    /// Returns a tenant's numbers after a place, the oldest first.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_number_list(
        &self,
        organization: OrganizationId,
        after: Place,
        limit: u32,
    ) -> Result<Vec<CallerIdNumber>, StoreError> {
        let sql = format!(
            "SELECT {NUMBER} FROM caller_id_numbers WHERE organization_id = $1 AND (created_at, id) > ($2, $3) \
             ORDER BY created_at, id LIMIT $4"
        );
        let values = [organization.into(), after.at.into(), after.id.into(), limit.into()];
        self.db.rows(organization, AssertSqlSafe(sql), &values).await?.iter().map(number).collect()
    }

    /// Returns one number of a tenant.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_number_show(
        &self,
        organization: OrganizationId,
        id: Uuid,
    ) -> Result<Option<CallerIdNumber>, StoreError> {
        let sql = format!("SELECT {NUMBER} FROM caller_id_numbers WHERE organization_id = $1 AND id = $2");
        let row = self.db.row(organization, AssertSqlSafe(sql), &[organization.into(), id.into()]).await?;
        row.as_ref().map(number).transpose()
    }

    /// Lists a new, unproven number. Other organizations may list it too.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when this organization lists the number already; else when the database fails.
    pub async fn caller_id_number_create(
        &self,
        organization: OrganizationId,
        number: &str,
        label: &str,
        by: &By,
    ) -> Result<CallerIdNumber, StoreError> {
        let new = CallerIdNumber {
            id: Uuid::now_v7(),
            number: number.into(),
            label: label.into(),
            created_at: now(),
            proven_at: None,
            proven_by: None,
        };
        let sql = "INSERT INTO caller_id_numbers (id, organization_id, number, label, created_at) \
                   VALUES ($1, $2, $3, $4, $5)";
        let values = [new.id.into(), organization.into(), number.into(), label.into(), new.created_at.into()];
        let deed = Deed::new("caller_id.number.create", number_of(new.id)).after(&new);
        self.run_audited(organization, sql, &values, by, deed)
            .await
            .map_err(taken("a caller identity with this number"))?;
        Ok(new)
    }

    /// Marks a number of the organization as proven, with its row in the audit log: from now on it affects calls. Returns
    /// it, or `None` if the organization does not list it.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another organization has proven the number; else when the database fails.
    pub async fn caller_id_number_prove(
        &self,
        organization: OrganizationId,
        before: &CallerIdNumber,
        proof: Proof,
        by: &By,
    ) -> Result<Option<CallerIdNumber>, StoreError> {
        let at = now();
        let after = CallerIdNumber { proven_at: Some(at), proven_by: Some(proof), ..before.clone() };
        let sql = "UPDATE caller_id_numbers SET proven_at = $3, proven_by = $4 WHERE organization_id = $1 AND id = $2";
        let values = [organization.into(), before.id.into(), at.into(), proof.as_str().into()];
        let deed = Deed::new("caller_id.number.prove", number_of(before.id)).before(before).after(&after);
        let proven = self.run_audited(organization, sql, &values, by, deed).await.map_err(taken(ELSEWHERE))?;
        self.settings_changed(organization);
        Ok(proven.then_some(after))
    }

    /// Assigns a number to an organization, proven by the operator, unless another organization has proven it. A label
    /// that exists is kept.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another organization proves the number at the same time; else when the database
    /// fails.
    pub async fn caller_id_number_assign(
        &self,
        organization: OrganizationId,
        number: &str,
        by: &By,
    ) -> Result<Assigned, StoreError> {
        if let Some(other) = self.caller_id_number_organization(number).await?
            && other != organization
        {
            return Ok(Assigned::Elsewhere(other));
        }
        let mut tx = self.db.write(organization).await?;
        let sql = format!(
            "INSERT INTO caller_id_numbers (id, organization_id, number, label, created_at, proven_at, proven_by) \
             VALUES ($1, $2, $3, '', $4, $4, $5) ON CONFLICT (organization_id, number) DO UPDATE SET \
             proven_at = COALESCE(caller_id_numbers.proven_at, excluded.proven_at), proven_by = excluded.proven_by \
             RETURNING {NUMBER}"
        );
        let values =
            [Uuid::now_v7().into(), organization.into(), number.into(), now().into(), Proof::Operator.as_str().into()];
        let row = tx.row(AssertSqlSafe(sql), &values).await.map_err(taken(ELSEWHERE))?;
        let assigned = self::number(&row.ok_or(StoreError::Corrupt { column: "number" })?)?;
        let deed = Deed::new("caller_id.number.assign", format!("caller_id_number:{}", assigned.id)).after(&assigned);
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        self.settings_changed(organization);
        Ok(Assigned::Done(assigned))
    }

    /// Stores the argon2id hash of the code that a call to a number speaks, in place of an earlier one.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_code_put(
        &self,
        organization: OrganizationId,
        number: Uuid,
        hash: &str,
        tries: u32,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO caller_id_codes (organization_id, number_id, code_hash, tries, expires_at) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (organization_id, number_id) DO UPDATE SET \
                   code_hash = excluded.code_hash, tries = excluded.tries, expires_at = excluded.expires_at";
        let values = [organization.into(), number.into(), hash.into(), tries.into(), expires_at.into()];
        self.db.run(organization, sql, &values).await.map(drop)
    }

    /// Uses up one try of a number's code and returns its hash. `None` if there is no code, it has expired, or no try
    /// is left.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_code_try(
        &self,
        organization: OrganizationId,
        number: Uuid,
    ) -> Result<Option<String>, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "UPDATE caller_id_codes SET tries = tries - 1 WHERE organization_id = $1 AND number_id = $2 \
                   AND tries > 0 AND expires_at > $3 RETURNING code_hash";
        let row = tx.row(sql, &[organization.into(), number.into(), now().into()]).await?;
        tx.commit().await?;
        row.map(|row| row.text("code_hash")).transpose()
    }

    /// Removes a number from an organization, with its rules. Returns `false` if the organization does not list it.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_number_remove(
        &self,
        organization: OrganizationId,
        number: &str,
        by: &By,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "DELETE FROM caller_id_numbers WHERE organization_id = $1 AND number = $2";
        let removed = tx.run(sql, &[organization.into(), number.into()]).await? > 0;
        if removed {
            let deed =
                Deed::new("caller_id.number.remove", "caller_id_number").before(serde_json::json!({"number": number}));
            audit_log::append(&mut tx, organization, by, &deed).await?;
            tx.commit().await?;
            self.settings_changed(organization);
        }
        Ok(removed)
    }

    /// Returns whether this organization may show this number: it lists the number and has proven it.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_proven(&self, organization: OrganizationId, number: &str) -> Result<bool, StoreError> {
        let sql =
            "SELECT id FROM caller_id_numbers WHERE organization_id = $1 AND number = $2 AND proven_at IS NOT NULL";
        Ok(self.db.row(organization, sql, &[organization.into(), number.into()]).await?.is_some())
    }

    /// Changes the label of a tenant's number. Returns `false` if there is no such number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_number_update(
        &self,
        organization: OrganizationId,
        before: &CallerIdNumber,
        after: &CallerIdNumber,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE caller_id_numbers SET label = $3 WHERE organization_id = $1 AND id = $2";
        let values = [organization.into(), before.id.into(), (&after.label).into()];
        let deed = Deed::new("caller_id.number.update", number_of(before.id)).before(before).after(after);
        self.run_audited(organization, sql, &values, by, deed).await
    }

    /// Removes a tenant's number with its rules. Returns `false` if there is no such number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_number_delete(
        &self,
        organization: OrganizationId,
        before: &CallerIdNumber,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM caller_id_numbers WHERE organization_id = $1 AND id = $2";
        let deed = Deed::new("caller_id.number.delete", number_of(before.id)).before(before);
        let gone = self.run_audited(organization, sql, &[organization.into(), before.id.into()], by, deed).await?;
        self.settings_changed(organization);
        Ok(gone)
    }

    /// Returns the tenant that has proven this number. This look-up runs before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_number_organization(&self, number: &str) -> Result<Option<OrganizationId>, StoreError> {
        let sql = self.db.pick(
            "SELECT organization_id FROM caller_id_numbers WHERE number = $1 AND proven_at IS NOT NULL",
            "SELECT organization_id FROM look_up_number($1)",
        );
        let rows = self.db.rows_outside(sql, &[number.into()]).await?;
        rows.first().map(|row| row.uuid("organization_id").map(OrganizationId)).transpose()
    }

    /// Returns a tenant's rules in the order in which they are tried.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_rule_list(&self, organization: OrganizationId) -> Result<Vec<CallerIdRule>, StoreError> {
        let sql = "SELECT r.id, r.position, r.number_id, n.number, r.agent, r.campaign, r.destination_prefix, \
                   r.created_at FROM caller_id_rules r JOIN caller_id_numbers n \
                   ON n.organization_id = r.organization_id AND n.id = r.number_id \
                   WHERE r.organization_id = $1 ORDER BY r.position, r.created_at, r.id";
        self.db.rows(organization, sql, &[organization.into()]).await?.iter().map(rule).collect()
    }

    /// Returns one rule of a tenant.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_rule_show(
        &self,
        organization: OrganizationId,
        id: Uuid,
    ) -> Result<Option<CallerIdRule>, StoreError> {
        let row = self.db.row(organization, ONE_RULE, &[organization.into(), id.into()]).await?;
        row.as_ref().map(rule).transpose()
    }

    /// Adds a rule for a number of the tenant. `None` if the tenant does not list the number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_rule_create(
        &self,
        organization: OrganizationId,
        draft: &CallerIdRuleDraft,
        by: &By,
    ) -> Result<Option<CallerIdRule>, StoreError> {
        let id = Uuid::now_v7();
        let sql = "INSERT INTO caller_id_rules (id, organization_id, position, number_id, agent, campaign, \
                   destination_prefix, created_at) \
                   SELECT $1, n.organization_id, COALESCE($3, (SELECT MAX(r.position) FROM caller_id_rules r \
                   WHERE r.organization_id = $2) + 1, 1), n.id, $5, $6, $7, $8 \
                   FROM caller_id_numbers n WHERE n.organization_id = $2 AND n.id = $4";
        let values = [
            id.into(),
            organization.into(),
            draft.position.map(i64::from).into(),
            draft.number_id.into(),
            (&draft.agent).into(),
            (&draft.campaign).into(),
            (&draft.destination_prefix).into(),
            now().into(),
        ];
        let mut tx = self.db.write(organization).await?;
        if tx.run(sql, &values).await? == 0 {
            return Ok(None);
        }
        let created = rule_in(&mut tx, organization, id).await?;
        let deed = Deed::new("caller_id.rule.create", rule_of(id)).after(&created);
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(Some(created))
    }

    /// Changes a tenant's rule, with its row in the audit log, and returns it; `None` if there is no such rule or its number
    /// is not the tenant's.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_rule_update(
        &self,
        organization: OrganizationId,
        before: &CallerIdRule,
        draft: &CallerIdRuleDraft,
        by: &By,
    ) -> Result<Option<CallerIdRule>, StoreError> {
        let sql = "UPDATE caller_id_rules SET position = COALESCE($3, position), number_id = $4, agent = $5, \
                   campaign = $6, destination_prefix = $7 WHERE organization_id = $1 AND id = $2 AND EXISTS \
                   (SELECT 1 FROM caller_id_numbers n WHERE n.organization_id = $1 AND n.id = $4)";
        let values = [
            organization.into(),
            before.id.into(),
            draft.position.map(i64::from).into(),
            draft.number_id.into(),
            (&draft.agent).into(),
            (&draft.campaign).into(),
            (&draft.destination_prefix).into(),
        ];
        let mut tx = self.db.write(organization).await?;
        if tx.run(sql, &values).await? == 0 {
            return Ok(None);
        }
        let after = rule_in(&mut tx, organization, before.id).await?;
        let deed = Deed::new("caller_id.rule.update", rule_of(after.id)).before(before).after(&after);
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(Some(after))
    }

    /// Removes a tenant's rule. Returns `false` if there is no such rule.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn caller_id_rule_delete(
        &self,
        organization: OrganizationId,
        before: &CallerIdRule,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM caller_id_rules WHERE organization_id = $1 AND id = $2";
        let deed = Deed::new("caller_id.rule.delete", rule_of(before.id)).before(before);
        self.run_audited(organization, sql, &[organization.into(), before.id.into()], by, deed).await
    }
}
