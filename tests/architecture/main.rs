//! Reads the sources and fails on violations of the architecture: imports that point up, tokio, sockets, files or the clock in
//! pure rooms, SQL outside the store, and uses of the engine outside its one door.
//!
//! A room is a folder or file directly under a crate's `src`. [`ROOMS`] lists the imports that each room may have; a new room
//! fails until it has a row there. Test code obeys the same directions but may use threads and time.

mod sources;
mod tidy;

use sources::{Source, crate_sources};

/// Rooms of `media-engine`, each with the rooms that it may import. The order is from the bottom up: a room imports only rooms
/// that are above it in this list.
const ROOMS: &[(&str, Kind, &[&str])] = &[
    ("units", Kind::Pure, &[]),
    ("error", Kind::Pure, &["units"]),
    ("admission", Kind::Pure, &["units"]),
    ("rtp", Kind::Pure, &["units"]),
    ("rtcp", Kind::Pure, &["rtp", "units"]),
    ("srtp", Kind::Pure, &["rtp", "units"]),
    ("sdp", Kind::Pure, &["srtp", "units"]),
    ("audio", Kind::Pure, &["units"]),
    ("jitter", Kind::Pure, &["audio", "rtp", "rtcp", "units"]),
    ("leg", Kind::Pure, &["audio", "jitter", "sdp", "srtp", "rtp", "rtcp", "units"]),
    ("sip", Kind::Pure, &["sdp", "units"]),
    // It is assembled from the settings of these rooms.
    ("config", Kind::Pure, &["sdp", "sip"]),
    // What answered: features, classifier.
    ("amd", Kind::Pure, &[]),
    ("record", Kind::Pure, &["audio", "units"]),
    ("translate", Kind::Pure, &["audio", "units"]),
    ("call", Kind::Pure, &["config", "error", "units"]),
    ("net", Kind::Io, &["config", "error", "units"]),
    ("worker", Kind::Io, &["net", "leg", "jitter", "audio", "sdp", "srtp", "rtp", "rtcp", "config", "error", "units"]),
    ("sip_io", Kind::Io, &["net", "sip", "admission", "config", "error", "units"]),
    ("speech", Kind::Io, &["net", "translate", "audio", "config", "error", "units"]),
    ("record_io", Kind::Io, &["net", "record", "audio", "config", "units"]),
    (
        "engine",
        Kind::Io,
        &[
            "amd",
            "call",
            "worker",
            "sip_io",
            "speech",
            "record_io",
            "net",
            "translate",
            "sip",
            "leg",
            "audio",
            "sdp",
            "config",
            "error",
            "units",
        ],
    ),
    ("party", Kind::Io, &["worker", "sip_io", "net", "sip", "leg", "audio", "sdp", "config", "units"]),
];

/// Rooms of `control-api`, in the same form and order. `lib` and `main` put them together and may import all.
const SERVER_ROOMS: &[(&str, &[&str])] = &[
    ("engine", &[]),
    ("tenant", &["engine"]),
    ("store", &["engine", "tenant"]),
    ("config", &["engine", "store", "tenant"]),
    ("mail", &["config"]),
    ("media", &["engine", "store"]),
    ("http", &["config", "engine", "store", "tenant"]),
    ("ledger", &["http", "store"]),
    ("auth", &["config", "http", "store", "tenant"]),
    ("gate", &["auth", "config", "engine", "http", "store"]),
    ("calls", &["config", "engine", "store", "tenant"]),
    ("programs", &["auth", "calls", "config", "engine", "media", "store", "tenant"]),
    ("events", &["auth", "calls", "config", "engine", "http", "media", "programs", "store", "tenant"]),
    ("jobs", &["config", "engine", "events", "media", "store", "tenant"]),
    ("state", &["auth", "calls", "config", "engine", "events", "gate", "ledger", "mail", "programs", "store"]),
    (
        "routes",
        &[
            "auth", "calls", "config", "engine", "events", "gate", "http", "ledger", "mail", "media", "programs",
            "state", "store", "tenant",
        ],
    ),
    ("tail", &["store"]),
    ("amd", &["engine", "media"]),
    ("translate", &["amd", "engine"]),
    ("admin", &["auth", "calls", "config", "engine", "store", "tail", "tenant"]),
    ("serve", &["admin", "config", "engine", "events", "gate", "http", "jobs", "state", "store"]),
    ("demo", &["auth", "config", "engine", "events", "serve", "state", "store", "tenant"]),
];

/// Whether a room may touch the outside world.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pure,
    Io,
}

/// Paths that only io rooms may use outside tests. Address types are plain values and therefore permitted.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "futures_util",
    "socket2",
    "libc",
    "dashmap",
    "metrics",
    "tracing",
    "hound",
    "std::fs",
    "std::thread",
    "std::process",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::sync::Mutex",
    "std::io::stdin",
    "std::sync::RwLock",
    "Instant::now",
    "SystemTime::now",
];

