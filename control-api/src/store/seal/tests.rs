use super::super::{Claimed, IdempotencyKey, KeptAnswer, Store, StorePlace};
use super::*;
use ::tests::postgres::Postgres;

fn slot(organization: OrganizationId) -> Slot<'static> {
    Slot { column: "signing_keys.key", organization, row: "r" }
}

#[test]
fn a_sealed_text_opens_only_in_its_place_and_with_its_key() {
    let organization = OrganizationId(uuid::Uuid::now_v7());
    let (sealer, slot) = (Sealer::passing(), slot(organization));
    let sealed = sealer.seal(slot, "north").unwrap();
    assert!(sealed.starts_with(BEGIN) && !sealed.contains("north"));
    assert_ne!(sealed, sealer.seal(slot, "north").unwrap(), "the same text is sealed differently each time");
    assert_eq!(sealer.open(slot, &sealed).unwrap(), "north");
    for other in [
        Slot { column: "idempotency_keys.response", ..slot },
        Slot { organization: OrganizationId(uuid::Uuid::now_v7()), ..slot },
        Slot { row: "s", ..slot },
    ] {
        assert!(matches!(sealer.open(other, &sealed), Err(StoreError::Sealed { .. })), "{other:?}");
    }
    assert!(Sealer::passing().open(slot, &sealed).is_err());
    for plain in ["north", "", BEGIN, "sealed:1:AAAA", "sealed:2:AAAA"] {
        assert!(sealer.open(slot, plain).is_err(), "{plain}");
    }
}

/// Tries 20,000 seeded random alterations.
#[test]
fn an_altered_text_never_opens_and_never_panics() {
    use rand::{RngExt, SeedableRng};
    let sealer = Sealer::passing();
    let slot = slot(OrganizationId(uuid::Uuid::now_v7()));
    let sealed = sealer.seal(slot, "north").unwrap();
    let mut rng = rand::rngs::SmallRng::seed_from_u64(17);
    for _ in 0..20_000 {
        let mut bytes = sealed.clone().into_bytes();
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..3) {
            0 => bytes[at] = rng.random_range(0x20..0x7f),
            1 => bytes.truncate(at),
            _ => bytes.insert(at, rng.random_range(0x20..0x7f)),
        }
        let altered = String::from_utf8(bytes).unwrap();
        // Unused bits in the last digit are refused, so that every text has only one encoding.
        assert!(altered == sealed || sealer.open(slot, &altered).is_err(), "{altered}");
    }
}

/// Returns the raw texts of both sealed columns.
async fn raw(store: &Store, organization: OrganizationId) -> Vec<String> {
    let mut texts = Vec::new();
    for sql in [
        "SELECT key AS text FROM signing_keys WHERE organization_id = $1",
        "SELECT response AS text FROM idempotency_keys WHERE organization_id = $1",
    ] {
        let rows = store.db.rows(organization, sql, &[organization.into()]).await.unwrap();
        texts.extend(rows.iter().map(|row| row.text("text").unwrap()));
    }
    texts
}

/// Secrets of an earlier version are sealed, read and re-sealed with another key; a wrong key is refused.
async fn secrets_through_the_life_of_a_store(place: &StorePlace<'_>) {
    let source = SealKey::in_folder(place.folder);
    let store = Store::open(place).await.unwrap();
    let organization = store.organization_create("acme").await.unwrap().id;
    let key = IdempotencyKey { organization, actor: "user:1".into(), key: "k".into() };
    let Claimed::Mine { claim, .. } = store.idempotency_claim(&key, "h").await.unwrap() else {
        panic!("the key must be claimed")
    };
    let answer = KeptAnswer { status: 201, location: None, body: r#"{"key":"tk_once"}"#.into() };
    store.idempotency_finish(&key, claim, &answer).await.unwrap();
    assert_eq!(store.signing_key(organization, "north").await.unwrap(), "north");
    let secrets = async |store: &Store| {
        let kept = store.idempotency_claim(&key, "h").await.unwrap();
        assert_eq!(kept, Claimed::Done(answer.clone()));
        assert_eq!(store.signing_key_show(organization).await.unwrap().as_deref(), Some("north"));
        let texts = raw(store, organization).await;
        assert!(texts.len() == 2 && texts.iter().all(|text| text.starts_with(BEGIN)), "{texts:?}");
    };
    secrets(&store).await;

    // Plain texts, as an earlier version left them.
    let sql = "UPDATE signing_keys SET key = 'north' WHERE organization_id = $1";
    store.db.run(organization, sql, &[organization.into()]).await.unwrap();
    let error = store.signing_key_show(organization).await.unwrap_err().to_string();
    assert!(error.contains("signing_keys.key") && !error.contains("north"), "a plain text is refused: {error}");
    let sql = "UPDATE idempotency_keys SET response = $2 WHERE organization_id = $1";
    store.db.run(organization, sql, &[organization.into(), (&answer.body).into()]).await.unwrap();
    let mut tx = store.db.write_outside().await.unwrap();
    tx.run("DELETE FROM seal", &[]).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    let store = Store::open(place).await.unwrap();
    secrets(&store).await;
    store.close().await;

    // A wrong key is refused by its id and changes nothing.
    let given = SealKey::Given("ab".repeat(32));
    let error = Store::open_sealed(place, &given).await.unwrap_err().to_string();
    assert!(error.contains("sealed with key") && error.contains("store.seal_key"), "{error}");
    let SealKey::File(path) = &source else { panic!("the key must be a file") };
    let away = path.with_extension("away");
    std::fs::rename(path, &away).unwrap();
    let error = Store::open(place).await.unwrap_err().to_string();
    assert!(error.contains("is missing") && !path.exists(), "{error}");
    assert!(matches!(seal_state(place, &source).await.unwrap(), SealState::Locked(_)));
    std::fs::rename(&away, path).unwrap();
    assert_eq!(seal_state(place, &source).await.unwrap(), SealState::Opens);
    assert!(seal_forget(place, &source).await.unwrap_err().to_string().contains("nothing is lost"));

    let (old, new) = seal_rotate(place, &source).await.unwrap();
    assert_ne!(old, new);
    let store = Store::open(place).await.unwrap();
    secrets(&store).await;
    store.close().await;
    // After an interruption between commit and renaming, the next start completes the rotation.
    let kept = path.with_file_name(format!("seal.key.old-{old}"));
    std::fs::rename(path, path.with_file_name("seal.key.next")).unwrap();
    std::fs::copy(&kept, path).unwrap();
    let store = Store::open(place).await.unwrap();
    secrets(&store).await;
    store.close().await;

    // After the loss of a key, its secrets are removed and the rest is kept.
    std::fs::remove_file(path).unwrap();
    assert_eq!(seal_forget(place, &source).await.unwrap(), new);
    let store = Store::open(place).await.unwrap();
    assert_eq!(store.signing_key_show(organization).await.unwrap(), None);
    assert_eq!(store.signing_key(organization, "south").await.unwrap(), "south");
    store.close().await;
}

#[tokio::test]
async fn secrets_are_sealed_migrated_rotated_and_refused_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    secrets_through_the_life_of_a_store(&StorePlace::new("sqlite:t.db", folder.path())).await;
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(folder.path().join("seal.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn secrets_are_sealed_migrated_rotated_and_refused_on_postgresql() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let folder = tempfile::tempdir().unwrap();
    let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
    secrets_through_the_life_of_a_store(&place).await;
    postgres.stop().await;
}
