//! Users: who may ask what, whose a job is, and how much a user may use.

use crate::daemon::{Daemon, Directory, add_user, primed, run, text};
use crate::support::{Client, resp};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

/// `ask`, `submit` and another, `operate`; the passwords are the names with `-pw`.
pub(crate) fn with_users(flags: &[&str]) -> Daemon {
    let directory = Directory::new();
    for (name, role) in [("ann", "ask"), ("sam", "submit"), ("sue", "submit"), ("oli", "operate")] {
        add_user(&directory, name, &format!("{name}-pw"), &["--role", role]);
    }
    let file = directory.path("users");
    Daemon::start(directory, &[&["--users", &file], flags].concat())
}

fn of(daemon: &Daemon, name: &str) -> Client {
    daemon.client_of(name, &format!("{name}-pw"))
}

#[test]
fn nothing_is_answered_before_the_password_but_who_is_there() {
    let daemon = with_users(&[]);
    let mut client = daemon.client();
    for request in [
        "nth 5",
        "5",
        "@t pi 100",
        "jobs",
        "info",
        "submit pi 100",
        "cancel 1",
        "@c cancel @t",
        "nothing-like-it",
    ] {
        let reply = client.ask(request);
        let reply = reply
            .strip_prefix("@t ")
            .or(reply.strip_prefix("@c "))
            .unwrap_or(&reply);
        assert_eq!(
            reply, "ERR unauthenticated :say who you are first: auth USER PASSWORD",
            "{request}"
        );
    }
    assert_eq!(client.ask("ping"), "OK pong");
    assert_eq!(
        client.ask("auth ann"),
        "ERR unauthenticated :the user or the password is wrong"
    );
    assert_eq!(
        client.ask("auth"),
        "ERR bad-arg :auth: USER and PASSWORD are two words; usage: auth [USER] PASSWORD"
    );
    assert_eq!(client.ask("quit"), "OK bye");
}

#[test]
fn what_is_pipelined_after_the_password_waits_for_it() {
    let daemon = with_users(&[]);
    let mut client = daemon.client();
    client.send("nth 4\nauth ann ann-pw\nnth 4\n@t nth 5\n5\n");
    let replies: Vec<String> = (0..5).filter_map(|_| client.line()).collect();
    assert!(replies[0].starts_with("ERR unauthenticated"), "{replies:?}");
    assert_eq!(replies[1..], ["OK", "OK 7", "@t OK 11", "11"]);
    client.send("auth ann wrong\nnth 4\n");
    assert_eq!(
        client.line().as_deref(),
        Some("ERR unauthenticated :the user or the password is wrong")
    );
    assert_eq!(client.line().as_deref(), Some("OK 7"), "it is still ann");
}

#[test]
fn each_role_may_do_what_the_one_below_it_may_and_more() {
    let daemon = with_users(&[]);
    let (mut ann, mut sam, mut oli) = (of(&daemon, "ann"), of(&daemon, "sam"), of(&daemon, "oli"));
    assert_eq!(ann.ask("pi 100"), "OK 25");
    assert_eq!(
        ann.ask("submit pi 100"),
        "ERR denied :this needs the role submit; ann has the role ask"
    );
    assert_eq!(
        ann.ask("verify submit pi 100"),
        "ERR bad-arg :verify: this verb cannot stand here; usage: verify REQUEST|JOB"
    );
    assert!(sam.ask("submit pi 100").starts_with("OK job="));
    assert_eq!(
        sam.ask("forget all"),
        "ERR denied :this needs the role operate; sam has the role submit"
    );
    assert!(sam.ask("submit forget all").starts_with("ERR bad-arg"));
    assert_eq!(oli.ask("forget all"), "OK");
    oli.send("clients\n");
    let rows: Vec<String> = std::iter::from_fn(|| oli.line().filter(|line| line != "OK")).collect();
    for user in ["ann", "sam", "oli"] {
        assert!(
            rows.iter().any(|row| row.contains(&format!(" user={user} "))),
            "{rows:?}"
        );
    }
}

