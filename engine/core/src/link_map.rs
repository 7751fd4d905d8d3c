//! What belongs to a few links, lowest first.

use std::cell::Cell;

use crate::io::LinkId;

/// A map by link: a torrent has a few dozen at most, looks one up with every step, and walks over all of
/// them often. A sorted list of small keys is found in a few cache lines, and walked without a jump.
#[derive(Debug)]
pub(crate) struct LinkMap<T> {
    links: Vec<LinkId>,
    /// In the order of `links`; boxed, for they are large and may have to move aside.
    values: Vec<Box<T>>,
    /// Where the last one was found: most often the next to be looked up is the same.
    last: Cell<usize>,
}

impl<T> LinkMap<T> {
    pub(crate) fn new() -> Self {
        Self {
            links: Vec::new(),
            values: Vec::new(),
            last: Cell::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub(crate) fn contains_key(&self, link: &LinkId) -> bool {
        self.find(link).is_some()
    }

    /// Returns how many links are lower than this one.
    pub(crate) fn place(&self, link: LinkId) -> usize {
        self.links.partition_point(|other| *other < link)
    }

    pub(crate) fn get(&self, link: &LinkId) -> Option<&T> {
        let place = self.find(link)?;
        self.values.get(place).map(|value| &**value)
    }

    pub(crate) fn get_mut(&mut self, link: &LinkId) -> Option<&mut T> {
        let place = self.find(link)?;
        self.values.get_mut(place).map(|value| &mut **value)
    }

    fn find(&self, link: &LinkId) -> Option<usize> {
        let last = self.last.get();
        if self.links.get(last) == Some(link) {
            return Some(last);
        }
        let place = self.links.binary_search(link).ok()?;
        self.last.set(place);
        Some(place)
    }

    /// Puts a value in, in place of what was there for this link.
    pub(crate) fn insert(&mut self, link: LinkId, value: T) {
        match self.links.binary_search(&link) {
            Ok(place) => *self.values[place] = value,
            Err(place) => {
                self.links.insert(place, link);
                self.values.insert(place, Box::new(value));
            }
        }
    }

    pub(crate) fn remove(&mut self, link: &LinkId) -> Option<T> {
        let place = self.links.binary_search(link).ok()?;
        self.links.remove(place);
        Some(*self.values.remove(place))
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &LinkId> {
        self.links.iter()
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.values.iter().map(|value| &**value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().map(|value| &mut **value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn it_does_what_an_ordered_map_does() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut map = LinkMap::new();
        let mut model = BTreeMap::new();
        for step in 0..5_000 {
            let link = LinkId(rng.random_range(0..40));
            match rng.random_range(0..3) {
                0 => {
                    map.insert(link, step);
                    model.insert(link, step);
                }
                1 => assert_eq!(map.remove(&link), model.remove(&link)),
                _ => assert_eq!(map.get_mut(&link), model.get_mut(&link)),
            }
            assert_eq!(map.get(&link), model.get(&link));
            assert_eq!(map.contains_key(&link), model.contains_key(&link));
            assert_eq!(map.place(link), model.range(..link).count());
            assert!(map.keys().eq(model.keys()) && map.values().eq(model.values()));
            assert!(map.len() == model.len() && map.is_empty() == model.is_empty());
        }
    }
}
