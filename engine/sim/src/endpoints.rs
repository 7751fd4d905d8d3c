//! A computer's connections.

use shoal_core::LinkId;

use crate::link::Endpoint;

/// Endpoints by link: a few dozen, of which one is looked up several times with every packet.
#[derive(Default)]
pub(crate) struct Endpoints {
    /// Lowest first, and what belongs to them in the same order.
    links: Vec<LinkId>,
    ends: Vec<Endpoint>,
    /// Where the last one was found: most often the next to be looked up is the same.
    last: usize,
}

impl Endpoints {
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    pub(crate) fn contains(&self, link: LinkId) -> bool {
        self.links.binary_search(&link).is_ok()
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Endpoint> {
        let place = self.links.binary_search(&link).ok()?;
        self.ends.get(place)
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Endpoint> {
        if self.links.get(self.last) != Some(&link) {
            self.last = self.links.binary_search(&link).ok()?;
        }
        self.ends.get_mut(self.last)
    }

    /// Puts one in, in place of what was there for this link.
    pub(crate) fn insert(&mut self, link: LinkId, end: Endpoint) {
        match self.links.binary_search(&link) {
            Ok(place) => self.ends[place] = end,
            Err(place) => {
                self.links.insert(place, link);
                self.ends.insert(place, end);
            }
        }
    }

    pub(crate) fn remove(&mut self, link: LinkId) -> Option<Endpoint> {
        let place = self.links.binary_search(&link).ok()?;
        self.links.remove(place);
        Some(self.ends.remove(place))
    }

    pub(crate) fn links(&self) -> &[LinkId] {
        &self.links
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.ends.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_found_under_its_link_whatever_came_and_went() {
        let mut ends = Endpoints::default();
        for link in [5, 1, 9, 3] {
            let mut end = Endpoint::new();
            end.waiting = link as usize;
            ends.insert(LinkId(link), end);
        }
        let found = |ends: &mut Endpoints, link| ends.get_mut(LinkId(link)).map(|end| end.waiting);
        assert_eq!(found(&mut ends, 5), Some(5));
        assert_eq!(ends.remove(LinkId(3)).map(|end| end.waiting), Some(3));
        assert!(ends.contains(LinkId(9)) && !ends.contains(LinkId(3)));
        let all = [1, 3, 5, 9].map(|link| found(&mut ends, link));
        assert_eq!(all, [Some(1), None, Some(5), Some(9)]);
        ends.insert(LinkId(9), Endpoint::new());
        assert_eq!(ends.get(LinkId(9)).map(|end| end.waiting), Some(0));
        assert_eq!((ends.len(), ends.iter().count()), (3, 3));
        assert_eq!(ends.links(), [1, 5, 9].map(LinkId));
    }
}
