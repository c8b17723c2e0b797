//! `squarefree N`, a plan in slices: how many of the numbers 1..=N are divided by no square but 1.
use primed::{Budget, Job, Pieces, Plan, Step, Value, Verb, define};
use std::ops::Range;

pub fn squarefree() -> impl Verb {
    define("squarefree N", "how many of 1..=N are squarefree", |call| {
        let n = call.at_most(0, "N", 1u64 << 40, "2^40")?;
        let (title, pieces) = (format!("squarefree {n}"), Pieces::new(1..n + 1, 4096));
        Ok(Step::Job(Job::new(title, move || Squarefree(pieces.clone(), 0))))
    })
}

pub struct Squarefree(pub Pieces, pub u64);

impl Plan for Squarefree {
    type Slice = Range<u64>;
    type Partial = (Range<u64>, u64, u64);
    fn cut(&mut self) -> Option<Range<u64>> {
        self.0.cut()
    }
    fn run(piece: Range<u64>, budget: Budget<'_>) -> Self::Partial {
        let (mut reached, mut found) = (piece.start, 0);
        while reached < piece.end && (reached == piece.start || !budget.over()) {
            found += u64::from((2..).take_while(|r| r * r <= reached).all(|r| reached % (r * r) > 0));
            reached += 1;
        }
        (piece, reached, found)
    }
    fn absorb(&mut self, (piece, reached, found): Self::Partial) {
        self.0.absorb(piece, reached);
        self.1 += found;
    }
    fn answer(&mut self) -> Option<Value> {
        self.0.is_done().then(|| self.1.into())
    }
    fn progress(&self) -> f64 {
        self.0.progress()
    }
}
