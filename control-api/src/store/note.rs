//! Notes on calls, written by people and programs.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_log::{By, Deed};
use super::db::Row;
use super::{OrganizationId, Store, StoreError, now};

/// Largest number of notes shown with one call.
const NOTES_MAX: u32 = 1_000;

/// A note on a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Note {
    /// Identity of the note.
    pub id: Uuid,
    /// Text of the note.
    pub text: String,
    /// Name of the author, a user or an API key, at the time of writing.
    pub author: String,
    /// Identity of the author.
    #[serde(skip)]
    pub author_id: String,
    /// Time of writing.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Time of the last change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

fn note(row: &Row) -> Result<Note, StoreError> {
    Ok(Note {
        id: row.uuid("id")?,
        text: row.text("text")?,
        author: row.text("author")?,
        author_id: row.text("author_id")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// Returns the target of an action in the audit log.
fn of(call: Uuid, note: Uuid) -> String {
    format!("call:{call}/note:{note}")
}

impl Store {
    /// Returns the notes on a tenant's call, the oldest first, at most 1,000.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn note_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Note>, StoreError> {
        let sql = "SELECT id, text, author, author_id, created_at, updated_at FROM call_notes \
                   WHERE organization_id = $1 AND call_id = $2 ORDER BY created_at, id LIMIT $3";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into(), NOTES_MAX.into()]).await?;
        rows.iter().map(note).collect()
    }

    /// Returns one note on a tenant's call.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn note_show(
        &self,
        organization: OrganizationId,
        call: Uuid,
        id: Uuid,
    ) -> Result<Option<Note>, StoreError> {
        let sql = "SELECT id, text, author, author_id, created_at, updated_at FROM call_notes \
                   WHERE organization_id = $1 AND call_id = $2 AND id = $3";
        let row = self.db.row(organization, sql, &[organization.into(), call.into(), id.into()]).await?;
        row.as_ref().map(note).transpose()
    }

    /// Adds a note to a call, with its row in the audit log. The caller has checked that the call is the tenant's.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn note_create(
        &self,
        organization: OrganizationId,
        call: Uuid,
        text: &str,
        author: &str,
        author_id: &str,
        by: &By,
    ) -> Result<Note, StoreError> {
        let at = now();
        let new = Note {
            id: Uuid::now_v7(),
            text: text.into(),
            author: author.into(),
            author_id: author_id.into(),
            created_at: at,
            updated_at: at,
        };
        let sql = "INSERT INTO call_notes (id, organization_id, call_id, text, author, author_id, created_at, \
                   updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";
        let values =
            [new.id.into(), organization.into(), call.into(), text.into(), author.into(), author_id.into(), at.into()];
        let deed = Deed::new("call.note.create", of(call, new.id)).after(&new);
        self.run_audited(organization, sql, &values, by, deed).await?;
        Ok(new)
    }

    /// Changes the text of a note, with its row in the audit log, and returns it; `None` if there is no such note.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn note_update(
        &self,
        organization: OrganizationId,
        call: Uuid,
        before: &Note,
        text: &str,
        by: &By,
    ) -> Result<Option<Note>, StoreError> {
        let after = Note { text: text.into(), updated_at: now(), ..before.clone() };
        let sql = "UPDATE call_notes SET text = $4, updated_at = $5 \
                   WHERE organization_id = $1 AND call_id = $2 AND id = $3";
        let values = [organization.into(), call.into(), before.id.into(), text.into(), after.updated_at.into()];
        let deed = Deed::new("call.note.update", of(call, before.id)).before(before).after(&after);
        Ok(self.run_audited(organization, sql, &values, by, deed).await?.then_some(after))
    }

    /// Removes a note, with its row in the audit log. Returns `false` if there is no such note.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn note_delete(
        &self,
        organization: OrganizationId,
        call: Uuid,
        before: &Note,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM call_notes WHERE organization_id = $1 AND call_id = $2 AND id = $3";
        let values = [organization.into(), call.into(), before.id.into()];
        let deed = Deed::new("call.note.delete", of(call, before.id)).before(before);
        self.run_audited(organization, sql, &values, by, deed).await
    }
}
