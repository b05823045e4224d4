//! The members of a tenant: list, change of role, removal. The last owner cannot be removed or demoted.

use jiff::Timestamp;

use super::audit_log::{self, By, Deed};
use super::db::{Row, Tx};
use super::{OrganizationId, Place, Role, Store, StoreError, UserId};

/// A member of a tenant with name and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Identity of the person.
    pub user: UserId,
    /// E-mail address, the log-in name.
    pub email: String,
    /// Name of the person, as pages show it.
    pub name: String,
    /// Role in the tenant.
    pub role: Role,
    /// SIP user name, unique over all organizations.
    pub sip_name: String,
    /// Time at which the person joined.
    pub created_at: Timestamp,
    /// Time of the latest log-in.
    pub last_login_at: Option<Timestamp>,
}

/// Result of a change to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// The change is done; the member as it is now, or was before the removal.
    Done(Member),
    /// The tenant has no such member.
    NoSuch,
    /// The member is the last owner, and a tenant must have one.
    LastOwner,
    /// The requester lacks rights of the member's role, before or after the change.
    BeyondRights,
}

fn member(row: &Row) -> Result<Member, StoreError> {
    Ok(Member {
        user: UserId(row.uuid("user_id")?),
        email: row.text("email")?,
        name: row.text("name")?,
        role: row.text("role")?.parse().map_err(|_| StoreError::Corrupt { column: "role" })?,
        sip_name: row.text("sip_name")?,
        created_at: row.time("created_at")?,
        last_login_at: row.time_opt("last_login_at")?,
    })
}

/// Returns the member and whether it is the only owner. Locks the owners until the end of the unit of work.
async fn member_lock(
    tx: &mut Tx,
    organization: OrganizationId,
    user: UserId,
) -> Result<Option<(Member, bool)>, StoreError> {
    let sql = tx.pick(
        "SELECT user_id FROM memberships WHERE organization_id = $1 AND role = 'owner'",
        "SELECT user_id FROM memberships WHERE organization_id = $1 AND role = 'owner' FOR UPDATE",
    );
    let owners = tx.rows(sql, &[organization.into()]).await?;
    let sql = "SELECT m.user_id, u.email, u.name, m.role, m.sip_name, m.created_at, m.last_login_at \
               FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = $1 AND m.user_id = $2";
    let Some(row) = tx.row(sql, &[organization.into(), user.into()]).await? else { return Ok(None) };
    let member = member(&row)?;
    let last = member.role == Role::Owner && owners.len() <= 1;
    Ok(Some((member, last)))
}

impl Store {
    /// Returns a tenant's members after this place, in the order in which they joined.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn member_list(
        &self,
        organization: OrganizationId,
        after: Place,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError> {
        let sql = "SELECT m.user_id, u.email, u.name, m.role, m.sip_name, m.created_at, m.last_login_at \
                   FROM memberships m JOIN users u ON u.id = m.user_id \
                   WHERE m.organization_id = $1 AND (m.created_at, m.user_id) > ($2, $3) \
                   ORDER BY m.created_at, m.user_id LIMIT $4";
        let values = [organization.into(), after.at.into(), after.id.into(), limit.into()];
        self.db.rows(organization, sql, &values).await?.iter().map(member).collect()
    }

    /// Returns one member of a tenant.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn member_show(&self, organization: OrganizationId, user: UserId) -> Result<Option<Member>, StoreError> {
        let sql = "SELECT m.user_id, u.email, u.name, m.role, m.sip_name, m.created_at, m.last_login_at \
                   FROM memberships m JOIN users u ON u.id = m.user_id \
                   WHERE m.organization_id = $1 AND m.user_id = $2";
        self.db.row(organization, sql, &[organization.into(), user.into()]).await?.as_ref().map(member).transpose()
    }

    /// Changes the role of a member. `covers` tells whether the requester has all rights of a role.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn member_role_change(
        &self,
        organization: OrganizationId,
        user: UserId,
        role: Role,
        covers: impl Fn(Role) -> bool,
        by: &By,
    ) -> Result<MemberChange, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let Some((mut member, last)) = member_lock(&mut tx, organization, user).await? else {
            return Ok(MemberChange::NoSuch);
        };
        if !covers(member.role) || !covers(role) {
            return Ok(MemberChange::BeyondRights);
        }
        if last && role != Role::Owner {
            return Ok(MemberChange::LastOwner);
        }
        if member.role == role {
            return Ok(MemberChange::Done(member));
        }
        let sql = "UPDATE memberships SET role = $1 WHERE organization_id = $2 AND user_id = $3";
        tx.run(sql, &[role.as_str().into(), organization.into(), user.into()]).await?;
        let deed = Deed::new("member.update", format!("member:{user}"))
            .before(serde_json::json!({"role": member.role}))
            .after(serde_json::json!({"role": role}));
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        member.role = role;
        Ok(MemberChange::Done(member))
    }

    /// Removes a member with their sessions in this tenant, and the person's account if this was their only tenant.
    /// `covers` tells whether the requester has all rights of a role.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn member_remove(
        &self,
        organization: OrganizationId,
        user: UserId,
        covers: impl Fn(Role) -> bool,
        by: &By,
    ) -> Result<MemberChange, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let Some((member, last)) = member_lock(&mut tx, organization, user).await? else {
            return Ok(MemberChange::NoSuch);
        };
        if !covers(member.role) {
            return Ok(MemberChange::BeyondRights);
        }
        if last {
            return Ok(MemberChange::LastOwner);
        }
        let sql = tx.pick(
            "SELECT organization_id FROM memberships WHERE user_id = $1",
            "SELECT organization_id FROM look_up_memberships($1)",
        );
        let everywhere = tx.rows(sql, &[user.into()]).await?.len();
        let sql = "DELETE FROM sessions WHERE organization_id = $1 AND user_id = $2";
        tx.run(sql, &[organization.into(), user.into()]).await?;
        if everywhere <= 1 {
            tx.run("DELETE FROM users WHERE id = $1", &[user.into()]).await?;
        } else {
            let sql = "DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2";
            tx.run(sql, &[organization.into(), user.into()]).await?;
        }
        let deed = Deed::new("member.remove", format!("member:{user}")).before(
            serde_json::json!({"email": member.email, "name": member.name, "role": member.role, "sip_name": member.sip_name}),
        );
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        self.settings_changed(organization);
        Ok(MemberChange::Done(member))
    }
}
