//! Who is connected: `clients`, names, and `kill`.

use crate::support::{self, Client, daemon, exchange, info, until};
use primed::Handle;

/// The rows of `clients`, each with its number.
fn clients(daemon: &Handle, after: u64) -> Vec<(u64, String)> {
    let text = exchange(daemon, format!("clients {after}\n"));
    assert!(text.ends_with("OK\n"), "{text}");
    let rows = text.lines().filter_map(|line| line.strip_prefix("= id="));
    rows.map(|row| {
        let (id, rest) = row.split_once(' ').expect("a row has several words");
        (id.parse().expect("a number"), rest.to_owned())
    })
    .collect()
}

/// The number of the connection with this name.
fn named(daemon: &Handle, name: &str) -> Option<(u64, String)> {
    let word = format!(" name={name} ");
    clients(daemon, 0).into_iter().find(|(_, row)| row.contains(&word))
}

#[test]
fn a_named_connection_is_listed_with_what_it_does() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("client name=web-1"), "OK");
    client.send("pi 1e18\n");
    until("the question is under way", || {
        named(&daemon, "web-1").is_some_and(|(_, row)| row.contains(" in_flight=1 "))
    });
    until("its CPU time is counted", || {
        named(&daemon, "web-1").is_some_and(|(_, row)| !row.contains(" cpu_s=0.0 "))
    });
    let (id, row) = named(&daemon, "web-1").expect("it is connected");
    let address = client.stream().local_addr().expect("it is connected");
    assert!(
        row.starts_with(&format!("address={address} name=web-1 user=- age_s=")),
        "{row}"
    );
    assert!(row.contains(" requests=1 cpu_s="), "{row}");
    assert!(row.ends_with(" bytes_in=26 bytes_out=3"), "{row}");
    assert!(
        clients(&daemon, id).iter().all(|(other, _)| *other > id),
        "it goes on after that number"
    );
}

#[test]
fn a_list_has_a_hundred_rows_and_goes_on_where_it_ended() {
    let daemon = daemon();
    let crowd: Vec<Client> = (0..150).map(|_| Client::connect(&daemon)).collect();
    until("all are accepted", || info(&daemon, "connections") == 151);
    let first = clients(&daemon, 0);
    assert_eq!(first.len(), 100);
    let rest = clients(&daemon, first[99].0);
    assert!(rest.len() > 50 && rest.len() < 60, "{}", rest.len());
    assert!(first.iter().chain(&rest).map(|(id, _)| id).is_sorted());
    drop(crowd);
}

#[test]
fn who_is_killed_is_closed_at_once_and_its_work_is_stopped() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("client name=victim"), "OK");
    let job = client.ask("submit pi 1e17");
    client.send("pi 1e18\n");
    until("both are under way", || info(&daemon, "jobs") == 2);
    let (id, _) = named(&daemon, "victim").expect("it is connected");
    assert_eq!(exchange(&daemon, format!("kill {id}\n")), "OK\n");
    assert_eq!(client.line_if_any(), None, "no reply, and the end");
    until("only what was submitted goes on", || info(&daemon, "jobs") == 1);
    assert_eq!(named(&daemon, "victim"), None);
    let again = exchange(&daemon, format!("kill {id}\ncancel {}\n", &job["OK job=".len()..]));
    assert_eq!(
        again,
        format!("ERR bad-arg :kill: no client {id} is connected; 'clients' lists them\nOK\n")
    );
}

#[test]
fn numbers_and_names_that_are_none_are_refused() {
    let daemon = daemon();
    let long = "x".repeat(129);
    for line in [
        "kill",
        "kill x",
        "kill -1",
        "kill +1",
        "kill id +1",
        "clients +1",
        "clients x",
        "clients 1 2",
        "client",
        "client name=\u{1b}[0m",
        &format!("client name={long}"),
    ] {
        let reply = exchange(&daemon, format!("{line}\n"));
        assert!(
            reply.starts_with("ERR bad-arg :") || reply.starts_with("ERR syntax :"),
            "{line}: {reply}"
        );
    }
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("client name=a"), "OK");
    assert_eq!(client.ask("client name="), "OK");
    assert_eq!(named(&daemon, "a"), None);
}

/// What the daemon says to these words of RESP, with `lines` lines.
fn resp(client: &mut Client, words: &str, lines: usize) -> String {
    client.send(support::resp(&words.split(' ').collect::<Vec<_>>()));
    let said: Vec<String> = (0..lines).filter_map(|_| client.line()).collect();
    said.join("\n").replace('\r', "")
}

#[test]
fn clients_of_redis_name_list_and_kill_connections() {
    let daemon = daemon();
    let mut one = Client::connect(&daemon);
    assert_eq!(resp(&mut one, "CLIENT SETNAME one", 1), "+OK");
    assert_eq!(resp(&mut one, "CLIENT GETNAME", 2), "$3\none");
    let (id, row) = named(&daemon, "one").expect("its name is shown");
    assert_eq!(resp(&mut one, "CLIENT ID", 1), format!(":{id}"));
    let address = row.split(' ').next().and_then(|word| word.strip_prefix("address="));
    let address = address.expect("a row begins with the address").to_owned();
    let mut two = Client::connect(&daemon);
    assert!(resp(&mut two, "HELLO 3 SETNAME two", 26).starts_with("%7"));
    let (other, _) = named(&daemon, "two").expect("its name is shown");
    // A text of a line for each, with the words that clients of Redis look for.
    let list = resp(&mut two, "CLIENT LIST", 4);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with('$'), "{list}");
    assert!(
        lines[1].starts_with(&format!(
            "id={id} addr={address} name=one user=default age=0 idle=0 in_flight=0 "
        )),
        "{list}"
    );
    assert!(lines[2].starts_with(&format!("id={other} addr=")), "{list}");
    assert_eq!(resp(&mut two, "RESET", 1), "+RESET");
    assert_eq!(named(&daemon, "two"), None);
    for (words, reply) in [
        ("CLIENT KILL ID 999", ":0"),
        ("client kill addr 127.0.0.1:1", ":0"),
        (
            "CLIENT KILL 127.0.0.1:1",
            "-BAD-ARG kill: no client 127.0.0.1:1 is connected; 'clients' lists them",
        ),
        (
            "CLIENT KILL TYPE normal",
            "-BAD-ARG kill: CLIENT is one word, or follows 'id' or 'addr'; usage: kill CLIENT",
        ),
    ] {
        assert_eq!(resp(&mut two, words, 1), reply, "{words}");
    }
    assert_eq!(resp(&mut two, &format!("CLIENT KILL ADDR {address}"), 1), ":1");
    assert_eq!(one.line_if_any(), None, "it is closed");
    let mut three = Client::connect(&daemon);
    assert_eq!(three.ask("client name=three"), "OK");
    let (id, row) = named(&daemon, "three").expect("it is connected");
    assert_eq!(resp(&mut two, &format!("CLIENT KILL ID {id}"), 1), ":1");
    assert_eq!(three.line_if_any(), None, "it is closed");
    assert!(row.starts_with("address="));
    let mut four = Client::connect(&daemon);
    assert_eq!(four.ask("nth 4"), "OK 7");
    let address = four.stream().local_addr().expect("it is connected");
    assert_eq!(resp(&mut two, &format!("CLIENT KILL {address}"), 1), "+OK");
    assert_eq!(four.line_if_any(), None, "it is closed");
}
