//! `config get` and `config set`: settings that change while the daemon runs, by operators only.

use crate::daemon::{Daemon, Directory, add_user};
use crate::support::Client;
use crate::support::terminal::Terminal;

fn rows(client: &mut Client, request: &str) -> Vec<String> {
    client.send(format!("{request}\n"));
    let mut rows = Vec::new();
    loop {
        let line = client.line().expect("the session goes on");
        match line.strip_prefix("= ") {
            Some(row) => rows.push(row.to_owned()),
            None => {
                assert_eq!(line, "OK", "{request}");
                return rows;
            }
        }
    }
}

/// A daemon with this configuration and two users: `oli` of the role `operate`, and `ann` of the role `ask`.
fn daemon(configuration: &str) -> Daemon {
    let directory = Directory::new();
    add_user(&directory, "oli", "oli-secret", &["--role", "operate"]);
    add_user(&directory, "ann", "ann-secret", &["--role", "ask"]);
    directory.write("primed.toml", configuration);
    let (users, file) = (directory.path("users"), directory.path("primed.toml"));
    Daemon::start(
        directory,
        &["--users", &users, "--config", &file, "--max-unsent", "100000"],
    )
}

#[test]
fn a_setting_changes_at_once_until_the_configuration_is_read_again() {
    let daemon = daemon("max-line = 20000\nmax-in-flight = 9\n");
    let mut oli = daemon.client_of("oli", "oli-secret");
    assert_eq!(
        rows(&mut oli, "config get nothing* max-un* max-??ne"),
        ["max-line=20000", "max-unsent=100000"]
    );
    assert_eq!(rows(&mut oli, "config get http data"), ["data=none", "http=none"]);
    // As many as open files allow, up to 20000.
    let most = rows(&mut oli, "config get max-con*").concat();
    let most = most.strip_prefix("max-connections=").expect("it is listed");
    assert!(most.parse::<u32>().is_ok_and(|most| most > 3), "{most}");
    let all = rows(&mut oli, "config get");
    assert!(all.len() > 20 && all.contains(&"workers=2".to_owned()), "{all:?}");
    assert!(!all.concat().contains("secret"), "{all:?}");
    // Of a connection that is open, also where a flag says otherwise.
    assert_eq!(oli.ask("config set max-connections 3"), "OK");
    let _two = [daemon.client(), daemon.client()];
    let refused = daemon.client().line_if_any();
    assert_eq!(
        refused.as_deref(),
        Some("ERR busy :too many connections; retry-ms=1000")
    );
    assert_eq!(oli.ask("CONFIG SET Max-Unsent 70000"), "OK");
    assert_eq!(
        rows(&mut oli, "config get max-connections max-unsent"),
        ["max-connections=3", "max-unsent=70000"]
    );
    // A limit that has none by default can be taken back.
    assert_eq!(oli.ask("config set idle-timeout 1h"), "OK");
    assert_eq!(rows(&mut oli, "config get idle*"), ["idle-timeout=1h"]);
    assert_eq!(oli.ask("config set idle-timeout none"), "OK");
    assert_eq!(rows(&mut oli, "config get idle*"), ["idle-timeout=none"]);
    // The file has changed meanwhile, and is not read.
    daemon.directory.write("primed.toml", "max-in-flight = 8\n");
    assert_eq!(oli.ask("config set log info,primed=debug"), "OK");
    assert_eq!(rows(&mut oli, "config get max-in-flight"), ["max-in-flight=9"]);
    assert_eq!(rows(&mut oli, "config get log"), ["log=info,primed=debug"]);
    let log = daemon.directory.read("log");
    assert!(
        log.contains(
            "config set: a setting has changed client=1 setting=\"max-unsent\" before=\"100000\" now=\"70000\""
        ),
        "{log}"
    );
    // The file says more connections again, and the flag what it said.
    daemon.hang_up("SIGHUP: a setting has changed setting=\"max-unsent\" before=\"70000\" now=\"100000\"");
    let taken_back = format!("setting=\"max-connections\" before=\"3\" now=\"{most}\"");
    let log = daemon.directory.read("log");
    assert!(log.contains(&taken_back), "{log}");
    assert_eq!(
        rows(&mut oli, "config get max-unsent log"),
        ["log=trace", "max-unsent=100000"]
    );
    let mut ann = daemon.client_of("ann", "ann-secret");
    assert_eq!(ann.ask("nth 4"), "OK 7");
}

