//! Finds libpocketsphinx with pkg-config and links it.

use std::process::Command;

const MISSING: &str = "libpocketsphinx is not installed; run `apt-get install libpocketsphinx-dev pkg-config`";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    match Command::new("pkg-config").args(["--libs", "pocketsphinx"]).output() {
        Ok(output) if output.status.success() => link(&String::from_utf8_lossy(&output.stdout)),
        _ => println!("cargo::error={MISSING}"),
    }
}

/// Passes `-L` and `-l` on. libsphinxad, the sound card library, is listed too but not used.
fn link(flags: &str) {
    for flag in flags.split_whitespace() {
        if let Some(folder) = flag.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={folder}");
        } else if let Some(library) = flag.strip_prefix("-l").filter(|&library| library != "sphinxad") {
            println!("cargo::rustc-link-lib={library}");
        }
    }
}
