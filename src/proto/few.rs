//! A list that is nearly always short: its first items lie in place, and only a longer one is allocated. Knows nothing
//! of requests.
//!
//! smallvec 1 would do, but is invariant in its items: a request that borrows from the input could not be lent for a
//! shorter time.

use std::ops::Deref;

/// A list of up to `N` items in place, or of more elsewhere.
#[derive(Clone, Debug)]
pub struct Few<T, const N: usize>(Items<T, N>);

#[derive(Clone, Debug)]
enum Items<T, const N: usize> {
    InPlace([T; N], usize),
    Elsewhere(Vec<T>),
}

impl<T: Copy + Default, const N: usize> Few<T, N> {
    /// Appends an item.
    pub fn push(&mut self, item: T) {
        match &mut self.0 {
            Items::InPlace(items, len) if *len < N => {
                items[*len] = item;
                *len += 1;
            }
            Items::InPlace(items, _) => {
                let mut all = Vec::with_capacity(4 * N);
                all.extend_from_slice(items);
                all.push(item);
                self.0 = Items::Elsewhere(all);
            }
            Items::Elsewhere(items) => items.push(item),
        }
    }
}

impl<T: Copy + Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self(Items::InPlace([T::default(); N], 0))
    }
}

impl<T, const N: usize> Deref for Few<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Items::InPlace(items, len) => &items[..*len],
            Items::Elsewhere(items) => items,
        }
    }
}

impl<T: PartialEq, const N: usize> PartialEq for Few<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Copy + Default, const N: usize> FromIterator<T> for Few<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::default();
        for item in items {
            few.push(item);
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_any_length_holds_what_was_pushed() {
        for length in 0..20u8 {
            let few: Few<u8, 3> = (0..length).collect();
            assert_eq!(*few, (0..length).collect::<Vec<u8>>());
            assert_eq!(few.clone(), few);
        }
    }
}
