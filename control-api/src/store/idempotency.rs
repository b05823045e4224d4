//! Idempotency keys: answers are kept for a day and repeated for requests with the same key.
//!
//! ```text
//! claim ─▶ Mine (work, then finish or release) │ Done (the answer) │ Running (another request works) │ OtherBody
//! ```
//!
//! A claim lasts for [`LEASE`], so that a holder that died does not block the key. The next holder gets the same
//! subject, so that an object that was already created is found and not created twice. Answers are sealed, as one may
//! contain a key that is shown only once.

use std::time::Duration;

use uuid::Uuid;

use super::db::{Row, Tx};
use super::seal::{Sealer, Slot};
use super::{OrganizationId, Store, StoreError, now};

/// Time for which answers are kept: one day.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Time for which a claim lasts; after it, another request may take over.
pub const LEASE: Duration = Duration::from_secs(30);

/// An idempotency key with its owner: equal keys of different actors are different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Organization of the actor.
    pub organization: OrganizationId,
    /// The user or API key that makes the request.
    pub actor: String,
    /// Key that the client sent.
    pub key: String,
}

/// A stored answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// HTTP status code.
    pub status: u16,
    /// Value of the header `Location`.
    pub location: Option<String>,
    /// Body as JSON text.
    pub body: String,
}

/// Result of claiming a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The key is claimed: do the work, then finish or release it under this claim.
    Mine {
        /// Proof of the claim, for [`Store::idempotency_finish`] and [`Store::idempotency_release`].
        claim: Uuid,
        /// Identity for the object that the request creates.
        subject: Uuid,
        /// Whether an earlier holder never finished, so that the object may exist already.
        again: bool,
    },
    /// The request was answered before, with this answer.
    Done(KeptAnswer),
    /// Another request with this key is being worked on.
    Running,
    /// The key was used with a different request.
    OtherBody,
}

