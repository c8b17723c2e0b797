//! A plan whose work several machines share: how many of the numbers 1..=N no square but 1 divides. docs/extending.md
//! explains it line by line.
//!
//!     nats-server -js                                                     # any one machine
//!     cargo run --release --example squarefree -- 127.0.0.1:8095 one /tmp/one nats://127.0.0.1:4222
//!     cargo run --release --example squarefree -- 127.0.0.1:8096 two /tmp/two nats://127.0.0.1:4222
//!     printf 'squarefree 1e7\nnodes\n' | nc -N 127.0.0.1 8095
//!
//! Every node must have the verb, for the parts of its jobs are made from the words of the request. Without a name, a
//! directory and NATS it is a daemon alone.
//!
//! Features of primed: `cluster` and `sqlite`.

use primed::{Budget, ClusterSettings, Daemon, Damaged, Job, Pieces, Plan, Reader, Step, Value, Verb, Writer, define};
use std::ops::Range;

/// The verb: how it is written, what it is, and what reads its arguments. The title is made of the words that ask for
/// the job again.
pub fn squarefree() -> impl Verb {
    define("squarefree N", "how many of 1..=N are squarefree", |call| {
        let n = call.at_most(0, "N", 1u64 << 40, "2^40")?;
        Ok(Step::Job(Job::new(format!("squarefree {n}"), move || of(1..n + 1))))
    })
}

/// How the daemon takes part in a cluster.
pub fn settings(name: &str, url: &str) -> ClusterSettings {
    let mut settings = ClusterSettings::new(url, name);
    settings.check = 0.01;
    settings
}

/// Counts the squarefree numbers below an end: those that no square but 1 divides.
struct Squarefree {
    pieces: Pieces,
    found: u64,
}

impl Plan for Squarefree {
    type Slice = Range<u64>;
    type Partial = (Range<u64>, u64, u64);

    fn cut(&mut self) -> Option<Range<u64>> {
        self.pieces.cut()
    }

    fn run(piece: Range<u64>, budget: Budget<'_>) -> Self::Partial {
        let (mut reached, mut found) = (piece.start, 0);
        while reached < piece.end && (reached == piece.start || !budget.over()) {
            let mut squares = (2..).map(|root| root * root).take_while(|square| *square <= reached);
            found += u64::from(squares.all(|square| reached % square > 0));
            reached += 1;
        }
        (piece, reached, found)
    }

    fn absorb(&mut self, (piece, reached, found): Self::Partial) {
        self.pieces.absorb(piece, reached);
        self.found += found;
    }

    fn answer(&mut self) -> Option<Value> {
        self.pieces.is_done().then(|| self.found.into())
    }

    fn progress(&self) -> f64 {
        self.pieces.progress()
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(*b"SQFR", 1);
        writer.u64(self.found);
        self.pieces.save(&mut writer);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, *b"SQFR", 1)?;
        let found = reader.u64()?;
        let pieces = Pieces::restore(&mut reader)?;
        reader.finish()?;
        Ok(Self { pieces, found })
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        const COST: f64 = 500.0; // nanoseconds a number, about
        let part = self.pieces.cut_part((cost / COST) as u64)?;
        of(part).save()
    }

    fn result(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(*b"SQFR", 1);
        writer.u64(self.found);
        Some(writer.finish())
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let mut reader = Reader::new(result, *b"SQFR", 1)?;
        let found = reader.u64()?;
        reader.finish()?;
        let part = Self::numbers(part)?;
        if found > part.end - part.start {
            return Err(Damaged::Impossible("count"));
        }
        self.pieces.absorb_part(part)?;
        self.found += found;
        Ok(())
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        self.pieces.take_back(Self::numbers(part)?)
    }
}

impl Squarefree {
    /// The numbers of a part, of which nothing is done.
    fn numbers(part: &[u8]) -> Result<Range<u64>, Damaged> {
        let Self { pieces, found: 0 } = Self::restore(part)? else {
            return Err(Damaged::Impossible("part"));
        };
        let numbers = pieces.whole().ok_or(Damaged::Impossible("part"))?;
        // Only the very bytes that were cut are a part.
        let is_same = of(numbers.clone()).save().as_deref() == Some(part);
        is_same.then_some(numbers).ok_or(Damaged::Impossible("part"))
    }
}

fn of(numbers: Range<u64>) -> Squarefree {
    Squarefree {
        pieces: Pieces::new(numbers, 4096),
        found: 0,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (address, cluster) = match words[..] {
        [] => ("127.0.0.1:8095", None),
        [address] => (address, None),
        [address, name, directory, url] => (address, Some((settings(name, url), directory))),
        _ => {
            eprintln!("usage: squarefree [ADDRESS:PORT [NAME DIRECTORY nats://HOST:PORT]]");
            std::process::exit(2);
        }
    };
    let mut daemon = Daemon::new().verb(squarefree()).listen(address.parse()?);
    if let Some((settings, directory)) = cluster {
        daemon = daemon.data(directory).cluster(settings);
    }
    daemon.run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
