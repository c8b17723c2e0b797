//! The proof by elliptic curves that a number is prime, one step after the other: first the numbers and orders down to
//! a word, then the curves.
//!
//! Knows nothing of curves ([`elliptic`]): it hands out attempts and constructions, takes the first order that serves,
//! and goes back where none does.

use super::{Budget, Damaged, Plan, Reader, Writer};
use crate::primes::Natural;
use crate::primes::elliptic::attempt::{Attempt, Order};
use crate::primes::elliptic::construction::Construction;
use crate::primes::elliptic::discriminant::{self, Discriminant, LEVELS, Table};
use crate::primes::elliptic::small_primes::SmallPrimes;
use crate::primes::elliptic::square_roots::{Field, Roots};
use crate::primes::elliptic::step::Step;
use crate::primes::elliptic::text;
use crate::primes::elliptic::trial::Trial;
use crate::primes::multiplicative::bytes;
use crate::proto::Value;
use dashu_int::IBig;
use dashu_int::ops::BitTest;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const KIND: [u8; 4] = *b"ECPP";
const VERSION: u32 = 3;

/// Attempts that may be under way.
const AHEAD: usize = 16;
/// The share of the work that the orders take; the curves take the rest. With one worker it is 0.60 to 0.78 for primes
/// of 300 to 616 digits where their tests are made one by one, and up to 0.06 less where they are made together.
const ORDERS: f64 = 0.7;

/// A proof, its number a probable prime above 2^64.
#[derive(Debug)]
pub(super) struct ByCurves {
    n: Natural,
    /// The discriminants of the levels that are there, one level after the other.
    table: Vec<Discriminant>,
    level: usize,
    /// With the first level.
    primes: Option<Arc<SmallPrimes>>,
    links: Vec<Link>,
    stage: Stage,
    /// Slices of a number or a stage that is over may come back later.
    generation: u64,
    progress: f64,
}

/// A number with its order; and the step, once it is made.
#[derive(Debug)]
struct Link {
    n: Natural,
    /// The index of the discriminant.
    index: usize,
    order: Order,
    /// Those of its prime discriminants that are known.
    roots: Roots,
    step: Option<Step>,
}

#[derive(Debug)]
enum Stage {
    /// The next level is to be made, or is being made by a slice that has it; then the search goes on from this index,
    /// or with the constructions.
    Table {
        table: Option<Box<Table>>,
        first: usize,
    },
    /// The order of the last link's `q` is looked for.
    Orders(Orders),
    Curves(Curves),
    Done(Value),
}

#[derive(Debug)]
struct Orders {
    field: Arc<Field>,
    /// The roots that attempts have found.
    roots: Roots,
    /// Which prime discriminants have one.
    squares: HashMap<i64, bool>,
    /// All before are over, without an order.
    first: usize,
    /// The next one that is cut.
    next: usize,
    paused: Vec<(usize, Attempt)>,
    /// Orders that are to be tested, by the index of their attempt.
    untested: BTreeMap<usize, Vec<Order>>,
    paused_trials: Vec<Trial>,
    /// Attempts that are over, from `first` on.
    over: BTreeMap<usize, Option<Order>>,
}

#[derive(Debug)]
struct Curves {
    /// The next link that is cut.
    next: usize,
    paused: Vec<(usize, Construction)>,
}

/// A bout.
pub struct Slice(u64, Work);

enum Work {
    /// With whether small primes are to be made, too.
    Table(Box<Table>, bool),
    Attempt(usize, Box<Attempt>),
    Try(Trial),
    Construct(usize, Box<Construction>),
}

/// What it brought.
pub struct Partial(u64, Found);

enum Found {
    Table(Vec<Discriminant>, Option<SmallPrimes>),
    Tabling(Box<Table>),
    Attempted(usize, Vec<Order>, Roots),
    Attempting(usize, Box<Attempt>),
    Tried(Vec<usize>, Option<(usize, Order)>),
    Trying(Trial),
    Constructed(usize, Option<Step>),
    Constructing(usize, Box<Construction>),
}

impl Stage {
    /// Makes a level of the table, if there is one.
    fn table(level: usize, first: usize) -> Self {
        Self::Table {
            table: (level < LEVELS).then(|| Box::new(Table::new(level))),
            first,
        }
    }
}

