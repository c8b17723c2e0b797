//! `regex-lite` under the name of `regex`: the same interface and syntax, without Unicode classes and without their
//! tables.

pub use regex_lite::*;
