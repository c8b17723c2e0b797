//! The commands that clients of Redis send before and between their requests: their name, the version of RESP, whether
//! the server is alive.
//!
//! These commands belong to RESP only; `help` does not list them. They are answered here, without a verb, and the
//! answers are true of primed: there is one database, nothing is saved, and there are no transactions. `AUTH`, also
//! within `HELLO`, is the verb `auth`.

use super::super::Final;
use super::Words;
use super::encoding::{NULL_2, NULL_3, write_bulk, write_length, write_map};
use crate::proto::{Code, Failure, MAX_CLIENT_NAME};
use bytes::{Bytes, BytesMut};

/// The first words of all these commands; a request of another one is none of them.
const COMMANDS: [&[u8]; 13] = [
    b"ping", b"echo", b"info", b"exec", b"multi", b"discard", b"quit", b"hello", b"reset", b"client", b"select",
    b"config", b"command",
];

/// Whether a request of this first word may be one of these commands.
pub(super) fn is_command(word: &[u8]) -> bool {
    COMMANDS.iter().any(|command| command.eq_ignore_ascii_case(word))
}

/// The state of a client that these commands read and change.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) speaks_resp3: bool,
    name: Option<Box<[u8]>>,
    /// The name is another one since it was last taken.
    is_renamed: bool,
    /// What a `HELLO` with a password asks for, once the password is known to be right.
    greeting: Option<Greeting>,
}

/// What `HELLO` asks for.
#[derive(Clone, Debug)]
struct Greeting {
    speaks_resp3: bool,
    name: Option<Box<[u8]>>,
}

/// What becomes of a handshake command.
pub(super) enum Handshake<'a> {
    Reply(HandshakeReply),
    /// A verb answers: this request. After `auth` comes [`Client::end_login`].
    Request(Words<'a>),
    /// The verb `clients` answers, as `CLIENT LIST` does.
    List,
}

/// The reply to a handshake command.
pub(super) struct HandshakeReply {
    pub(super) reply: Final,
    /// The connection is to be closed after it.
    pub(super) is_last: bool,
    /// Its client is nobody from here on, where there are users.
    pub(super) logs_out: bool,
}

const OK: Final = encoded(b"+OK\r\n");

const fn encoded(bytes: &'static [u8]) -> Final {
    Final::Encoded(Bytes::from_static(bytes))
}

fn refused(code: Code, text: impl Into<std::borrow::Cow<'static, str>>) -> Final {
    Final::Reply(Err(Failure::new(code, text)))
}

fn wrong_number(word: &str) -> Final {
    refused(Code::BadArg, format!("{word}: wrong number of arguments"))
}

/// A bulk string.
fn bulk(bytes: &[u8]) -> Final {
    let mut out = BytesMut::new();
    write_bulk(&mut out, bytes);
    Final::Encoded(out.freeze())
}

impl Client {
    pub(super) const fn new() -> Self {
        Self {
            id: 0,
            speaks_resp3: false,
            name: None,
            is_renamed: false,
            greeting: None,
        }
    }

    /// True if nothing of it is remembered.
    pub(super) const fn is_new(&self) -> bool {
        !self.speaks_resp3 && self.name.is_none() && !self.is_renamed && self.greeting.is_none()
    }

