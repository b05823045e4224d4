//! The API conforms to its own description: schemathesis sends every route of `/openapi.json` requests that the description allows
//! and forbids, with and without credentials.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tests::process::Process;
use tests::tandem::{Setup, Tandem};
use tests::{repository, soak};

/// Number of examples for each route; `make soak` uses many more.
fn thoroughness() -> (&'static str, Duration) {
    if soak() { ("200", Duration::from_secs(3_000)) } else { ("8", Duration::from_secs(120)) }
}

/// Path of the program in the Python environment that `make test` creates.
fn schemathesis() -> PathBuf {
    let folder = std::env::var_os("TANDEM_SCHEMATHESIS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/tandem/schemathesis"),
        PathBuf::from,
    );
    let program = folder.join("bin/st");
    assert!(program.exists(), "{} is missing: run `make schemathesis`", program.display());
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_conforms_to_its_openapi_description() {
    let setup = Setup { further: LIMITS_OFF, ..Setup::default() };
    let tandem = Tandem::start(&setup).await;
    let key = tandem.run_command(&["apikey", "create", "--org", "Acme", "--name", "schemathesis"]).await;
    let key = key.lines().find(|line| line.starts_with("tdm_")).expect("a key").to_owned();
    let (examples, deadline) = thoroughness();
    let mut command = Command::new(schemathesis());
    command.arg("--config-file").arg(repository().join("tests/openapi/schemathesis.toml"));
    command.args(["run", &format!("{}/openapi.json", tandem.http), "--checks", "all", "--max-examples", examples]);
    command.args(["--phases", "examples,coverage,fuzzing", "--seed", "7", "--request-timeout", "10"]);
    command.args(["--no-color", "--header", &format!("Authorization: Bearer {key}")]);
    // Streams do not end by themselves; e2e::api reads them.
    command.args(["--exclude-path-regex", "(/stream|^/api/events)$"]);
    command.current_dir(tandem.data());
    let mut process = Process::start("schemathesis", "run `make test`, which installs it", &mut command);
    let status = process.exited(deadline).await;
    assert!(status.success(), "the API does not conform to its description: {status}; the findings are above");
    assert_eq!(tandem.metric("tandem_http_panics_total", "").await, 0.0);
    tandem.stop().await;
}

const LIMITS_OFF: &str = "[limits]\ndefault = \"off\"\ncalls = \"off\"\nspeech = \"off\"\nconfiguration = \"off\"\n\
                          retention = \"off\"\nentrance = \"off\"\n";
