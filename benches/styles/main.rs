//! The styles of writing a server, measured: one blocking thread, a thread a client, a readiness loop, async tasks, and
//! primed.
//!
//! The same protocol (a number a line, the prime of that number a line back), the same arithmetic, the same load, at 1,
//! 64, 1,000 and 10,000 connections, with and without one long question running. Prints the table and draws
//! docs/styles.svg:
//!
//!     cargo bench --bench styles
//!
//! Each server is a process of its own, so that its memory and threads are its own; the load comes from `primed bench`.
//! Start reading at the servers, `blocking.rs` first; each is as short as such a server is in a tutorial.

mod answer;
mod blocking;
mod measure;
mod picture;
mod readiness;
mod table;
mod tasks;
mod threads;

use measure::Measurement;
use std::io;
use std::net::TcpListener;

/// The ways to serve, in the order of the table.
const STYLES: [&str; 5] = ["blocking", "threads", "readiness", "tasks", "primed"];

const CONNECTIONS: [usize; 4] = [1, 64, 1_000, 10_000];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", style] => serve(style),
        // Among the tests, it is enough that it starts.
        [] => Ok(()),
        _ => compare(),
    }
}

/// What a child of this process does.
fn serve(style: &str) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?);
    match style {
        "blocking" => blocking::serve(&listener),
        "threads" => threads::serve(&listener),
        "readiness" => readiness::serve(&listener),
        "tasks" => tasks::serve(listener),
        other => Err(io::Error::other(format!("there is no style '{other}'"))),
    }
}

fn compare() -> io::Result<()> {
    measure::raise_descriptor_limit();
    let mut all: Vec<Measurement> = Vec::new();
    println!("{}", table::HEADER);
    for style in STYLES {
        for is_beside_long in [false, true] {
            for connections in CONNECTIONS {
                let measurement = measure::measure(style, connections, is_beside_long)?;
                println!("{}", table::row(&measurement));
                all.push(measurement);
            }
        }
    }
    picture::draw(&all, "docs/styles.svg").map_err(|error| io::Error::other(error.to_string()))?;
    println!("drawn in docs/styles.svg");
    Ok(())
}
