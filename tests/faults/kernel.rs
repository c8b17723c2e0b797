//! What the kernel does for the daemon: buffers, half-closed connections, ports.

use crate::served::{Served, Signal, figure, percentile, scale, time_until, times};
use crate::support::until;
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Memory of all TCP sockets of this machine, in KiB.
fn tcp_memory_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").expect("the kernel counts");
    let line = text
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .expect("there is TCP");
    let pages = line
        .split(" mem ")
        .nth(1)
        .and_then(|pages| pages.trim().parse::<u64>().ok());
    pages.expect("a number") * 4
}

fn ping(served: &Served, share: f64) -> Duration {
    let mut client = served.client();
    percentile(
        &mut times(&mut client, "ping", "OK pong", Duration::from_secs(1)),
        share,
    )
}

#[test]
#[cfg(target_os = "linux")]
fn clients_with_small_windows_that_never_read_take_little_of_the_kernel() {
    let served = Served::start(&[]);
    let count = scale(100, 500);
    let (before, alone) = (tcp_memory_kib(), ping(&served, 0.99));
    let lines = "help\n".repeat(1024);
    let clients: Vec<TcpStream> = (0..count)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
            socket.set_recv_buffer_size(4096).expect("a socket takes options");
            socket.connect(&served.address.into()).expect("it listens");
            let mut client = TcpStream::from(socket);
            client.set_nonblocking(true).expect("a socket takes options");
            let _ = client.write(lines.as_bytes());
            client
        })
        .collect();
    let mut most = 0;
    let mut quiet_since = Instant::now();
    let begun = Instant::now();
    while quiet_since.elapsed() < Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(20) {
        let now = tcp_memory_kib();
        if now > most {
            (most, quiet_since) = (now, Instant::now());
        }
        std::thread::yield_now();
    }
    let beside = ping(&served, 0.99);
    let took = most.saturating_sub(before) >> 10;
    figure(
        &format!("{count} clients with small windows never read their help"),
        "500 of them: <= 48 MiB in the kernel",
        format!("{took} MiB; another's ping p99 {beside:.1?}, alone {alone:.1?}"),
    );
    // Other tests have sockets too.
    assert!(took <= 128, "{took} MiB");
    drop(clients);
}

#[test]
fn half_closed_clients_take_little_of_the_cpu() {
    let served = Served::start(&[]);
    let alone = ping(&served, 0.5);
    let count = scale(500, 5_000);
    let clients: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut client = TcpStream::connect(served.address).expect("it listens");
            client.write_all(b"result 1 deadline=1h\n").expect("it reads");
            client
        })
        .collect();
    drop(clients);
    until("clients without a job are answered and gone", || {
        served.info("connections") == 1
    });
    // One job that all of them wait for.
    let mut owner = served.client();
    assert_eq!(owner.ask("submit pi 1e18"), "OK job=1");
    let clients: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut client = TcpStream::connect(served.address).expect("it listens");
            client.write_all(b"result 1\n").expect("it reads");
            client.shutdown(Shutdown::Write).expect("it is connected");
            client
        })
        .collect();
    until("all are accepted", || served.info("connections") as usize >= count);
    let beside = ping(&served, 0.5);
    let (system, begun) = (served.system_time(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let share = (served.system_time() - system).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    drop(clients);
    let noticed = time_until("they are found out", || served.info("connections") <= 2);
    figure(
        &format!("{count} half-closed clients wait"),
        "another's ping p50 as before, system time < 10 %, gone within 2 s",
        format!("p50 {beside:.1?} (alone {alone:.1?}), {share:.0} %, gone after {noticed:.1?}"),
    );
    assert!(noticed < Duration::from_secs(10), "{noticed:?}");
}

#[test]
fn a_killed_daemon_is_replaced_on_the_same_port_at_once() {
    let rounds = scale(5, 20);
    let mut served = Served::start(&[]);
    let address = served.address.to_string();
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let mut client = served.client();
        // The threads that work on these die slowly: they run at the lowest priority.
        client.send("@a pi 1e18\n@b pi 1e18+1\n@c pi 1e18+2\n");
        until("the work begins", || served.info("slices_total") > 20);
        served.send(Signal::KILL);
        let begun = Instant::now();
        let next = Served::start_at(&address, &[]);
        slowest = slowest.max(begun.elapsed());
        assert_eq!(next.client().ask("nth 4"), "OK 7");
        served = next;
    }
    figure(
        &format!("{rounds} times kill -9 and restart on the same port"),
        "listens within 1 s each time",
        format!("slowest {slowest:.0?}"),
    );
}

#[test]
fn too_few_descriptors_are_a_clear_refusal() {
    for count in [8, 11, 32] {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("ulimit -n {count}; exec \"$0\" serve --listen 127.0.0.1:0 --log warn"),
        ]);
        let output = shell
            .arg(env!("CARGO_BIN_EXE_primed"))
            .stdin(Stdio::null())
            .output()
            .expect("the binary was built");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert_eq!(
            complaint,
            format!(
                "primed: the limit of open files is {count}, and the daemon needs 33: raise it (ulimit -n, LimitNOFILE=)\n"
            )
        );
    }
    let served = Served::start_with_descriptors(33, &[]);
    let mut client = served.client();
    assert_eq!(client.ask("nth 4"), "OK 7");
    // The one connection that there is room for.
    let refused = served.client().line_if_any();
    assert!(
        refused.as_deref().is_none_or(|line| line.starts_with("ERR busy :")),
        "{refused:?}"
    );
}
