//! `certify N`: a proof that a number is prime, by factors of the numbers beside it or by elliptic curves.
//!
//! Knows nothing of how numbers are factored ([`Factor`]), of curves ([`ByCurves`]), or why the proof holds
//! ([`certificate`]).

use super::by_curves::{self, ByCurves};
use super::of_factors::factor_of;
use super::{Budget, Damaged, Factor, IsPrime, Plan, Reader, Writer};
use crate::primes::Natural;
use crate::primes::certificate::{self, Parts, Proof, Search, Witness, Witnessed, is_small, part_of};
use crate::primes::multiplicative::bytes;
use crate::proto::Value;
use dashu_int::ops::BitTest;

const KIND: [u8; 4] = *b"CERT";
const VERSION: u32 = 3;

/// Longer numbers are proved by elliptic curves, unless trial division finds enough: factors of the number below may be
/// too long to be found.
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
    /// Only in a form that PARI checks: without factors of the number above.
    is_for_pari: bool,
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
    /// Trial division of both numbers beside; `None` while its slice is under way.
    Beside(Option<Box<Search>>),
    /// Until all primes are known.
    Factoring(Box<Factor>),
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
    Beside(Box<Search>),
    Factor(<Factor as Plan>::Slice),
    Witness(usize, Witness),
    Curves(by_curves::Slice),
}

/// What it brought.
pub struct Partial(u64, Found);

