//! Secrets at rest: sealed with a key that is not in the database.
//!
//! ```text
//! seal.key, configuration ─▶ SealKey ─▶ Sealer ─ seal(place, text) ─▶ "sealed:1:NONCE+CIPHERTEXT+TAG" ─▶ column
//!                                          └──── key id ─▶ table `seal`: the one key that seals this store's secrets
//! ```
//!
//! AES-256-GCM with a random nonce; the associated data names table, column, organization and row, so that a sealed text
//! can be opened only where it was written. A nonce of 96 random bits is safe for 2^32 texts with one key (NIST SP 800-38D
//! section 8.3); one text is written for each keyed API request that creates something, and `tandem seal rotate` starts the
//! count anew.
//!
//! Invariants: a store whose secrets are sealed with another key is refused and never written to; a plain text in a sealed
//! column is refused, because an attacker who can write there must not be able to choose a secret.
//!
//! Not here: hashes of passwords and tokens, which are not secrets; secrets that are in the configuration only.

mod key;
mod rotate;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use sha2::{Digest, Sha256};

use super::db::{Db, Tx};
use super::{OrganizationId, StoreError, now};

pub use key::SealKey;
pub use rotate::{SealState, seal_forget, seal_rotate, seal_state};

/// Prefix of every sealed text, and of nothing else in a sealed column.
const BEGIN: &str = "sealed:1:";

/// The place of a secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'s> {
    /// Table and column, such as `signing_keys.key`.
    pub(super) column: &'static str,
    pub(super) organization: OrganizationId,
    /// Key of the row within its organization; empty if there is only one row.
    pub(super) row: &'s str,
}

impl Slot<'_> {
    fn associated(&self) -> Aad<Vec<u8>> {
        // Only `row` may contain a line end, and it comes last.
        Aad::from(format!("{}\n{}\n{}", self.column, self.organization, self.row).into_bytes())
    }
}

/// Seals and opens texts with one key.
pub(super) struct Sealer {
    key: LessSafeKey,
    id: String,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Sealer {
    fn new(bytes: &[u8; 32]) -> Sealer {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes 32 bytes");
        let id = hex::encode(&Sha256::new().chain_update("tandem seal key\n").chain_update(bytes).finalize()[..8]);
        Sealer { key: LessSafeKey::new(key), id }
    }

    /// Returns a sealer with a random key, for a store that keeps nothing.
    pub(super) fn passing() -> Sealer {
        Sealer::new(&rand::random())
    }

    /// Seals a text for its place.
    pub(super) fn seal(&self, slot: Slot<'_>, text: &str) -> Result<String, StoreError> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut bytes = text.as_bytes().to_vec();
        let sealed =
            self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), slot.associated(), &mut bytes);
        sealed.map_err(|_| StoreError::Sealed { column: slot.column })?;
        let all: Vec<u8> = nonce.into_iter().chain(bytes).collect();
        Ok(format!("{BEGIN}{}", BASE64.encode(all)))
    }

    /// Opens a text that was sealed for this place with this key.
    pub(super) fn open(&self, slot: Slot<'_>, sealed: &str) -> Result<String, StoreError> {
        self.try_open(slot, sealed).ok_or(StoreError::Sealed { column: slot.column })
    }

    fn try_open(&self, slot: Slot<'_>, sealed: &str) -> Option<String> {
        let mut bytes = BASE64.decode(sealed.strip_prefix(BEGIN)?).ok()?;
        let (nonce, rest) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, slot.associated(), rest).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

/// Returns the sealer of an opened store. Checks the key, and seals the texts that an earlier version left plain.
pub(super) async fn open(db: &Db, source: &SealKey) -> Result<Sealer, StoreError> {
    let marked = key_id_load(db).await?;
    let sealer = source.sealer(marked.as_deref())?;
    if marked.is_some() {
        return Ok(sealer);
    }
    let mut tx = db.write_outside().await?;
    let sql = "INSERT INTO seal (one, key_id, at) VALUES ($1, $2, $3) ON CONFLICT (one) DO NOTHING";
    if tx.run(sql, &[true.into(), (&sealer.id).into(), now().into()]).await? == 1 {
        let sealed = rotate::seal_all(db, &mut tx, None, &sealer).await?;
        tx.commit().await?;
        tracing::info!(
            key = sealer.id,
            sealed,
            "the store's secrets are sealed with this key; keep it apart from backups"
        );
        return Ok(sealer);
    }
    drop(tx);
    // Another server was faster; use its key.
    let marked = key_id_load(db).await?;
    source.sealer(marked.as_deref())
}

/// Returns the id of the key with which the store's secrets are sealed.
async fn key_id_load(db: &Db) -> Result<Option<String>, StoreError> {
    let rows = db.rows_outside("SELECT key_id FROM seal", &[]).await?;
    rows.first().map(|row| row.text("key_id")).transpose()
}

/// Replaces the id of the key.
async fn key_id_set(tx: &mut Tx, sealer: &Sealer) -> Result<(), StoreError> {
    tx.run("UPDATE seal SET key_id = $1, at = $2", &[(&sealer.id).into(), now().into()]).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
