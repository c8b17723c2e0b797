//! The matrix over two elements whose columns are sets of relations and whose rows are primes, freed of what cannot be
//! in a dependency.
//!
//! Knows no relation: a column is a list of rows. Dependencies come as bits: bit `d` of a column's word says that it is
//! in dependency `d`.

use super::lanczos::Lanczos;

/// Matrices of fewer columns are solved by plain elimination: Lanczos' method needs some room for chance, and is not
/// faster there.
const LEAST_COLUMNS: usize = 1200;

/// Columns more than rows that are kept.
const EXCESS: usize = 80;

/// A matrix being solved.
#[derive(Debug)]
pub(crate) struct Matrix {
    /// How many columns were given.
    given: usize,
    /// Which of those are left.
    kept: Vec<u32>,
    state: State,
}

#[derive(Debug)]
enum State {
    Dense(Dense),
    Lanczos(Box<Lanczos>),
}

impl Matrix {
    /// Takes the columns, each an ascending list of rows below `rows`.
    pub(crate) fn new(rows: usize, columns: Vec<Vec<u32>>, seed: u64) -> Self {
        let given = columns.len();
        let (kept, columns) = without_singletons(rows, columns);
        let state = if columns.len() < LEAST_COLUMNS {
            State::Dense(Dense::new(rows, &columns))
        } else {
            State::Lanczos(Box::new(Lanczos::new(rows, &columns, seed)))
        };
        Self { given, kept, state }
    }

    /// Goes on until it is solved or until `over`. The dependencies, once it is: none if the method failed, which
    /// another seed may help.
    pub(crate) fn advance(&mut self, over: impl FnMut() -> bool) -> Option<Vec<u64>> {
        let words = match &mut self.state {
            State::Dense(dense) => dense.advance(over)?,
            State::Lanczos(lanczos) => lanczos.advance(over)?,
        };
        let mut all = vec![0; self.given];
        for (column, word) in self.kept.iter().zip(words) {
            all[*column as usize] = word;
        }
        Some(all)
    }

    /// The share of the work that is done.
    pub(crate) fn progress(&self) -> f64 {
        match &self.state {
            State::Dense(dense) => dense.column as f64 / dense.columns.max(1) as f64,
            State::Lanczos(lanczos) => lanczos.progress(),
        }
    }
}

/// Leaves out columns with a row that no other column has, again and again, and columns beyond the excess, the heaviest
/// first.
fn without_singletons(rows: usize, columns: Vec<Vec<u32>>) -> (Vec<u32>, Vec<Vec<u32>>) {
    let mut weights = vec![0u32; rows];
    for row in columns.iter().flatten() {
        weights[*row as usize] += 1;
    }
    let mut kept: Vec<u32> = (0..columns.len() as u32).collect();
    loop {
        let before = kept.len();
        loop {
            let count = kept.len();
            kept.retain(|column| {
                let column = &columns[*column as usize];
                let is_single = column.iter().any(|row| weights[*row as usize] == 1);
                if is_single {
                    for row in column {
                        weights[*row as usize] -= 1;
                    }
                }
                !is_single
            });
            if kept.len() == count {
                break;
            }
        }
        let used = weights.iter().filter(|weight| **weight > 0).count();
        let surplus = kept.len().saturating_sub(used + EXCESS);
        if surplus > 0 {
            kept.sort_by_key(|column| columns[*column as usize].len());
            for column in kept.drain(kept.len() - surplus..) {
                for row in &columns[column as usize] {
                    weights[*row as usize] -= 1;
                }
            }
        }
        if kept.len() == before {
            break;
        }
    }
    let mut columns = columns;
    let left = kept
        .iter()
        .map(|column| std::mem::take(&mut columns[*column as usize]))
        .collect();
    (kept, left)
}

/// Plain elimination.
#[derive(Debug)]
struct Dense {
    /// For each given column a row of bits: its parities, then which given columns were added up to it.
    lines: Vec<Vec<u64>>,
    columns: usize,
    column: usize,
    pivots: usize,
}

impl Dense {
    fn new(rows: usize, columns: &[Vec<u32>]) -> Self {
        let width = rows.div_ceil(64);
        let line = |(i, column): (usize, &Vec<u32>)| {
            let mut line = vec![0u64; width + columns.len().div_ceil(64)];
            for row in column {
                line[*row as usize / 64] |= 1 << (row % 64);
            }
            line[width + i / 64] |= 1 << (i % 64);
            line
        };
        Self {
            lines: columns.iter().enumerate().map(line).collect(),
            columns: rows,
            column: 0,
            pivots: 0,
        }
    }

    fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Vec<u64>> {
        while self.column < self.columns {
            self.eliminate();
            self.column += 1;
            if self.column.is_multiple_of(8) && over() {
                return None;
            }
        }
        let width = self.columns.div_ceil(64);
        let mut words = vec![0u64; self.lines.len()];
        for (d, line) in self.lines[self.pivots..].iter().take(64).enumerate() {
            for (i, word) in words.iter_mut().enumerate() {
                *word |= (line[width + i / 64] >> (i % 64) & 1) << d;
            }
        }
        Some(words)
    }

    fn eliminate(&mut self) {
        let (word, bit) = (self.column / 64, self.column % 64);
        let is_set = |line: &Vec<u64>| line[word] >> bit & 1 == 1;
        let Some(pivot) = (self.pivots..self.lines.len()).find(|i| is_set(&self.lines[*i])) else {
            return;
        };
        self.lines.swap(self.pivots, pivot);
        let (above, below) = self.lines.split_at_mut(self.pivots + 1);
        let pivot = &above[self.pivots];
        for line in below.iter_mut().filter(|line| is_set(line)) {
            for (a, b) in line[word..].iter_mut().zip(&pivot[word..]) {
                *a ^= b;
            }
        }
        self.pivots += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns with the density of relations: row `r` with a chance of about `2 / r`.
    fn columns(rows: u32, count: usize) -> Vec<Vec<u32>> {
        let mut state = 1u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        };
        let mut column = || {
            let mut column: Vec<u32> = (0..20).map(|_| (f64::from(rows).powf(random()) - 1.0) as u32).collect();
            column.sort_unstable();
            column.dedup();
            column
        };
        (0..count).map(|_| column()).collect()
    }

    #[test]
    fn dependencies_add_up_to_nothing() {
        for (rows, count) in [(50, 80), (700, 760), (1500, 1600), (4000, 4100)] {
            let columns = columns(rows, count);
            let mut matrix = Matrix::new(rows as usize, columns.clone(), 7);
            let words = loop {
                if let Some(words) = matrix.advance(|| true) {
                    break words;
                }
            };
            let mut sums = vec![0u64; rows as usize];
            for (column, word) in columns.iter().zip(&words) {
                for row in column {
                    sums[*row as usize] ^= word;
                }
            }
            assert!(sums.iter().all(|sum| *sum == 0), "{rows}");
            let all = words.iter().fold(0, |all, word| all | word);
            assert!(all.count_ones() >= 8, "{rows}: {all:b}");
            assert!((matrix.progress() - 1.0).abs() < 0.1, "{}", matrix.progress());
        }
    }
}
