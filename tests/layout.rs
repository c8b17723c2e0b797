//! The structure of the crate: imports go down only, and the pure modules stay pure.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules, the topmost first. One may import from those below it.
const MODULES: [&str; 18] = [
    "cli", "config", "client", "daemon", "cluster", "http", "server", "verb", "engine", "auth", "store", "job",
    "proto", "primes", "metrics", "clients", "priority", "caught",
];

/// What a pure module must not mention: it knows no actor, socket, task, thread or clock.
const IMPURE: [&str; 9] = [
    "actix",
    "tokio::",
    "std::net",
    "std::thread",
    "Instant",
    "SystemTime",
    "std::fs",
    "std::env",
    "tracing",
];

const PURE: [&str; 4] = ["config", "job", "proto", "primes"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("src is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// All code of the repository.
fn everything() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "examples", "benches"].map(|folder| sources(&root.join(folder)));
    folders.into_iter().flatten()
}

/// The files of a module with their code: comments and unit tests left out.
fn code_of(module: &str) -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = match src.join(module) {
        folder if folder.is_dir() => sources(&folder),
        _ => vec![src.join(format!("{module}.rs"))],
    };
    let code = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source file is readable");
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default()
            .to_owned();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
    };
    let is_test = |path: &PathBuf| path.file_name().is_some_and(|name| name == "tests.rs");
    files
        .into_iter()
        .filter(|path| !is_test(path))
        .map(|path| (path.clone(), code(&path)))
        .collect()
}

#[test]
fn every_module_is_on_the_list() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).expect("src is readable").flatten() {
        let path = entry.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("names are text")
            .to_owned();
        assert!(
            MODULES.contains(&name.as_str()) || ["main", "lib"].contains(&name.as_str()),
            "{name} is in src but on no layer; say where it stands in tests/layout.rs and ARCHITECTURE.md"
        );
    }
}

#[test]
fn imports_go_down_only() {
    for (layer, module) in MODULES.iter().enumerate() {
        for (path, code) in code_of(module) {
            for above in &MODULES[..layer] {
                let import = format!("crate::{above}");
                let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                assert!(
                    !code.split(&import).skip(1).any(is_whole),
                    "{} imports {import}, which is above it",
                    path.display()
                );
            }
        }
    }
}

/// What the crate shows at its root comes from modules at every level, so all but the topmost import it from its own
/// module.
#[test]
fn only_the_topmost_module_imports_from_the_root() {
    for module in &MODULES[1..] {
        for (path, code) in code_of(module) {
            let from_root = |rest: &&str| rest.starts_with(|c: char| c.is_uppercase() || c == '{');
            let import = code.split("crate::").skip(1).find(from_root);
            let import = import.and_then(|rest| rest.lines().next());
            assert_eq!(import, None, "{} imports it from the crate's root", path.display());
        }
    }
}

#[test]
fn the_pure_modules_know_no_actor_socket_thread_or_clock() {
    for module in PURE {
        for (path, code) in code_of(module) {
            for word in IMPURE {
                assert!(!code.contains(word), "{} mentions {word}", path.display());
            }
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for module in MODULES {
        for path in code_of(module).into_iter().map(|(path, _)| path) {
            let text = fs::read_to_string(&path).expect("a source file is readable");
            assert!(
                text.starts_with("//!"),
                "{} does not say what it is for",
                path.display()
            );
        }
    }
}

#[test]
fn examples_and_the_crate_outside_use_only_the_interface() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = sources(&root.join("examples"));
    // It makes a file of the repository, and belongs to the inside.
    files.retain(|path| !path.ends_with("nth_table.rs"));
    files.extend(sources(&root.join("tests/extension/src")));
    files.extend(sources(&root.join("tests/extension/tests")));
    assert!(files.len() >= 10, "the examples are gone");
    for path in files {
        let text = fs::read_to_string(&path).expect("a source file is readable");
        assert!(
            !text.contains("internals"),
            "{} reaches into the internals",
            path.display()
        );
    }
}

/// Words with an established name in the field, and subjects that are none. A word that begins with a capital is looked
/// for as it is, the others in any case.
const RETIRED_WORDS: [&str; 27] = [
    "Asker",
    "Course",
    "Desk",
    "Ear",
    "Manner",
    "Place",
    "Seat",
    "Talk",
    "Ticket",
    "TicketId",
    "behind",
    "courtesies",
    "courtesy",
    "errand",
    "errands",
    "goodbye",
    "somanieth",
    "spelling",
    "spellings",
    "spelt",
    "tell",
    "tells",
    "telling",
    "told",
    "twin",
    "whoever",
    "whomever",
];

const RETIRED_PHRASES: [&str; 4] = ["so many", "so-manieth", "last word", "who asks"];

#[test]
fn sources_use_the_words_of_the_field() {
    let mut found = Vec::new();
    for path in everything() {
        // It has the words themselves.
        if path.ends_with(file!()) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file is readable");
        for (index, line) in text.lines().enumerate() {
            // The title of a book.
            let line = line.replace("\"A Course in", "");
            let lower = line.to_ascii_lowercase();
            let mut parts = line.split(|c: char| !c.is_alphanumeric());
            let is_it = |word: &str, part: &str| match word.starts_with(char::is_uppercase) {
                true => word == part,
                false => word.eq_ignore_ascii_case(part),
            };
            let word = parts.find_map(|part| RETIRED_WORDS.iter().find(|word| is_it(word, part)));
            let phrase = RETIRED_PHRASES.iter().find(|phrase| lower.contains(**phrase));
            if let Some(word) = word.or(phrase) {
                found.push(format!("{}:{}: '{word}'", path.display(), index + 1));
            }
        }
    }
    assert!(
        found.is_empty(),
        "CONTRIBUTING.md says how to write:\n{}",
        found.join("\n")
    );
}

/// The width that rustfmt.toml gives the code; rustfmt wraps no comments.
const WIDTH: usize = 120;

#[test]
fn comments_are_no_wider_than_the_code() {
    let mut found = Vec::new();
    for path in everything() {
        let text = fs::read_to_string(&path).expect("a source file is readable");
        let is_wide = |line: &str| line.trim_start().starts_with("//") && line.chars().count() > WIDTH;
        let wide = (1..).zip(text.lines()).filter(|(_, line)| is_wide(line));
        found.extend(wide.map(|(number, _)| format!("{}:{number}", path.display())));
    }
    assert!(found.is_empty(), "wider than {WIDTH} columns:\n{}", found.join("\n"));
}
