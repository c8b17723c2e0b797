//! The checkpoint of a plan: the number, the factors that are known, and how far the stage is.

use super::part::Part;
use super::searching::Searching;
use super::sieving::Sieving;
use super::task::read_number;
use super::{Factor, Stage};
use crate::job::checkpoint::{Damaged, Reader, Writer};
use crate::primes::Natural;
use crate::primes::factor::quadratic;
use dashu_int::ops::BitTest;
use std::collections::BTreeMap;

const KIND: [u8; 4] = *b"FACT";
const VERSION: u32 = 3;

const SEARCHING: u64 = 1;
const SIEVING: u64 = 2;

/// Families and batches under way count as not done, as does the solution of a matrix, which takes a twentieth of the
/// time.
pub(super) fn save(plan: &Factor) -> Vec<u8> {
    if let Stage::Part(part) = &plan.stage {
        // It is about a second of work, and starts over.
        return part.save();
    }
    let mut writer = Writer::new(KIND, VERSION);
    writer.natural(&plan.n);
    let part = plan.part.iter();
    for list in [
        plan.primes.iter().collect::<Vec<_>>(),
        plan.parts.iter().chain(part).collect(),
    ] {
        writer.u64(list.len() as u64);
        for number in list {
            writer.natural(number);
        }
    }
    writer.u64(plan.progress.to_bits());
    match &plan.stage {
        Stage::Searching(searching) => searching.save(writer.u64(SEARCHING)),
        Stage::Sieving(sieving) => sieving.save(writer.u64(SIEVING)),
        Stage::Alone(_) | Stage::Waiting | Stage::Part(_) | Stage::Done => {
            writer.u64(0);
        }
    }
    writer.finish()
}

/// The plan of a checkpoint, or of a part for another machine.
pub(super) fn restore(bytes: &[u8]) -> Result<Factor, Damaged> {
    match Part::restore(bytes) {
        Err(Damaged::Kind) => {}
        Err(damaged) => return Err(damaged),
        Ok(part) => {
            let mut plan = Factor::new(part.number().clone());
            plan.part = None;
            plan.stage = Stage::Part(Box::new(part));
            return Ok(plan);
        }
    }
    let mut reader = Reader::new(bytes, KIND, VERSION)?;
    let n = read_number(&mut reader)?;
    let (mut primes, mut parts) = (Vec::new(), Vec::new());
    for list in [&mut primes, &mut parts] {
        for _ in 0..reader.u64()? {
            list.push(read_number(&mut reader)?);
        }
    }
    let product = primes.iter().chain(&parts).try_fold(Natural::ONE, |product, factor| {
        (product.bit_len() <= n.bit_len()).then(|| product * factor)
    });
    if product.as_ref() != Some(&n) {
        return Err(Damaged::Impossible("factor"));
    }
    let progress = reader.share()?;
    let mut plan = Factor {
        stage: Stage::Waiting,
        part: None,
        n,
        primes,
        parts,
        progress,
        generation: 0,
        elsewhere: BTreeMap::new(),
    };
    let stage = reader.u64()?;
    if stage == 0 {
        plan.go_on();
        // Trial division comes before anything that counts on it.
        if plan.primes.is_empty() && plan.part.as_ref() == Some(&plan.n) {
            plan = Factor::new(plan.n);
        }
        reader.finish()?;
        return Ok(plan);
    }
    let part = plan.parts.pop().filter(|part| part.bit_len() > 64 && part.bit(0));
    let part = part.ok_or(Damaged::Impossible("part"))?;
    plan.stage = match stage {
        SEARCHING => match Searching::restore(part.clone(), &mut reader)? {
            Some(searching) => Stage::Searching(searching),
            None => Stage::Sieving(Box::new(Sieving::new(part.clone()))),
        },
        SIEVING if part.bit_len() <= quadratic::LONGEST => {
            Stage::Sieving(Box::new(Sieving::restore(part.clone(), &mut reader)?))
        }
        _ => return Err(Damaged::Impossible("stage")),
    };
    plan.part = Some(part);
    reader.finish()?;
    Ok(plan)
}