#[test]
fn a_job_is_seen_read_and_ended_by_its_user_and_by_operators_only() {
    let daemon = with_users(&[]);
    let (mut sam, mut sue, mut oli) = (of(&daemon, "sam"), of(&daemon, "sue"), of(&daemon, "oli"));
    let submitted = sam.ask("submit pi 1e19 id=key");
    let job = submitted.strip_prefix("OK job=").expect("it is taken in");
    let absent = format!("ERR no-job :there is no job {job}, or it ended too long ago; 'jobs' lists them");
    for request in ["watch", "result", "cancel"] {
        assert_eq!(sue.ask(&format!("{request} {job}")), absent);
    }
    assert!(sue.ask(&format!("cancel {job} 99")).starts_with("ERR no-job"));
    assert!(sue.ask("cancel owner=sam").starts_with("ERR denied"));
    assert!(
        sue.ask("cancel all")
            .starts_with("ERR no-job :sue has no submitted job")
    );
    let rows = |client: &mut Client| {
        client.send("jobs\n");
        let rows: Vec<String> = std::iter::from_fn(|| client.line().filter(|line| line != "OK")).collect();
        rows
    };
    assert_eq!(rows(&mut sue), Vec::<String>::new());
    for client in [&mut sam, &mut oli] {
        let rows = rows(client);
        assert!(rows.len() == 1 && rows[0].contains(" owner=sam "), "{rows:?}");
    }
    let other = sue.ask("submit pi 1e18 id=key");
    assert!(
        other.starts_with("OK job=") && other != submitted,
        "keys are a user's own: {other}"
    );
    assert_eq!(sue.ask("cancel all"), "OK cancelled=1");
    assert_eq!(oli.ask(&format!("cancel {job}")), "OK");
}

#[test]
fn what_waits_for_its_turn_is_done_with_the_rights_of_who_asked_for_it() {
    let daemon = with_users(&[]);
    let (mut sam, mut oli) = (of(&daemon, "sam"), of(&daemon, "oli"));
    let submitted = sam.ask("submit pi 1e19");
    let job = submitted.strip_prefix("OK job=").expect("it is taken in");
    // The order to cancel waits for the result, and the user logs out meanwhile.
    oli.send(format!(
        "result {job} deadline=100ms\ncancel {job}\n*1\r\n$5\r\nRESET\r\n"
    ));
    assert!(oli.line().is_some_and(|reply| reply.starts_with("ERR deadline")));
    assert_eq!(oli.line().as_deref(), Some("OK"));
    assert_eq!(oli.line().as_deref(), Some("+RESET\r"));
}

#[test]
fn clients_of_redis_log_in_as_they_do_there() {
    let daemon = with_users(&[]);
    let mut client = daemon.client();
    let mut ask = |words: &[&str]| {
        client.send(resp(words));
        client.line().unwrap_or_default().trim_end().to_owned()
    };
    assert!(ask(&["NTH", "5"]).starts_with("-NOAUTH "));
    assert!(ask(&["AUTH", "nobody-has-this"]).starts_with("-NOAUTH the user or the password"));
    // The address waits for 250 ms now; what it tries meanwhile is refused unread, and makes that no longer.
    crate::support::until("it may log in", || ask(&["AUTH", "ann", "ann-pw"]) == "+OK");
    assert_eq!(ask(&["NTH", "5"]), ":11");
    let mut oli = daemon.client_of("oli", "oli-pw");
    let mut is_listed = || {
        oli.send("clients\n");
        let rows: Vec<String> = std::iter::from_fn(|| oli.line().filter(|line| line != "OK")).collect();
        rows.iter().any(|row| row.contains(" user=ann "))
    };
    assert!(is_listed());
    // What came before is answered, and what follows in the same bytes is not.
    let pipeline: [&[&str]; 4] = [&["NTH", "6"], &["PI", "1e10"], &["RESET"], &["NTH", "7"]];
    client.send(pipeline.map(resp).concat());
    for reply in [":13\r", ":455052511\r", "+RESET\r"] {
        assert_eq!(client.line().as_deref(), Some(reply));
    }
    assert!(client.line().is_some_and(|reply| reply.starts_with("-NOAUTH ")));
    assert!(!is_listed());
    let mut ask = |words: &[&str]| {
        client.send(resp(words));
        client.line().unwrap_or_default().trim_end().to_owned()
    };
    let another = ask(&["AUTH", "sam", "sam-pw"]);
    assert!(another.contains("this connection has asked for ann"), "{another}");
    assert_eq!(ask(&["AUTH", "ann", "ann-pw"]), "+OK");
    assert_eq!(ask(&["NTH", "5"]), ":11");
    let mut client = daemon.client();
    let words = ["HELLO", "3", "AUTH", "ann", "ann-pw", "SETNAME", "me"];
    client.send(resp(&words));
    assert_eq!(client.line().as_deref(), Some("%7\r"), "RESP3");
}

