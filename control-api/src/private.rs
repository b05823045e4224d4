//! Folders that only this user may enter, and the files in them.
//!
//! ```text
//! absent                                  made, 0700
//! ours, 0700                              taken
//! ours, open to others, empty or tandem's  tightened with its files, and a warning
//! ours, open to others, with other things  refused: whoever uses those would be locked out
//! another user's                          refused: that user could replace what we read
//! ```
//!
//! New files get 0600 by the umask, which `main` sets before anything else.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;

/// Group and others.
const OTHERS: u32 = 0o077;
/// Beginnings of the names of what tandem keeps in a data folder.
const DATA: [&str; 6] = ["tandem.", "events.", "seal.key", "admin.sock", "recordings", "tls"];
/// Ends of the names of what it keeps there under names of the operator's choice, and in a folder of recordings.
const FILES: [&str; 6] = [".wav", ".db", ".db-wal", ".db-shm", ".db-journal", ".toml"];

/// Files that this process makes from here on are for this user alone.
pub fn by_default() {
    rustix::process::umask(Mode::from_bits_truncate(OTHERS));
}

/// Makes a folder that only this user may enter, or checks and tightens one that is there; then that it can be written.
pub(crate) fn folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = path.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own {
        let problem = format!("it belongs to user {}, and tandem runs as user {own}", metadata.uid());
        return Err(Error::new(ErrorKind::PermissionDenied, problem));
    }
    if metadata.mode() & OTHERS != 0 {
        tighten(path, &metadata)?;
    }
    let probe = path.join(".tandem-probe");
    File::create(&probe)?;
    std::fs::remove_file(&probe)
}

/// Takes a folder, and what tandem keeps in it, away from everybody else.
fn tighten(path: &Path, metadata: &Metadata) -> Result<()> {
    let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>>>()?;
    let foreign = entries.iter().map(|entry| entry.file_name()).find(|name| {
        let name = name.to_string_lossy();
        let ours = DATA.iter().any(|begin| name.starts_with(begin)) || FILES.iter().any(|end| name.ends_with(end));
        !ours && !name.starts_with(".tandem-probe")
    });
    if let Some(foreign) = foreign {
        let problem = format!(
            "others may enter it (mode {:03o}), and it holds `{}`, which is not tandem's; run chmod 700 on it",
            metadata.mode() & 0o777,
            foreign.display()
        );
        return Err(Error::new(ErrorKind::PermissionDenied, problem));
    }
    close(path, metadata)?;
    tracing::warn!(path = %path.display(), "others could enter this folder; it is now for this user only (mode 700)");
    entries.iter().try_for_each(|entry| close_all(&entry.path()))
}

/// Closes a file, or a folder with all that it holds; symbolic links are not followed.
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
    fn a_folder_that_holds_other_things_is_refused_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("thesis.odt"), "x").unwrap();
        chmod(place.path(), 0o755);
        let text = folder(place.path()).unwrap_err().to_string();
        assert!(text.contains("755") && text.contains("thesis.odt") && text.contains("chmod 700"), "{text}");
        assert_eq!(mode(place.path()), 0o755);
        chmod(place.path(), 0o700);
        folder(place.path()).unwrap();
    }

    /// Needs root, which the test machines have: somebody else's folder cannot be made otherwise.
    #[test]
    fn another_user_s_folder_is_refused() {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(place.path(), Some(12_345), None).expect("run as root");
        let text = folder(place.path()).unwrap_err().to_string();
        assert!(text.contains("belongs to user 12345"), "{text}");
    }
}
