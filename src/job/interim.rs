//! Stands in until counting by two pi is merged.

use super::Budget;
use super::Plan;
use crate::proto::Value;
macro_rules! plans { ($($t:ident($($ty:ty),*);)*) => { $(
#[derive(Default)] pub struct $t(u64);
impl $t { #[allow(unused)] pub fn new($(_: $ty),*) -> Self { $t(0) } #[allow(unused)] pub fn is_cheaper(_: u64, _: u64) -> bool { false } }
impl Plan for $t { type Slice = (); type Partial = ();
 fn cut(&mut self) -> Option<()> { Some(()) }
 fn run(_: (), b: Budget<'_>) { while !b.over() {} }
 fn absorb(&mut self, _: ()) { self.0 += 1; }
 fn answer(&mut self) -> Option<Value> { (self.0 > 100_000).then(|| Value::from(7)) }
 fn progress(&self) -> f64 { self.0 as f64 / 100_000.0 }
})* } }
plans! { CountByPi(u64, u64); }
