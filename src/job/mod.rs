//! Jobs without actors: a plan cuts work into slices, absorbs partial results and gives the answer.
//!
//! Pure data and arithmetic: this module knows no actor, socket, thread or clock. Start reading at [`Plan`].

mod are_prime;
mod bounds;
mod by_curves;
mod by_ends;
mod certify;
mod check_certificate;
mod checkpoint;
mod constellations;
mod count;
mod count_by_pi;
mod count_wide;
mod divisors;
mod exercise;
mod factor;
mod gaps;
mod guarded;
mod is_prime;
mod listed;
mod nearest;
mod neighbour;
mod neighbours;
mod nth;
mod nth_rows;
mod of_factors;
#[cfg(feature = "cluster")]
mod part;
mod pi;
mod pieces;
mod plan;
mod query;
mod random;
mod reorder;
mod request;
mod restore;
mod root;
mod rows;
mod sieved;
mod sum_by_formula;
mod sum_by_sieve;
mod sum_part;
mod sum_to;
mod verify;

pub use are_prime::ArePrime;
pub use certify::Certify;
pub use check_certificate::CheckCertificate;
pub use checkpoint::{Damaged, Reader, Writer};
pub use constellations::CountConstellations;
pub use count::Count;
pub use count_by_pi::CountByPi;
pub use count_wide::CountWide;
pub use divisors::Divisors;
pub use exercise::exercise;
pub use factor::Factor;
pub use gaps::Gaps;
pub use is_prime::IsPrime;
pub use neighbour::{Next, Prev};
pub use neighbours::{NextPrimes, PrevPrimes};
pub use nth::Nth;
pub use nth_rows::NthRows;
pub use of_factors::{Function, OfFactors};
#[cfg(feature = "cluster")]
pub use part::{PART_SLICES, PartResult, PartTables};
pub use pi::Pi;
pub use pieces::Pieces;
pub use plan::{AnyPartial, AnyPlan, AnySlice, Budget, Plan, Shared, run_to_end};
pub use query::{Method, Query};
pub use random::{PrimeKind, RandomPrime};
pub use request::{Job, Spent};
pub use restore::restore;
pub use root::Root;
pub use rows::Rows;
pub use sum_by_formula::SumByFormula;
pub use sum_by_sieve::SumBySieve;
pub(crate) use verify::{FROM_TABLE, UNVERIFIABLE, is_of_table, is_refuted};
