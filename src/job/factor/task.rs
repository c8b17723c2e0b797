//! What machines send each other of the work at a composite: what a part is to do, and what it came to. Knows no plan.

use crate::job::checkpoint::{Damaged, Reader, Writer};
use crate::primes::Natural;
use crate::primes::factor::curves::{self, LANES};
use crate::primes::factor::quadratic::{self, Piece};
use crate::primes::factor::schedule::{LEVELS, Level};
use dashu_int::ops::BitTest;

const KIND: [u8; 4] = *b"FACp";
const VERSION: u32 = 1;

/// The first curve's parameter: those up to 5 give none.
pub(super) const FIRST_PARAMETER: u32 = 6;

/// What a part is to do.
#[derive(Debug)]
pub(super) enum Task {
    /// This many batches of curves, from a parameter on.
    Curves {
        level: Level,
        parameter: u32,
    },
    Polynomials(Vec<Piece>),
}

const CURVES: u64 = 1;
const POLYNOMIALS: u64 = 2;

/// The bytes of a part.
pub(super) fn to_bytes(n: &Natural, task: &Task) -> Vec<u8> {
    let mut writer = Writer::new(KIND, VERSION);
    writer.natural(n);
    match task {
        Task::Curves { level, parameter } => {
            writer.u64(CURVES).u64(level.first).u64(level.second);
            writer.u64((*parameter).into()).u64(level.batches.into());
        }
        Task::Polynomials(pieces) => {
            writer.u64(POLYNOMIALS).u64(pieces.len() as u64);
            for piece in pieces {
                writer.words(&piece.words());
            }
        }
    }
    writer.finish()
}

/// What a part is to do, and to which composite.
pub(super) fn read(bytes: &[u8]) -> Result<(Natural, Task), Damaged> {
    let mut reader = Reader::new(bytes, KIND, VERSION)?;
    let n = read_number(&mut reader)?;
    if n.bit_len() <= 64 || !n.bit(0) {
        return Err(Damaged::Impossible("number"));
    }
    let task = match reader.u64()? {
        CURVES => {
            let bounds = (reader.u64()?, reader.u64()?);
            let level = LEVELS.iter().find(|level| (level.first, level.second) == bounds);
            let [parameter, batches] = [reader.u64()?, reader.u64()?].map(|word| u32::try_from(word).unwrap_or(0));
            let is_possible = batches > 0
                && batches
                    .checked_mul(LANES as u32)
                    .is_some_and(|curves| curves <= u32::MAX - parameter);
            match level.filter(|_| is_possible && parameter >= FIRST_PARAMETER) {
                Some(level) => Task::Curves {
                    level: Level { batches, ..*level },
                    parameter,
                },
                None => return Err(Damaged::Impossible("curve")),
            }
        }
        POLYNOMIALS if n.bit_len() <= quadratic::LONGEST => {
            let mut pieces = Vec::new();
            for _ in 0..reader.u64()? {
                let piece = Piece::read(&reader.words()?);
                pieces.push(piece.ok_or(Damaged::Impossible("polynomial"))?);
            }
            Task::Polynomials(pieces)
        }
        _ => return Err(Damaged::Impossible("part")),
    };
    reader.finish()?;
    Ok((n, task))
}

/// The result of curves: a divisor in bytes, none if they found none.
pub(super) fn divisor_to_bytes(divisor: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(KIND, VERSION);
    writer.bytes(divisor);
    writer.finish()
}

/// The result of polynomials: how many relations they have, and these as bytes.
pub(super) fn relations_to_bytes(count: u64, relations: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(KIND, VERSION);
    writer.u64(count).bytes(relations);
    writer.finish()
}

/// The divisor of `n` that curves found, if they did.
pub(super) fn read_divisor(result: &[u8], n: &Natural) -> Result<Option<Natural>, Damaged> {
    let mut reader = Reader::new(result, KIND, VERSION)?;
    let bytes = reader.bytes()?;
    reader.finish()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let divisor = Natural::from_le_bytes(bytes);
    let is_proper = divisor > Natural::ONE && divisor < *n && (n % &divisor).is_zero();
    is_proper.then_some(Some(divisor)).ok_or(Damaged::Impossible("divisor"))
}

/// How many relations polynomials have, and these as bytes.
pub(super) fn read_relations(result: &[u8]) -> Result<(usize, &[u8]), Damaged> {
    let mut reader = Reader::new(result, KIND, VERSION)?;
    let count = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
    let relations = reader.bytes()?;
    reader.finish()?;
    Ok((count, relations))
}

/// A number, as plans and parts have it.
pub(super) fn read_number(reader: &mut Reader<'_>) -> Result<Natural, Damaged> {
    let number = reader.natural()?;
    // Longer ones are not asked about.
    (number > Natural::ZERO && number.bit_len() <= curves::LONGEST)
        .then_some(number)
        .ok_or(Damaged::Impossible("number"))
}
