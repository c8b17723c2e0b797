//! A verb for CPU work as a plan in slices: which number below N takes the most Collatz steps to reach 1 (an even
//! number is halved, an odd one multiplied by three, plus one).
//!
//!     cargo run --release --example collatz                  # or with an address: -- 127.0.0.1:9000
//!     printf 'collatz 1e6\n' | nc -N 127.0.0.1 8090
//!
//! and, in a session of `nc 127.0.0.1 8090`, with progress, a deadline, or a cancel:
//!
//!     @big collatz 1e10 progress=1s
//!     cancel @big
//!
//! The plan knows neither workers, nor time, nor clients. It cuts the numbers below N into pieces. `run` works on one
//! piece until its budget is over and returns how far it came; the rest is cut again. Pieces come back in any order, so
//! `absorb` keeps the best result independently of the order. Sessions, fairness, cancellation, deadlines and progress
//! are the daemon's.

use primed::{Budget, Daemon, Damaged, Job, Pieces, Plan, Reader, Step, Value, Verb, Writer, define};
use std::ops::Range;

/// The verb: how it is written, what it is, and what reads its arguments.
fn collatz() -> impl Verb {
    define("collatz N", "the number below N with the longest chain", |call| {
        call.only(1, &[])?;
        let n = call.at_most(0, "N", 1u64 << 40, "2^40")?;
        if n < 2 {
            return Err(call.bad_arg("N is to be at least 2"));
        }
        Ok(Step::Job(Job::new(format!("collatz {n}"), move || Collatz::below(n))))
    })
    .details(&[
        "The answer is that number, and the steps from it to 1.",
        "collatz 1e6 -> OK 837799 524",
    ])
}

/// The longest chain: fewest steps first, and of equal ones the largest number, so that the greatest is the answer.
type Longest = (u64, std::cmp::Reverse<u64>);

struct Collatz {
    pieces: Pieces,
    longest: Longest,
}

impl Collatz {
    fn below(n: u64) -> Self {
        Self {
            // A million chains take some hundred milliseconds: the budget ends a piece long before its end.
            pieces: Pieces::new(1..n, 1 << 20),
            longest: (0, std::cmp::Reverse(1)),
        }
    }
}

impl Plan for Collatz {
    type Slice = Range<u64>;
    type Partial = (Range<u64>, u64, Longest);

    fn cut(&mut self) -> Option<Range<u64>> {
        self.pieces.cut()
    }

    fn run(piece: Range<u64>, budget: Budget<'_>) -> Self::Partial {
        let mut longest = (0, std::cmp::Reverse(piece.start));
        let mut reached = piece.start;
        while reached < piece.end {
            longest = longest.max((steps(reached), std::cmp::Reverse(reached)));
            reached += 1;
            // A chain takes less than a microsecond: a look at the budget each time would cost as much.
            if reached.is_multiple_of(64) && budget.over() {
                break;
            }
        }
        (piece, reached, longest)
    }

    fn absorb(&mut self, (piece, reached, longest): Self::Partial) {
        self.pieces.absorb(piece, reached);
        self.longest = self.longest.max(longest);
    }

    fn answer(&mut self) -> Option<Value> {
        let (steps, number) = self.longest;
        self.pieces
            .is_done()
            .then(|| Value::Numbers(vec![number.0.into(), steps.into()]))
    }

    fn progress(&self) -> f64 {
        self.pieces.progress()
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(*b"CLTZ", 1);
        writer.u64(self.longest.0).u64(self.longest.1.0);
        self.pieces.save(&mut writer);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, *b"CLTZ", 1)?;
        let longest = (reader.u64()?, std::cmp::Reverse(reader.u64()?));
        let pieces = Pieces::restore(&mut reader)?;
        reader.finish()?;
        Ok(Self { pieces, longest })
    }
}

/// How many steps lead from a number to 1.
fn steps(number: u64) -> u64 {
    let (mut at, mut steps) = (u128::from(number), 0);
    while at > 1 {
        at = if at % 2 == 0 { at / 2 } else { 3 * at + 1 };
        steps += 1;
    }
    steps
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8090".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: collatz [ADDRESS:PORT]");
        std::process::exit(2);
    };
    Daemon::new()
        .verb(collatz())
        .listen(address)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
