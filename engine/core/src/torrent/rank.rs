//! How a pair of peers ranks in a swarm, alike on both sides (after BEP 40, which has addresses for it).
//!
//! Where places are short, each keeps those it ranks best with. As every pair has its own random rank,
//! nobody is liked or disliked by all: a newcomer is welcome to a few of those that are full, whoever
//! came first, and the connections that are left spread over the swarm like those of a random graph.
//!
//! Ids are chosen freely, so a rank with one victim can be had for a few dozen hashes. It is good for no
//! other victim and no other swarm, and a tracker gives an id to one connection only. But it follows that
//! a rank may never weigh more than what a peer does for us: see [`super::neighbours`].

use shoal_protocol::merkle::hash_block;
use shoal_protocol::{PeerId, SwarmId};

/// A pair's place in the order; the lower, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u64);

impl Rank {
    /// Returns the rank of two peers in a swarm.
    pub(super) fn of(swarm: SwarmId, one: PeerId, other: PeerId) -> Self {
        let (low, high) = (one.min(other), one.max(other));
        let pair = [swarm.as_bytes().as_slice(), low.as_bytes(), high.as_bytes()];
        let hash = hash_block(&pair.concat());
        let (first, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        Self(u64::from_be_bytes(*first))
    }

    /// Returns whether it is better by half: for less nobody is sent away, or a swarm would rearrange
    /// itself for long after each arrival.
    pub(super) fn is_much_better_than(self, other: Self) -> bool {
        self.0 < other.0 / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> PeerId {
        let mut id = *b"-SH0010-000000000000";
        id[16..].copy_from_slice(&n.to_be_bytes());
        PeerId::new(id)
    }

    #[test]
    fn both_sides_agree_and_each_pair_and_swarm_has_its_own() {
        let swarm = SwarmId::new([1; 20]);
        assert_eq!(Rank::of(swarm, id(1), id(2)), Rank::of(swarm, id(2), id(1)));
        assert_ne!(Rank::of(swarm, id(1), id(2)), Rank::of(swarm, id(1), id(3)));
        let other = SwarmId::new([2; 20]);
        assert_ne!(Rank::of(swarm, id(1), id(2)), Rank::of(other, id(1), id(2)));
    }

    #[test]
    fn nobody_ranks_well_with_all() {
        let swarm = SwarmId::new([3; 20]);
        for one in 0..20 {
            let others = (100..1100).map(id);
            let ranks = others.map(|other| Rank::of(swarm, id(one), other));
            let better = ranks.filter(|rank| *rank < Rank(u64::MAX / 2)).count();
            assert!((400..600).contains(&better), "{better}");
        }
    }
}
