//! Relations as bytes, one after the other and as few as that takes: seven bits of a number a byte, the lowest first.

use super::family::Relation;

/// Relations by the order of their coming.
#[derive(Debug, Default)]
pub(super) struct Store {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Store {
    /// Adds a relation, and gives its ordinal.
    pub(super) fn push(&mut self, relation: &Relation) -> u32 {
        let id = self.starts.len() as u32;
        self.starts.push(self.bytes.len());
        write(relation, &mut self.bytes);
        id
    }

    pub(super) fn get(&self, id: u32) -> Relation {
        let (relation, _) = read(&self.bytes[self.starts[id as usize]..]).expect("it was written");
        relation
    }

    pub(super) const fn count(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Adds the bytes of a relation.
pub(super) fn write(relation: &Relation, bytes: &mut Vec<u8>) {
    let [first, second] = relation.large;
    // Far fewer columns than 255: their product has at most 400 bits.
    let count = relation.columns.len() as u32;
    for number in [
        relation.family,
        relation.polynomial,
        relation.offset,
        first,
        second,
        count,
    ] {
        pack(number, bytes);
    }
    let mut before = 0;
    for column in &relation.columns {
        pack(column - before, bytes);
        before = *column;
    }
}

/// The first relation of some bytes, and the bytes after it.
pub(super) fn read(mut bytes: &[u8]) -> Option<(Relation, &[u8])> {
    let mut head = [0; 6];
    for number in &mut head {
        *number = unpack(&mut bytes)?;
    }
    let [family, polynomial, offset, first, second, count] = head;
    if count > 255 {
        return None;
    }
    let (mut columns, mut column) = (Vec::with_capacity(count as usize), 0u32);
    for _ in 0..count {
        column = column.checked_add(unpack(&mut bytes)?)?;
        columns.push(column);
    }
    let relation = Relation {
        family,
        polynomial,
        offset,
        large: [first, second],
        columns,
    };
    Some((relation, bytes))
}

fn pack(mut number: u32, bytes: &mut Vec<u8>) {
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn unpack(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 127) << shift;
        if *byte < 128 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let relation = |family, large, columns: &[u32]| Relation {
            family,
            polynomial: 127,
            offset: 128,
            large: [1, large],
            columns: columns.to_vec(),
        };
        let relations = [
            relation(0, u32::MAX, &[0, 1, 1, 1, 300, 40_000]),
            relation(1 << 20, 1, &[]),
        ];
        let mut store = Store::default();
        for relation in &relations {
            store.push(relation);
        }
        assert_eq!([store.get(0), store.get(1)], relations);
        let (first, rest) = read(store.bytes()).expect("there are two");
        assert_eq!(
            (&first, read(rest)),
            (&relations[0], Some((relations[1].clone(), &[][..])))
        );
        for end in 0..rest.len() {
            assert_eq!(read(&rest[..end]), None);
        }
        assert_eq!(read(&[255; 30]), None);
    }
}
