//! Watches what is embedded: migrations and the built pages.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../migrations");
    let dist = Path::new("ui/dist");
    // The folder is git-ignored and made here when absent, because cargo treats a watched path that does not
    // exist as changed and would rebuild the crate every time.
    if !dist.exists()
        && let Err(error) = std::fs::create_dir_all(dist)
    {
        println!("cargo:warning=cannot create control-api/ui/dist: {error}");
    }
    println!("cargo:rerun-if-changed=ui/dist");
    if !dist.join("index.html").exists() {
        println!("cargo:warning=the pages were not built, a notice is served in their place: run `make build`");
    }
}
