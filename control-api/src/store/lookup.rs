//! Look-ups that run before the tenant is known. Each returns ids only.
//!
//! On PostgreSQL they are functions with the rights of the migrating role (SECURITY DEFINER), because the serving role
//! sees no rows outside a tenant. On SQLite they are the same queries.

use super::db::{Db, Row, Tx, Value};
use super::{OrganizationId, StoreError, UserId};

fn organization(row: &Row) -> Result<OrganizationId, StoreError> {
    row.uuid("organization_id").map(OrganizationId)
}

async fn find_organization(
    db: &Db,
    sqlite: &'static str,
    postgres: &'static str,
    wanted: Value,
) -> Result<Option<OrganizationId>, StoreError> {
    let rows = db.rows_outside(db.pick(sqlite, postgres), &[wanted]).await?;
    rows.first().map(organization).transpose()
}

/// Returns the person with this e-mail address and the tenant of their oldest membership, to which a log-in leads.
pub(super) async fn login(db: &Db, email: &str) -> Result<Option<(OrganizationId, UserId)>, StoreError> {
    let sql = db.pick(
        "SELECT m.organization_id, m.user_id FROM users u JOIN memberships m ON m.user_id = u.id WHERE u.email = $1 \
         ORDER BY m.created_at, m.organization_id LIMIT 1",
        "SELECT organization_id, user_id FROM look_up_login($1)",
    );
    let rows = db.rows_outside(sql, &[email.into()]).await?;
    rows.first().map(|row| Ok((organization(row)?, UserId(row.uuid("user_id")?)))).transpose()
}

/// Returns the tenant of a session.
pub(super) async fn session(db: &Db, token_hash: &str) -> Result<Option<OrganizationId>, StoreError> {
    let sqlite = "SELECT organization_id FROM sessions WHERE token_hash = $1";
    find_organization(db, sqlite, "SELECT organization_id FROM look_up_session($1)", token_hash.into()).await
}

/// Returns the tenant of an API key.
pub(super) async fn api_key(db: &Db, key_hash: &str) -> Result<Option<OrganizationId>, StoreError> {
    let sqlite = "SELECT organization_id FROM api_keys WHERE key_hash = $1";
    find_organization(db, sqlite, "SELECT organization_id FROM look_up_api_key($1)", key_hash.into()).await
}

/// Returns the tenant of an invitation.
pub(super) async fn invitation(db: &Db, token_hash: &str) -> Result<Option<OrganizationId>, StoreError> {
    let sqlite = "SELECT organization_id FROM invitations WHERE token_hash = $1";
    find_organization(db, sqlite, "SELECT organization_id FROM look_up_invitation($1)", token_hash.into()).await
}

/// Returns the tenant whose member has this SIP name.
pub(super) async fn sip_name(db: &Db, sip_name: &str) -> Result<Option<OrganizationId>, StoreError> {
    let sqlite = "SELECT organization_id FROM memberships WHERE sip_name = $1";
    find_organization(db, sqlite, "SELECT organization_id FROM look_up_sip_name($1)", sip_name.into()).await
}

/// Returns the tenant for which a SIP name is reserved.
pub(super) async fn sip_name_reserved(db: &Db, sip_name: &str) -> Result<Option<OrganizationId>, StoreError> {
    let sqlite = "SELECT organization_id FROM sip_names WHERE sip_name = $1";
    find_organization(db, sqlite, "SELECT organization_id FROM look_up_sip_name_reserved($1)", sip_name.into()).await
}

/// Returns the tenant of a link that sets a new password.
pub(super) async fn password_reset(db: &Db, token_hash: &str) -> Result<Option<OrganizationId>, StoreError> {
    let sqlite = "SELECT organization_id FROM password_resets WHERE token_hash = $1";
    find_organization(db, sqlite, "SELECT organization_id FROM look_up_password_reset($1)", token_hash.into()).await
}

/// Finds the tenant of a call that the engine names, inside the unit of work that writes.
pub(super) const CALL_SQLITE: &str = "SELECT organization_id FROM calls WHERE id = $1";
/// [`CALL_SQLITE`] for PostgreSQL.
pub(super) const CALL_POSTGRES: &str = "SELECT organization_id FROM look_up_call($1)";

/// Returns the tenant of an incoming call, inside the unit of work that writes: that of its agent, else of the called
/// number, else the oldest.
pub(super) async fn incoming_call(
    tx: &mut Tx,
    agent: Option<&str>,
    number: Option<&str>,
) -> Result<Option<OrganizationId>, StoreError> {
    let of_agent = tx.pick(
        "SELECT organization_id FROM memberships WHERE sip_name = $1",
        "SELECT organization_id FROM look_up_sip_name($1)",
    );
    let of_number = tx.pick(
        "SELECT organization_id FROM caller_id_numbers WHERE number = $1 AND proven_at IS NOT NULL",
        "SELECT organization_id FROM look_up_number($1)",
    );
    for (sql, wanted) in [(of_agent, agent), (of_number, number)] {
        let Some(wanted) = wanted else { continue };
        if let Some(row) = tx.row(sql, &[wanted.into()]).await? {
            return organization(&row).map(Some);
        }
    }
    let oldest = tx.pick(
        "SELECT id AS organization_id FROM organizations ORDER BY created_at, id LIMIT 1",
        "SELECT organization_id FROM look_up_organizations() LIMIT 1",
    );
    tx.row(oldest, &[]).await?.as_ref().map(organization).transpose()
}

/// Returns the tenant with this name.
pub(super) async fn organization_named(db: &Db, name: &str) -> Result<Option<OrganizationId>, StoreError> {
    let sqlite = "SELECT id AS organization_id FROM organizations WHERE name = $1";
    find_organization(db, sqlite, "SELECT organization_id FROM look_up_organization($1)", name.into()).await
}

/// Returns every tenant, the oldest first, for work that runs tenant by tenant.
pub(super) async fn organizations(db: &Db) -> Result<Vec<OrganizationId>, StoreError> {
    let sql = db.pick(
        "SELECT id AS organization_id FROM organizations ORDER BY created_at, id",
        "SELECT organization_id FROM look_up_organizations()",
    );
    db.rows_outside(sql, &[]).await?.iter().map(organization).collect()
}

/// Returns the tenants to which a person belongs.
pub(super) async fn memberships(db: &Db, user: UserId) -> Result<Vec<OrganizationId>, StoreError> {
    let sql = db.pick(
        "SELECT organization_id FROM memberships WHERE user_id = $1 ORDER BY created_at, organization_id",
        "SELECT organization_id FROM look_up_memberships($1)",
    );
    db.rows_outside(sql, &[user.into()]).await?.iter().map(organization).collect()
}
