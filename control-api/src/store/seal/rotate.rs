//! Every sealed column, taken from one key to another.

use super::{SealKey, Sealer, Slot, mark, set_mark};
use crate::store::db::{Db, Tx};
use crate::store::{StoreError, StorePlace, idempotency, lookup, schema, signing_key};

/// How a store's secrets and the key at hand fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealState {
    /// Nothing is sealed yet.
    Unsealed,
    /// The key opens them.
    Opens,
    /// They are sealed with this key, which is not at hand.
    Locked(String),
}

/// Whether the key at hand opens the secrets of a store.
pub async fn seal_state(place: &StorePlace<'_>, source: &SealKey) -> Result<SealState, StoreError> {
    let db = schema::connect(place).await?;
    let marked = mark(&db).await;
    db.close().await;
    let Some(marked) = marked? else { return Ok(SealState::Unsealed) };
    let opens = source.present()?.is_some_and(|sealer| sealer.id == marked);
    Ok(if opens { SealState::Opens } else { SealState::Locked(marked) })
}

/// Seals everything with a new key, which takes the place of the old one. No server may run on the store. Returns the ids of
/// both keys.
pub async fn seal_rotate(place: &StorePlace<'_>, source: &SealKey) -> Result<(String, String), StoreError> {
    let db = schema::connect(place).await?;
    let rotated = rotate(&db, source).await;
    db.close().await;
    rotated
}

async fn rotate(db: &Db, source: &SealKey) -> Result<(String, String), StoreError> {
    let old = super::open(db, source).await?;
    let new = source.make_next()?;
    let mut tx = db.write_outside().await?;
    seal_all(db, &mut tx, Some(&old), &new).await?;
    set_mark(&mut tx, &new).await?;
    tx.commit().await?;
    // From here on the new key is the store's: an interruption is made up for when the store is opened.
    source.replace()?;
    Ok((old.id, new.id))
}

/// Removes secrets whose key is lost, so that the store can be used with another: signed URLs that were given out end. Returns
/// the id of the lost key.
pub async fn seal_forget(place: &StorePlace<'_>, source: &SealKey) -> Result<String, StoreError> {
    let db = schema::connect(place).await?;
    let forgotten = forget(&db, source).await;
    db.close().await;
    forgotten
}

async fn forget(db: &Db, source: &SealKey) -> Result<String, StoreError> {
    let marked = mark(db).await?.ok_or_else(|| StoreError::SealKey("nothing is sealed in this store".into()))?;
    if source.present()?.is_some_and(|sealer| sealer.id == marked) {
        return Err(StoreError::SealKey(format!("key {marked} is here and opens this store: nothing is lost")));
    }
    let mut tx = db.write_outside().await?;
    for organization in lookup::organizations(db).await? {
        tx.enter(organization).await?;
        tx.run("DELETE FROM signing_keys WHERE organization_id = $1", &[organization.into()]).await?;
        tx.run("DELETE FROM idempotency_keys WHERE organization_id = $1", &[organization.into()]).await?;
    }
    tx.run("DELETE FROM seal", &[]).await?;
    tx.commit().await?;
    Ok(marked)
}

/// Seals every secret; `old` opens what is sealed already, without it they are plain. How many there were.
pub(super) async fn seal_all(db: &Db, tx: &mut Tx, old: Option<&Sealer>, new: &Sealer) -> Result<usize, StoreError> {
    let again = |slot: Slot<'_>, text: &str| {
        let plain = old.map_or_else(|| Ok(text.to_owned()), |old| old.open(slot, text))?;
        new.seal(slot, &plain)
    };
    let mut sealed = 0;
    for organization in lookup::organizations(db).await? {
        tx.enter(organization).await?;
        sealed += signing_key::reseal(tx, organization, again).await?;
        sealed += idempotency::reseal(tx, organization, again).await?;
    }
    Ok(sealed)
}
