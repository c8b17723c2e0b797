//! The wire without sockets: what is said and how it is spelt. Knows no task, no actor and no clock.

mod value;

pub use value::Value;