impl Store {
    /// Claims a key for a request, which is identified by the hash of its body.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn idempotency_claim(&self, key: &IdempotencyKey, body_hash: &str) -> Result<Claimed, StoreError> {
        let (at, claim) = (now(), Uuid::now_v7());
        let mut tx = self.db.write(key.organization).await?;
        let sql = "INSERT INTO idempotency_keys (organization_id, actor, key, body_hash, state, subject, claim, \
                   claimed_until, created_at, expires_at) VALUES ($1, $2, $3, $4, 'running', $5, $5, $6, $7, $8) \
                   ON CONFLICT (organization_id, actor, key) DO UPDATE SET body_hash = excluded.body_hash, \
                   state = 'running', subject = excluded.subject, claim = excluded.claim, \
                   claimed_until = excluded.claimed_until, status = NULL, location = NULL, response = NULL, \
                   created_at = excluded.created_at, expires_at = excluded.expires_at \
                   WHERE idempotency_keys.expires_at <= $7";
        let values = [
            key.organization.into(),
            (&key.actor).into(),
            (&key.key).into(),
            body_hash.into(),
            claim.into(),
            (at + LEASE).into(),
            at.into(),
            (at + KEPT).into(),
        ];
        if tx.run(sql, &values).await? > 0 {
            tx.commit().await?;
            return Ok(Claimed::Mine { claim, subject: claim, again: false });
        }
        let sql = tx.pick(
            "SELECT body_hash, state, subject, claimed_until, status, location, response FROM idempotency_keys \
             WHERE organization_id = $1 AND actor = $2 AND key = $3",
            "SELECT body_hash, state, subject, claimed_until, status, location, response FROM idempotency_keys \
             WHERE organization_id = $1 AND actor = $2 AND key = $3 FOR UPDATE",
        );
        let row = tx.row(sql, &values[..3]).await?;
        // Released just now: the client gets the key when it retries.
        let Some(row) = row else { return Ok(Claimed::Running) };
        if row.text("body_hash")? != body_hash {
            return Ok(Claimed::OtherBody);
        }
        if row.text("state")? == "done" {
            return Ok(Claimed::Done(kept_answer(self.sealer()?, key, &row)?));
        }
        if row.time("claimed_until")? > at {
            return Ok(Claimed::Running);
        }
        let sql = "UPDATE idempotency_keys SET claim = $4, claimed_until = $5 \
                   WHERE organization_id = $1 AND actor = $2 AND key = $3";
        let taken_over =
            [key.organization.into(), (&key.actor).into(), (&key.key).into(), claim.into(), (at + LEASE).into()];
        tx.run(sql, &taken_over).await?;
        tx.commit().await?;
        Ok(Claimed::Mine { claim, subject: row.uuid("subject")?, again: true })
    }

    /// Stores the answer to a claimed request. Does nothing if another request has taken over the key.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn idempotency_finish(
        &self,
        key: &IdempotencyKey,
        claim: Uuid,
        answer: &KeptAnswer,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE idempotency_keys SET state = 'done', status = $5, location = $6, response = $7 \
                   WHERE organization_id = $1 AND actor = $2 AND key = $3 AND claim = $4";
        let values = [
            key.organization.into(),
            (&key.actor).into(),
            (&key.key).into(),
            claim.into(),
            u32::from(answer.status).into(),
            (&answer.location).into(),
            self.sealer()?.seal(slot(key.organization, &row_of(&key.actor, &key.key)), &answer.body)?.into(),
        ];
        self.db.run(key.organization, sql, &values).await?;
        Ok(())
    }

    /// Releases a claimed key when nothing was created, so that it can be used again.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn idempotency_release(&self, key: &IdempotencyKey, claim: Uuid) -> Result<(), StoreError> {
        let sql = "DELETE FROM idempotency_keys WHERE organization_id = $1 AND actor = $2 AND key = $3 AND claim = $4";
        let values = [key.organization.into(), (&key.actor).into(), (&key.key).into(), claim.into()];
        self.db.run(key.organization, sql, &values).await?;
        Ok(())
    }

    /// Removes a tenant's expired keys with their answers. Returns their number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn idempotency_expire(&self, organization: OrganizationId) -> Result<u64, StoreError> {
        let sql = "DELETE FROM idempotency_keys WHERE organization_id = $1 AND expires_at <= $2";
        self.db.run(organization, sql, &[organization.into(), now().into()]).await
    }
}

/// Returns the name of a key within its organization. Neither part contains a line end.
fn row_of(actor: &str, key: &str) -> String {
    format!("{actor}\n{key}")
}

fn slot(organization: OrganizationId, row: &str) -> Slot<'_> {
    Slot { column: "idempotency_keys.response", organization, row }
}

/// Seals a tenant's stored answers anew. Returns their number.
pub(super) async fn reseal(
    tx: &mut Tx,
    organization: OrganizationId,
    again: impl Fn(Slot<'_>, &str) -> Result<String, StoreError>,
) -> Result<usize, StoreError> {
    let sql = "SELECT actor, key, response FROM idempotency_keys \
               WHERE organization_id = $1 AND response IS NOT NULL";
    let rows = tx.rows(sql, &[organization.into()]).await?;
    for row in &rows {
        let (actor, key) = (row.text("actor")?, row.text("key")?);
        let sealed = again(slot(organization, &row_of(&actor, &key)), &row.text("response")?)?;
        let sql = "UPDATE idempotency_keys SET response = $4 WHERE organization_id = $1 AND actor = $2 AND key = $3";
        tx.run(sql, &[organization.into(), actor.into(), key.into(), sealed.into()]).await?;
    }
    Ok(rows.len())
}

fn kept_answer(sealer: &Sealer, key: &IdempotencyKey, row: &Row) -> Result<KeptAnswer, StoreError> {
    Ok(KeptAnswer {
        status: u16::try_from(row.int("status")?).map_err(|_| StoreError::Corrupt { column: "status" })?,
        location: row.text_opt("location")?,
        body: sealer.open(slot(key.organization, &row_of(&key.actor, &key.key)), &row.text("response")?)?,
    })
}
