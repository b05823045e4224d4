//! Transcripts: what was said, in every version that recognition produced.
//!
//! Version 1 is a segment's final text, written in the same commit as its event; later versions come from the
//! recording.
//! Triggers keep the search index up to date with these rows.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::Tx;
use super::{MissedSegment, OrganizationId, Store, StoreError, sight};
use crate::engine::TranslationEvent;

/// The latest version of a segment with its translation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TranscriptSegment {
    /// Number of the segment in its call.
    pub segment: u64,
    /// Role of the speaker or writer: `customer` or `agent`.
    pub leg: String,
    /// Language of the text, BCP 47.
    pub language: String,
    /// The words as recognised or typed.
    pub text: String,
    /// Translation of the text; null unless translated.
    pub translation: Option<String>,
    /// Language of the translation, BCP 47; null unless translated.
    pub translation_language: Option<String>,
    /// Version of the text, 1 for the live recognition.
    pub version: u64,
    /// Origin of the text: `live` or `recording`.
    pub source: String,
    /// Time at which the speech began, or at which typed text came.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Time at which the speech ended, if known.
    #[serde(skip)]
    pub ended_at: Option<Timestamp>,
}

/// Stores a segment's final text from live recognition. A second one changes nothing.
pub(super) async fn live_insert_in(
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
    /// Returns the latest version of every segment of a tenant's call, in the order of segments.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn transcript_list(
        &self,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Vec<TranscriptSegment>, StoreError> {
        let sql = "SELECT t.segment, t.leg, t.language, t.text, x.translation, x.body, t.version, t.source, t.at \
                   FROM transcripts t LEFT JOIN translations x ON x.organization_id = t.organization_id \
                   AND x.call_id = t.call_id AND x.segment = t.segment \
                   WHERE t.organization_id = $1 AND t.call_id = $2 AND t.version = (SELECT MAX(v.version) \
                   FROM transcripts v WHERE v.organization_id = $1 AND v.call_id = $2 AND v.segment = t.segment) \
                   ORDER BY t.segment";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into()]).await?;
        rows.iter()
            .map(|row| {
                let body: Option<serde_json::Value> = row.json_opt("body")?;
                Ok(TranscriptSegment {
                    segment: row.count("segment")?,
                    leg: row.text("leg")?,
                    language: row.text("language")?,
                    text: row.text("text")?,
                    translation: row.text_opt("translation")?,
                    translation_language: body
                        .as_ref()
                        .filter(|body| body["translation"].is_string())
                        .and_then(|body| Some(body["target_language"].as_str()?.to_owned())),
                    version: row.count("version")?,
                    source: row.text("source")?,
                    started_at: row.time("at")?,
                    ended_at: body.and_then(|body| sight::event_time(&body, "ended_at")),
                })
            })
            .collect()
    }
}

/// Adds the next version of a segment, recognised from the recording. Its time is that of the earliest version, or else
/// the time at which the segment began.
pub(super) async fn add_version_in(
    tx: &mut Tx,
    organization: OrganizationId,
    segment: &MissedSegment,
    text: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO transcripts (organization_id, call_id, segment, version, leg, language, text, source, at) \
               SELECT $1, $2, $3, COALESCE(MAX(version), 0) + 1, $4, $5, $6, 'recording', \
               COALESCE(MIN(at), $7) FROM transcripts WHERE organization_id = $1 AND call_id = $2 AND segment = $3";
    let values = [
        organization.into(),
        segment.call.into(),
        segment.segment.into(),
        segment.leg.as_str().into(),
        segment.language.as_str().into(),
        text.into(),
        segment.began_at.into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}