impl Orders {
    fn new(n: Natural, first: usize) -> Self {
        Self {
            field: Arc::new(Field::new(n)),
            roots: Roots::default(),
            squares: HashMap::new(),
            first,
            next: first,
            paused: Vec::new(),
            untested: BTreeMap::new(),
            paused_trials: Vec::new(),
            over: BTreeMap::new(),
        }
    }

    /// What is to be done next: a trial, once there are orders for it or nothing else can be done.
    fn cut(&mut self, table: &[Discriminant], primes: &Arc<SmallPrimes>) -> Option<Work> {
        if let Some(trial) = self.paused_trials.pop() {
            return Some(Work::Try(trial));
        }
        // What is found waits for those before it, and those after it do not matter.
        let found = self
            .over
            .iter()
            .find_map(|(index, order)| order.as_ref().map(|_| *index));
        if let Some(found) = found {
            self.untested.split_off(&found);
        }
        let at_once = Trial::at_once(self.field.n().bit_len());
        let untested: usize = self.untested.values().map(Vec::len).sum();
        if untested < at_once
            && let Some((index, attempt)) = self.attempt(table, primes, found.is_some())
        {
            return Some(Work::Attempt(index, Box::new(attempt)));
        }
        let mut attempts = Vec::new();
        let mut count = 0;
        while let Some(entry) = self.untested.first_entry() {
            count += entry.get().len();
            if count > at_once && !attempts.is_empty() {
                break;
            }
            attempts.push(entry.remove_entry());
        }
        (!attempts.is_empty()).then(|| Work::Try(Trial::new(attempts)))
    }

    /// The next attempt. Discriminants whose parts are no squares modulo the number are passed over here, as a slice
    /// each would cost more than that takes; but for the last one, so that the end of the table is met by a slice.
    fn attempt(
        &mut self,
        table: &[Discriminant],
        primes: &Arc<SmallPrimes>,
        is_found: bool,
    ) -> Option<(usize, Attempt)> {
        if let Some(attempt) = self.paused.pop() {
            return Some(attempt);
        }
        if is_found {
            return None;
        }
        while self.under_way() < AHEAD {
            let Discriminant { d, .. } = *table.get(self.next)?;
            let index = self.next;
            self.next += 1;
            let (field, known) = (&self.field, &mut self.squares);
            let mut is_square = |part: &i64| *known.entry(*part).or_insert_with(|| field.has_root(*part));
            let is_last = self.next == table.len();
            if is_last || discriminant::prime_discriminants(d).iter().all(&mut is_square) {
                let attempt = Attempt::new(Arc::clone(field), &self.roots, d, Arc::clone(primes));
                return Some((index, attempt));
            }
            self.over.insert(index, None);
        }
        None
    }

    /// Attempts that are not over.
    fn under_way(&self) -> usize {
        self.next - self.first - self.over.len()
    }

    /// The first order in the order of the table, once those before it are known not to have one.
    fn found(&mut self) -> Option<(usize, Order)> {
        while let Some(over) = self.over.remove(&self.first) {
            self.first += 1;
            if let Some(order) = over {
                return Some((self.first - 1, order));
            }
        }
        None
    }
}

impl ByCurves {
    pub(super) fn new(n: Natural) -> Self {
        Self {
            n,
            table: Vec::new(),
            primes: None,
            links: Vec::new(),
            level: 0,
            stage: Stage::table(0, 0),
            generation: 0,
            progress: 0.0,
        }
    }

    /// The number that is to be proved.
    pub(super) fn number(&self) -> &Natural {
        &self.n
    }

    /// The number whose order is looked for.
    fn tip(&self) -> &Natural {
        self.links.last().map_or(&self.n, |link| &link.order.q)
    }

    /// Goes on from this index with the levels that are there, or makes the next one if that is not enough.
    fn tabled(&mut self, mut first: usize) {
        let is_missing = |index: usize| index >= self.table.len();
        let missing = self.links.iter().position(|link| is_missing(link.index));
        if self.level < LEVELS && (missing.is_some() || is_missing(first)) {
            self.stage = Stage::table(self.level, first);
            return;
        }
        // A checkpoint may hold what no plan wrote.
        if let Some(at) = missing {
            self.links.truncate(at);
            first = 0;
        }
        self.search(first);
    }

