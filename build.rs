//! Finds the commit that a release build is made of, for `primed --version`. A build without git, or of a copy inside another repository,
//! has the version alone; so have debug builds, which would be built again after each commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    let version = env!("CARGO_PKG_VERSION");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = is_release.then(commit).flatten();
    let shown = commit.map_or(version.to_owned(), |commit| format!("{version} ({commit})"));
    // Cargo sets it for tests too, where `PRIMED_*` would be taken for a setting.
    println!("cargo:rustc-env=VERSION_OF_PRIMED={shown}");
}

fn commit() -> Option<String> {
    let folder = git(&["rev-parse", "--show-toplevel"])?;
    let is_ours =
        Path::new(&folder).canonicalize().ok()? == Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    // It grows with every commit, checkout and rebase.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| is_ours && Path::new(log).exists())?;
    println!("cargo:rerun-if-changed={log}");
    git(&["rev-parse", "--short", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
