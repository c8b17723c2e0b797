//! Finds the commit and the profile that a release build is made of, for `primed --version`. An archive that
//! `git archive` made has the commit in a file. Other builds without git, or of a copy inside another repository, have
//! the version alone; so have debug builds, which would be built again after each commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    link_unwinder();
    let version = env!("CARGO_PKG_VERSION");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = is_release.then(|| of_archive().or_else(commit)).flatten();
    let shown = commit.map_or(version.to_owned(), |commit| format!("{version} ({commit})"));
    // Cargo sets it for tests too, where `PRIMED_*` would be taken for a setting.
    println!("cargo:rustc-env=VERSION_OF_PRIMED={shown}");
    println!("cargo:rustc-env=PROFILE_OF_PRIMED={}", profile());
}

/// Links GCC's unwinder from its archive, so that the dynamic linker need not load a library for it at each start.
/// Where this machine's compiler has none, or builds for another machine, the library is taken as usual.
fn link_unwinder() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let is_here = std::env::var("HOST") == std::env::var("TARGET");
    if !is_here || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    let linker = std::env::var_os("RUSTC_LINKER").unwrap_or("cc".into());
    let found = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output();
    // A compiler that does not know it answers with the bare name.
    let is_there = |text: &str| Path::new(text.trim()).is_absolute() && Path::new(text.trim()).exists();
    if found.is_ok_and(|output| std::str::from_utf8(&output.stdout).is_ok_and(is_there)) {
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// The profile by the name of its directory: Cargo itself says only which of its two a profile inherits from.
fn profile() -> String {
    let out = std::env::var_os("OUT_DIR")
        .map(std::path::PathBuf::from)
        .unwrap_or_default();
    // target/PROFILE/build/primed-HASH/out
    let name = out.ancestors().nth(3).and_then(Path::file_name);
    name.map_or("unknown".into(), |name| name.to_string_lossy().into_owned())
}

/// What `git archive` writes into a file that .gitattributes names; in a checkout it is the placeholder.
fn of_archive() -> Option<String> {
    println!("cargo:rerun-if-changed=packaging/commit");
    let text = std::fs::read_to_string("packaging/commit").ok()?;
    let commit = text.trim();
    let is_commit = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| commit.to_owned())
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
