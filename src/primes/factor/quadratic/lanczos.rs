//! Lanczos' method for blocks of 64 columns over two elements: finds dependencies of a sparse matrix with little more
//! than the matrix itself.
//!
//! Source: P. L. Montgomery, "A block Lanczos algorithm for finding dependencies over GF(2)", EUROCRYPT '95, LNCS 921,
//! sections 5 to 8, whose letters are kept: `A = B^T B`, `V_i`, `W_i`, `S_i`, `D`, `E`, `F`.

use super::bits::{Inner, Square, Table, ZERO, add, identity, keep, mul};

/// Rows that most columns have are kept as bits of a word a column.
const DENSE_ROWS: usize = 64;

/// Columns between two questions whether to pause: some 50 microseconds.
const STEP: usize = 1024;

#[derive(Debug)]
pub(super) struct Lanczos {
    sparse: Sparse,
    /// Where the iteration is.
    phase: Phase,
    cursor: usize,
    iterations: usize,
    /// `V_i`, `V_{i-1}`, `V_{i-2}`, and `V_0`.
    v: [Vec<u64>; 3],
    v0: Vec<u64>,
    /// The solution so far, less `Y`.
    x: Vec<u64>,
    /// `B V_i`, by row.
    bv: Vec<u64>,
    /// `A V_i`
    av: Vec<u64>,
    inner: [Inner; 3],
    /// Of the iterations before, the latest first: `W^inv`, `V^T A V`, `V^T A^2 V`, and the columns of `S`.
    before: [Known; 2],
}

#[derive(Clone, Copy, Debug)]
struct Known {
    w_inverse: Square,
    vt_a_v: Square,
    vt_a2_v: Square,
    s: u64,
}

#[derive(Debug)]
enum Phase {
    /// `V_0 = A Y`
    Begin(Vec<u64>),
    Down,
    Up,
    Inner,
    Update(Box<[Square; 4]>),
    /// What is left is to combine `X - Y` and the last `V`.
    Ending,
}

/// The matrix, column by column.
#[derive(Debug)]
struct Sparse {
    rows: usize,
    columns: usize,
    /// The rows of all columns one after the other, and where each column ends.
    entries: Vec<u32>,
    ends: Vec<u32>,
    /// Dense rows, as a word a column.
    dense: Vec<u64>,
}

impl Sparse {
    fn new(rows: usize, columns: &[Vec<u32>]) -> Self {
        let mut weights = vec![0u32; rows];
        for row in columns.iter().flatten() {
            weights[*row as usize] += 1;
        }
        let mut by_weight: Vec<u32> = (0..rows as u32).filter(|row| weights[*row as usize] > 0).collect();
        by_weight.sort_by_key(|row| std::cmp::Reverse(weights[*row as usize]));
        // Rows that no column has are left out.
        let mut names = vec![0u32; rows];
        for (name, row) in by_weight.iter().enumerate() {
            names[*row as usize] = name as u32;
        }
        let mut sparse = Self {
            rows: by_weight.len().max(DENSE_ROWS),
            columns: columns.len(),
            entries: Vec::new(),
            ends: Vec::with_capacity(columns.len()),
            dense: vec![0; columns.len()],
        };
        for (column, dense) in columns.iter().zip(&mut sparse.dense) {
            for row in column {
                let name = names[*row as usize];
                if (name as usize) < DENSE_ROWS {
                    *dense |= 1 << name;
                } else {
                    sparse.entries.push(name);
                }
            }
            sparse.ends.push(sparse.entries.len() as u32);
        }
        sparse
    }

    fn column(&self, column: usize) -> &[u32] {
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.entries[start as usize..self.ends[column] as usize]
    }

    /// Adds `B v` of some columns to `out`.
    fn down(&self, range: std::ops::Range<usize>, v: &[u64], out: &mut [u64]) {
        for column in range.clone() {
            for row in self.column(column) {
                out[*row as usize] ^= v[column];
            }
        }
        let mut inner = Inner::new();
        inner.extend(&self.dense[range.clone()], &v[range]);
        for (out, sum) in out.iter_mut().zip(inner.finish()) {
            *out ^= sum;
        }
    }

    /// `B^T u` of some columns.
    fn up(&self, range: std::ops::Range<usize>, u: &[u64], table: &Table, out: &mut [u64]) {
        for column in range {
            let sparse = self.column(column).iter().fold(0, |sum, row| sum ^ u[*row as usize]);
            out[column] = sparse ^ table.times(self.dense[column]);
        }
    }

    fn dense_table(&self, u: &[u64]) -> Table {
        Table::new(&std::array::from_fn(|i| u[i]))
    }
}

