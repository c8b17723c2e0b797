//! The addresses of NATS servers as they are written, with users and passwords, and as they may be shown. Knows no
//! connection.

use async_nats::ServerAddr;

/// What a server is to know a node by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    User(String, String),
    Token(String),
}

/// Servers of one cluster of NATS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Servers {
    /// Without users and passwords.
    pub(super) addresses: Vec<ServerAddr>,
    /// The same for all, as the client has but one.
    pub(super) login: Option<Login>,
}

/// How servers are to be written.
const USAGE: &str = "write nats://HOST:4222 or tls://HOST:4222, several separated by commas";

impl Servers {
    /// Reads addresses that are separated by commas.
    ///
    /// # Errors
    /// What is wrong with them, without users and passwords.
    pub(super) fn read(urls: &str) -> Result<Self, String> {
        let mut servers = Self {
            addresses: Vec::new(),
            login: None,
        };
        for url in split(urls) {
            let (scheme, login, host) = parts(url);
            if !["nats", "tls"].contains(&scheme) || host.contains([',', ' ']) {
                return Err(USAGE.to_owned());
            }
            let address: ServerAddr = format!("{scheme}://{host}")
                .parse()
                .map_err(|error| format!("{error}; {USAGE}"))?;
            if address.host().is_empty() {
                return Err(USAGE.to_owned());
            }
            servers.addresses.push(address);
            let login = login.map(read_login).transpose()?;
            match (&servers.login, login) {
                (Some(first), Some(other)) if *first != other => {
                    return Err("the servers have different users or passwords: give all of them the same".to_owned());
                }
                (None, login) => servers.login = login,
                _ => {}
            }
        }
        Ok(servers)
    }
}

/// Addresses separated by commas, without users and passwords.
pub(crate) fn without_users(urls: &str) -> String {
    let without_user = |url| match parts(url) {
        ("", _, host) => host.to_owned(),
        (scheme, _, host) => format!("{scheme}://{host}"),
    };
    let urls: Vec<String> = split(urls).into_iter().map(without_user).collect();
    urls.join(",")
}

/// The addresses of a list. A comma that no address with a scheme follows is one of a password.
fn split(urls: &str) -> Vec<&str> {
    let begins = |rest: &str| {
        let scheme = rest.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let (mut all, mut begin) = (Vec::new(), 0);
    for (comma, _) in urls.match_indices(',') {
        if begins(&urls[comma + 1..]) {
            all.push(&urls[begin..comma]);
            begin = comma + 1;
        }
    }
    all.push(&urls[begin..]);
    all
}

/// The scheme of an address, which may be missing, its user and password, and its host.
fn parts(url: &str) -> (&str, Option<&str>, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match rest.rsplit_once('@') {
        // What has no scheme may have `://` in its password.
        Some(_) if scheme.contains(['@', ':']) => ("", None, rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        Some((login, host)) => (scheme, Some(login), host),
        None => (scheme, None, rest),
    }
}

fn read_login(text: &str) -> Result<Login, String> {
    Ok(match text.split_once(':') {
        Some((user, password)) => Login::User(decode(user)?, decode(password)?),
        None => Login::Token(decode(text)?),
    })
}

/// `%40` is `@`, as in any URL.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let digits = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &others[2..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| "the user or password is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(urls: &str) -> Option<Login> {
        Servers::read(urls).expect("they are addresses").login
    }

    fn user(name: &str, password: &str) -> Option<Login> {
        Some(Login::User(name.to_owned(), password.to_owned()))
    }

    #[test]
    fn a_password_may_have_any_character_as_it_is_or_encoded() {
        assert_eq!(login("nats://host:4222"), None);
        assert_eq!(login("nats://me:se@cr,et:x/y@host:1"), user("me", "se@cr,et:x/y"));
        assert_eq!(login("nats://me:p%40ss%25%zz%4@host"), user("me", "p@ss%%zz%4"));
        assert_eq!(login("nats://s3cr3t@host"), Some(Login::Token("s3cr3t".to_owned())));
        assert_eq!(login("nats://me:@host"), user("me", ""));
    }

    #[test]
    fn servers_have_one_user_and_another_is_refused() {
        let both = Servers::read("nats://a:1,tls://me:p@b:2,nats://me:p@c:3").expect("they are addresses");
        assert_eq!(both.login, user("me", "p"));
        let hosts: Vec<&str> = both.addresses.iter().map(ServerAddr::host).collect();
        assert_eq!(hosts, ["a", "b", "c"]);
        let refused = Servers::read("nats://me:p@a:1,nats://me:SECRET@b:2").expect_err("they differ");
        assert!(
            refused.contains("different users") && !refused.contains("SECRET"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_no_server_is_refused_without_its_password() {
        for urls in [
            "",
            "host:4222",
            "nats://",
            "nats://:bad",
            "http://host",
            "me:SECRET@host",
            "nats://a,me:b:4222",
            "nats://me:SECRET@host:x",
            "nats://me:SECRET@:bad",
            "nats://a,host:4222",
        ] {
            let refused = Servers::read(urls).expect_err(urls);
            assert!(!refused.contains("SECRET"), "{refused}");
        }
    }

    #[test]
    fn no_user_and_no_password_is_shown() {
        for (urls, shown) in [
            ("nats://me:se@cret@host,tls://b:p@other:1", "nats://host,tls://other:1"),
            ("nats://me:se,cr@et@host", "nats://host"),
            ("me:secret@host", "host"),
            ("me:secret,a@host", "host"),
            ("me:sec://ret@host", "host"),
            ("nats://token@host", "nats://host"),
            ("nats://host:4222", "nats://host:4222"),
        ] {
            assert_eq!(without_users(urls), shown);
        }
    }
}
