//! An actor that keeps state and sends rows at any time: a chat room.
//!
//!     cargo run --release --example chat                     # or with an address: -- 127.0.0.1:9000
//!
//! In two sessions of `nc 127.0.0.1 8092`:
//!
//!     @room join ann                        @room join bob
//!                                           say hello to you all
//!     @room = bob: hello to you all         @room = bob: hello to you all
//!     cancel @room
//!                                           @room = ann has left
//!
//! `join` is a request that stays open, and each message is a row of its reply. Its tag lets other requests overtake
//! it. The actor keeps the responder of each member, and is notified when a request ends: cancelled, late, or its
//! client gone. A member that reads too slowly misses messages, and is sent their number; the actor does not wait for
//! it. If the actor panics, its members get `ERR internal`, and the next call finds a new and empty room.

use actix::prelude::*;
use primed::{Asked, Code, Daemon, Failure, Host, Responder, RowError, define};
use std::collections::{BTreeMap, VecDeque};

/// Messages that a new member gets first.
const REMEMBERED: usize = 10;

/// The question of `join`: a name. It is answered by rows, for as long as the client listens.
struct Join(String);
/// The question of `say`: a line.
struct Say(String);

#[derive(Default)]
struct Room {
    next: u64,
    members: BTreeMap<u64, Member>,
    said: VecDeque<String>,
}

struct Member {
    name: String,
    responder: Responder,
    /// Lines for which there was no room.
    missed: u64,
}

impl Member {
    fn send(&mut self, line: &str) {
        if self.missed > 0
            && self
                .responder
                .try_row(format!("({} lines missed)", self.missed))
                .is_ok()
        {
            self.missed = 0;
        }
        if self.missed > 0 || self.responder.try_row(line) == Err(RowError::Full) {
            self.missed += 1;
        }
    }
}

impl Room {
    /// Sends everybody a line; how many there are to hear it.
    fn send(&mut self, line: &str) -> u64 {
        self.said.push_back(line.to_owned());
        if self.said.len() > REMEMBERED {
            self.said.pop_front();
        }
        for member in self.members.values_mut() {
            member.send(line);
        }
        self.members.len() as u64
    }
}

impl Actor for Room {
    type Context = Context<Self>;
}

impl Handler<Asked<Join>> for Room {
    type Result = ();

    fn handle(&mut self, asked: Asked<Join>, context: &mut Self::Context) {
        let Asked {
            question: Join(name),
            responder,
        } = asked;
        for line in &self.said {
            // A new member has room for so few lines.
            let _ = responder.try_row(line.as_str());
        }
        let id = self.next;
        self.next += 1;
        let gone = responder.cancelled().into_actor(self);
        context.spawn(gone.map(move |(), room, _| {
            if let Some(member) = room.members.remove(&id) {
                room.send(&format!("{} has left", member.name));
            }
        }));
        self.send(&format!("{name} is here"));
        let missed = 0;
        let member = Member {
            name,
            responder,
            missed,
        };
        self.members.insert(id, member);
    }
}

impl Handler<Asked<Say>> for Room {
    type Result = ();

    fn handle(&mut self, asked: Asked<Say>, _: &mut Self::Context) {
        let Asked {
            question: Say(line),
            responder,
        } = asked;
        let speaker = self
            .members
            .values()
            .find(|member| member.responder.client() == responder.client());
        match speaker.map(|member| format!("{}: {line}", member.name)) {
            Some(line) => {
                let heard = self.send(&line);
                responder.answer(heard);
            }
            None => responder.fail(Failure::new(Code::Denied, "join first: '@room join NAME'")),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8092".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: chat [ADDRESS:PORT]");
        std::process::exit(2);
    };
    let room = Host::new("chat", Room::default);
    let join = {
        let room = room.clone();
        define(
            "join NAME",
            "lines of the room as rows, until it is cancelled",
            move |call| {
                call.only(1, &[])?;
                Ok(room.stream(call, Join(call.required(0, "NAME")?.to_owned())))
            },
        )
    };
    let say = define(
        "say WORDS",
        "sends a message to the room; the answer is the number of its members",
        move |call| Ok(room.ask(call, Say(call.words()))),
    );
    Daemon::new()
        .verb(join)
        .verb(say)
        .listen(address)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