#[test]
#[ignore = "needs redis-cli"]
fn redis_cli_logs_in() {
    let daemon = with_users(&[]);
    let port = daemon.addresses[0].port().to_string();
    let mut redis = Command::new("redis-cli");
    redis.args(["-p", &port, "--user", "ann", "nth", "5"]);
    let output = run(redis.env("REDISCLI_AUTH", "ann-pw"), "");
    assert_eq!(text(&output.stdout).trim(), "11", "{}", text(&output.stderr));
}

#[test]
fn a_user_that_is_gone_or_has_another_password_is_nobody_from_his_next_request_on() {
    let daemon = with_users(&[]);
    let mut ann = of(&daemon, "ann");
    let mut sam = of(&daemon, "sam");
    let file = daemon.directory.path("users");
    let before = daemon.directory.read("users");
    daemon.directory.write("users", "sam operate hunter2\n");
    daemon.hang_up("the users stay as they were");
    assert_eq!(ann.ask("nth 4"), "OK 7");
    daemon.directory.write("users", &before);
    assert!(primed(&["user", "remove", &file, "ann"], "").status.success());
    assert!(primed(&["user", "passwd", &file, "sam"], "another\n").status.success());
    daemon.hang_up("the users were read again");
    assert!(ann.ask("nth 4").starts_with("ERR unauthenticated"));
    let mut oli = of(&daemon, "oli");
    oli.send("clients\n");
    let rows: Vec<String> = std::iter::from_fn(|| oli.line().filter(|line| line != "OK")).collect();
    let has = |user: &str| rows.iter().any(|row| row.contains(&format!(" user={user} ")));
    assert!(has("oli") && !has("ann"), "{rows:?}");
    assert!(sam.ask("nth 4").starts_with("ERR unauthenticated"));
    assert_eq!(sam.ask("auth sam another"), "OK");
    assert_eq!(sam.ask("jobs"), "OK");
    assert!(
        sam.ask("auth oli oli-pw")
            .starts_with("ERR denied :this connection has asked for sam")
    );
    let listed = primed(&["user", "list", &file], "");
    assert_eq!(text(&listed.stdout), "sam submit\nsue submit\noli operate\n");
    for user in ["sam", "sue", "oli"] {
        assert!(primed(&["user", "remove", &file, user], "").status.success());
    }
    daemon.hang_up("the file of users has none, so nobody can log in");
    assert!(sam.ask("jobs").starts_with("ERR unauthenticated"));
}

/// Who may do what with a file: its owner, its group and its mode.
fn access(file: &str) -> (u32, u32, u32) {
    let metadata = fs::metadata(file).expect("the file is there");
    (metadata.uid(), metadata.gid(), metadata.mode())
}

#[test]
fn a_file_of_users_keeps_its_owner_and_its_mode() {
    let directory = Directory::new();
    add_user(&directory, "ann", "ann-pw", &[]);
    let file = directory.path("users");
    assert_eq!(access(&file).2 & 0o777, 0o600);
    // Only root can give a file away.
    if access(&file).0 == 0 {
        chown(&file, Some(12_345), Some(12_346)).expect("root may");
    }
    fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("it is ours");
    let before = access(&file);
    add_user(&directory, "bob", "bob-pw", &[]);
    assert_eq!(access(&file), before);
    assert!(primed(&["user", "passwd", &file, "ann"], "another\n").status.success());
    assert_eq!(access(&file), before);
    assert!(primed(&["user", "remove", &file, "ann"], "").status.success());
    assert_eq!(access(&file), before);
}

