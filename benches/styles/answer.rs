//! The work, the same for every style: the prime of a number that comes as a line.

use primed::{Query, Value, run_to_end};

/// The answer to a line, computed here and now, however long it takes.
pub(super) fn answer(line: &str) -> String {
    let Ok(n @ 1..) = line.trim().parse() else {
        return "that is no number".into();
    };
    let query = Query::Nth(n);
    match query.known().unwrap_or_else(|| run_to_end(&mut *query.plan())) {
        Value::Number(prime) => prime.to_string(),
        other => format!("{other:?}"),
    }
}