#[test]
fn a_deadline_and_progress_are_options_unless_they_are_the_value() {
    let daemon = daemon("");
    let mut oli = daemon.client_of("oli", "oli-secret");
    for (request, log) in [
        ("config set log debug deadline=5s progress=1s", "debug"),
        ("config set log info,primed=debug PROGRESS=1s", "info,primed=debug"),
        ("config set log deadline=debug", "deadline=debug"),
        ("config set log progress=debug progress=500ms", "progress=debug"),
    ] {
        assert_eq!(oli.ask(request), "OK", "{request}");
        assert_eq!(rows(&mut oli, "config get log deadline=5s"), [format!("log={log}")]);
    }
    for (request, reply) in [
        (
            "config set log debug deadline=soon",
            "ERR bad-arg :config: deadline is 'soon': ",
        ),
        (
            "config set log debug level=5",
            "ERR bad-arg :config: NAME and VALUE are two words; ",
        ),
        (
            "config set log debug deadline=1s deadline=2s",
            "ERR bad-arg :config: deadline is given twice; ",
        ),
    ] {
        let said = oli.ask(request);
        assert!(said.starts_with(reply), "{request}: {said}");
    }
}

#[test]
fn the_command_changes_a_setting_at_a_terminal_and_at_the_prompt() {
    let daemon = Daemon::start(Directory::new(), &[]);
    let ask = format!(
        "NO_COLOR=1 {} ask --connect {}",
        env!("CARGO_BIN_EXE_primed"),
        daemon.addresses[0]
    );
    let home = daemon.directory.path("");
    let command = Terminal::start(&format!("{ask} config set log debug"), &[("HOME", &home)]);
    assert!(command.end().success());
    let mut prompt = Terminal::start(&ask, &[("HOME", &home)]);
    prompt.until("primed> ");
    prompt.press("config set max-line 5000\r");
    prompt.until("primed> ");
    prompt.press("config get log max-line\r");
    prompt.until("\nlog=debug\r\nmax-line=5000\r\n");
}

#[test]
fn what_cannot_change_is_refused_and_changes_nothing() {
    let daemon = daemon("");
    let mut oli = daemon.client_of("oli", "oli-secret");
    let before = rows(&mut oli, "config get");
    for (request, reply) in [
        (
            "config",
            "ERR bad-arg :config: get or set is missing; usage: config get|set ...",
        ),
        ("config rewrite", "ERR bad-arg :config: it can get and set; usage: "),
        (
            "config set log",
            "ERR bad-arg :config: NAME and VALUE are two words; usage: ",
        ),
        (
            "config set nothing 5",
            "ERR bad-arg :config: there is no setting 'nothing'; ",
        ),
        (
            "config set max-line x",
            "ERR bad-arg :config: invalid value 'x' for '--max-line <BYTES>': write a whole number from 64",
        ),
        (
            "config set max-in-flight 0",
            "ERR bad-arg :config: invalid value '0' for ",
        ),
        (
            "config set log nonsense",
            "ERR bad-arg :config: invalid value 'nonsense' for ",
        ),
        (
            "config set workers 4",
            "ERR denied :config: 'workers' needs a restart: set it in the configuration file; what can change now: drain-limit, ",
        ),
        (
            "config set users /etc/passwd",
            "ERR denied :config: 'users' needs a restart",
        ),
        (
            "config set config /etc/passwd",
            "ERR bad-arg :config: there is no setting 'config'",
        ),
    ] {
        let said = oli.ask(request);
        assert!(said.starts_with(reply), "{request}: {said}");
    }
    assert_eq!(rows(&mut oli, "config get"), before);
    let mut ann = daemon.client_of("ann", "ann-secret");
    for request in ["config get", "config set max-line 64", "monitor", "clients"] {
        let said = ann.ask(request);
        assert!(said.starts_with("ERR denied :this needs the role operate"), "{said}");
    }
    assert!(daemon.client().ask("config get").starts_with("ERR unauthenticated :"));
    // A bad file changes nothing either.
    daemon
        .directory
        .write("primed.toml", "max-in-flight = 5\nmax-line = 1\n");
    daemon.hang_up("SIGHUP: nothing changes");
    assert_eq!(rows(&mut oli, "config get"), before);
}

#[test]
fn clients_of_redis_get_a_map_and_set_a_value() {
    let daemon = daemon("");
    let mut oli = daemon.client_of("oli", "oli-secret");
    let mut ask = |words: &[&str], lines: usize| -> String {
        oli.send(crate::support::resp(words));
        let said: Vec<String> = (0..lines).filter_map(|_| oli.line()).collect();
        said.join("\n").replace('\r', "")
    };
    assert_eq!(ask(&["CONFIG", "GET", "max-i*"], 5), "*2\n$13\nmax-in-flight\n$4\n1024");
    assert_eq!(ask(&["CONFIG", "SET", "max-in-flight", "77"], 1), "+OK");
    assert_eq!(ask(&["CONFIG", "GET", "nothing"], 1), "*0");
    assert_eq!(ask(&["CONFIG", "GET", "save"], 5), "*2\n$4\nsave\n$0\n");
    assert!(ask(&["CONFIG", "SET", "workers", "7"], 1).starts_with("-DENIED "));
    assert!(ask(&["HELLO", "3"], 26).starts_with("%7"));
    assert_eq!(ask(&["CONFIG", "GET", "max-i*"], 5), "%1\n$13\nmax-in-flight\n$2\n77");
}
