//! `certify N`: a proof that a number is prime, by factors of the number below it or by elliptic curves.
//!
//! Knows nothing of how numbers are factored ([`Factor`]), of curves ([`ByCurves`]), or why the proof holds ([`certificate`]).

use super::by_curves::{self, ByCurves};
use super::of_factors::{factor_of, share};
use super::{Budget, Damaged, Factor, IsPrime, Plan, Reader, Writer};
use crate::primes::Natural;
use crate::primes::certificate::{self, Proof, Witness, is_small, suffices};
use crate::primes::multiplicative::bytes;
use crate::proto::Value;
use dashu_int::ops::BitTest;
use std::sync::Arc;

const KIND: [u8; 4] = *b"CERT";
const VERSION: u32 = 2;

/// Longer numbers are proved by elliptic curves: factors of the number below may be too long to be found.
const MOST_BITS: usize = 128;

/// Of what is left when a number's turn comes, its proof takes this share: the primes in it are much shorter.
const SHARE: f64 = 0.8;
/// Of which the test before, factoring, and the witnesses take these.
const TESTING: f64 = 0.05;
const FACTORING: f64 = 0.75;

/// The certificate of a prime; the text `composite` for other numbers.
#[derive(Debug)]
pub struct Certify {
    n: Natural,
    proofs: Vec<Proof>,
    /// Numbers that are to be proved, the last one first.
    todo: Vec<Natural>,
    stage: Stage,
    /// Slices of a stage that is over may come back later.
    generation: u64,
    /// The share of all work that was done before the number at work, and of all.
    before: f64,
    progress: f64,
}

#[derive(Debug)]
enum Stage {
    Testing(Box<IsPrime>),
    /// Until enough primes are known; how many there were at the last look.
    Factoring(Box<Factor>, usize),
    Witnesses(Witnesses),
    Curves(Box<ByCurves>),
    Done(Value),
}

/// Witnesses for some numbers and primes, all at once.
#[derive(Debug)]
struct Witnesses {
    wanted: Vec<Witness>,
    /// For those that were cut: the witness, once it is found.
    found: Vec<Option<u64>>,
    paused: Vec<(usize, Witness)>,
    count: usize,
    missing: usize,
}

/// A bout.
pub struct Slice(u64, Work);

enum Work {
    Test(<IsPrime as Plan>::Slice),
    Factor(<Factor as Plan>::Slice),
    Witness(usize, Witness),
    Curves(by_curves::Slice),
}

/// What it brought.
pub struct Partial(u64, Found);

enum Found {
    Tested(<IsPrime as Plan>::Partial),
    Factored(<Factor as Plan>::Partial),
    /// A witness, that there is none, or what is left of the search.
    Witness(usize, Result<Option<u64>, Witness>),
    Curves(by_curves::Partial),
}

impl Witnesses {
    fn new(wanted: Vec<Witness>) -> Self {
        let count = wanted.len();
        Self {
            found: vec![None; count],
            missing: count,
            paused: Vec::new(),
            count,
            wanted,
        }
    }

    fn cut(&mut self) -> Option<(usize, Witness)> {
        let fresh = || Some((self.wanted.len().checked_sub(1)?, self.wanted.pop()?));
        self.paused.pop().or_else(fresh)
    }

    /// Takes in a witness; false if there is none.
    fn absorb(&mut self, index: usize, result: Result<Option<u64>, Witness>) -> bool {
        match result {
            Err(rest) => self.paused.push((index, rest)),
            Ok(None) => return false,
            Ok(witness) => {
                self.found[index] = witness;
                self.missing -= 1;
            }
        }
        true
    }

    fn progress(&self) -> f64 {
        (self.count - self.missing) as f64 / self.count.max(1) as f64
    }
}

fn advance(index: usize, mut witness: Witness, budget: Budget<'_>) -> (usize, Result<Option<u64>, Witness>) {
    match witness.advance(|| budget.over()) {
        Some(found) => (index, Ok(found)),
        None => (index, Err(witness)),
    }
}

impl Certify {
    /// Asks for the certificate of `n`.
    pub fn new(n: Natural) -> Self {
        Self {
            proofs: Vec::new(),
            todo: vec![n.clone()],
            stage: Stage::Testing(Box::new(IsPrime::new(n.clone()))),
            n,
            generation: 0,
            before: 0.0,
            progress: 0.0,
        }
    }

    fn is_composite(&mut self) {
        self.stage = Stage::Done("composite".into());
    }

