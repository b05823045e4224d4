//! Private folders: only the user of this process may enter them and read their files.
//!
//! ```text
//! absent                                  created, 0700
//! ours, 0700                              used
//! ours, open to others, empty or tandem's  tightened with its files, and a warning
//! ours, open to others, with other things  refused: users of those would be locked out
//! another user's                          refused: that user could replace our files
//! ```
//!
//! New files get mode 0600 by the umask, which `main` sets first.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;

/// Mode bits of group and others.
const OTHERS: u32 = 0o077;
/// Prefixes of the names of Tandem's files in a data folder.
const DATA: [&str; 6] = ["tandem.", "events.", "seal.key", "admin.sock", "recordings", "tls"];
/// Suffixes of files whose names the operator chooses, and of files in a folder of recordings.
const FILES: [&str; 6] = [".wav", ".db", ".db-wal", ".db-shm", ".db-journal", ".toml"];

/// Makes files that this process creates from now on accessible to this user only.
pub fn by_default() {
    rustix::process::umask(Mode::from_bits_truncate(OTHERS));
}

/// Creates a folder that only this user may enter, or checks and tightens an existing one, and checks that it is writable.
pub(crate) fn folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = path.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own {
        let problem = format!("it belongs to user {}, but tandem runs as user {own}", metadata.uid());
        return Err(Error::new(ErrorKind::PermissionDenied, problem));
    }
    if metadata.mode() & OTHERS != 0 {
        tighten(path, &metadata)?;
    }
    let probe = path.join(".tandem-probe");
    File::create(&probe)?;
    std::fs::remove_file(&probe)
}

/// Removes the access of other users to a folder and to Tandem's files in it.
fn tighten(path: &Path, metadata: &Metadata) -> Result<()> {
    let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>>>()?;
    let foreign = entries.iter().map(|entry| entry.file_name()).find(|name| {
        let name = name.to_string_lossy();
        let ours = DATA.iter().any(|begin| name.starts_with(begin)) || FILES.iter().any(|end| name.ends_with(end));
        !ours && !name.starts_with(".tandem-probe")
    });
    if let Some(foreign) = foreign {
        let problem = format!(
            "other users may enter it (mode {:03o}), and it contains `{}`, which is not a file of tandem; run chmod 700 on it",
            metadata.mode() & 0o777,
            foreign.display()
        );
        return Err(Error::new(ErrorKind::PermissionDenied, problem));
    }
    close(path, metadata)?;
    tracing::warn!(path = %path.display(), "other users could enter this folder; it is now accessible to this user only (mode 700)");
    entries.iter().try_for_each(|entry| close_all(&entry.path()))
}

/// Tightens a file, or a folder with all its content. Symbolic links are not followed.
fn close_all(path: &Path) -> Result<()> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Ok(());
    }
    if metadata.mode() & OTHERS != 0 {
        close(path, &metadata)?;
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            close_all(&entry?.path())?;
        }
    }
    Ok(())
}

fn close(path: &Path, metadata: &Metadata) -> Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(metadata.mode() & 0o7777 & !OTHERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn an_existing_folder_is_tightened_with_its_files() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        std::fs::create_dir(&data).unwrap();
        for name in ["tandem.db", "events.spool", "old.wav"] {
            std::fs::write(data.join(name), "x").unwrap();
            chmod(&data.join(name), 0o644);
        }
        chmod(&data, 0o755);
        folder(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        for name in ["tandem.db", "events.spool", "old.wav"] {
            assert_eq!(mode(&data.join(name)), 0o600, "{name}");
        }
        folder(&place.path().join("new/er")).unwrap();
        assert_eq!(mode(&place.path().join("new/er")), 0o700);
    }

    #[test]
    fn a_folder_with_foreign_files_is_refused_and_left_unchanged() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("thesis.odt"), "x").unwrap();
        chmod(place.path(), 0o755);
        let text = folder(place.path()).unwrap_err().to_string();
        assert!(text.contains("755") && text.contains("thesis.odt") && text.contains("chmod 700"), "{text}");
        assert_eq!(mode(place.path()), 0o755);
        chmod(place.path(), 0o700);
        folder(place.path()).unwrap();
    }

    /// Requires root, which the test machines have, because a folder of another user cannot be created otherwise.
    #[test]
    fn another_user_s_folder_is_refused() {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(place.path(), Some(12_345), None).expect("run as root");
        let text = folder(place.path()).unwrap_err().to_string();
        assert!(text.contains("belongs to user 12345"), "{text}");
    }
}
