//! Sign-up: creates a tenant together with its first owner, both or neither.

use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::Tx;
use super::user::{self, NewMember};
use super::{Membership, Organization, OrganizationId, Role, Store, StoreError, UserId, membership, now, taken};

/// The first owner of a new tenant.
pub enum Founder<'a> {
    /// A person without an account; the role in it is ignored.
    New(NewMember<'a>),
    /// A person with an account, and their SIP user name in the new tenant.
    Known(UserId, &'a str),
}

/// Returns whether there is no tenant yet. Holds a lock until the end of the unit of work, so that only one sign-up at
/// a time checks this.
async fn is_fresh(tx: &mut Tx) -> Result<bool, StoreError> {
    if let Tx::Postgres(_) = tx {
        tx.run("SELECT pg_advisory_xact_lock(hashtextextended('sign-up', 0))", &[]).await?;
    }
    let sql =
        tx.pick("SELECT id FROM organizations LIMIT 1", "SELECT organization_id FROM look_up_organizations() LIMIT 1");
    Ok(tx.rows(sql, &[]).await?.is_empty())
}

impl Store {
    /// Creates a tenant and its owner. `None` if `only_first` is set and there is a tenant already.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name, the e-mail address or the SIP name exists; [`StoreError::None`] without a
    /// store; else when the database fails.
    pub async fn organization_found(
        &self,
        name: &str,
        founder: Founder<'_>,
        only_first: bool,
        by: By,
    ) -> Result<Option<(Organization, Membership)>, StoreError> {
        if !self.keeps() {
            return Err(StoreError::None);
        }
        let created = Organization { id: OrganizationId(Uuid::now_v7()), name: name.to_owned(), created_at: now() };
        let mut tx = self.db.write_outside().await?;
        if only_first && !is_fresh(&mut tx).await? {
            return Ok(None);
        }
        tx.enter(created.id).await?;
        let sql = "INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)";
        let values = [created.id.into(), name.into(), created.created_at.into()];
        tx.run(sql, &values).await.map_err(taken("an organization of this name"))?;
        let (user, sip_name) = match founder {
            Founder::New(new) => {
                (user::insert(&mut tx, new.email, new.name, new.password_hash).await?.id, new.sip_name)
            }
            Founder::Known(user, sip_name) => (user, sip_name),
        };
        let owner = membership::insert(&mut tx, created.id, user, Role::Owner, sip_name).await?;
        let by = By { id: Some(user.0), ..by };
        let deed = Deed::new("organization.create", "organization").after(serde_json::json!({"name": name}));
        audit_log::append(&mut tx, created.id, &by, &deed).await?;
        tx.commit().await?;
        self.settings_changed(created.id);
        Ok(Some((created, owner)))
    }
}