    /// Begins the search for the order of the tip; or the curves, if it is a word.
    fn search(&mut self, first: usize) {
        self.generation += 1;
        if self.tip().bit_len() > 64 {
            self.stage = Stage::Orders(Orders::new(self.tip().clone(), first));
            self.look();
        } else {
            self.stage = Stage::Curves(Curves {
                next: 0,
                paused: Vec::new(),
            });
            self.finish();
        }
    }

    /// The certificate, once all steps are made.
    fn finish(&mut self) {
        let steps: Option<Vec<Step>> = self.links.iter().map(|link| link.step.clone()).collect();
        if let Some(steps) = steps {
            self.generation += 1;
            self.stage = Stage::Done(text::written(&steps).into());
        }
    }

    /// Goes on where an attempt is over: to the next number, or back if no discriminant is left.
    fn look(&mut self) {
        let Stage::Orders(orders) = &mut self.stage else {
            return;
        };
        if let Some((index, order)) = orders.found() {
            let roots = match self.table.get(index) {
                Some(discriminant) => orders
                    .roots
                    .for_parts(&discriminant::prime_discriminants(discriminant.d)),
                None => Roots::default(),
            };
            let n = self.tip().clone();
            self.links.push(Link {
                n,
                index,
                order,
                roots,
                step: None,
            });
            self.search(0);
        } else if orders.first >= self.table.len() {
            let first = orders.first;
            if self.level < LEVELS {
                self.generation += 1;
                self.stage = Stage::table(self.level, first);
            } else {
                self.back(self.links.len().saturating_sub(1));
            }
        }
    }

    /// Gives up a link and all after it: the search goes on with the next discriminant.
    fn back(&mut self, to: usize) {
        let given_up = self.links.drain(to..).next();
        match given_up {
            Some(link) => self.search(link.index + 1),
            None => self.stage = Stage::Done("unproved".into()),
        }
    }

    fn constructed(&mut self, at: usize, step: Option<Step>) {
        match (step, self.links.get_mut(at)) {
            (Some(step), Some(link)) => {
                link.step = Some(step);
                self.finish();
            }
            _ => self.back(at),
        }
    }

    fn share(&self) -> f64 {
        // The work for a number grows with the fourth power of its length or so.
        let work = |n: &Natural| (n.bit_len() as f64).powi(4);
        let done = |link: &&Link| link.step.is_some();
        match self.stage {
            Stage::Done(_) => 1.0,
            Stage::Curves(_) => {
                let all: f64 = self.links.iter().map(|link| work(&link.n)).sum();
                let part: f64 = self.links.iter().filter(done).map(|link| work(&link.n)).sum();
                ORDERS + (1.0 - ORDERS) * part / all
            }
            _ => ORDERS * (1.0 - (self.tip().bit_len() as f64 / self.n.bit_len() as f64).powi(3)),
        }
    }
}

