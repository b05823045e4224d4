//! People. What they may do where is in `membership`.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{Store, StoreError, UserId, now, taken, time_column, uuid_column};

/// A person.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// Log-in name, lower case, unique.
    pub email: String,
    /// Shown on pages.
    pub name: String,
    /// argon2id, as a PHC string.
    pub password_hash: String,
    /// Since when.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

fn user(row: &SqliteRow) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(uuid_column(row, "id")?),
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        password_hash: row.try_get("password_hash")?,
        created_at: time_column(row, "created_at")?,
    })
}

impl Store {
    /// A new person without membership. `email` is kept in lower case. `Taken` when it exists.
    pub async fn user_create(&self, email: &str, name: &str, password_hash: &str) -> Result<User, StoreError> {
        let created = User {
            id: UserId(Uuid::now_v7()),
            email: email.to_lowercase(),
            name: name.to_owned(),
            password_hash: password_hash.to_owned(),
            created_at: now(),
        };
        sqlx::query("INSERT INTO users (id, email, name, password_hash, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(created.id.to_string())
            .bind(&created.email)
            .bind(name)
            .bind(password_hash)
            .bind(created.created_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(taken("a user with this e-mail address"))?;
        Ok(created)
    }

    /// The person with this e-mail address. Look-up before a tenant is known.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("SELECT id, email, name, password_hash, created_at FROM users WHERE email = ?")
            .bind(email.to_lowercase())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(user).transpose()
    }

    /// The person with this identity.
    pub async fn user_by_id(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("SELECT id, email, name, password_hash, created_at FROM users WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(user).transpose()
    }

    /// A new password; every session of the person ends. `false`: no such person.
    pub async fn user_password_change(&self, id: UserId, password_hash: &str) -> Result<bool, StoreError> {
        let mut tx = self.writer.begin().await?;
        let done = sqlx::query("UPDATE users SET password_hash = ? WHERE id = ?")
            .bind(password_hash)
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM sessions WHERE user_id = ?").bind(id.to_string()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether anybody could log in.
    pub async fn user_exists(&self) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM users) AS any").fetch_one(&self.readers).await?;
        Ok(row.try_get::<i64, _>("any")? != 0)
    }
}