#[test]
fn users_that_are_added_at_once_are_all_there() {
    let directory = Directory::new();
    std::thread::scope(|scope| {
        for index in 0..8 {
            let directory = &directory;
            scope.spawn(move || add_user(directory, &format!("u{index}"), "a-password", &[]));
        }
    });
    let listed = text(&primed(&["user", "list", &directory.path("users")], "").stdout);
    assert_eq!(listed.lines().count(), 8, "{listed}");
}

#[test]
fn a_file_of_users_that_is_a_link_is_changed_where_it_leads() {
    let directory = Directory::new();
    add_user(&directory, "ann", "ann-pw", &[]);
    let link = directory.path("link");
    std::os::unix::fs::symlink(directory.path("users"), &link).expect("the directory is ours");
    assert!(primed(&["user", "remove", &link, "ann"], "").status.success());
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
    assert_eq!(directory.read("users"), "");
}

#[test]
fn a_link_to_a_file_of_users_that_is_not_there_is_refused() {
    let directory = Directory::new();
    let link = directory.path("link");
    std::os::unix::fs::symlink(directory.path("users"), &link).expect("the directory is ours");
    let refused = primed(&["user", "add", &link, "ann"], "ann-pw\n");
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(error.contains("is a link to a file that is not there"), "{error}");
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
}

#[test]
fn the_files_beside_a_file_of_users_stay_as_they_are() {
    let directory = Directory::new();
    directory.write("users.new", "mine");
    add_user(&directory, "ann", "ann-pw", &[]);
    assert!(
        primed(&["user", "remove", &directory.path("users"), "ann"], "")
            .status
            .success()
    );
    assert_eq!(directory.read("users.new"), "mine");
    assert_eq!(fs::read_dir(&directory.0).expect("it is there").count(), 2);
}

#[test]
#[ignore = "needs to be root, who alone can be somebody else"]
fn a_file_of_users_whose_owner_cannot_be_kept_stays_as_it_was() {
    let directory = Directory::new();
    add_user(&directory, "ann", "ann-pw", &[]);
    let file = directory.path("users");
    assert_eq!(access(&file).0, 0, "this is not root");
    let open = |path: &str, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    open(&file, 0o644);
    open(&directory.path(""), 0o777);
    // The program may be where others cannot reach it. Copied by another process, for a child that is started meanwhile
    // would inherit the file that is written, and a program that is open for writing is not executed.
    let program = directory.path("primed");
    let copied = Command::new("cp")
        .args([env!("CARGO_BIN_EXE_primed"), &program])
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "there is no space");
    let (text_before, access_before) = (directory.read("users"), access(&file));
    let mut remove = Command::new(&program);
    remove.args(["user", "remove", &file, "ann"]).uid(12_345).gid(12_345);
    let refused = run(&mut remove, "");
    let error = text(&refused.stderr);
    assert!(
        !refused.status.success() && error.contains("run this as that user, or as root"),
        "{error}"
    );
    assert_eq!((directory.read("users"), access(&file)), (text_before, access_before));
    let names = fs::read_dir(&directory.0).expect("it is there");
    let names: Vec<_> = names.map(|entry| entry.expect("it can be read").file_name()).collect();
    assert!(
        !names.iter().any(|name| name.to_string_lossy().ends_with(".partial")),
        "{names:?}"
    );
}

