//! Re-seals every sealed column with another key.

use super::{SealKey, Sealer, Slot, key_id_load, key_id_set};
use crate::store::db::{Db, Tx};
use crate::store::{StoreError, StorePlace, idempotency, lookup, schema, signing_key};

/// Whether the available key opens a store's secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealState {
    /// The store has no sealed secrets yet.
    Unsealed,
    /// The key opens the secrets.
    Opens,
    /// The secrets are sealed with the key of this id, which is not available.
    Locked(String),
}

/// Returns whether the key at `source` opens the secrets of a store.
///
/// # Errors
/// When the store cannot be opened or the key cannot be read. The text says what to do.
pub async fn seal_state(place: &StorePlace<'_>, source: &SealKey) -> Result<SealState, StoreError> {
    let db = schema::connect(place).await?;
    let marked = key_id_load(&db).await;
    db.close().await;
    let Some(marked) = marked? else { return Ok(SealState::Unsealed) };
    let opens = source.present()?.is_some_and(|sealer| sealer.id == marked);
    Ok(if opens { SealState::Opens } else { SealState::Locked(marked) })
}

/// Seals all secrets with a new key, which replaces the old one. No server may be running on the store. Returns the ids
/// of the old and the new key.
///
/// # Errors
/// [`StoreError::SealKey`] when the old key does not open the store or the new one cannot be written; else when the
/// store cannot be opened or written.
pub async fn seal_rotate(place: &StorePlace<'_>, source: &SealKey) -> Result<(String, String), StoreError> {
    let db = schema::connect(place).await?;
    let rotated = rotate(&db, source).await;
    db.close().await;
    rotated
}

async fn rotate(db: &Db, source: &SealKey) -> Result<(String, String), StoreError> {
    let old = super::open(db, source).await?;
    let new = source.create_next()?;
    let mut tx = db.write_outside().await?;
    seal_all(db, &mut tx, Some(&old), &new).await?;
    key_id_set(&mut tx, &new).await?;
    tx.commit().await?;
    // From here on the new key is in force: after an interruption, opening the store completes the replacement.
    source.replace()?;
    Ok((old.id, new.id))
}

/// Removes secrets whose key is lost, so that the store can be used with another key; existing signed URLs become
/// invalid. Returns the id of the lost key.
///
/// # Errors
/// [`StoreError::SealKey`] when nothing is sealed or the key is available; else when the store cannot be opened or
/// written.
pub async fn seal_forget(place: &StorePlace<'_>, source: &SealKey) -> Result<String, StoreError> {
    let db = schema::connect(place).await?;
    let forgotten = forget(&db, source).await;
    db.close().await;
    forgotten
}

async fn forget(db: &Db, source: &SealKey) -> Result<String, StoreError> {
    let marked =
        key_id_load(db).await?.ok_or_else(|| StoreError::SealKey("this store has no sealed secrets".into()))?;
    if source.present()?.is_some_and(|sealer| sealer.id == marked) {
        return Err(StoreError::SealKey(format!("key {marked} is available and opens this store: nothing is lost")));
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

/// Seals every secret and returns their number. `old` opens those that are sealed; without it they are plain.
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
