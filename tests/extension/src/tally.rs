//! `tally WORD`, answered by an actor: how often the word was said to this daemon.
use actix::prelude::*;
use primed::{Asked, Host, Verb, define};
use std::collections::HashMap;

pub fn tally() -> impl Verb {
    let host = Host::new("tally", Tally::default);
    define("tally WORD", "how often it was said", move |call| {
        Ok(host.ask(call, Said(call.required(0, "WORD")?.to_owned())))
    })
}

struct Said(String);

#[derive(Default)]
struct Tally(HashMap<String, u64>);

impl Actor for Tally {
    type Context = Context<Self>;
}

impl Handler<Asked<Said>> for Tally {
    type Result = ();

    fn handle(&mut self, asked: Asked<Said>, _: &mut Self::Context) {
        let Said(word) = asked.question;
        assert!(word != "candlejack", "nobody ends a sentence after that wo");
        let count = self.0.entry(word).or_default();
        *count += 1;
        asked.responder.answer(*count);
    }
}
