//! Tests of a daemon whose users are removed: while they are connected, and while their password is checked.

use super::Drained;
use super::tests::{Client, PATIENCE, until, with_failpoints};
use crate::auth::{Authenticate, Credentials, Identity, Notify, Role, Users, Verdict, hash};
use crate::proto::{Code, Value};
use crate::verb::{Blocking, Step, Verb, define};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A users file with `ann` (`ask`) and `oli` (`operate`), whose password is `secret`.
struct UsersFile(PathBuf);

impl UsersFile {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("primed-{name}-{}", std::process::id()));
        let hash = hash("secret").expect("it can be hashed");
        std::fs::write(&path, format!("ann ask {hash}\noli operate {hash}\n")).expect("a file can be written");
        Self(path)
    }

    fn users(&self) -> Users {
        Users::open(&self.0).expect("the file is right")
    }

    fn empty(&self) {
        std::fs::write(&self.0, "").expect("the file can be written");
    }
}

impl Drop for UsersFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_user_who_is_gone_is_refused_also_what_he_asked_before() {
    let file = UsersFile::new("gone");
    let users = file.users();
    let daemon = with_failpoints()
        .users(users.clone())
        .spawn()
        .expect("a free port can be had");
    let mut client = Client::connect(daemon.addresses()[0]);
    client.send("auth ann secret\n");
    assert_eq!(client.line().as_deref(), Some("OK"));
    for _ in 0..3 {
        client.send("nth 5\nisprime 91\n");
        assert_eq!(
            (client.line().as_deref(), client.line().as_deref()),
            (Some("OK 11"), Some("OK no"))
        );
    }
    file.empty();
    users.reload().expect("the file is right");
    client.send("nth 5\nisprime 91\nnth 5\n");
    for _ in 0..3 {
        let reply = client.line().expect("it goes on");
        assert!(reply.starts_with("ERR unauthenticated "), "{reply}");
    }
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

#[test]
fn constant_answers_of_verbs_for_operators_are_not_given_to_others() {
    let file = UsersFile::new("constant");
    // The second takes the place of one that may be asked without a password.
    let secret = |usage| {
        let verb = define(usage, "what only operators may know", |_| {
            Ok(Step::Constant(Value::Text("7".into())))
        });
        verb.role(Role::Operate)
    };
    let daemon = with_failpoints()
        .verb(secret("secret"))
        .verb(secret("ping"))
        .io_threads(1)
        .users(file.users())
        .spawn()
        .expect("a free port can be had");
    let mut clients = ["oli", "ann"].map(|name| {
        let mut client = Client::connect(daemon.addresses()[0]);
        client.send(&format!("auth {name} secret\n"));
        assert_eq!(client.line().as_deref(), Some("OK"));
        client
    });
    for request in ["secret", "ping"] {
        for (client, reply) in clients.iter_mut().zip(["OK 7", "ERR denied "]) {
            client.send(&format!("{request}\n{request}\n").repeat(2));
            for _ in 0..4 {
                let line = client.line().expect("a reply");
                assert!(line.starts_with(reply), "{request}: {line}");
            }
        }
    }
    let mut stranger = Client::connect(daemon.addresses()[0]);
    stranger.send("ping\nsecret\n");
    for _ in 0..2 {
        let reply = stranger.line().expect("a reply");
        assert!(reply.starts_with("ERR unauthenticated "), "{reply}");
    }
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

/// Users of whom none is left once his password has been checked.
#[derive(Debug)]
struct Leaving(Users);

impl Authenticate for Leaving {
    fn check(&self, from: IpAddr, credentials: Credentials, notify: Notify) {
        self.0.check(from, credentials, notify);
    }

    fn wrong_passwords(&self) -> Arc<AtomicU64> {
        Authenticate::wrong_passwords(&self.0)
    }

    fn version(&self) -> u64 {
        self.0.version()
    }

    fn refresh(&self, _: &Identity) -> Option<Identity> {
        None
    }
}

#[test]
fn a_user_who_goes_while_his_password_is_checked_is_refused() {
    let file = UsersFile::new("leaving");
    let mut daemon = with_failpoints();
    daemon.auth = Some(Arc::new(Leaving(file.users())));
    let daemon = daemon.spawn().expect("a free port can be had");
    let mut client = Client::connect(daemon.addresses()[0]);
    client.send("auth ann secret\nnth 5\n");
    assert_eq!(
        client.line().as_deref(),
        Some("ERR unauthenticated :the user or the password is wrong")
    );
    assert!(
        client
            .line()
            .is_some_and(|reply| reply.starts_with("ERR unauthenticated "))
    );
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

/// Whether a verb has been called, and whether it may go on.
#[derive(Default)]
struct Gate {
    is_called: AtomicBool,
    is_open: AtomicBool,
}

/// A verb that makes the request it is given for its caller, once the gate is open.
fn asking(usage: &'static str, gate: Arc<Gate>) -> impl Verb {
    let lane = Blocking::new("asking", 1);
    define(usage, "what the engine answers", move |call| {
        let (engine, words, gate) = (call.engine()?, call.words(), gate.clone());
        let early = engine.request("pi 1e10");
        Ok(lane.run(call, move |token| {
            gate.is_called.store(true, Relaxed);
            while !gate.is_open.load(Relaxed) && !token.is_cancelled() {
                std::thread::yield_now();
            }
            let reply = token.wait(engine.request(&words));
            let is_gone = matches!(&reply, Err(failure) if failure.code == Code::Unauthenticated);
            assert_eq!(is_gone, token.wait(early).is_err(), "both or none");
            reply
        }))
    })
}

#[test]
fn what_a_verb_asks_for_a_user_is_asked_with_the_rights_that_he_has_by_then() {
    let file = UsersFile::new("rights");
    let (users, gate) = (file.users(), Arc::<Gate>::default());
    gate.is_open.store(true, Relaxed);
    let daemon = with_failpoints()
        .verb(asking("asking REQUEST", gate.clone()))
        .users(users.clone())
        .spawn()
        .expect("a free port can be had");
    let mut client = Client::connect(daemon.addresses()[0]);
    client.send("auth ann secret\nasking pi 1e12\nasking doctor\n");
    assert_eq!(client.line().as_deref(), Some("OK"));
    assert_eq!(client.line().as_deref(), Some("OK 37607912018"));
    let denied = "ERR denied :this needs the role operate; ann has the role ask";
    assert_eq!(client.line().as_deref(), Some(denied));
    gate.is_open.store(false, Relaxed);
    gate.is_called.store(false, Relaxed);
    client.send("asking pi 1e11\n");
    until("the verb is called", || gate.is_called.load(Relaxed));
    file.empty();
    users.reload().expect("the file is right");
    gate.is_open.store(true, Relaxed);
    let gone = "ERR unauthenticated :the user is gone, or has another password";
    assert_eq!(client.line().as_deref(), Some(gone));
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

#[test]
fn a_verb_of_a_program_takes_a_password_whatever_its_name() {
    let file = UsersFile::new("names");
    // Built-in verbs of these names, or for which these are other words, may be asked without a password.
    let names = ["ping", "help", "quit", "exit", "bye"];
    let daemon = names.into_iter().fold(with_failpoints(), |daemon, name| {
        daemon.verb(define(name, "what only users may know", |_| {
            Ok(Step::Answer(Value::Text("7".into())))
        }))
    });
    let daemon = daemon.users(file.users()).spawn().expect("a free port can be had");
    let mut client = Client::connect(daemon.addresses()[0]);
    for name in names {
        client.send(&format!("{name}\n"));
        let refused = client.line().expect("a reply");
        assert!(
            refused.starts_with("ERR unauthenticated :say who you are first"),
            "{name}: {refused}"
        );
    }
    client.send("auth ann secret\n");
    assert_eq!(client.line().as_deref(), Some("OK"));
    for name in names {
        client.send(&format!("{name}\n"));
        assert_eq!(client.line().as_deref(), Some("OK 7"), "{name}");
    }
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

/// Users of whom none is let in; the reply is to be sent in an hour.
#[derive(Debug, Default)]
struct Delaying(Arc<AtomicU64>);

impl Authenticate for Delaying {
    fn check(&self, _: IpAddr, _: Credentials, notify: Notify) {
        notify(Verdict::Refused(Duration::from_secs(3_600)));
        self.0.fetch_add(1, Relaxed);
    }

    fn wrong_passwords(&self) -> Arc<AtomicU64> {
        self.0.clone()
    }

    fn version(&self) -> u64 {
        0
    }

    fn refresh(&self, _: &Identity) -> Option<Identity> {
        None
    }
}

#[test]
fn a_drain_answers_wrong_passwords_at_once() {
    let mut daemon = with_failpoints();
    let delaying = Arc::new(Delaying::default());
    daemon.auth = Some(delaying.clone());
    #[cfg(feature = "http")]
    let daemon = daemon.http(([127, 0, 0, 1], 0).into(), Vec::new());
    let daemon = daemon.spawn().expect("a free port can be had");
    let mut clients = vec![(Client::connect(daemon.addresses()[0]), "ERR unauthenticated ")];
    clients[0].0.send("auth ann no\nauth ann no\n");
    if cfg!(feature = "http") {
        let mut client = Client::connect(daemon.addresses()[1]);
        client.send("GET /v1/info HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YW5uOm5v\r\n\r\n");
        clients.push((client, "HTTP/1.1 401 "));
    }
    until("the passwords are found wrong", || {
        delaying.0.load(Relaxed) == clients.len() as u64
    });
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
    for (client, expected) in &mut clients {
        let reply = client.line().expect("it is answered");
        assert!(reply.starts_with(*expected), "{reply}");
    }
    let next = clients[0].0.line().expect("the next request is answered too");
    assert!(next.starts_with("ERR draining "), "{next}");
}