impl Lanczos {
    pub(super) fn new(rows: usize, columns: &[Vec<u32>], seed: u64) -> Self {
        let sparse = Sparse::new(rows, columns);
        let count = sparse.columns;
        let mut state = seed | 1;
        let mut random = move || {
            // Xorshift with a multiplication (S. Vigna, 2014).
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d)
        };
        let y: Vec<u64> = (0..count).map(|_| random()).collect();
        let first = Known {
            w_inverse: ZERO,
            vt_a_v: ZERO,
            vt_a2_v: ZERO,
            s: !0,
        };
        Self {
            bv: vec![0; sparse.rows],
            av: vec![0; count],
            v: [y.clone(), vec![0; count], vec![0; count]],
            v0: Vec::new(),
            x: vec![0; count],
            phase: Phase::Begin(y),
            cursor: 0,
            iterations: 0,
            inner: [Inner::new(), Inner::new(), Inner::new()],
            before: [first; 2],
            sparse,
        }
    }

    /// 64 columns less a few are done in an iteration.
    pub(super) fn progress(&self) -> f64 {
        (self.iterations as f64 * 63.2 / self.sparse.columns as f64).min(1.0)
    }

    /// Goes on until there are dependencies or until `over`. All words are 0 if it failed.
    pub(super) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Vec<u64>> {
        loop {
            let columns = self.sparse.columns;
            let range = self.cursor..(self.cursor + STEP).min(columns);
            self.cursor = range.end;
            let is_last = range.end == columns;
            match &mut self.phase {
                Phase::Begin(_) | Phase::Down => {
                    if range.start == 0 {
                        self.bv.fill(0);
                    }
                    self.sparse.down(range, &self.v[0], &mut self.bv);
                    if is_last {
                        self.cursor = 0;
                        if let Phase::Down = self.phase {
                            self.phase = Phase::Up;
                        } else {
                            self.begin();
                            self.phase = Phase::Down;
                        }
                    }
                }
                Phase::Up => {
                    let table = self.sparse.dense_table(&self.bv);
                    self.sparse.up(range, &self.bv, &table, &mut self.av);
                    if is_last {
                        self.cursor = 0;
                        self.phase = Phase::Inner;
                    }
                }
                Phase::Inner => {
                    let (v, av) = (&self.v[0][range.clone()], &self.av[range.clone()]);
                    self.inner[0].extend(v, av);
                    self.inner[1].extend(av, av);
                    self.inner[2].extend(v, &self.v0[range]);
                    if is_last {
                        self.cursor = 0;
                        match self.coefficients() {
                            Ok(phase) => self.phase = phase,
                            Err(Failed) => return Some(vec![0; columns]),
                        }
                    }
                }
                Phase::Update(squares) => {
                    let [d, e, f, x] = squares.each_ref().map(Table::new);
                    let s = self.before[0].s;
                    let [v, v1, v2] = &mut self.v;
                    for i in range {
                        self.x[i] ^= x.times(v[i]);
                        // The oldest makes room for the next.
                        v2[i] = (self.av[i] & s) ^ d.times(v[i]) ^ e.times(v1[i]) ^ f.times(v2[i]);
                    }
                    if is_last {
                        self.cursor = 0;
                        self.v.rotate_right(1);
                        self.iterations += 1;
                        self.phase = Phase::Down;
                    }
                }
                Phase::Ending => return Some(self.combine()),
            }
            if over() {
                return None;
            }
        }
    }

    /// `V_0 = A Y`, and `X` starts from `-Y`, so that it ends as `X - Y`.
    fn begin(&mut self) {
        let table = self.sparse.dense_table(&self.bv);
        let mut v0 = vec![0; self.sparse.columns];
        self.sparse.up(0..self.sparse.columns, &self.bv, &table, &mut v0);
        if let Phase::Begin(y) = &mut self.phase {
            self.x = std::mem::take(y);
        }
        self.v[0] = v0.clone();
        self.v0 = v0;
    }

    /// What the next `V` and the solution are made of.
    fn coefficients(&mut self) -> Result<Phase, Failed> {
        let fresh = || [Inner::new(), Inner::new(), Inner::new()];
        let [vt_a_v, vt_a2_v, vt_v0] = std::mem::replace(&mut self.inner, fresh()).map(Inner::finish);
        if vt_a_v == ZERO {
            return Ok(Phase::Ending);
        }
        let [one, two] = self.before;
        let (w_inverse, s) = invert(&vt_a_v, one.s)?;
        // Every column is taken in this iteration or was in the one before.
        if s | one.s != !0 || self.iterations > self.sparse.columns / 32 + 100 {
            return Err(Failed);
        }
        // Two elements have no signs.
        let d = add(&identity(), &mul(&w_inverse, &add(&keep(&vt_a2_v, s), &vt_a_v)));
        let e = mul(&one.w_inverse, &keep(&vt_a_v, s));
        let left = mul(&two.w_inverse, &add(&identity(), &mul(&one.vt_a_v, &one.w_inverse)));
        let right = keep(&add(&keep(&one.vt_a2_v, one.s), &one.vt_a_v), s);
        let f = mul(&left, &right);
        let x = mul(&w_inverse, &vt_v0);
        let now = Known {
            w_inverse,
            vt_a_v,
            vt_a2_v,
            s,
        };
        self.before = [now, one];
        Ok(Phase::Update(Box::new([d, e, f, x])))
    }

    /// Of `X - Y` and the last `V`, the combinations that `B` takes to 0 (section 8).
    fn combine(&self) -> Vec<u64> {
        let count = self.sparse.columns;
        let image = |v: &[u64]| {
            let mut image = vec![0; self.sparse.rows];
            self.sparse.down(0..count, v, &mut image);
            image
        };
        let (x, v) = (&self.x, &self.v[0]);
        // Bits 0 to 63 are of X - Y, the others of V.
        let join = |(low, high): (&u64, &u64)| u128::from(*low) | u128::from(*high) << 64;
        let (image_x, image_v) = (image(x), image(v));
        let mut images: Vec<u128> = image_x.iter().zip(&image_v).map(join).collect();
        let mut vectors: Vec<u128> = x.iter().zip(v).map(join).collect();
        // Eliminates columns of the images: what becomes 0 is a dependency.
        let mut left = !0u128;
        for i in 0..images.len() {
            let live = images[i] & left;
            if live == 0 {
                continue;
            }
            let pivot = live.trailing_zeros();
            let others = live & !(1 << pivot);
            left &= !(1 << pivot);
            if others != 0 {
                for row in images[i..].iter_mut().chain(&mut vectors) {
                    // All ones if the pivot's bit is set.
                    let mask = (*row >> pivot & 1).wrapping_neg();
                    *row ^= others & mask;
                }
            }
        }
        // What is left may repeat itself: independent columns are wanted.
        let mut independent = 0u128;
        let mut open = left;
        for i in 0..vectors.len() {
            let live = vectors[i] & open;
            if live == 0 {
                continue;
            }
            let pivot = live.trailing_zeros();
            let others = live & !(1 << pivot);
            open &= !(1 << pivot);
            independent |= 1 << pivot;
            if others != 0 {
                for row in &mut vectors[i..] {
                    let mask = (*row >> pivot & 1).wrapping_neg();
                    *row ^= others & mask;
                }
                for row in &mut vectors[..i] {
                    let mask = (*row >> pivot & 1).wrapping_neg();
                    *row ^= others & mask;
                }
            }
        }
        let mut bits: Vec<u32> = Vec::new();
        while independent != 0 && bits.len() < 64 {
            bits.push(independent.trailing_zeros());
            independent &= independent - 1;
        }
        let gather = |row: &u128| {
            let gathered = bits.iter().enumerate();
            gathered.fold(0, |word, (to, from)| word | ((*row >> from & 1) as u64) << to)
        };
        vectors.iter().map(gather).collect()
    }
}

