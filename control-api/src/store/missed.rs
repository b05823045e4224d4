//! Segments that live recognition missed and that are to be recognised from the recording.
//!
//! ```text
//! final event, missed ─▶ waiting ─ recognised from the recording ─▶ heard
//!                           └──── tried too often, or no recording ─▶ given_up
//! ```

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::db::{Row, Tx};
use super::{OrganizationId, RecordedChannel, Store, StoreError, recording, transcript};
use crate::engine::TranslationEvent;
use crate::tenant::voice_config::VoiceConfig;

/// A missed segment of a recorded call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedSegment {
    /// Call of the segment.
    pub call: Uuid,
    /// Number of the segment in its call.
    pub segment: u64,
    /// Role of the speaker: `customer` or `agent`.
    pub leg: String,
    /// Spoken language, BCP 47.
    pub language: String,
    /// Language into which the call was translated, BCP 47; `None`: it was not.
    pub translate_to: Option<String>,
    /// Time at which the speech began.
    pub began_at: Timestamp,
    /// Time at which the speech ended.
    pub ended_at: Timestamp,
    /// File of the recording.
    pub path: PathBuf,
    /// Channel of the speaker in the file, 0 for the first.
    pub channel: usize,
    /// Time of the recording's first sample.
    pub recorded_from: Timestamp,
}

/// Text of a missed segment that was recognised from the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateText {
    /// Words of the segment; empty if there are none.
    pub text: String,
    /// Their translation, if the call was translated.
    pub translation: Option<String>,
}

fn missed_segment(row: &Row) -> Result<MissedSegment, StoreError> {
    let (leg, began_at) = (row.text("leg")?, row.time("began_at")?);
    let config: VoiceConfig = row.json("config")?;
    let shown: Option<Value> = row.json_opt("body")?;
    let target = shown.and_then(|shown| Some(shown["target_language"].as_str()?.to_owned()));
    Ok(MissedSegment {
        translate_to: target.filter(|_| config.live_translate),
        channel: channel_of(&recording::channels(row)?, &leg, began_at),
        call: row.uuid("call_id")?,
        segment: row.count("segment")?,
        leg,
        language: row.text("language")?,
        began_at,
        ended_at: row.time("ended_at")?,
        path: PathBuf::from(row.text("path")?),
        recorded_from: row.time("started_at")?,
    })
}

/// Returns the channel of what the leg said that had this role at this time. Recordings of earlier versions do not name legs: the
/// customer is on the first channel, the agent on the second.
fn channel_of(channels: &[RecordedChannel], role: &str, at: Timestamp) -> usize {
    let of_role = || channels.iter().filter(|channel| channel.role == role && !channel.heard);
    let spoke = of_role().find(|channel| channel.from <= at && channel.until.is_none_or(|until| at <= until));
    let found = spoke.or_else(|| of_role().next()).and_then(|channel| usize::try_from(channel.channel).ok());
    found.unwrap_or(usize::from(role == "agent"))
}

