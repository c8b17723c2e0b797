//! An actor that keeps state and sends when it likes: a room where people talk.
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
//! `join` is a request that stays open, and each line that is said is a row of it. Its tag lets other requests overtake it. The actor keeps
//! the responder of each member, and is told when one is no longer wanted: cancelled, late, or its client gone. A member who
//! does not read is put out rather than waited for. If the actor panics, its members get `ERR internal`, and the next call
//! finds a new and empty room.

use actix::prelude::*;
use primed::{Asked, Code, Daemon, Failure, Host, Responder, RowError, define};
use std::collections::{BTreeMap, VecDeque};

/// Lines that whoever joins is shown first.
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
}

impl Room {
    /// Tells everybody a line; how many there are to hear it.
    fn tell(&mut self, line: &str) -> u64 {
        self.said.push_back(line.to_owned());
        if self.said.len() > REMEMBERED {
            self.said.pop_front();
        }
        let too_slow = |member: &Member| member.responder.try_row(line) == Err(RowError::Full);
        let out: Vec<u64> = self
            .members
            .iter()
            .filter(|(_, member)| too_slow(member))
            .map(|(id, _)| *id)
            .collect();
        for id in out {
            if let Some(member) = self.members.remove(&id) {
                member
                    .responder
                    .fail(Failure::new(Code::Busy, "you read too slowly for this room"));
            }
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
                room.tell(&format!("{} has left", member.name));
            }
        }));
        self.tell(&format!("{name} is here"));
        self.members.insert(id, Member { name, responder });
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
                let heard = self.tell(&line);
                responder.answer(heard);
            }
            None => responder.fail(Failure::new(Code::Denied, "join first: '@room join NAME'")),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8092".into());
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
        "tells the room, and answers how many are in it",
        move |call| Ok(room.ask(call, Say(call.words()))),
    );
    Daemon::new().verb(join).verb(say).listen(address.parse()?).run()?;
    Ok(())
}