/// The method broke down, which happens by chance.
struct Failed;

/// `S`, as a mask, and `W^inv = S (S^T T S)^-1 S^T`, for as many columns as are independent; those that are not in the
/// `S` before come first (section 8).
fn invert(t: &Square, before: u64) -> Result<(Square, u64), Failed> {
    let mut left = *t;
    let mut right = identity();
    let order: Vec<usize> = (0..64)
        .filter(|i| before >> i & 1 == 0)
        .chain((0..64).filter(|i| before >> i & 1 == 1))
        .collect();
    let mut s = 0;
    for (j, &column) in order.iter().enumerate() {
        if let Some(&pivot) = order[j..].iter().find(|row| left[**row] >> column & 1 == 1) {
            left.swap(pivot, column);
            right.swap(pivot, column);
            for row in 0..64 {
                if row != column && left[row] >> column & 1 == 1 {
                    left[row] ^= left[column];
                    right[row] ^= right[column];
                }
            }
            s |= 1 << column;
        } else {
            let pivot = order[j..].iter().find(|row| right[**row] >> column & 1 == 1);
            let pivot = *pivot.ok_or(Failed)?;
            left.swap(pivot, column);
            right.swap(pivot, column);
            for row in 0..64 {
                if row != column && right[row] >> column & 1 == 1 {
                    left[row] ^= left[column];
                    right[row] ^= right[column];
                }
            }
            left[column] = 0;
            right[column] = 0;
        }
    }
    Ok((right, s))
}
