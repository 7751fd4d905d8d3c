//! What belongs to a few links, lowest first.

use std::cell::Cell;

use crate::io::LinkId;

/// A map by link: a torrent has a few dozen at most, looks one up with every step, and walks over all of
/// them often. A sorted list of small keys is found in a few cache lines, and walked without a jump; and so
/// is what can be said of each in short.
#[derive(Debug)]
pub(crate) struct LinkMap<T: Summarize> {
    links: Vec<LinkId>,
    /// In the order of `links`; boxed, for they are large and may have to move aside.
    values: Vec<Box<T>>,
    /// The same in short, and which of them may have changed since.
    summaries: Vec<T::Summary>,
    changed: Vec<bool>,
    /// Where the last one was found: most often the next to be looked up is the same.
    last: Cell<usize>,
}

/// What can be said of something in short.
pub(crate) trait Summarize {
    type Summary;

    fn summarize(&self) -> Self::Summary;
}

impl<T: Summarize> LinkMap<T> {
    pub(crate) fn new() -> Self {
        Self {
            links: Vec::new(),
            values: Vec::new(),
            summaries: Vec::new(),
            changed: Vec::new(),
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
        self.changed[place] = true;
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
            Ok(place) => {
                *self.values[place] = value;
                self.changed[place] = true;
            }
            Err(place) => {
                self.links.insert(place, link);
                self.summaries.insert(place, value.summarize());
                self.changed.insert(place, false);
                self.values.insert(place, Box::new(value));
            }
        }
    }

    pub(crate) fn remove(&mut self, link: &LinkId) -> Option<T> {
        let place = self.links.binary_search(link).ok()?;
        self.links.remove(place);
        self.summaries.remove(place);
        self.changed.remove(place);
        Some(*self.values.remove(place))
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &LinkId> {
        self.links.iter()
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.values.iter().map(|value| &**value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.changed.fill(true);
        self.values.iter_mut().map(|value| &mut **value)
    }

    /// Those that fit; they alone count as changed.
    pub(crate) fn values_mut_if(
        &mut self,
        fits: impl Fn(&T) -> bool,
    ) -> impl Iterator<Item = &mut T> {
        let all = self.values.iter_mut().zip(&mut self.changed);
        let fit = all.filter(move |(value, _)| fits(value));
        fit.map(|(value, changed)| {
            *changed = true;
            &mut **value
        })
    }

    /// What can be said of each in short: at little cost where few have changed since last time.
    pub(crate) fn summaries(&mut self) -> impl DoubleEndedIterator<Item = (LinkId, &T::Summary)> {
        for (place, changed) in self.changed.iter_mut().enumerate() {
            if std::mem::take(changed) {
                self.summaries[place] = self.values[place].summarize();
            }
        }
        self.links.iter().copied().zip(&self.summaries)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    impl Summarize for u32 {
        type Summary = Self;

        fn summarize(&self) -> Self {
            self / 2
        }
    }

    #[test]
    fn it_does_what_an_ordered_map_does() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut map = LinkMap::new();
        let mut model = BTreeMap::new();
        for step in 0..10_000 {
            let link = LinkId(rng.random_range(0..40));
            match rng.random_range(0..7) {
                0 | 1 => {
                    map.insert(link, step);
                    model.insert(link, step);
                }
                2 | 3 => assert_eq!(map.remove(&link), model.remove(&link)),
                4 => {
                    if let Some(value) = map.get_mut(&link) {
                        *value += 7;
                    }
                    model.entry(link).and_modify(|value| *value += 7);
                }
                5 => {
                    let odd = map.values_mut_if(|value| value % 2 == 1);
                    odd.for_each(|value| *value /= 5);
                    let odd = model.values_mut().filter(|value| **value % 2 == 1);
                    odd.for_each(|value| *value /= 5);
                }
                _ => {
                    map.values_mut().for_each(|value| *value /= 3);
                    model.values_mut().for_each(|value| *value /= 3);
                }
            }
            assert_eq!(map.get(&link), model.get(&link));
            assert_eq!(map.contains_key(&link), model.contains_key(&link));
            assert_eq!(map.place(link), model.range(..link).count());
            assert!(map.keys().eq(model.keys()) && map.values().eq(model.values()));
            assert!(map.len() == model.len() && map.is_empty() == model.is_empty());
            if step % 3 == 0 {
                let short = map.summaries().map(|(link, short)| (link, *short));
                let expected = model.iter().map(|(link, value)| (*link, value / 2));
                assert!(short.eq(expected));
            }
        }
    }
}
