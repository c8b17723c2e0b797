//! The parts of a plan that other machines do, from the owner's side: what is cut off, and what comes back of it.

use super::task::{self, Task};
use super::{Factor, Stage};
use crate::job::checkpoint::Damaged;
use crate::primes::Natural;
use dashu_int::ops::BitTest;

/// The most that other machines do at once.
const MOST_ELSEWHERE: usize = 4096;

/// Cuts off about this many nanoseconds of work, as bytes.
pub(super) fn cut(plan: &mut Factor, cost: f64) -> Option<Vec<u8>> {
    if plan.elsewhere.len() >= MOST_ELSEWHERE {
        return None;
    }
    let n = plan.part.as_ref()?;
    let task = match &mut plan.stage {
        Stage::Searching(searching) => searching.cut_part(cost)?,
        Stage::Sieving(sieving) => sieving.cut_part(n.bit_len(), cost)?,
        _ => return None,
    };
    let bytes = task::to_bytes(n, &task);
    plan.elsewhere.insert(bytes.clone(), plan.generation);
    Some(bytes)
}

/// Takes in a result. One that comes after a divisor was found, or after the relations were enough, is of no use, and
/// no error.
pub(super) fn absorb(plan: &mut Factor, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
    let (n, task, is_wanted) = find(plan, part)?;
    match task {
        Task::Curves { level, .. } => {
            let divisor = task::read_divisor(result, &n)?;
            if is_wanted {
                plan.finished(divisor, level.batches);
            }
        }
        Task::Polynomials(pieces) => {
            let (count, relations) = task::read_relations(result)?;
            if let Stage::Sieving(sieving) = &mut plan.stage
                && is_wanted
            {
                sieving.take_in(pieces, count, relations)?;
            }
        }
    }
    plan.elsewhere.remove(part);
    Ok(())
}

/// What was cut off is to be done here after all.
pub(super) fn take_back(plan: &mut Factor, part: &[u8]) -> Result<(), Damaged> {
    let (_, task, is_wanted) = find(plan, part)?;
    plan.elsewhere.remove(part);
    match (task, &mut plan.stage) {
        (Task::Curves { level, .. }, Stage::Searching(searching)) if is_wanted => searching.take_back(level.batches),
        (Task::Polynomials(pieces), Stage::Sieving(sieving)) if is_wanted => sieving.take_back(&pieces),
        _ => {}
    }
    Ok(())
}

/// What this part of the plan is to do, to which composite, and whether that is still wanted.
fn find(plan: &Factor, part: &[u8]) -> Result<(Natural, Task, bool), Damaged> {
    let generation = plan.elsewhere.get(part).ok_or(Damaged::Impossible("part"))?;
    let (n, task) = task::read(part)?;
    Ok((n, task, *generation == plan.generation))
}
