//! `auth`: who the client is. The session has the password checked, and takes in nothing else meanwhile.

use super::{Call, Registry, Step, define};
use crate::auth::Credentials;
use crate::proto::Failure;

/// The verb's name: its arguments are never logged, shown or kept.
pub(super) const AUTH: &str = "auth";

/// The user of `AUTH password`, as clients of Redis write it.
const DEFAULT_USER: &str = "default";

pub(super) fn register(registry: &mut Registry) {
    let auth = define(
        "auth [USER] PASSWORD",
        "says who you are, where the daemon has users",
        auth,
    );
    let auth = auth.details(&[
        "Requests after it wait until it is answered. The reply to a wrong password is",
        "delayed, and each time for longer. Without USER: the user 'default'.",
        "auth ann PASSWORD -> OK",
    ]);
    registry.add(auth.free());
}

fn auth(call: &Call<'_>) -> Result<Step, Failure> {
    // A password with '=' was taken for an option. No message quotes a word: one of them is the password.
    let words: Vec<String> = call.words_and_options();
    let (user, password) = match words.as_slice() {
        [user, password] => (user.as_str(), password),
        [password] => (DEFAULT_USER, password),
        _ => return Err(call.bad_arg("USER and PASSWORD are two words")),
    };
    Ok(Step::Login(Credentials {
        user: user.to_owned(),
        password: password.clone(),
    }))
}
