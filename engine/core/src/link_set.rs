//! A few links, lowest first.

use crate::io::LinkId;

/// A set of links: so few, and so often emptied, that a sorted list is the best of sets.
#[derive(Debug, Default)]
pub(crate) struct LinkSet {
    /// Highest first.
    links: Vec<LinkId>,
}

impl LinkSet {
    pub(crate) fn insert(&mut self, link: LinkId) {
        let place = self.links.partition_point(|other| *other > link);
        if self.links.get(place) != Some(&link) {
            self.links.insert(place, link);
        }
    }

    pub(crate) fn remove(&mut self, link: LinkId) {
        self.links.retain(|other| *other != link);
    }

    /// Puts more links in, which come lowest first.
    pub(crate) fn extend(&mut self, more: impl DoubleEndedIterator<Item = LinkId>) {
        if self.links.is_empty() {
            self.links.extend(more.rev());
        } else {
            more.for_each(|link| self.insert(link));
        }
    }

    /// Takes the lowest link out.
    pub(crate) fn pop_first(&mut self) -> Option<LinkId> {
        self.links.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_come_out_once_and_in_order() {
        let mut set = LinkSet::default();
        set.extend([2, 4].into_iter().map(LinkId));
        set.extend([3, 4].into_iter().map(LinkId));
        for link in [5, 1, 4, 1] {
            set.insert(LinkId(link));
        }
        let drained: Vec<_> = std::iter::from_fn(|| set.pop_first()).collect();
        assert_eq!(drained, [1, 2, 3, 4, 5].map(LinkId));
    }
}
