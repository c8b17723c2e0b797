//! Orders of some attempts, tested together: the first whose large factor is a probable prime.
//!
//! Does not know where they come from; see [`attempt`](super::attempt).

use super::attempt::Order;
use crate::primes::primality::candidates::Candidates;
use dashu_int::ops::BitTest;
use std::collections::VecDeque;

/// The trial under way.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The indices of the attempts.
    indices: Vec<usize>,
    /// Those of their orders that are not known to fail, each with the index of its attempt, in ascending order.
    orders: VecDeque<(usize, Order)>,
    candidates: Option<Box<Candidates>>,
}

impl Trial {
    /// For how many orders of a number of as many bits a trial is best begun. More are tested in less time, but if one
    /// of them serves the attempts for those after it were in vain; and to test a short number takes less than an
    /// attempt. As measured for primes of 60 to 500 digits.
    pub(crate) fn at_once(bits: usize) -> usize {
        (bits / 200).clamp(1, Candidates::at_once(bits))
    }

    /// Begins with the orders of attempts in the order of these.
    pub(crate) fn new(attempts: impl IntoIterator<Item = (usize, Vec<Order>)>) -> Self {
        let (mut indices, mut all) = (Vec::new(), VecDeque::new());
        for (index, orders) in attempts {
            indices.push(index);
            all.extend(orders.into_iter().map(|order| (index, order)));
        }
        Self {
            indices,
            orders: all,
            candidates: None,
        }
    }

    /// Goes on until the first order that serves is known, or that none does: true then. False after `over`, which is
    /// asked every few microseconds.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> bool {
        while let Some((_, order)) = self.orders.front() {
            let some = Candidates::at_once(order.q.bit_len());
            let numbers = || {
                self.orders
                    .iter()
                    .take(some)
                    .map(|(_, order)| order.q.clone())
                    .collect()
            };
            let candidates = (self.candidates).get_or_insert_with(|| Box::new(Candidates::new(numbers())));
            match candidates.advance(&mut over) {
                None => return false,
                Some(true) => return true,
                Some(false) => {}
            }
            if candidates.next().is_none() {
                self.candidates = None;
            }
            self.orders.pop_front();
        }
        true
    }

    /// The attempts that came to nothing, and the one with an order that serves. The others do not matter then.
    pub(crate) fn into_result(mut self) -> (Vec<usize>, Option<(usize, Order)>) {
        let found = self.orders.pop_front();
        if let Some((index, _)) = &found {
            self.indices.retain(|before| before < index);
        }
        (self.indices, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::Natural;
    use dashu_int::IBig;

    fn orders(distances: &[u32]) -> Vec<Order> {
        let order = |distance: &u32| Order {
            t: IBig::from(*distance),
            s: 2u8.into(),
            q: Natural::from(10u8).pow(100) + *distance,
        };
        distances.iter().map(order).collect()
    }

    #[test]
    fn the_first_that_serves_is_found_however_often_it_pauses() {
        // The primes above 10^100 begin with 10^100 + 267 and + 949 (PARI, nextprime).
        let attempts = [
            (3, orders(&[1, 3])),
            (7, orders(&[5])),
            (8, orders(&[7, 949])),
            (9, orders(&[267])),
        ];
        for patience in 0..40 {
            let mut trial = Trial::new(attempts.clone());
            let mut asked = 0;
            while !trial.advance(|| {
                asked += 1;
                asked % (patience + 1) == 0
            }) {}
            let (in_vain, found) = trial.into_result();
            assert_eq!(in_vain, [3, 7]);
            assert_eq!(found, Some((8, orders(&[949]).remove(0))));
        }
    }

    #[test]
    fn attempts_without_an_order_that_serves_are_in_vain() {
        let mut trial = Trial::new((0..10).map(|index| (index, orders(&[1, 9, 11]))));
        assert!(trial.advance(|| false));
        assert_eq!(trial.into_result(), ((0..10).collect(), None));
    }
}