/// Panics with every finding at once.
#[track_caller]
fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn every_engine_module_is_in_the_layer_table() {
    let sources = crate_sources("media-engine");
    let mut unknown: Vec<String> = sources.iter().map(|source| source.room.clone()).collect();
    unknown.dedup();
    unknown.retain(|room| room != "lib" && !ROOMS.iter().any(|(known, ..)| known == room));
    assert_none("rooms without a row in ROOMS (tests/architecture/main.rs)", &unknown);
}

#[test]
fn the_layer_table_itself_points_down() {
    for (n, (room, _, imports)) in ROOMS.iter().enumerate() {
        for import in *imports {
            let below = ROOMS[..n].iter().any(|(other, ..)| other == import);
            assert!(below, "ROOMS: `{room}` may not import `{import}`, which does not stand above it");
        }
        let pure = |name: &str| ROOMS.iter().any(|(other, kind, _)| *other == name && *kind == Kind::Pure);
        assert!(!pure(room) || imports.iter().all(|import| pure(import)), "ROOMS: pure `{room}` imports an io room");
    }
}

#[test]
fn imports_inside_the_engine_point_down() {
    let mut findings = Vec::new();
    for source in crate_sources("media-engine").iter().filter(|source| source.room != "lib") {
        let allowed = ROOMS.iter().find(|(room, ..)| *room == source.room).map_or(&[][..], |(_, _, imports)| imports);
        for (line, path) in source.paths("crate") {
            let room = path.split("::").nth(1).unwrap_or_default();
            let is_room = ROOMS.iter().any(|(known, ..)| *known == room);
            if is_room && room != source.room && !allowed.contains(&room) {
                findings.push(format!("{}:{line}: `{}` may not import `{path}`", source.path, source.room));
            }
        }
    }
    assert_none("imports that point up (allowed ones stand in ROOMS)", &findings);
}

/// Parts of the SIP endpoint that own their state, and the types between them. The endpoint feeds them; they import neither it
/// nor a module that handles its messages.
const SIP_MACHINES: &[&str] = &[
    "abilities",
    "attempts",
    "authentication",
    "command",
    "config",
    "connections",
    "early_dialogs",
    "event",
    "ids",
    "leg_table",
    "legs",
    "outbox",
    "place",
    "proof",
    "referrals",
    "registrations",
    "reliable",
    "scanners",
    "servers",
    "session_timer",
    "status",
    "tables",
    "tokens",
    "trunks",
];

#[test]
fn machines_of_the_sip_endpoint_import_only_each_other() {
    const FOLDER: &str = "media-engine/src/sip/endpoint/";
    let sources = crate_sources("media-engine");
    let mut findings = Vec::new();
    for name in SIP_MACHINES {
        let file = format!("{FOLDER}{name}.rs");
        let source = sources.iter().find(|source| source.path == file);
        let source = source.unwrap_or_else(|| panic!("{file} of SIP_MACHINES does not exist"));
        for (line, path) in source.paths("crate") {
            let part = path.strip_prefix("crate::sip::endpoint::").and_then(|rest| rest.split("::").next());
            if part.is_some_and(|part| !SIP_MACHINES.contains(&part)) {
                findings.push(format!("{file}:{line}: `{path}`"));
            }
        }
    }
    assert_none("a machine of the SIP endpoint knows the endpoint that feeds it", &findings);
}

#[test]
fn pure_modules_use_no_socket_file_thread_or_clock() {
    let pure = |source: &&Source| ROOMS.iter().any(|(room, kind, _)| *room == source.room && *kind == Kind::Pure);
    let mut sources: Vec<Source> = crate_sources("media-engine").iter().filter(pure).cloned().collect();
    sources.extend(crate_sources("codecs"));
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        for banned in IMPURE {
            for line in source.uses(banned) {
                // Tests get their first Instant only here, under its own lint exception.
                if source.room == "units" && *banned == "Instant::now" {
                    continue;
                }
                findings.push(format!("{}:{line}: `{banned}` in a pure room", source.path));
            }
        }
    }
    assert_none("pure rooms get bytes and `now`", &findings);
}

#[test]
fn the_codecs_crate_uses_no_other_workspace_crate() {
    let mut findings = Vec::new();
    for source in crate_sources("codecs") {
        for krate in ["media_engine", "control_api", "wyoming"] {
            findings.extend(source.uses(krate).map(|line| format!("{}:{line}: `{krate}`", source.path)));
        }
    }
    assert_none("codecs is the lowest crate", &findings);
}

#[test]
fn only_the_net_module_reads_the_engine_clock() {
    let mut findings = Vec::new();
    for source in crate_sources("media-engine").iter().filter(|source| !source.is_test && source.room != "net") {
        // `units::test_epoch` is the only way for tests to get a first Instant, under its own lint exception.
        if source.room == "units" {
            continue;
        }
        for clock in ["std::time::Instant::now", "SystemTime::now"] {
            findings.extend(source.uses(clock).map(|line| format!("{}:{line}: `{clock}`", source.path)));
        }
        // `tokio::time::Instant` is tokio's own clock for its own timers.
        let uses_std = source.paths("std").any(|(_, path)| path == "std::time::Instant");
        if uses_std {
            findings.extend(source.bare("Instant::now").map(|line| format!("{}:{line}: `Instant::now`", source.path)));
        }
    }
    assert_none("only `net` reads the clock", &findings);
}

