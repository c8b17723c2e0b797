//! Jobs without actors: a plan cuts work into slices, absorbs partial results and gives the answer.
//!
//! Pure data and arithmetic: this room knows no actor, socket, thread or clock. Start reading at [`Plan`].

mod checkpoint;
mod constellations;
mod count;
mod count_by_pi;
mod exercise;
mod factor;
mod gaps;
mod is_prime;
mod neighbour;
mod nth;
mod pi;
mod pieces;
mod plan;
mod query;
mod request;
mod restore;
mod rows;
mod sieved;
mod sum_by_sieve;

pub use checkpoint::{Damaged, Reader, Writer};
pub use constellations::CountConstellations;
pub use count::Count;
pub use count_by_pi::CountByPi;
pub use exercise::exercise;
pub use factor::Factor;
pub use gaps::Gaps;
pub use is_prime::IsPrime;
pub use neighbour::{Next, Prev};
pub use nth::Nth;
pub use pi::Pi;
pub use pieces::Pieces;
pub use plan::{AnyPartial, AnyPlan, AnySlice, Budget, Plan, run_to_end};
pub use query::{Method, Query};
pub use request::Job;
pub use restore::restore;
pub use rows::Rows;
pub use sum_by_sieve::SumBySieve;
