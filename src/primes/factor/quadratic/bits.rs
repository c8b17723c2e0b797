//! Blocks of 64 columns over two elements: a tall one is a slice of words, a square one 64 words. Knows no matrix of
//! relations.

/// 64 rows of 64 columns.
pub(super) type Square = [u64; 64];

pub(super) const ZERO: Square = [0; 64];

/// `a b`
pub(super) fn mul(a: &Square, b: &Square) -> Square {
    a.map(|row| row_times(row, b))
}

fn row_times(mut row: u64, b: &Square) -> u64 {
    let mut sum = 0;
    while row != 0 {
        sum ^= b[row.trailing_zeros() as usize];
        row &= row - 1;
    }
    sum
}

pub(super) fn add(a: &Square, b: &Square) -> Square {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// The square with only these columns of `a` left.
pub(super) fn keep(a: &Square, columns: u64) -> Square {
    a.map(|row| row & columns)
}

pub(super) fn identity() -> Square {
    std::array::from_fn(|i| 1 << i)
}

/// Products by one square, looked up a byte at a time.
pub(super) struct Table(Box<[[u64; 256]; 8]>);

impl Table {
    pub(super) fn new(square: &Square) -> Self {
        let mut table = Box::new([[0; 256]; 8]);
        for (part, rows) in table.iter_mut().zip(square.as_chunks::<8>().0) {
            for byte in 1..256usize {
                part[byte] = part[byte & (byte - 1)] ^ rows[byte.trailing_zeros() as usize];
            }
        }
        Self(table)
    }

    #[inline(always)]
    pub(super) fn times(&self, row: u64) -> u64 {
        let bytes = row.to_le_bytes();
        (0..8).fold(0, |sum, i| sum ^ self.0[i][usize::from(bytes[i])])
    }
}

/// The transpose of a tall block times another one, as it grows row by row.
#[derive(Debug)]
pub(super) struct Inner(Box<[[u64; 256]; 8]>);

impl Inner {
    pub(super) fn new() -> Self {
        Self(Box::new([[0; 256]; 8]))
    }

    pub(super) fn extend(&mut self, left: &[u64], right: &[u64]) {
        for (left, right) in left.iter().zip(right) {
            for (part, byte) in self.0.iter_mut().zip(left.to_le_bytes()) {
                part[usize::from(byte)] ^= right;
            }
        }
    }

    pub(super) fn finish(self) -> Square {
        std::array::from_fn(|row| {
            let (part, bit) = (&self.0[row / 8], row % 8);
            let with_bit = (0..256).filter(|byte| byte >> bit & 1 == 1);
            with_bit.fold(0, |sum, byte: usize| sum ^ part[byte])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tables_and_inner_products_are_products(rows in prop::collection::vec(any::<(u64, u64)>(), 64), row: u64) {
            let a: Square = std::array::from_fn(|i| rows[i].0);
            let b: Square = std::array::from_fn(|i| rows[i].1);
            prop_assert_eq!(Table::new(&b).times(row), row_times(row, &b));
            let mut inner = Inner::new();
            inner.extend(&a, &b);
            let transposed: Square =
                std::array::from_fn(|i| (0..64).fold(0, |row, j| row | (a[j] >> i & 1) << j));
            prop_assert_eq!(inner.finish(), mul(&transposed, &b));
            prop_assert_eq!(mul(&a, &identity()), a);
        }
    }
}