enum Found {
    Tested(<IsPrime as Plan>::Partial),
    /// A proof without witnesses, that there is none, or what is left of the search.
    Beside(Result<Option<Proof>, Box<Search>>),
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
            is_for_pari: false,
            proofs: Vec::new(),
            todo: vec![n.clone()],
            stage: Stage::Testing(Box::new(IsPrime::new(n.clone()))),
            n,
            generation: 0,
            before: 0.0,
            progress: 0.0,
        }
    }

    /// Asks for a certificate that PARI checks too: it does not stand on factors of `n + 1`, and may be much longer.
    pub fn for_pari(n: Natural) -> Self {
        Self {
            is_for_pari: true,
            ..Self::new(n)
        }
    }

    fn set_composite(&mut self) {
        self.stage = Stage::Done("composite".into());
    }

    /// The number at work is a probable prime: proves it, unless the test is a proof.
    fn tested(&mut self) {
        self.generation += 1;
        match self.todo.last() {
            Some(n) if n.bit_len() > MOST_BITS => {
                self.stage = Stage::Beside(Some(Box::new(Search::new(n.clone(), !self.is_for_pari))));
            }
            Some(n) if !is_small(n) => self.stage = Stage::Factoring(Box::new(factor_of(&(n - 1u8)))),
            _ => self.finished(),
        }
    }

    /// Goes on with the proof that the numbers beside gave, or with curves.
    fn searched(&mut self, proof: Option<Proof>) {
        match (proof, self.todo.last()) {
            (Some(proof), _) => self.prove(proof),
            (None, Some(n)) => self.stage = Stage::Curves(Box::new(ByCurves::new(n.clone()))),
            (None, None) => {}
        }
    }

    /// Looks for the witnesses of a proof.
    fn prove(&mut self, proof: Proof) {
        self.generation += 1;
        self.stage = Self::witnesses(&proof);
        self.proofs.push(proof);
    }

    /// Proves it by as few primes as suffice, once all are known: which are found first depends on where slices end,
    /// and a proof does not.
    fn factored(&mut self) {
        let (Stage::Factoring(factor), Some(n)) = (&mut self.stage, self.todo.last()) else {
            return;
        };
        if Plan::answer(factor.as_mut()).is_none() {
            return;
        }
        let mut primes = factor.known().to_vec();
        // Small primes first, for they need no proof; and of these and of others the largest, so that few witnesses are
        // needed.
        primes.sort_by(|a, b| is_small(b).cmp(&is_small(a)).then(b.cmp(a)));
        primes.dedup();
        let suffice = |primes: &[Natural]| {
            let (minus, plus) = (part_of(n - 1u8, primes.iter().cloned()), Natural::ONE);
            Parts { minus, plus }.suffice(n)
        };
        let Some(enough) = (1..=primes.len()).find(|enough| suffice(&primes[..*enough])) else {
            return;
        };
        primes.truncate(enough);
        let proof = Proof::new(n.clone(), primes, 0, Vec::new());
        self.prove(proof);
    }

    fn witnesses(proof: &Proof) -> Stage {
        Stage::Witnesses(Witnesses::new(proof.witnesses()))
    }

    fn witnessed(&mut self) {
        let (Stage::Witnesses(witnesses), Some(proof)) = (&self.stage, self.proofs.last_mut()) else {
            return;
        };
        for ((_, witness), found) in proof.minus.iter_mut().chain(&mut proof.plus).zip(&witnesses.found) {
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
            let long = proof.primes().map(|(p, _)| p).filter(|p| !is_small(p));
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
            Stage::Beside(_) => TESTING,
            Stage::Factoring(factor) => TESTING + FACTORING * Plan::progress(factor.as_ref()),
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
            Stage::Beside(search) => Work::Beside(search.take()?),
            Stage::Factoring(factor) => Work::Factor(Plan::cut(factor.as_mut())?),
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
            Work::Beside(mut search) => Found::Beside(match search.advance(|| budget.over()) {
                Some(proof) => Ok(proof),
                None => Err(search),
            }),
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
                    Some(_) => self.set_composite(),
                    None => {}
                }
            }
            (Found::Beside(Ok(proof)), Stage::Beside(_)) => self.searched(proof),
            (Found::Beside(Err(rest)), Stage::Beside(search)) => *search = Some(rest),
            (Found::Factored(partial), Stage::Factoring(factor)) => {
                Plan::absorb(factor.as_mut(), partial);
                self.factored();
            }
            (Found::Witness(index, result), Stage::Witnesses(witnesses)) => {
                if !witnesses.absorb(index, result) {
                    self.set_composite();
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
            Stage::Factoring(factor) => Plan::stage(factor.as_ref()),
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
            .natural(&self.n)
            .u64(self.is_for_pari.into())
            .u64(self.before.to_bits())
            .u64(self.progress.to_bits());
        let part = match &self.stage {
            Stage::Factoring(factor) => Plan::save(factor.as_ref())?,
            Stage::Curves(curves) => Plan::save(curves.as_ref())?,
            _ => Vec::new(),
        };
        let list = |writer: &mut Writer, primes: &[Witnessed]| {
            writer.u64(primes.len() as u64);
            for (p, witness) in primes {
                writer.natural(p).u64(witness.unwrap_or_default());
            }
        };
        // The witnesses of the last proof may be missing; its primes are not.
        let is_at_work = matches!(self.stage, Stage::Witnesses(_));
        writer.u64(is_at_work.into()).u64(self.proofs.len() as u64);
        for proof in &self.proofs {
            writer.natural(&proof.n).u64(proof.d.into());
            list(&mut writer, &proof.minus);
            list(&mut writer, &proof.plus);
        }
        writer.u64(self.todo.len() as u64);
        for n in &self.todo {
            writer.natural(n);
        }
        writer.bytes(&part);
        Some(writer.finish())
    }

    fn restore(checkpoint: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(checkpoint, KIND, VERSION)?;
        let list = |reader: &mut Reader<'_>| {
            let mut primes: Vec<Witnessed> = Vec::new();
            for _ in 0..reader.u64()? {
                primes.push((reader.natural()?, Some(reader.u64()?)));
            }
            Ok(primes)
        };
        let mut plan = Self::new(reader.natural()?);
        plan.is_for_pari = reader.u64()? != 0;
        plan.before = reader.share()?;
        plan.progress = reader.share()?;
        let is_at_work = reader.u64()? != 0;
        for _ in 0..reader.u64()? {
            let n = reader.natural()?;
            let d = u32::try_from(reader.u64()?).map_err(|_| Damaged::Impossible("discriminant"))?;
            let (minus, plus) = (list(&mut reader)?, list(&mut reader)?);
            plan.proofs.push(Proof { n, minus, d, plus });
        }
        plan.todo.clear();
        for _ in 0..reader.u64()? {
            plan.todo.push(reader.natural()?);
        }
        let part = reader.bytes()?;
        reader.finish()?;
        plan.stage = match plan.todo.last() {
            Some(n) if is_at_work => match plan.proofs.last_mut() {
                Some(proof) if proof.n == *n && is_possible(proof) => {
                    proof
                        .minus
                        .iter_mut()
                        .chain(&mut proof.plus)
                        .for_each(|(_, witness)| *witness = None);
                    Self::witnesses(proof)
                }
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
            Some(n) => Stage::Factoring(Box::new(Factor::restore_of(&(n - 1u8), part)?)),
        };
        Ok(plan)
    }
}