#[test]
fn a_user_has_no_more_requests_jobs_and_cpu_than_he_may() {
    let directory = Directory::new();
    add_user(
        &directory,
        "bob",
        "bob-pw",
        &["--role", "submit", "--requests", "2", "--jobs", "1"],
    );
    add_user(&directory, "eve", "eve-pw", &["--cpu", "1"]);
    let file = directory.path("users");
    let daemon = Daemon::start(directory, &["--users", &file]);
    let (mut bob, mut again) = (of(&daemon, "bob"), of(&daemon, "bob"));
    assert!(bob.ask("submit pi 1e19").starts_with("OK job="));
    assert!(
        again
            .ask("submit pi 2e19")
            .starts_with("ERR busy :bob has 1 jobs under way")
    );
    // A question that is plain is in the engine once one after it, which is answered there, is.
    bob.send("@a pi 1e20 progress=100ms\n@b pi 2e20 progress=100ms\n");
    for tag in ["@a", "@b"] {
        let heard = std::iter::from_fn(|| bob.line()).find(|line| line.starts_with(tag));
        assert!(heard.is_some_and(|line| line.contains('*')), "it runs");
    }
    assert!(
        again
            .ask("pi 3e20")
            .starts_with("ERR busy :bob has 2 requests under way")
    );
    let mut eve = of(&daemon, "eve");
    let begun = Instant::now();
    loop {
        let reply = eve.ask("pi 4e20 deadline=2s");
        if let Some(text) = reply.strip_prefix("ERR busy :") {
            assert!(
                text.starts_with("eve has used its 1 s of CPU a minute; retry-ms="),
                "{text}"
            );
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "{reply}");
    }
    let reply = eve.ask("isprime 10^18+9");
    assert!(
        reply.starts_with("ERR busy :eve has used its 1 s"),
        "brief questions count too: {reply}"
    );
}

#[test]
fn the_command_says_who_its_user_is_and_takes_no_password_as_an_argument() {
    let daemon = with_users(&[]);
    let address = daemon.addresses[0].to_string();
    daemon.directory.write("pw", "ann-pw\n");
    let file = daemon.directory.path("pw");
    let ask = |flags: &[&str], variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        command
            .args(["ask", "--connect", &address])
            .args(flags)
            .args(["nth", "5"]);
        command.envs(variable.map(|password| ("PRIMED_PASSWORD", password)));
        crate::daemon::run(&mut command, "")
    };
    assert_eq!(
        text(&ask(&["--user", "ann", "--password-file", &file], None).stdout),
        "11\n"
    );
    assert_eq!(text(&ask(&["--user", "ann"], Some("ann-pw")).stdout), "11\n");
    let nobody = ask(&[], None);
    assert_eq!(
        text(&nobody.stderr),
        "unauthenticated: say who you are first: auth USER PASSWORD (with primed: --user NAME)\n"
    );
    let wrong = ask(&["--user", "ann"], Some("wrong"));
    assert_eq!(
        text(&wrong.stderr),
        "unauthenticated: the user or the password is wrong\n"
    );
    let wrong = ask(&["--user", "ann", "--json"], Some("wrong"));
    assert_eq!(
        (wrong.status.code(), text(&wrong.stdout).as_str()),
        (
            Some(1),
            "{\"error\":\"unauthenticated\",\"text\":\"the user or the password is wrong\"}\n"
        )
    );
    assert_eq!(ask(&["--password", "ann-pw"], None).status.code(), Some(2));
}

#[test]
fn a_load_is_that_of_a_user() {
    let directory = Directory::new();
    add_user(&directory, "ann", "ann-pw", &[]);
    directory.write("password", "ann-pw\n");
    let (users, password) = (directory.path("users"), directory.path("password"));
    let daemon = Daemon::logging("warn", directory, &["--users", &users]);
    let address = daemon.addresses[0].to_string();
    let load = ["bench", "--connect", &address, "-c", "2", "-n", "100", "--json"];
    let anonymous = primed(&load, "");
    assert_eq!(anonymous.status.code(), Some(1), "everything is refused");
    let known = primed(
        &[&load[..], &["--user", "ann", "--password-file", &password]].concat(),
        "",
    );
    assert!(known.status.success(), "{}", text(&known.stderr));
    assert!(
        text(&known.stdout).contains("\"errors_total\": 0,"),
        "{}",
        text(&known.stdout)
    );
}

#[test]
fn a_password_that_cannot_be_asked_for_is_said_to_be_missing() {
    let daemon = with_users(&[]);
    // Without a terminal, also where the test has one.
    let mut ask = Command::new("setsid");
    ask.args(["--wait", env!("CARGO_BIN_EXE_primed"), "ask", "--user", "ann"]);
    ask.args(["--connect", &daemon.addresses[0].to_string(), "nth", "5"]);
    let output = run(&mut ask, "");
    assert_eq!(
        text(&output.stderr),
        "primed: the password of ann is missing: use --password-file FILE, or set $PRIMED_PASSWORD\n"
    );
}