    /// Answers a handshake command; `None` for other requests.
    pub(super) fn answer<'a>(&mut self, words: &[&'a [u8]]) -> Option<Handshake<'a>> {
        let (word, rest) = words.split_first().filter(|(word, _)| is_command(word))?;
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        // No handshake command is as short as 'nth' and 'pi', the most frequent requests.
        let reply = match word.len() {
            4 if is("ping") => match rest {
                [] => encoded(b"+PONG\r\n"),
                [message] => bulk(message),
                _ => wrong_number("ping"),
            },
            4 if is("echo") => match rest {
                [message] => bulk(message),
                _ => wrong_number("echo"),
            },
            4 if is("info") => match rest {
                // valkey-glide sends it first of all; the verb answers the rest.
                [section] if section.eq_ignore_ascii_case(b"replication") => bulk(b"role:master\r\n"),
                _ => return None,
            },
            4 if is("exec") => no_transactions(),
            5 if is("multi") => no_transactions(),
            7 if is("discard") => no_transactions(),
            4 if is("quit") => {
                return Some(Handshake::Reply(HandshakeReply {
                    reply: OK,
                    is_last: true,
                    logs_out: false,
                }));
            }
            5 if is("hello") => match self.hello(rest) {
                Ok(reply) => reply,
                Err((user, password)) => {
                    let words: [&[u8]; 3] = [b"auth", user, password];
                    return Some(Handshake::Request(words.into_iter().collect()));
                }
            },
            5 if is("reset") => {
                self.speaks_resp3 = false;
                self.rename(b"");
                return Some(Handshake::Reply(HandshakeReply {
                    reply: encoded(b"+RESET\r\n"),
                    is_last: false,
                    logs_out: true,
                }));
            }
            6 if is("client") => match rest {
                [list] if list.eq_ignore_ascii_case(b"list") => return Some(Handshake::List),
                [kill, rest @ ..] if kill.eq_ignore_ascii_case(b"kill") => {
                    let kill: [&[u8]; 1] = [b"kill"];
                    return Some(Handshake::Request(
                        kill.into_iter().chain(rest.iter().copied()).collect(),
                    ));
                }
                rest => self.client(rest),
            },
            6 if is("select") => match rest {
                [b"0"] => OK,
                [_] => refused(Code::BadArg, "select: there is one database, 0"),
                _ => wrong_number("select"),
            },
            6 if is("config") => self.config(rest)?,
            7 if is("command") => self.command(rest),
            _ => return None,
        };
        Some(Handshake::Reply(HandshakeReply {
            reply,
            is_last: false,
            logs_out: false,
        }))
    }

    /// `HELLO [2|3 [AUTH user password] [SETNAME name]]`: the reply, or what decides on it.
    fn hello<'a>(&mut self, rest: &[&'a [u8]]) -> Result<Final, (&'a [u8], &'a [u8])> {
        let (version, mut rest) = match rest.split_first() {
            None => (self.speaks_resp3, rest),
            Some((&b"2", rest)) => (false, rest),
            Some((&b"3", rest)) => (true, rest),
            Some(_) => {
                let text = b"-NOPROTO unsupported protocol version; RESP2 and RESP3 are supported\r\n";
                return Ok(encoded(text));
            }
        };
        let (mut name, mut login) = (None, None);
        while let Some((option, following)) = rest.split_first() {
            match following {
                [given, following @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                    name = Some(*given);
                    rest = following;
                }
                [user, password, following @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                    login = Some((*user, *password));
                    rest = following;
                }
                _ => {
                    let text = "hello: write 'HELLO [2|3 [AUTH user password] [SETNAME name]]'";
                    return Ok(refused(Code::Syntax, text));
                }
            }
        }
        if let Some(refusal) = name.and_then(check_name) {
            return Ok(refusal);
        }
        let greeting = Greeting {
            speaks_resp3: version,
            name: name.map(Into::into),
        };
        match login {
            None => Ok(self.greet(greeting)),
            Some(login) => {
                self.greeting = Some(greeting);
                Err(login)
            }
        }
    }

    /// A password was checked: the reply, if it came with a `HELLO` and is right.
    pub(super) fn end_login(&mut self, is_granted: bool) -> Option<Final> {
        let greeting = self.greeting.take().filter(|_| is_granted)?;
        Some(self.greet(greeting))
    }

    fn greet(&mut self, greeting: Greeting) -> Final {
        let version = greeting.speaks_resp3;
        self.speaks_resp3 = version;
        if let Some(name) = greeting.name {
            self.rename(&name);
        }
        let mut out = BytesMut::new();
        write_map(&mut out, self.speaks_resp3, 7);
        for (key, value) in [("server", "primed"), ("version", env!("CARGO_PKG_VERSION"))] {
            write_bulk(&mut out, key.as_bytes());
            write_bulk(&mut out, value.as_bytes());
        }
        write_bulk(&mut out, b"proto");
        write_length(&mut out, b':', if version { 3 } else { 2 });
        write_bulk(&mut out, b"id");
        out.extend_from_slice(format!(":{}\r\n", self.id).as_bytes());
        for (key, value) in [("mode", "standalone"), ("role", "master")] {
            write_bulk(&mut out, key.as_bytes());
            write_bulk(&mut out, value.as_bytes());
        }
        write_bulk(&mut out, b"modules");
        write_length(&mut out, b'*', 0);
        Final::Encoded(out.freeze())
    }

    fn client(&mut self, rest: &[&[u8]]) -> Final {
        let is = |name: &str| {
            rest.first()
                .is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
        };
        // As the verb `client` has it.
        if let [word] = rest
            && let Some(name) = name_option(word)
        {
            return self.set_name(name).unwrap_or(OK);
        }
        match rest {
            [_] if is("id") => Final::Encoded(Bytes::from(format!(":{}\r\n", self.id))),
            [_] if is("getname") => match &self.name {
                Some(name) => bulk(name),
                None => encoded(if self.speaks_resp3 { NULL_3 } else { NULL_2 }),
            },
            [_, name] if is("setname") => self.set_name(name).unwrap_or(OK),
            [_, _, _] if is("setinfo") => OK,
            _ => refused(
                Code::BadArg,
                "client: only ID, GETNAME, SETNAME name, name=NAME, SETINFO key value, LIST, KILL addr and KILL ID|ADDR client are known",
            ),
        }
    }

    /// Sets the name of the connection, or returns the error.
    fn set_name(&mut self, name: &[u8]) -> Option<Final> {
        let refusal = check_name(name);
        if refusal.is_none() {
            self.rename(name);
        }
        refusal
    }

    fn rename(&mut self, name: &[u8]) {
        self.name = (!name.is_empty()).then(|| name.into());
        self.is_renamed = true;
    }

    /// The name of the client, if it is another one since this was last asked; empty: it has none.
    pub(super) fn take_name(&mut self) -> Option<String> {
        let is_renamed = std::mem::take(&mut self.is_renamed);
        let name = || {
            self.name
                .as_deref()
                .map_or_else(String::new, |name| String::from_utf8_lossy(name).into_owned())
        };
        is_renamed.then(name)
    }

    /// `CONFIG GET` of the two keys that redis-benchmark prints. Others are for the verb.
    fn config(&self, rest: &[&[u8]]) -> Option<Final> {
        let known = [("save", ""), ("appendonly", "no")];
        let [get, key] = rest else {
            return None;
        };
        let is_get = get.eq_ignore_ascii_case(b"get");
        let is_asked = |(name, _): &&(&str, &str)| is_get && key.eq_ignore_ascii_case(name.as_bytes());
        let (name, value) = known.iter().find(is_asked)?;
        let mut out = BytesMut::new();
        write_map(&mut out, self.speaks_resp3, 1);
        write_bulk(&mut out, name.as_bytes());
        write_bulk(&mut out, value.as_bytes());
        Some(Final::Encoded(out.freeze()))
    }

    /// `COMMAND`: empty, so clients have no table of commands to draw hints from.
    fn command(&self, rest: &[&[u8]]) -> Final {
        match rest.first() {
            Some(word) if word.eq_ignore_ascii_case(b"count") => encoded(b":0\r\n"),
            Some(word) if word.eq_ignore_ascii_case(b"docs") && self.speaks_resp3 => encoded(b"%0\r\n"),
            _ => encoded(b"*0\r\n"),
        }
    }
}

/// The name in the option `name=NAME`.
fn name_option(word: &[u8]) -> Option<&[u8]> {
    let (key, name) = word.split_at_checked(b"name=".len())?;
    key.eq_ignore_ascii_case(b"name=").then_some(name)
}

/// The error for a name that a connection cannot have.
fn check_name(name: &[u8]) -> Option<Final> {
    let is_name = name.len() <= MAX_CLIENT_NAME && name.iter().all(u8::is_ascii_graphic);
    let text = || format!("client: a name is at most {MAX_CLIENT_NAME} printable characters without spaces");
    (!is_name).then(|| refused(Code::BadArg, text()))
}

fn no_transactions() -> Final {
    let text = "there are no transactions; use a pipeline without one (redis-py: transaction=False)";
    refused(Code::Denied, text)
}
