//! The bytes of a checkpoint: a version, then little-endian words. Knows no file and no plan.
//!
//! Every plan writes its own kind and version first, so that a checkpoint of an older algorithm is refused and not
//! misread.

use crate::primes::Natural;
use thiserror::Error;

/// Why bytes are not a checkpoint that can be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damaged {
    /// The bytes end too early.
    #[error("checkpoint ends too early")]
    Short,
    /// Bytes are left over after the end.
    #[error("checkpoint has bytes after its end")]
    Long,
    /// Another kind of plan wrote it.
    #[error("checkpoint is of another kind of plan")]
    Kind,
    /// Another version of the plan's algorithm wrote it: the work starts over.
    #[error("checkpoint is of version {found} of its plan, and this program goes on from version {known}")]
    Version {
        /// The version that wrote it.
        found: u32,
        /// The version that reads it.
        known: u32,
    },
    /// A field holds what no plan would write.
    #[error("checkpoint holds an impossible {0}")]
    Impossible(&'static str),
}

/// Writes a checkpoint.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Starts a checkpoint of this kind (four letters) and version of the algorithm.
    pub fn new(kind: [u8; 4], version: u32) -> Self {
        let mut writer = Self(Vec::new());
        writer.0.extend_from_slice(&kind);
        writer.0.extend_from_slice(&version.to_le_bytes());
        writer
    }

    /// Adds one word.
    pub fn u64(&mut self, word: u64) -> &mut Self {
        self.0.extend_from_slice(&word.to_le_bytes());
        self
    }

    /// Adds a double word.
    pub fn u128(&mut self, word: u128) -> &mut Self {
        self.0.extend_from_slice(&word.to_le_bytes());
        self
    }

    /// Adds the length of a list of words, then the words.
    pub fn words(&mut self, words: &[u64]) -> &mut Self {
        self.u64(words.len() as u64);
        for word in words {
            self.u64(*word);
        }
        self
    }

    /// Adds the length of bytes, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a number of any size: the length of its bytes, then these.
    pub(super) fn natural(&mut self, number: &Natural) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    /// The finished checkpoint.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a checkpoint; never panics and never takes more memory than the bytes it was given.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Opens a checkpoint that must be of this kind and version.
    ///
    /// # Errors
    /// [`Damaged::Kind`] or [`Damaged::Version`] if it is of another, [`Damaged::Short`] if there is no header.
    pub fn new(bytes: &'a [u8], kind: [u8; 4], version: u32) -> Result<Self, Damaged> {
        let mut reader = Self(bytes);
        if reader.take(4)? != kind {
            return Err(Damaged::Kind);
        }
        let found = reader.take(4)?.try_into().map_err(|_| Damaged::Short)?;
        match u32::from_le_bytes(found) {
            found if found == version => Ok(reader),
            found => Err(Damaged::Version { found, known: version }),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Damaged::Short)?;
        self.0 = rest;
        Ok(head)
    }

    /// The next word.
    ///
    /// # Errors
    /// [`Damaged::Short`] at the end.
    pub fn u64(&mut self) -> Result<u64, Damaged> {
        let bytes = self.take(8)?.try_into().map_err(|_| Damaged::Short)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The next double word.
    ///
    /// # Errors
    /// [`Damaged::Short`] at the end.
    pub fn u128(&mut self) -> Result<u128, Damaged> {
        let bytes = self.take(16)?.try_into().map_err(|_| Damaged::Short)?;
        Ok(u128::from_le_bytes(bytes))
    }

    /// The next list of words.
    ///
    /// # Errors
    /// [`Damaged::Short`] if it says it is longer than what is left.
    pub fn words(&mut self) -> Result<Vec<u64>, Damaged> {
        let count = usize::try_from(self.u64()?).map_err(|_| Damaged::Short)?;
        if count > self.0.len() / 8 {
            return Err(Damaged::Short);
        }
        (0..count).map(|_| self.u64()).collect()
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`Damaged::Short`] if they say they are longer than what is left.
    pub fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let count = usize::try_from(self.u64()?).map_err(|_| Damaged::Short)?;
        self.take(count)
    }

    /// The next number of any size.
    ///
    /// # Errors
    /// [`Damaged::Short`] if it says it is longer than what is left.
    pub(super) fn natural(&mut self) -> Result<Natural, Damaged> {
        self.bytes().map(Natural::from_le_bytes)
    }

    /// The share of a plan that was done, whose bits are the next word.
    ///
    /// # Errors
    /// [`Damaged::Short`] at the end, [`Damaged::Impossible`] unless it is from 0 to 1.
    pub(super) fn share(&mut self) -> Result<f64, Damaged> {
        let share = f64::from_bits(self.u64()?);
        match (0.0..=1.0).contains(&share) {
            true => Ok(share),
            false => Err(Damaged::Impossible("progress")),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Damaged::Long`] if something is left over.
    pub fn finish(self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged::Long) }
    }
}
