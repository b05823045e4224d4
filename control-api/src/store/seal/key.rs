//! The key that seals secrets: given in the configuration, or a file that is created at the first start.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Sealer;
use crate::store::StoreError;

/// Name of the file in the data folder.
const FILE: &str = "seal.key";
/// End of the message about a malformed key.
const EXPECTED: &str = "expected 64 hexadecimal digits, as `openssl rand -hex 32` prints them";

/// Source of the key that seals secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum SealKey {
    /// The key itself, 64 hexadecimal digits.
    Given(String),
    /// A file with 64 hexadecimal digits, created when a store has no key yet.
    File(PathBuf),
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SealKey::Given(_) => f.write_str("Given(…)"),
            SealKey::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl SealKey {
    /// Returns the key file `seal.key` in a data folder.
    pub fn in_folder(folder: &Path) -> SealKey {
        SealKey::File(folder.join(FILE))
    }

    /// Reads the key, if it exists.
    pub(super) fn present(&self) -> Result<Option<Sealer>, StoreError> {
        match self {
            SealKey::Given(digits) => {
                let sealer = parse(digits);
                sealer.map(Some).ok_or_else(|| StoreError::SealKey(format!("store.seal_key: {EXPECTED}")))
            }
            SealKey::File(path) => read(path),
        }
    }

    /// Returns the key for a store whose secrets are sealed with the key of id `marked`. For a store without sealed
    /// secrets, creates the key if it is missing.
    pub(super) fn sealer(&self, marked: Option<&str>) -> Result<Sealer, StoreError> {
        let present = self.present()?;
        match (marked, present) {
            (Some(marked), Some(sealer)) if sealer.id == marked => Ok(sealer),
            (Some(marked), present) => match self.take_next(marked)? {
                Some(sealer) => Ok(sealer),
                None => Err(StoreError::SealKey(format!(
                    "the store's secrets are sealed with key {marked}, but {}; put that key in its place, or see `tandem seal --help`",
                    match present {
                        Some(sealer) => format!("{self} holds key {}", sealer.id),
                        None => format!("{self} is missing"),
                    }
                ))),
            },
            (None, Some(sealer)) => Ok(sealer),
            (None, None) => self.create(),
        }
    }

    /// Completes a rotation that was interrupted after its commit, which left the new key beside the old one.
    fn take_next(&self, marked: &str) -> Result<Option<Sealer>, StoreError> {
        let SealKey::File(path) = self else { return Ok(None) };
        let next = beside(path, "next");
        let Some(sealer) = read(&next)?.filter(|sealer| sealer.id == marked) else { return Ok(None) };
        self.replace()?;
        Ok(Some(sealer))
    }

    /// Creates the first key. Two servers that do so at once get the same key.
    fn create(&self) -> Result<Sealer, StoreError> {
        let SealKey::File(path) = self else { return Err(StoreError::SealKey(format!("store.seal_key: {EXPECTED}"))) };
        let fresh = beside(path, &format!("new-{}", uuid::Uuid::now_v7()));
        write(&fresh)?;
        let linked = std::fs::hard_link(&fresh, path);
        std::fs::remove_file(&fresh).map_err(|error| unusable(&fresh, &error))?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unusable(path, &error)),
            _ => sync_folder(path)?,
        }
        read(path)?.ok_or_else(|| unusable(path, &ErrorKind::NotFound.into()))
    }

    /// Creates the next key for a rotation, beside the key in use.
    pub(super) fn create_next(&self) -> Result<Sealer, StoreError> {
        let SealKey::File(path) = self else {
            return Err(StoreError::SealKey(
                "store.seal_key is given in the configuration; to rotate it, put it into a file and set that file as \
                 store.seal_key_file"
                    .into(),
            ));
        };
        let next = beside(path, "next");
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(&next, &error)),
            _ => write(&next)?,
        }
        sync_folder(path)?;
        read(&next)?.ok_or_else(|| unusable(&next, &ErrorKind::NotFound.into()))
    }

    /// Replaces the key in use by the next one. The old key is kept under a name with its id, because older backups
    /// need it.
    pub(super) fn replace(&self) -> Result<(), StoreError> {
        let SealKey::File(path) = self else { return Ok(()) };
        if let Some(old) = read(path)? {
            let kept = beside(path, &format!("old-{}", old.id));
            std::fs::rename(path, &kept).map_err(|error| unusable(&kept, &error))?;
        }
        let next = beside(path, "next");
        std::fs::rename(&next, path).map_err(|error| unusable(path, &error))?;
        sync_folder(path)
    }
}

impl std::fmt::Display for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SealKey::Given(_) => f.write_str("store.seal_key"),
            SealKey::File(path) => path.display().fmt(f),
        }
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}

fn parse(digits: &str) -> Option<Sealer> {
    let bytes = hex::decode(digits.trim()).ok()?;
    Some(Sealer::new(bytes.as_slice().try_into().ok()?))
}

fn read(path: &Path) -> Result<Option<Sealer>, StoreError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &error)),
    };
    if path.metadata().is_ok_and(|file| file.mode() & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "other users can read the key that seals the store's secrets; run chmod 600 on it");
    }
    let sealer = parse(&text).ok_or_else(|| StoreError::SealKey(format!("{}: {EXPECTED}", path.display())))?;
    Ok(Some(sealer))
}

/// Writes a new random key into a new file. The file is on the disk when this returns.
fn write(path: &Path) -> Result<(), StoreError> {
    let key: [u8; 32] = rand::random();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(format!("{}\n", hex::encode(key)).as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| unusable(path, &error))
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| unusable(folder, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::SealKey(format!("{}: {error}", path.display()))
}
