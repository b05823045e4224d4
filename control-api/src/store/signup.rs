//! New tenants and their first owner, both or neither.

use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::Tx;
use super::user::{self, NewMember};
use super::{Membership, Organization, OrganizationId, Role, Store, StoreError, UserId, membership, now, taken};

/// Who owns a new tenant.
pub enum Founder<'a> {
    /// Somebody new; the role given is not looked at.
    New(NewMember<'a>),
    /// Somebody who has an account, under this SIP name.
    Known(UserId, &'a str),
}

/// One sign-up at a time looks whether it is the first: held until the end of the unit of work.
async fn is_fresh(tx: &mut Tx) -> Result<bool, StoreError> {
    if let Tx::Postgres(_) = tx {
        tx.run("SELECT pg_advisory_xact_lock(hashtextextended('sign-up', 0))", &[]).await?;
    }
    let sql =
        tx.pick("SELECT id FROM organizations LIMIT 1", "SELECT organization_id FROM look_up_organizations() LIMIT 1");
    Ok(tx.rows(sql, &[]).await?.is_empty())
}

impl Store {
    /// Makes a tenant and its owner. Nothing: `only_first` was asked, and there is a tenant already. `Taken` when the name,
    /// the e-mail address or the SIP name exists.
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