#[test]
fn only_engine_signalling_uses_sip_commands() {
    let in_engine = |source: &&Source| source.room == "engine" && !source.path.contains("/signalling/");
    let mut findings = Vec::new();
    for source in crate_sources("media-engine").iter().filter(in_engine) {
        findings.extend(source.uses("SipCommand").map(|line| format!("{}:{line}: `SipCommand`", source.path)));
    }
    assert_none("commands of SIP belong in engine/signalling", &findings);
}

#[test]
fn sql_occurs_only_in_the_store() {
    let mut findings = Vec::new();
    for source in crate_sources("control-api").iter().filter(|source| source.room != "store" && !source.is_test) {
        for word in ["sqlx", "rusqlite"] {
            findings.extend(source.uses(word).map(|line| format!("{}:{line}: `{word}`", source.path)));
        }
        for statement in [r"SELECT\s.+\sFROM", r"INSERT\s+INTO", r"UPDATE\s+\w+\s+SET", r"DELETE\s+FROM"] {
            findings.extend(source.strings(statement).map(|line| format!("{}:{line}: SQL", source.path)));
        }
    }
    assert_none("SQL belongs in control-api/src/store", &findings);
}

#[test]
fn only_the_engine_module_of_the_server_uses_media_engine() {
    let mut findings = Vec::new();
    for source in crate_sources("control-api").iter().filter(|source| source.room != "engine") {
        findings.extend(source.uses("media_engine").map(|line| format!("{}:{line}", source.path)));
    }
    assert_none("only control-api/src/engine.rs names media_engine", &findings);
}

#[test]
fn imports_inside_the_server_point_down() {
    for (n, (room, imports)) in SERVER_ROOMS.iter().enumerate() {
        for import in *imports {
            let below = SERVER_ROOMS[..n].iter().any(|(other, _)| other == import);
            assert!(below, "SERVER_ROOMS: `{room}` may not import `{import}`, which does not stand above it");
        }
    }
    let mut findings = Vec::new();
    for source in crate_sources("control-api").iter().filter(|source| !matches!(source.room.as_str(), "lib" | "main")) {
        let Some((_, allowed)) = SERVER_ROOMS.iter().find(|(room, _)| *room == source.room) else {
            findings.push(format!("{}: `{}` has no row in SERVER_ROOMS", source.path, source.room));
            continue;
        };
        for (line, path) in source.paths("crate") {
            let room = path.split("::").nth(1).unwrap_or_default();
            let is_room = SERVER_ROOMS.iter().any(|(known, _)| *known == room);
            if is_room && room != source.room && !allowed.contains(&room) {
                findings.push(format!("{}:{line}: `{}` may not import `{path}`", source.path, source.room));
            }
        }
    }
    assert_none("imports of the control plane that point up (allowed ones stand in SERVER_ROOMS)", &findings);
}

#[test]
fn rules_of_an_organization_know_no_http_and_no_sql() {
    let mut findings = Vec::new();
    for source in crate_sources("control-api").iter().filter(|source| source.room == "tenant" && !source.is_test) {
        for banned in ["axum", "hyper", "sqlx", "rusqlite", "tokio"] {
            findings.extend(source.uses(banned).map(|line| format!("{}:{line}: `{banned}`", source.path)));
        }
    }
    assert_none("tenant holds pure rules", &findings);
}

#[test]
fn the_engine_has_no_tenants_and_the_server_links_no_recogniser() {
    let mut findings = Vec::new();
    for source in crate_sources("media-engine") {
        for word in ["control_api", "organization_id", "OrganizationId"] {
            findings.extend(source.bare(word).map(|line| format!("{}:{line}: `{word}`", source.path)));
        }
        findings
            .extend(source.bare("pocketsphinx_sys").map(|line| format!("{}:{line}: links pocketsphinx", source.path)));
    }
    assert_none("media-engine gets opaque ids and speaks Wyoming", &findings);
}

#[test]
fn every_case_of_the_conformance_list_names_an_existing_test() {
    let list = std::fs::read_to_string(tests::repository().join("tests/conformance.md")).expect("the list");
    let row = regex::Regex::new(r"^\| (.+) \| `([^`]+\.rs)` `(\w+)` \|$").expect("an expression");
    let mut findings = Vec::new();
    let mut cases = 0;
    for line in list.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case ")) {
        let Some(found) = row.captures(line) else {
            findings.push(format!("expected | case | `file.rs` `test` |: {line}"));
            continue;
        };
        cases += 1;
        let (case, path, test) = (&found[1], &found[2], &found[3]);
        let source = std::fs::read_to_string(tests::repository().join(path)).unwrap_or_default();
        let is_test =
            source.contains(&format!("#[test]\nfn {test}()")) || source.contains(&format!("]\nasync fn {test}()"));
        if !is_test {
            findings.push(format!("{case}: {path} has no test {test}"));
        }
    }
    assert!(cases > 30, "the list has {cases} cases");
    assert_none("the conformance list names tests that do not exist", &findings);
}