impl Plan for ByCurves {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        let work = match &mut self.stage {
            Stage::Table { table, .. } => Work::Table(table.take()?, self.primes.is_none()),
            Stage::Orders(orders) => orders.cut(&self.table, self.primes.as_ref()?)?,
            Stage::Curves(curves) => {
                if let Some((at, construction)) = curves.paused.pop() {
                    return Some(Slice(self.generation, Work::Construct(at, Box::new(construction))));
                }
                while self.links.get(curves.next).is_some_and(|link| link.step.is_some()) {
                    curves.next += 1;
                }
                let link = self.links.get(curves.next)?;
                curves.next += 1;
                let d = self.table.get(link.index)?.d;
                let construction = Construction::new(link.n.clone(), d, link.order.clone(), link.roots.clone());
                Work::Construct(curves.next - 1, Box::new(construction))
            }
            Stage::Done(_) => return None,
        };
        Some(Slice(self.generation, work))
    }

    fn run(Slice(generation, work): Slice, budget: Budget<'_>) -> Partial {
        let over = || budget.over();
        let found = match work {
            Work::Table(mut table, with_primes) => match table.advance(over) {
                Some(table) => Found::Table(table, with_primes.then(SmallPrimes::new)),
                None => Found::Tabling(table),
            },
            Work::Attempt(index, mut attempt) => match attempt.advance(over) {
                Some(orders) => Found::Attempted(index, orders, attempt.into_roots()),
                None => Found::Attempting(index, attempt),
            },
            Work::Try(mut trial) => match trial.advance(over) {
                true => {
                    let (in_vain, found) = trial.into_result();
                    Found::Tried(in_vain, found)
                }
                false => Found::Trying(trial),
            },
            Work::Construct(at, mut construction) => match construction.advance(over) {
                Some(step) => Found::Constructed(at, step),
                None => Found::Constructing(at, construction),
            },
        };
        Partial(generation, found)
    }

    fn absorb(&mut self, Partial(generation, found): Partial) {
        if generation != self.generation {
            return;
        }
        match (found, &mut self.stage) {
            (Found::Table(table, primes), Stage::Table { first, .. }) => {
                let first = *first;
                self.table.extend(table);
                self.level += 1;
                self.primes = self.primes.take().or(primes.map(Arc::new));
                self.tabled(first);
            }
            (Found::Tabling(paused), Stage::Table { table, .. }) => *table = Some(paused),
            (Found::Attempted(index, found, roots), Stage::Orders(orders)) => {
                orders.roots.add(roots);
                if found.is_empty() {
                    orders.over.insert(index, None);
                } else {
                    orders.untested.insert(index, found);
                }
                self.look();
            }
            (Found::Tried(in_vain, found), Stage::Orders(orders)) => {
                orders.over.extend(in_vain.into_iter().map(|index| (index, None)));
                orders.over.extend(found.map(|(index, order)| (index, Some(order))));
                self.look();
            }
            (Found::Trying(trial), Stage::Orders(orders)) => orders.paused_trials.push(trial),
            (Found::Attempting(index, attempt), Stage::Orders(orders)) => orders.paused.push((index, *attempt)),
            (Found::Constructed(at, step), Stage::Curves(_)) => self.constructed(at, step),
            (Found::Constructing(at, construction), Stage::Curves(curves)) => curves.paused.push((at, *construction)),
            _ => {}
        }
        self.progress = self.progress.max(self.share().min(1.0));
    }

    fn answer(&mut self) -> Option<Value> {
        match &self.stage {
            Stage::Done(value) => Some(value.clone()),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn stage(&self) -> Option<String> {
        let count = self.links.len();
        match &self.stage {
            Stage::Table { .. } | Stage::Orders(_) => {
                Some(format!("orders steps={count} bits={}", self.tip().bit_len()))
            }
            Stage::Curves(_) => {
                let made = self.links.iter().filter(|link| link.step.is_some()).count();
                Some(format!("curves steps={made}/{count}"))
            }
            Stage::Done(_) => None,
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        // The table of the last level with its class numbers is 7 MB. A step takes some bits off; a link is two dozen
        // numbers with its roots and its text. A construction has the class polynomial in fixed point, of more and
        // longer coefficients in later levels. A root is kept for each prime discriminant, with its place in a map.
        let polynomial = [2 << 20, 4 << 20, 10 << 20][self.level.saturating_sub(1)];
        let links = self.n.bit_len() as u64 / 3 * 24 * bytes(&self.n);
        let roots = discriminant::MOST_PARTS * (bytes(&self.n) + 32);
        (8 << 20) + links + roots + workers as u64 * polynomial + (workers + AHEAD) as u64 * 300 * bytes(&self.n)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        let first = match &self.stage {
            Stage::Table { first, .. } => *first,
            Stage::Orders(orders) => orders.first,
            Stage::Curves(_) | Stage::Done(_) => 0,
        };
        let is_given_up = self.links.is_empty() && matches!(self.stage, Stage::Done(_));
        writer
            .natural(&self.n)
            .u64(self.progress.to_bits())
            .u64(if is_given_up { u64::MAX } else { first as u64 })
            .u64(self.links.len() as u64);
        for link in &self.links {
            writer
                .u64(link.index as u64)
                .bytes(&link.order.t.to_le_bytes())
                .natural(&link.order.s)
                .u64(link.step.is_some().into());
            for number in link.step.iter().flat_map(|step| [&step.a, &step.x, &step.y]) {
                writer.natural(number);
            }
        }
        Some(writer.finish())
    }

    fn restore(checkpoint: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(checkpoint, KIND, VERSION)?;
        let mut plan = Self::new(reader.natural()?);
        let is_fit = |n: &Natural| n.bit_len() > 64 && n.bit(0);
        if !is_fit(&plan.n) {
            return Err(Damaged::Impossible("number to be proved"));
        }
        plan.progress = reader.share()?;
        let first = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
        for _ in 0..reader.u64()? {
            let n = plan.tip().clone();
            let index = usize::try_from(reader.u64()?).map_err(|_| Damaged::Impossible("discriminant"))?;
            let t = IBig::from_le_bytes(reader.bytes()?);
            let mut step = Step {
                t,
                s: reader.natural()?,
                n,
                a: Natural::ZERO,
                x: Natural::ZERO,
                y: Natural::ZERO,
            };
            let q = step
                .q()
                .filter(|_| is_fit(&step.n))
                .ok_or(Damaged::Impossible("order"))?;
            let is_made = reader.u64()? != 0;
            if is_made {
                (step.a, step.x, step.y) = (reader.natural()?, reader.natural()?, reader.natural()?);
            }
            plan.links.push(Link {
                n: step.n.clone(),
                index,
                order: Order {
                    t: step.t.clone(),
                    s: step.s.clone(),
                    q,
                },
                roots: Roots::default(),
                step: is_made.then_some(step),
            });
        }
        reader.finish()?;
        plan.stage = Stage::table(0, first);
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{CheckCertificate, exercise, run_to_end};

    fn is_certificate(value: &Value) -> bool {
        matches!(value, Value::Text(text) if run_to_end(&mut CheckCertificate::new(text, 1000)) == true.into())
    }

    #[test]
    fn it_is_the_same_however_it_is_cut() {
        // The order of the last step of the second one is below 2^64.
        for n in [
            "1000000000000000000000000000057",
            "2816796437481369264981506880969451480979",
        ] {
            let n: Natural = n.parse().expect("a number");
            assert!(is_certificate(&exercise(|| ByCurves::new(n.clone()))));
        }
    }

    #[test]
    fn a_step_that_cannot_be_made_sends_it_back() {
        let mut plan = ByCurves::new(Natural::from(10u8).pow(39) + 3u8);
        while !matches!(plan.stage, Stage::Curves(_)) {
            let slice = Plan::cut(&mut plan).expect("it is not over");
            Plan::absorb(&mut plan, ByCurves::run(slice, Budget::unlimited()));
        }
        let (first, second) = (plan.links[0].index, plan.links[1].index);
        assert_eq!(Plan::stage(&plan), Some(format!("curves steps=0/{}", plan.links.len())));
        plan.constructed(1, None);
        assert_eq!(plan.links.len(), 1);
        assert!(is_certificate(&run_to_end(&mut plan)));
        assert_eq!(plan.links[0].index, first);
        assert!(plan.links[1].index > second);
    }

    /// Even if the test before were wrong.
    #[test]
    fn composites_are_never_proved() {
        let (p, q) = (Natural::from((1u64 << 61) - 1), Natural::from((1u64 << 31) - 1));
        for n in [&p * &q, p.sqr(), &p * 1_000_003u32] {
            assert_eq!(run_to_end(&mut ByCurves::new(n.clone())), "unproved".into(), "{n}");
        }
    }

    #[test]
    fn checkpoints_that_no_plan_wrote_are_refused() {
        let mut plan = ByCurves::new(Natural::from(10u8).pow(30) + 57u8);
        run_to_end(&mut plan);
        let bytes = Plan::save(&plan).expect("it has a checkpoint");
        for at in 8..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            if let Ok(mut plan) = ByCurves::restore(&altered) {
                // It comes to an end.
                run_to_end(&mut plan);
            }
            assert!(ByCurves::restore(&bytes[..at]).is_err());
        }
    }
}