/// Adds a segment to the list if its final event says that it was missed.
pub(super) async fn insert_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    event: &TranslationEvent,
    (began_at, ended_at): (Option<Timestamp>, Option<Timestamp>),
) -> Result<(), StoreError> {
    let (true, Some(began_at), Some(ended_at)) = (event.missed, began_at, ended_at) else { return Ok(()) };
    let sql = "INSERT INTO missed_segments \
               (organization_id, call_id, segment, leg, language, began_at, ended_at, state, tries) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0) \
               ON CONFLICT (organization_id, call_id, segment) DO NOTHING";
    let values = [
        organization.into(),
        call.into(),
        event.segment.into(),
        event.leg.as_str().into(),
        event.source_language.as_str().into(),
        began_at.into(),
        ended_at.into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

impl Store {
    /// Returns a tenant's oldest missed segments that can be recognised: their calls have ended and their recordings
    /// are complete. Each comes with the part of the recording in which it begins.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn missed_list(
        &self,
        organization: OrganizationId,
        limit: u32,
    ) -> Result<Vec<MissedSegment>, StoreError> {
        let sql = "SELECT m.call_id, m.segment, m.leg, m.language, m.began_at, m.ended_at, r.path, r.channels, \
                   r.started_at, c.config, x.body FROM missed_segments m \
                   JOIN calls c ON c.organization_id = m.organization_id AND c.id = m.call_id \
                   LEFT JOIN translations x ON x.organization_id = m.organization_id AND x.call_id = m.call_id \
                   AND x.segment = m.segment \
                   JOIN recordings r ON r.organization_id = m.organization_id AND r.call_id = m.call_id \
                   AND r.number = (SELECT COALESCE(MIN(CASE WHEN p.started_at <= m.began_at AND \
                                   (p.ended_at IS NULL OR p.ended_at >= m.began_at) THEN p.number END), MIN(p.number)) \
                                   FROM recordings p WHERE p.organization_id = m.organization_id \
                                   AND p.call_id = m.call_id AND p.of_leg IS NULL) \
                   AND r.part = (SELECT COALESCE(MAX(p.part), 1) FROM recordings p WHERE p.call_id = m.call_id \
                                 AND p.organization_id = m.organization_id AND p.number = r.number \
                                 AND p.started_at <= m.began_at) \
                   WHERE m.organization_id = $1 AND m.state = 'waiting' AND c.status IN ('ended', 'failed') \
                   AND r.state IN ('finished', 'interrupted') \
                   ORDER BY m.began_at, m.call_id, m.segment LIMIT $2";
        let rows = self.db.rows(organization, sql, &[organization.into(), limit.into()]).await?;
        rows.iter().map(missed_segment).collect()
    }

    /// Gives up the missed segments of a tenant's ended calls that were not recorded. Returns their number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn missed_unrecorded_give_up(&self, organization: OrganizationId) -> Result<u64, StoreError> {
        let sql = "UPDATE missed_segments SET state = 'given_up' WHERE organization_id = $1 AND state = 'waiting' \
                   AND EXISTS (SELECT 1 FROM calls c WHERE c.organization_id = missed_segments.organization_id \
                               AND c.id = missed_segments.call_id AND c.status IN ('ended', 'failed')) \
                   AND NOT EXISTS (SELECT 1 FROM recordings r \
                                   WHERE r.organization_id = missed_segments.organization_id \
                                   AND r.call_id = missed_segments.call_id AND r.of_leg IS NULL)";
        self.db.run(organization, sql, &[organization.into()]).await
    }

    /// Counts a failed try. Returns `true` if it was the last of `most` and the segment is given up.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn missed_try_failed(
        &self,
        organization: OrganizationId,
        segment: &MissedSegment,
        most: u32,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "UPDATE missed_segments SET tries = tries + 1, \
                   state = CASE WHEN tries + 1 >= $4 THEN 'given_up' ELSE state END \
                   WHERE organization_id = $1 AND call_id = $2 AND segment = $3 AND state = 'waiting' RETURNING state";
        let values = [organization.into(), segment.call.into(), segment.segment.into(), most.into()];
        let row = tx.row(sql, &values).await?;
        tx.commit().await?;
        Ok(row.map(|row| row.text("state")).transpose()?.as_deref() == Some("given_up"))
    }

    /// Stores the text that was recognised from the recording, with its translation, as a new version of the transcript, and as the
    /// segment's text, marked as late, if that is empty. An empty text gives the segment up.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn missed_resolve(
        &self,
        organization: OrganizationId,
        segment: &MissedSegment,
        late: &LateText,
    ) -> Result<(), StoreError> {
        let LateText { text, translation } = late;
        let mut tx = self.db.write(organization).await?;
        let state = if text.is_empty() { "given_up" } else { "heard" };
        let sql = "UPDATE missed_segments SET state = $4, tries = tries + 1 \
                   WHERE organization_id = $1 AND call_id = $2 AND segment = $3 AND state = 'waiting'";
        let values = [organization.into(), segment.call.into(), segment.segment.into(), state.into()];
        // Another server may have been faster, or the call was removed.
        if tx.run(sql, &values).await? == 0 || text.is_empty() {
            return tx.commit().await;
        }
        transcript::add_version_in(&mut tx, organization, segment, text).await?;
        let sql = "SELECT body FROM translations \
                   WHERE organization_id = $1 AND call_id = $2 AND segment = $3 AND text = ''";
        let key = [organization.into(), segment.call.into(), segment.segment.into()];
        if let Some(row) = tx.row(sql, &key).await? {
            let mut body: Value = row.json("body")?;
            (body["text"], body["translation"], body["late"]) = (json!(text), json!(translation), json!(true));
            if let Some(fields) = body.as_object_mut() {
                fields.remove("missed");
            }
            let sql = "UPDATE translations SET text = $4, translation = $5, body = $6 \
                       WHERE organization_id = $1 AND call_id = $2 AND segment = $3";
            let [organization, call, number] = key;
            tx.run(
                sql,
                &[
                    organization,
                    call,
                    number,
                    text.as_str().into(),
                    translation.as_deref().into(),
                    body.to_string().into(),
                ],
            )
            .await?;
        }
        tx.commit().await
    }
}