    /// The number at work is a probable prime: proves it, unless the test is a proof.
    fn tested(&mut self) {
        self.generation += 1;
        match self.todo.last() {
            Some(n) if n.bit_len() > MOST_BITS => self.stage = Stage::Curves(Box::new(ByCurves::new(n.clone()))),
            Some(n) if !is_small(n) => self.stage = Stage::Factoring(Box::new(factor_of(&(n - 1u8))), 0),
            _ => self.finished(),
        }
    }

    /// Looks whether the primes that were found suffice.
    fn factored(&mut self) {
        let (Stage::Factoring(factor, count), Some(n)) = (&mut self.stage, self.todo.last()) else {
            return;
        };
        let mut primes = factor.primes();
        if primes.len() == *count {
            return;
        }
        *count = primes.len();
        // Small primes first, for they need no proof; and of these and of others the largest, so that few witnesses are needed.
        primes.sort_by(|a, b| is_small(b).cmp(&is_small(a)).then(b.cmp(a)));
        primes.dedup();
        let Some(enough) = (1..=primes.len()).find(|enough| suffices(n, &primes[..*enough])) else {
            return;
        };
        primes.truncate(enough);
        let proof = Proof {
            n: n.clone(),
            primes: primes.into_iter().map(|p| (p, None)).collect(),
        };
        self.generation += 1;
        self.stage = Self::witnesses(&proof);
        self.proofs.push(proof);
    }

    fn witnesses(proof: &Proof) -> Stage {
        let n = Arc::new(proof.n.clone());
        let primes = proof.primes.iter().filter(|(p, _)| !p.is_zero());
        let wanted = primes.map(|(p, _)| Witness::new(Arc::clone(&n), p.clone(), None));
        Stage::Witnesses(Witnesses::new(wanted.collect()))
    }

    fn witnessed(&mut self) {
        let (Stage::Witnesses(witnesses), Some(proof)) = (&self.stage, self.proofs.last_mut()) else {
            return;
        };
        for ((_, witness), found) in proof.primes.iter_mut().zip(&witnesses.found) {
            *witness = *found;
        }
        self.finished();
    }

    /// The number at work is done: the long primes of its proof are next.
    fn finished(&mut self) {
        self.generation += 1;
        self.todo.pop();
        self.before += (1.0 - self.before) * SHARE;
        if let Some(proof) = self.proofs.last() {
            let long = proof.primes.iter().map(|(p, _)| p).filter(|p| !is_small(p));
            let known = |p: &Natural| self.todo.contains(p) || self.proofs.iter().any(|proof| proof.n == *p);
            let new: Vec<Natural> = long.filter(|p| !known(p)).cloned().collect();
            self.todo.extend(new);
        }
        self.stage = match self.todo.last() {
            None => Stage::Done(certificate::written(&self.n, &self.proofs).into()),
            Some(n) => Stage::Testing(Box::new(IsPrime::new(n.clone()))),
        };
    }

    fn share(&self) -> f64 {
        let share = match &self.stage {
            Stage::Testing(test) => TESTING * Plan::progress(test.as_ref()),
            Stage::Factoring(factor, _) => TESTING + FACTORING * Plan::progress(factor.as_ref()),
            Stage::Witnesses(witnesses) => TESTING + FACTORING + (1.0 - TESTING - FACTORING) * witnesses.progress(),
            Stage::Curves(curves) => return TESTING + (1.0 - TESTING) * Plan::progress(curves.as_ref()),
            Stage::Done(_) => return 1.0,
        };
        self.before + (1.0 - self.before) * SHARE * share
    }
}

