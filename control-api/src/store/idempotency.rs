//! Answers that are kept for a day, to be given again to who asks with the same key.
//!
//! ```text
//! claim ─▶ Mine (work, then finish or release) │ Done (the answer) │ Running (somebody works) │ OtherBody
//! ```
//!
//! A claim holds for [`LEASE`]: who died with it blocks the key no longer. Whoever takes over gets the same subject, so
//! that what was made before is found and not made twice. Answers are sealed: one may hold a key that is shown once.

use std::time::Duration;

use uuid::Uuid;

use super::db::{Row, Tx};
use super::seal::{Sealer, Slot};
use super::{OrganizationId, Store, StoreError, now};

/// How long answers are kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How long who works on an answer may take until somebody else takes over.
pub const LEASE: Duration = Duration::from_secs(30);

/// Whose key it is: keys of different actors never meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose.
    pub organization: OrganizationId,
    /// Which user or API key.
    pub actor: String,
    /// What the client sent.
    pub key: String,
}

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// Header `Location`.
    pub location: Option<String>,
    /// JSON.
    pub body: String,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Work, then finish or release under this claim.
    Mine {
        /// What proves the claim.
        claim: Uuid,
        /// The identity for what is made.
        subject: Uuid,
        /// Somebody had it before and never finished: what is to be made may be there.
        again: bool,
    },
    /// The answer was given before.
    Done(KeptAnswer),
    /// Somebody works on it.
    Running,
    /// The key was used with another request.
    OtherBody,
}

impl Store {
    /// Claims a key for a request, told by its hash.
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
        // Released in this moment: whoever asks again gets it.
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

    /// Keeps the answer of a claimed key; nothing when another has taken over.
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

    /// Gives a claimed key back: nothing was made, and it may be used again.
    pub async fn idempotency_release(&self, key: &IdempotencyKey, claim: Uuid) -> Result<(), StoreError> {
        let sql = "DELETE FROM idempotency_keys WHERE organization_id = $1 AND actor = $2 AND key = $3 AND claim = $4";
        let values = [key.organization.into(), (&key.actor).into(), (&key.key).into(), claim.into()];
        self.db.run(key.organization, sql, &values).await?;
        Ok(())
    }

    /// Forgets what a tenant's keys kept long enough; how many.
    pub async fn idempotency_expire(&self, organization: OrganizationId) -> Result<u64, StoreError> {
        let sql = "DELETE FROM idempotency_keys WHERE organization_id = $1 AND expires_at <= $2";
        self.db.run(organization, sql, &[organization.into(), now().into()]).await
    }
}

/// What tells a key apart within its organization. Neither part holds a line end.
fn row_of(actor: &str, key: &str) -> String {
    format!("{actor}\n{key}")
}

fn slot(organization: OrganizationId, row: &str) -> Slot<'_> {
    Slot { column: "idempotency_keys.response", organization, row }
}

/// Seals a tenant's kept answers anew; how many there were.
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
