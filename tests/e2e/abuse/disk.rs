//! Full disks, large recordings, restores, file modes.
//!
//! Small file systems are mounted in memory, which needs root, and filled completely. Calls must continue meanwhile; events and
//! recordings must be complete, or end with a reason, and everything must work again once space is free.
//!
//! Not here: a database that is unavailable (`events`), a killed server (`store`).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::Api;
use tests::ears::FarEnd;
use tests::ports;
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem, binary};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(15);
/// Interval between two polls.
const LOOK: Duration = Duration::from_millis(50);

/// Runs an operator's command on a data folder without a running server.
fn operator(data: &Path, arguments: &[&str]) -> Output {
    Command::new(binary("tandem")).args(arguments).arg("--data").arg(data).output().expect("tandem runs")
}

fn done(data: &Path, arguments: &[&str]) -> String {
    let output = operator(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(data: &Path, arguments: &[&str]) -> String {
    let output = operator(data, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn holds(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        let mut look = tokio::time::interval(LOOK);
        while !condition().await {
            look.tick().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_killed_store_is_not_mixed_into_a_restored_one() {
    let tandem = Tandem::start(&Setup::default()).await;
    tandem.api("Acme").await;
    let backup = tempfile::tempdir().expect("a folder for the backup");
    let file = backup.path().join("backup");
    let file = file.to_str().expect("a path in UTF-8");
    tandem.run_command(&["backup", "--to", file]).await;
    for later in 0..6 {
        tandem.api(&format!("Later {later}")).await;
    }
    let folder = tandem.kill().await;
    let data = folder.path().join("data");
    // An operator removes this file in order to use the database of the backup.
    std::fs::remove_file(data.join("tandem.db")).expect("the old database removed");
    let text = refused(&data, &["restore", "--from", file]);
    for left in ["tandem.db-wal", "tandem.db-shm"] {
        assert!(data.join(left).exists(), "the killed server left {left}");
        assert!(text.contains(&data.join(left).display().to_string()), "{text}");
    }
    assert!(!data.join("tandem.db").exists(), "nothing was restored in part");
    for left in ["tandem.db-wal", "tandem.db-shm"] {
        std::fs::remove_file(data.join(left)).expect("removed");
    }
    // Unwritten events of the old store belong to it, not to the restored one.
    let spool = data.join("events.spool");
    let empty = std::fs::read(&spool).expect("the spool");
    std::fs::write(&spool, b"01234567 {\"mark\":\"of the old store\"}\n").expect("written");
    let text = refused(&data, &["restore", "--from", file]);
    assert!(text.contains(&spool.display().to_string()), "{text}");
    std::fs::write(&spool, empty).expect("written");

    done(&data, &["restore", "--from", file]);
    let tandem = Tandem::start_in(folder, &Setup::default()).await;
    let jobs = tandem.run_command(&["jobs"]).await;
    let organizations: Vec<&str> = jobs.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(organizations, ["Acme"]);
    tandem.stop().await;
}

/// Returns the files below a folder that group or others may use, with their modes.
fn open_to_others(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().expect("a file's mode");
        if metadata.permissions().mode() & 0o077 != 0 {
            found.push((path.clone(), metadata.permissions().mode() & 0o777));
        }
        if metadata.is_dir() {
            left.extend(std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_user_may_read_the_data_folder_or_a_backup() {
    let tandem = Tandem::start(&Setup::default()).await;
    let folder = tandem.kill().await;
    let data = folder.path().join("data");
    // Modes as an earlier version, or an operator's mkdir, left them.
    let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode set");
    mode(&data, 0o755);
    mode(&data.join("tandem.db"), 0o644);
    mode(&data.join("recordings"), 0o755);
    std::fs::write(data.join("recordings/old.wav"), "RIFF").expect("written");
    mode(&data.join("recordings/old.wav"), 0o644);

    let tandem = Tandem::start_in(folder, &Setup::default()).await;
    let api = tandem.api("Home").await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "record", PATIENCE).await;
    let call = api.call_becomes("bridged", PATIENCE).await;
    let id = call["id"].as_str().expect("an id").to_owned();
    holds("a file is being recorded", async || data.join(format!("recordings/{id}.wav")).exists()).await;
    let backup = data.join("backup.db");
    tandem.run_command(&["backup", "--to", backup.to_str().expect("UTF-8")]).await;
    assert_eq!(open_to_others(&data), []);
    for kept in ["tandem.db", "tandem.db-wal", "events.spool", "seal.key", "admin.sock", "backup.db"] {
        assert!(data.join(kept).exists(), "{kept} is among the checked files");
    }
    far.party.stop().await;
    let folder = tandem.kill().await;

    // A folder that contains foreign files is left unchanged.
    std::fs::write(data.join("thesis.odt"), "x").expect("written");
    mode(&data, 0o755);
    let text = refused(&data, &["serve"]);
    assert!(text.contains("thesis.odt") && text.contains("chmod 700"), "{text}");
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_call_is_recorded_in_parts_and_ends_at_its_limit() {
    let setup = Setup { further: "[recording]\npart_s = 1\n", sip_settings: "max_call_s = 4\n", ..Setup::default() };
    let tandem = Tandem::start(&setup).await;
    let api = tandem.api("Home").await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "record", PATIENCE).await;
    let call = api.call_becomes("ended", PATIENCE).await;
    assert_eq!(call["ended_reason"], "max_duration", "{call}");
    let id = call["id"].as_str().expect("an id");
    let detail = api.get(&format!("/api/calls/{id}")).await;
    let parts = detail["recording_parts"].as_array().expect("a list of parts");
    assert!(parts.len() >= 3, "{detail}");
    assert_eq!(detail["recording"], parts[0]);
    let mut begins = String::new();
    for (at, part) in parts.iter().enumerate() {
        assert_eq!((part["part"].as_u64(), &part["state"]), (Some(at as u64 + 1), &json!("finished")), "{detail}");
        let last = at + 1 == parts.len();
        assert!(last || part["duration_ms"] == 1_000, "{part}");
        let begin = part["started_at"].as_str().expect("a time").to_owned();
        assert!(begin > begins, "parts follow each other: {detail}");
        begins = begin;
        let audio = api.send(Method::GET, part["url"].as_str().expect("a url"), None).await;
        assert_eq!(audio.status(), StatusCode::OK, "{part}");
        let bytes = audio.bytes().await.expect("audio");
        let wav = hound::WavReader::new(&bytes[..]).expect("each part is a separate WAV file");
        assert_eq!(u64::from(wav.duration()) * 1_000 / 8_000, part["duration_ms"].as_u64().expect("ms"), "{part}");
    }
    let listed = api.get("/api/recordings").await;
    assert_eq!(listed["recordings"].as_array().map(Vec::len), Some(parts.len()), "{listed}");
    let shown = api.get(&format!("/api/recordings/{id}?part=2")).await;
    assert_eq!((&shown["part"], &shown["call_id"]), (&json!(2), &json!(id)));

    // A signed link opens only the part for which it was signed.
    let (status, link) =
        api.ask(Method::POST, &format!("/api/recordings/{id}/signed-url"), Some(json!({ "part": 2 }))).await;
    assert_eq!(status, StatusCode::CREATED, "{link}");
    let url = link["url"].as_str().expect("a url");
    let opens = async |url: &str| reqwest::get(url).await.expect("an answer").status();
    assert_eq!(opens(url).await, StatusCode::OK);
    for other in [url.replace("part=2&", ""), url.replace("part=2", "part=1"), url.replace("part=2", "part=3")] {
        assert_ne!(other, url);
        assert_eq!(opens(&other).await, StatusCode::FORBIDDEN, "{other}");
    }
    let (status, _) = api.ask(Method::GET, &format!("/api/calls/{id}/recording?part=99"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, problem) = api.ask(Method::GET, &format!("/api/calls/{id}/recording?part=0"), None).await;
    assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("part")));
    far.party.stop().await;
    tandem.stop().await;
}

/// A file system of a few megabytes, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: u32) -> SmallDisk {
        std::fs::create_dir_all(at).expect("a folder to mount on");
        let options = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        let mounted = mounted.expect("mount runs; it is part of util-linux");
        let said = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "a small file system cannot be mounted, which needs root: {said}");
        SmallDisk(at.to_owned())
    }

    /// Fills the disk completely.
    fn fill(&self) {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.filler());
        let mut file = file.expect("a file to fill the disk with");
        let mut piece = 1 << 20;
        while piece > 0 {
            match file.write(&vec![0x5a; piece]) {
                Ok(written) if written > 0 => {}
                _ => piece /= 2,
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("room made");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}

/// Returns the status of each call in the store.
async fn calls(api: &Api) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/calls?limit=200{cursor}")).await;
        all.extend(page["calls"].as_array().expect("calls").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_continue_and_nothing_is_lost_while_the_disk_is_full() {
    /// Calls per second.
    const RATE: u32 = 30;
    const CALLS: usize = 420;
    let folder = tempfile::tempdir().expect("a folder for the server's data");
    let disk = SmallDisk::mount(&folder.path().join("data"), 32);
    // Without a reserve, so that the database's own disk becomes full.
    let setup = Setup {
        store: "spool_mb = 8\n".into(),
        further: "[recording]\nmin_free_mb = 0\nwarn_free_mb = 0\n",
        ..Setup::default()
    };
    let tandem = Tandem::start_in(folder, &setup).await;
    let api = tandem.api("Acme").await;
    api.voice_config(json!({ "record": true })).await;
    let callers: Vec<(String, u16)> = (0..CALLS).map(|_| ("echo".to_owned(), ports::free())).collect();
    let callers = Sipp::caller(tandem.sip(), &callers, RATE, Duration::from_millis(300));
    callers.next_answered(RATE as usize, PATIENCE).await;

    for _ in 0..2 {
        holds("events wait in the spool", async || {
            // Space that the server itself frees is filled too.
            disk.fill();
            tandem.metric("tandem_spool_bytes", "").await > 0.0
        })
        .await;
        // The outage must last; calls answered meanwhile show that it does not affect them.
        let known = callers.answered().len();
        callers.next_answered(known + 2 * RATE as usize, PATIENCE).await;
        assert!(tandem.metric("tandem_spool_bytes", "").await > 0.0, "the disk was full all the time");
        disk.make_room();
        holds("the spool is written back without a restart", async || {
            tandem.metric("tandem_spool_bytes", "").await == 0.0
        })
        .await;
    }
    callers.succeeds(Duration::from_secs(30)).await;
    let over = |call: &Value| matches!(call["status"].as_str(), Some("ended"));
    holds("every call has its row, and each has ended", async || {
        let calls = calls(&api).await;
        calls.len() == CALLS && calls.iter().all(over)
    })
    .await;
    assert_eq!(tandem.metric("tandem_spool_dropped_total", "").await, 0.0);
    assert_eq!(tandem.metric("tandem_events_refused_total", "").await, 0.0);
    // Other writes succeed again too.
    api.voice_config(json!({ "record": false })).await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_stop_before_the_disk_is_full_and_report_the_reason() {
    let folder = tempfile::tempdir().expect("a folder for the server's data");
    let disk = SmallDisk::mount(&folder.path().join("data"), 64);
    let setup = Setup { store: "spool_mb = 4\n".into(), ..Setup::default() };
    let tandem = Tandem::start_in(folder, &setup).await;
    let api = tandem.api("Home").await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "record", PATIENCE).await;
    let call = api.call_becomes("bridged", PATIENCE).await;
    let id = call["id"].as_str().expect("an id").to_owned();
    let recording = async || api.get(&format!("/api/calls/{id}")).await["recording"].clone();
    holds("the recording begins", async || recording().await["state"] == "started").await;
    let free = async || tandem.metric("tandem_disk_free_bytes", "folder=\"recordings\"").await;
    assert!(free().await > f64::from(8 << 20), "recording is possible");

    // The server keeps a tenth of this small disk free.
    std::fs::write(disk.filler(), vec![0x5a; free().await as usize - (3 << 20)]).expect("most of the disk filled");
    holds("the recording is interrupted", async || recording().await["state"] == "interrupted").await;
    let shown = recording().await;
    assert!(shown["note"].as_str().is_some_and(|note| note.contains("are kept free")), "{shown}");
    assert_eq!(api.get(&format!("/api/calls/{id}")).await["status"], "bridged", "the call continues");
    let disk_state = async || {
        let providers = api.get("/api/providers").await;
        let all = providers["providers"].as_array().expect("providers").clone();
        all.into_iter().find(|provider| provider["kind"] == "recording").unwrap_or_default()
    };
    assert_eq!(disk_state().await["state"], "down", "the pages show the reason");
    far.party.stop().await;
    api.call_becomes("ended", PATIENCE).await;

    disk.make_room();
    holds("recording is possible again", async || disk_state().await["state"] == "up").await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "record", PATIENCE).await;
    let next = api.call_becomes("bridged", PATIENCE).await;
    let id = next["id"].as_str().expect("an id").to_owned();
    holds("the next call is recorded", async || {
        api.get(&format!("/api/calls/{id}")).await["recording"]["state"] == "started"
    })
    .await;
    far.party.stop().await;
    tandem.stop().await;
}