impl Plan for Certify {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        let work = match &mut self.stage {
            Stage::Testing(test) => Work::Test(Plan::cut(test.as_mut())?),
            Stage::Factoring(factor, _) => Work::Factor(Plan::cut(factor.as_mut())?),
            Stage::Witnesses(witnesses) => {
                let (index, witness) = witnesses.cut()?;
                Work::Witness(index, witness)
            }
            Stage::Curves(curves) => Work::Curves(Plan::cut(curves.as_mut())?),
            Stage::Done(_) => return None,
        };
        Some(Slice(self.generation, work))
    }

    fn run(Slice(generation, work): Slice, budget: Budget<'_>) -> Partial {
        let found = match work {
            Work::Test(slice) => Found::Tested(IsPrime::run(slice, budget)),
            Work::Factor(slice) => Found::Factored(Factor::run(slice, budget)),
            Work::Witness(index, witness) => {
                let (index, result) = advance(index, witness, budget);
                Found::Witness(index, result)
            }
            Work::Curves(slice) => Found::Curves(ByCurves::run(slice, budget)),
        };
        Partial(generation, found)
    }

    fn absorb(&mut self, Partial(generation, found): Partial) {
        if generation != self.generation {
            return;
        }
        match (found, &mut self.stage) {
            (Found::Tested(partial), Stage::Testing(test)) => {
                Plan::absorb(test.as_mut(), partial);
                match Plan::answer(test.as_mut()) {
                    Some(Value::Truth(true)) => self.tested(),
                    Some(_) => self.is_composite(),
                    None => {}
                }
            }
            (Found::Factored(partial), Stage::Factoring(factor, _)) => {
                Plan::absorb(factor.as_mut(), partial);
                self.factored();
            }
            (Found::Witness(index, result), Stage::Witnesses(witnesses)) => {
                if !witnesses.absorb(index, result) {
                    self.is_composite();
                } else if witnesses.missing == 0 {
                    self.witnessed();
                }
            }
            (Found::Curves(partial), Stage::Curves(curves)) => {
                Plan::absorb(curves.as_mut(), partial);
            }
            _ => {}
        }
        self.progress = self.progress.max(self.share().min(1.0));
    }

    fn answer(&mut self) -> Option<Value> {
        match &mut self.stage {
            Stage::Done(value) => Some(value.clone()),
            Stage::Curves(curves) => Plan::answer(curves.as_mut()),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn stage(&self) -> Option<String> {
        match &self.stage {
            Stage::Curves(curves) => Plan::stage(curves.as_ref()),
            _ => None,
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        if self.n.bit_len() > MOST_BITS {
            let testing = Plan::memory(&IsPrime::new(self.n.clone()), workers);
            return testing + Plan::memory(&ByCurves::new(self.n.clone()), workers);
        }
        let below = self.n.clone() - u8::from(self.n > Natural::ONE);
        let witness = 16 * bytes(&self.n);
        let factoring = if is_small(&self.n) {
            0
        } else {
            Plan::memory(&factor_of(&below), workers)
        };
        factoring + witness * (workers as u64 + 1) + Plan::memory(&IsPrime::new(self.n.clone()), workers)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer
            .bytes(&self.n.to_le_bytes())
            .u64(self.before.to_bits())
            .u64(self.progress.to_bits());
        let part = match &self.stage {
            Stage::Factoring(factor, _) => Plan::save(factor.as_ref())?,
            Stage::Curves(curves) => Plan::save(curves.as_ref())?,
            _ => Vec::new(),
        };
        // The witnesses of the last proof may be missing; its primes are not.
        let is_at_work = matches!(self.stage, Stage::Witnesses(_));
        writer.u64(is_at_work.into()).u64(self.proofs.len() as u64);
        for proof in &self.proofs {
            writer.bytes(&proof.n.to_le_bytes()).u64(proof.primes.len() as u64);
            for (p, witness) in &proof.primes {
                writer.bytes(&p.to_le_bytes()).u64(witness.unwrap_or_default());
            }
        }
        writer.u64(self.todo.len() as u64);
        for n in &self.todo {
            writer.bytes(&n.to_le_bytes());
        }
        writer.bytes(&part);
        Some(writer.finish())
    }

    fn restore(checkpoint: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(checkpoint, KIND, VERSION)?;
        let number = |reader: &mut Reader<'_>| reader.bytes().map(Natural::from_le_bytes);
        let mut plan = Self::new(number(&mut reader)?);
        plan.before = share(&mut reader)?;
        plan.progress = share(&mut reader)?;
        let is_at_work = reader.u64()? != 0;
        for _ in 0..reader.u64()? {
            let n = number(&mut reader)?;
            let mut primes = Vec::new();
            for _ in 0..reader.u64()? {
                primes.push((number(&mut reader)?, Some(reader.u64()?)));
            }
            plan.proofs.push(Proof { n, primes });
        }
        plan.todo.clear();
        for _ in 0..reader.u64()? {
            plan.todo.push(number(&mut reader)?);
        }
        let part = reader.bytes()?;
        reader.finish()?;
        plan.stage = match plan.todo.last() {
            Some(n) if is_at_work => match plan.proofs.last() {
                Some(proof) if proof.n == *n && !is_small(n) => Self::witnesses(proof),
                _ => return Err(Damaged::Impossible("proof")),
            },
            None if plan.proofs.is_empty() => return Err(Damaged::Impossible("list of proofs")),
            None => Stage::Done(certificate::written(&plan.n, &plan.proofs).into()),
            Some(n) if part.is_empty() => Stage::Testing(Box::new(IsPrime::new(n.clone()))),
            Some(n) if is_small(n) => return Err(Damaged::Impossible("number to be proved")),
            Some(n) if n.bit_len() > MOST_BITS => match ByCurves::restore(part)? {
                curves if curves.number() == n => Stage::Curves(Box::new(curves)),
                _ => return Err(Damaged::Impossible("number to be proved")),
            },
            Some(_) => Stage::Factoring(Box::new(Factor::restore(part)?), 0),
        };
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{CheckCertificate, exercise, run_to_end};

    fn certificate(n: &Natural) -> String {
        match run_to_end(&mut Certify::new(n.clone())) {
            Value::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    fn is_valid(text: &str) -> bool {
        run_to_end(&mut CheckCertificate::new(text, 1000)) == true.into()
    }

    #[test]
    fn primes_have_certificates_that_hold_and_composites_have_none() {
        for n in [
            2u128,
            3,
            1_000_003,
            (1 << 61) - 1,
            (1 << 89) - 1,
            (1 << 107) - 1,
            (1 << 127) - 1,
            84_179_922_671_405_858_693_140_447_097,
        ] {
            let text = certificate(&n.into());
            assert!(is_valid(&text), "{text}");
            assert!(text.trim_start_matches('[').starts_with(&n.to_string()));
        }
        for n in [
            0u128,
            1,
            4,
            91,
            3_215_031_751,
            (1 << 67) - 1,
            ((1 << 61) - 1) * 1_000_003,
        ] {
            assert_eq!(certificate(&n.into()), "composite", "{n}");
        }
    }

    /// 10^k + c is the least prime of k + 1 digits, by PARI's `nextprime`; the composite is a product of two such.
    #[test]
    fn long_primes_have_certificates_by_curves() {
        let prime = |k: usize, c: u16| Natural::from(10u8).pow(k) + c;
        for n in [prime(39, 3), prime(59, 19), prime(99, 289)] {
            let text = certificate(&n);
            assert!(text.starts_with(&format!("[[{n},")) && is_valid(&text), "{text}");
            // No long number of it can be another one.
            let altered = |at: usize| {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = b'0' + (bytes[at] - b'0' + 1) % 10;
                String::from_utf8(bytes).expect("it is ASCII")
            };
            // Not short ones: [1,5] and [1,6] may both be points of curves of the same order.
            let is_long = |at: &usize| text.as_bytes()[*at..].iter().take(6).all(u8::is_ascii_digit);
            let places: Vec<usize> = (0..text.len() - 6).filter(is_long).collect();
            for at in places.iter().step_by(places.len() / 40) {
                assert!(!is_valid(&altered(*at)), "{at}: {text}");
            }
            assert!(!is_valid(&text.replace("]],[", "],[")) && !is_valid(&text.replace(",-", ",")));
            let (_, rest) = text.split_once("]],[").expect("several steps");
            assert!(is_valid(&format!("[[{rest}")) && !is_valid(&text[..text.len() - 1]));
        }
        assert_eq!(certificate(&(prime(39, 3) * prime(59, 19))), "composite");
    }

    #[test]
    fn certificates_of_others_are_checked() {
        // As PARI 2.15 prints them.
        let good = "[10000000000000000000000000000000000000121,[2,5,11,17,12973,1821309023]]";
        assert!(is_valid(good));
        assert!(!is_valid(&good.replace("121,", "123,")));
        assert!(!is_valid("[10000000000000000000000000000000000000121,[1821309023,2]]"));
        // 2^89 - 1 with a wrong witness: 1 is none for any prime.
        assert!(!is_valid(
            "[84179922671405858693140447097,[2,17,[618970019642690137449562111,1,[618970019642690137449562111,[2,3,5,17,23,89,353,397,683,2113,2931542417]]]]]"
        ));
    }

    #[test]
    fn it_is_the_same_however_it_is_cut() {
        let n = Natural::from(84_179_922_671_405_858_693_140_447_097u128);
        let text = certificate(&n);
        assert_eq!(exercise(|| Certify::new(n.clone())), text.as_str().into());
        assert_eq!(exercise(|| CheckCertificate::new(&text, 1000)), true.into());
    }
}