/// True if the witnesses of a proof from a checkpoint may be looked for.
fn is_possible(proof: &Proof) -> bool {
    !is_small(&proof.n) && proof.n.bit(0) && proof.are_divisors()
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

    /// Primes by PARI's `isprime`; the forms of the numbers say which factors are known.
    #[test]
    fn long_primes_beside_smooth_numbers_have_short_certificates() {
        let power = |p: u8, k: usize| Natural::from(p).pow(k);
        // 1 modulo 3^40 and -1 modulo 2^63, so that neither side reaches the cube root alone.
        let both: Natural = "941406248650713226416255444918311183108186993525136539254783"
            .parse()
            .expect("digits");
        let factorial = (1..=94u8).fold(Natural::ONE, |product, k| product * k);
        let q = power(2, 100) + 277u16;
        for (n, end) in [
            (power(2, 521) - 1u8, ",[],3,[2]]".to_owned()),
            (power(2, 607) - 1u8, ",[],3,[2]]".into()),
            (power(2, 70) * power(3, 50) * 109u8 - 1u8, ",[],".into()),
            (factorial - 1u8, ",[],".into()),
            (both, ",[3],3,[2]]".into()),
            (power(3, 25) * &q * 12u8 - 1u8, format!("[{q},[")),
        ] {
            let text = certificate(&n);
            assert!(is_valid(&text) && text.starts_with(&format!("[{n},")), "{text}");
            assert!(text.contains(&end), "{end} is not in {text}");
            for at in (0..text.len()).filter(|at| text.as_bytes()[*at].is_ascii_digit()) {
                let mut altered = text.clone().into_bytes();
                altered[at] = b'0' + (altered[at] - b'0' + 1) % 10;
                let altered = String::from_utf8(altered).expect("it is ASCII");
                // Another discriminant, witness or prime may do as well; another number does not.
                let is_same = altered.starts_with(&format!("[{n},"));
                assert!(is_same || !is_valid(&altered), "{altered}");
            }
        }
        // 2^521 - 1 with a composite beside it: 2^521 + 1 has the factor 3.
        let composite = power(2, 523) - 1u8;
        assert_eq!(certificate(&composite), "composite");
        assert!(!is_valid(&format!("[{composite},[],5,[2]]")));
    }

    #[test]
    fn a_certificate_for_pari_has_no_factors_of_the_number_above() {
        let n = Natural::from(2u8).pow(70) * Natural::from(3u8).pow(50) * 109u8 - 1u8;
        match run_to_end(&mut Certify::for_pari(n.clone())) {
            Value::Text(text) => assert!(text.starts_with(&format!("[[{n},")) && is_valid(&text), "{text}"),
            other => panic!("{other:?}"),
        }
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
    fn a_proof_of_a_checkpoint_has_primes_that_divide_what_they_should() {
        let n = Natural::ones(521);
        // It has a proof by 2^521 = n + 1. A larger prime would have the exponent 0.
        for (p, is_taken) in [
            (Natural::from(2u8), true),
            (Natural::ones(607), false),
            (Natural::ZERO, false),
        ] {
            let mut writer = Writer::new(KIND, VERSION);
            writer.bytes(&n.to_le_bytes()).u64(0).u64(0).u64(0);
            writer.u64(1).u64(1).bytes(&n.to_le_bytes()).u64(3).u64(0);
            writer.u64(1).bytes(&p.to_le_bytes()).u64(0);
            writer.u64(1).bytes(&n.to_le_bytes()).bytes(&[]);
            assert_eq!(Certify::restore(&writer.finish()).is_ok(), is_taken, "{p}");
        }
    }

    #[test]
    fn it_is_the_same_however_it_is_cut() {
        let n = Natural::from(84_179_922_671_405_858_693_140_447_097u128);
        let text = certificate(&n);
        assert_eq!(exercise(|| Certify::new(n.clone())), text.as_str().into());
        assert_eq!(exercise(|| CheckCertificate::new(&text, 1000)), true.into());
    }

    #[test]
    fn a_proof_by_both_sides_is_the_same_however_it_is_cut() {
        let n: Natural = "941406248650713226416255444918311183108186993525136539254783"
            .parse()
            .expect("digits");
        let text = certificate(&n);
        assert_eq!(exercise(|| Certify::new(n.clone())), text.as_str().into());
        assert_eq!(exercise(|| CheckCertificate::new(&text, 1000)), true.into());
    }
}
