//! What draws us to peers: of each that has something for us, one piece of that.
//!
//! As long as we want and lack this one, we are interested, and need not know of how many others that is so. They lie
//! side by side, for all are looked at whenever a piece is stored.

use crate::io::LinkId;

/// Those who draw us, each with a piece that it has and that we want and lack. In no order: they are few.
#[derive(Debug, Default)]
pub(crate) struct Lures(Vec<(LinkId, u32)>);

impl Lures {
    /// Notes what draws us to a peer, in place of what did; `None`: nothing does.
    pub(crate) fn set(&mut self, link: LinkId, piece: Option<u32>) {
        let place = self.0.iter().position(|(other, _)| *other == link);
        match (place, piece) {
            (Some(place), Some(piece)) => self.0[place].1 = piece,
            (Some(place), None) => {
                self.0.swap_remove(place);
            }
            (None, Some(piece)) => self.0.push((link, piece)),
            (None, None) => {}
        }
    }

    /// Returns what draws us to a peer.
    pub(crate) fn of(&self, link: LinkId) -> Option<u32> {
        let found = self.0.iter().find(|(other, _)| *other == link);
        found.map(|(_, piece)| *piece)
    }

    /// Returns those to whom this piece draws us.
    pub(crate) fn by(&self, piece: u32) -> impl Iterator<Item = LinkId> + '_ {
        let drawn = self.0.iter().filter(move |(_, lure)| *lure == piece);
        drawn.map(|(link, _)| *link)
    }

    /// Returns those who draw us.
    pub(crate) fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.0.iter().map(|(link, _)| *link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_draws_us_to_whom_is_found_both_ways() {
        let mut lures = Lures::default();
        let set = [
            (1, Some(7)),
            (2, Some(7)),
            (3, Some(8)),
            (1, Some(8)),
            (2, None),
            (4, None),
        ];
        for (link, piece) in set {
            lures.set(LinkId(link), piece);
        }
        let of = [1, 2, 3, 4].map(|link| lures.of(LinkId(link)));
        assert_eq!(of, [Some(8), None, Some(8), None]);
        assert_eq!(lures.by(7).count(), 0);
        let mut both: Vec<_> = lures.by(8).collect();
        both.sort_unstable();
        assert_eq!(both, [LinkId(1), LinkId(3)]);
        assert_eq!(lures.links().count(), 2);
    }
}
