//! `primed user`: the file of users that `serve --users` reads. Passwords come from the terminal or standard input.

use super::quantity;
use super::secret::Secret;
use crate::auth::{Entry, Role, UserFile, UserLimits, UserName, hash};
use anyhow::Context;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The arguments of `user`.
#[derive(Debug, clap::Args)]
pub(super) struct User {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add a user; the password is typed, or the first line of standard input
    Add {
        /// The file; made if there is none
        file: PathBuf,
        /// A letter and up to 31 letters, digits, '.', '_' and '-'
        #[arg(value_parser = read_name)]
        name: UserName,
        /// What they may do: ask; submit, which includes ask; operate, which includes both
        #[arg(long, value_name = "ROLE", default_value = "ask", value_parser = read_role)]
        role: Role,
        /// Most requests in progress at once
        #[arg(long, value_name = "N", value_parser = quantity::user_limit)]
        requests: Option<u32>,
        /// Most submitted jobs that have not ended
        #[arg(long, value_name = "N", value_parser = quantity::user_limit)]
        jobs: Option<u32>,
        /// Most seconds of CPU time a minute, in the mean
        #[arg(long, value_name = "SECONDS", value_parser = quantity::user_limit)]
        cpu: Option<u32>,
    },
    /// Change a password; it is typed, or the first line of standard input
    Passwd {
        /// The file
        file: PathBuf,
        /// The user
        #[arg(value_parser = read_name)]
        name: UserName,
    },
    /// List the users: name, role and limits
    List {
        /// The file
        file: PathBuf,
    },
    /// Remove a user
    Remove {
        /// The file
        file: PathBuf,
        /// The user
        #[arg(value_parser = read_name)]
        name: UserName,
    },
}

impl User {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Add {
                file,
                name,
                role,
                requests,
                jobs,
                cpu,
            } => {
                let is_new = |users: &UserFile| {
                    anyhow::ensure!(
                        users.find(name).is_none(),
                        "{name} is a user already; 'primed user passwd' changes the password"
                    );
                    Ok(())
                };
                // Before a password is typed for nothing, too.
                is_new(&read(&file, true)?.1)?;
                let limits = UserLimits { requests, jobs, cpu };
                let hash = choose()?;
                let entry = Entry {
                    name,
                    role,
                    hash,
                    limits,
                };
                change(&file, true, |text, users| {
                    is_new(users)?;
                    Ok(format!("{text}{entry}\n"))
                })?;
            }
            Action::Passwd { file, name } => {
                let find = |users: &UserFile| users.find(name).cloned().with_context(|| unknown(name));
                find(&read(&file, false)?.1)?;
                let hash = choose()?;
                change(&file, false, |text, users| {
                    let entry = Entry { hash, ..find(users)? };
                    Ok(replaced(text, name, Some(&entry)))
                })?;
            }
            Action::List { file } => {
                let (_, users) = read(&file, false)?;
                let mut out = std::io::stdout();
                for mut entry in users.entries {
                    entry.hash.clear();
                    writeln!(
                        out,
                        "{}",
                        entry.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
                    )?;
                }
            }
            Action::Remove { file, name } => {
                change(&file, false, |text, users| {
                    anyhow::ensure!(users.find(name).is_some(), unknown(name));
                    Ok(replaced(text, name, None))
                })?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(name: UserName) -> String {
    format!("there is no user {name}; 'primed user list' shows them")
}

fn choose() -> anyhow::Result<String> {
    hash(Secret::choose()?.expose()).map_err(anyhow::Error::msg)
}

fn read_name(text: &str) -> Result<UserName, String> {
    let name = UserName::parse(text).filter(UserName::is_free);
    name.ok_or_else(|| "a name is a letter and up to 31 letters, digits, '.', '_' and '-'".to_owned())
}

fn read_role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "write ask, submit or operate".to_owned())
}

/// The text of a file, which ends with a line feed, and its users.
fn read(path: &Path, may_be_new: bool) -> anyhow::Result<(String, UserFile)> {
    anyhow::ensure!(
        !path.is_symlink() || path.try_exists().unwrap_or(true),
        "{} is a link to a file that is not there: make that file, or remove the link",
        path.display()
    );
    let text = match fs::read_to_string(path) {
        Err(error) if may_be_new && error.kind() == ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("cannot read the users file {}", path.display()))?,
    };
    let users = UserFile::parse(&text).map_err(|what| anyhow::anyhow!("{}: {what}", path.display()))?;
    let ends = text.is_empty() || text.ends_with('\n');
    Ok((text + if ends { "" } else { "\n" }, users))
}

/// Changes a file, or the one that a link leads to; of several commands at once each sees what the others have done.
fn change(
    path: &Path,
    may_be_new: bool,
    edit: impl FnOnce(&str, &UserFile) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if may_be_new && error.kind() == ErrorKind::NotFound => path.to_owned(),
        path => path.with_context(|| "the file of users cannot be found".to_owned())?,
    };
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    let cannot = || format!("the users in {} cannot be changed", path.display());
    // The file itself is replaced, so it cannot bear the lock.
    let lock = File::open(directory).with_context(cannot)?;
    lock.lock().with_context(cannot)?;
    let (text, users) = read(&path, may_be_new)?;
    write(&path, &edit(&text, &users)?)?;
    // So that the new file has the name after a power failure too.
    let unsure = || {
        format!(
            "the users in {} are changed, but perhaps not on the disk",
            path.display()
        )
    };
    lock.sync_all().with_context(unsure)
}

/// The text with another line for a user, or none.
fn replaced(text: &str, name: UserName, entry: Option<&Entry>) -> String {
    let is_theirs = |line: &str| line.split_ascii_whitespace().next() == Some(name.as_str());
    let line = |line: &str| match (is_theirs(line), entry) {
        (false, _) => format!("{line}\n"),
        (true, Some(entry)) => format!("{entry}\n"),
        (true, None) => String::new(),
    };
    text.lines().map(line).collect()
}

/// Writes a file anew, whole or not at all: with the owner and the mode of the one that it replaces, or else for its
/// owner only.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let cannot = || format!("the users in {} cannot be written", path.display());
    let before = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        before => Some(before.with_context(cannot)?),
    };
    // Not a name like `users.new`, which may be a file of somebody's.
    let mut name = OsString::from(".");
    name.push(path.file_name().with_context(cannot)?);
    name.push(".partial");
    let new = path.with_file_name(name);
    // What a command left when it was killed: none is at work, for this one has the lock. To write through a link that
    // another user has put there would be a danger.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(cannot),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .with_context(cannot)?;
    let written = before.map_or(Ok(()), |before| keep_access(&file, &before, path));
    let written = written.and_then(|()| {
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&new, path))
            .with_context(cannot)
    });
    if written.is_err() {
        // The failure is what the user needs to know.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Gives a new file the owner, group and mode of the one that it replaces, so that the daemon can read it as before.
fn keep_access(file: &File, before: &Metadata, path: &Path) -> anyhow::Result<()> {
    let cannot = || {
        let (path, owner, group) = (path.display(), before.uid(), before.gid());
        format!(
            "{path} would not stay with user {owner} and group {group}, and is left as it was: run this as that user, or as root"
        )
    };
    let own = file.metadata().with_context(cannot)?;
    if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
        fchown(file, Some(before.uid()), Some(before.gid())).with_context(cannot)?;
    }
    file.set_permissions(before.permissions()).with_context(cannot)
}
