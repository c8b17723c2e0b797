//! One verb through each door, each in a file of its own with less than 40 lines.

mod plan;
mod sleep;
mod tally;

pub use plan::{Squarefree, squarefree};
pub use sleep::sleep;
pub use tally::tally;
