//! What was said, with every version that recognition made of it.
//!
//! Version 1 comes with a segment's final text, in the same commit as its event; later versions come from the recording.
//! What is written here is found by words: triggers keep the search index.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::Tx;
use super::{OrganizationId, Store, StoreError, now};
use crate::engine::TranslationEvent;

/// The latest version of a segment, with what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TranscriptSegment {
    /// Number of the segment in its call.
    pub segment: u64,
    /// `customer` or `agent`: who spoke or typed.
    pub leg: String,
    /// BCP 47.
    pub language: String,
    /// What was said.
    pub text: String,
    /// What it means; null unless translated.
    pub translation: Option<String>,
    /// 1: as it was recognised live.
    pub version: u64,
    /// `live` or `recording`.
    pub source: String,
    /// When the speech began; for typed text, when it came.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
}

/// A segment that was recognised again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscriptVersion {
    /// The call.
    pub call: Uuid,
    /// The segment.
    pub segment: u64,
    /// Who spoke: `customer` or `agent`.
    pub leg: String,
    /// BCP 47.
    pub language: String,
    /// What was said.
    pub text: String,
}

/// Keeps a segment's final text as it was recognised live. A second one changes nothing.
pub(super) async fn live_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    event: &TranslationEvent,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO transcripts (organization_id, call_id, segment, version, leg, language, text, source, at) \
               VALUES ($1, $2, $3, 1, $4, $5, $6, 'live', $7) \
               ON CONFLICT (organization_id, call_id, segment, version) DO NOTHING";
    let values = [
        organization.into(),
        call.into(),
        event.segment.into(),
        event.leg.as_str().into(),
        event.source_language.as_str().into(),
        event.text.as_str().into(),
        at.into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

impl Store {
    /// The latest version of every segment of a tenant's call, in the order of segments.
    pub async fn transcript_list(
        &self,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Vec<TranscriptSegment>, StoreError> {
        let sql = "SELECT t.segment, t.leg, t.language, t.text, x.translation, t.version, t.source, t.at \
                   FROM transcripts t LEFT JOIN translations x ON x.organization_id = t.organization_id \
                   AND x.call_id = t.call_id AND x.segment = t.segment \
                   WHERE t.organization_id = $1 AND t.call_id = $2 AND t.version = (SELECT MAX(v.version) \
                   FROM transcripts v WHERE v.organization_id = $1 AND v.call_id = $2 AND v.segment = t.segment) \
                   ORDER BY t.segment";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(TranscriptSegment {
                    segment: row.count("segment")?,
                    leg: row.text("leg")?,
                    language: row.text("language")?,
                    text: row.text("text")?,
                    translation: row.text_opt("translation")?,
                    version: row.count("version")?,
                    source: row.text("source")?,
                    started_at: row.time("at")?,
                })
            })
            .collect()
    }

    /// Adds what the recording told about a segment of a tenant's call; its version, or nothing without such a call.
    pub async fn transcript_add_version(
        &self,
        organization: OrganizationId,
        new: &TranscriptVersion,
    ) -> Result<Option<u64>, StoreError> {
        let mut tx = self.db.write(organization).await?;
        // Held until the commit, so that two versions of one call come after one another.
        let lock = tx.pick(
            "SELECT created_at FROM calls WHERE organization_id = $1 AND id = $2",
            "SELECT created_at FROM calls WHERE organization_id = $1 AND id = $2 FOR UPDATE",
        );
        if tx.row(lock, &[organization.into(), new.call.into()]).await?.is_none() {
            return Ok(None);
        }
        let version = add_version_in(&mut tx, organization, new, now()).await?;
        tx.commit().await?;
        Ok(version)
    }
}

/// The next version of a segment, which was said at `at` unless an earlier one knows better.
pub(super) async fn add_version_in(
    tx: &mut Tx,
    organization: OrganizationId,
    new: &TranscriptVersion,
    at: Timestamp,
) -> Result<Option<u64>, StoreError> {
    let sql = "INSERT INTO transcripts (organization_id, call_id, segment, version, leg, language, text, source, at) \
               SELECT $1, $2, $3, COALESCE(MAX(version), 0) + 1, $4, $5, $6, 'recording', \
               COALESCE(MIN(at), $7) FROM transcripts WHERE organization_id = $1 AND call_id = $2 AND segment = $3 \
               RETURNING version";
    let values = [
        organization.into(),
        new.call.into(),
        new.segment.into(),
        new.leg.as_str().into(),
        new.language.as_str().into(),
        new.text.as_str().into(),
        at.into(),
    ];
    tx.row(sql, &values).await?.map(|row| row.count("version")).transpose()
}
