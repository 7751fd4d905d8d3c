//! Every offer on its way: since when, whose it is, and how far it has come.

use std::time::Duration;

use crate::message::OfferNumber;

/// The offers of one load, numbered in the order in which they are made.
#[derive(Debug)]
pub struct Offers {
    /// Members of each swarm, which have numbers one after the other.
    swarm_size: u32,
    /// How many trackers the peers take in turns.
    trackers: u32,
    /// Number of the first in `entries`. Grows from load to load, so that what comes late is known.
    first: u64,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    due: Duration,
    from: u32,
    state: State,
    /// The two are at different trackers.
    crosses: bool,
}

/// An offer that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When it was due to be sent.
    pub due: Duration,
    /// Whether the two are at different trackers.
    pub crosses: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sent,
    Relayed,
    Answered,
}

/// A message about an offer that should not have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// Of a load that is over.
    Late,
    /// Never sent, sent twice, or brought to the wrong peer or swarm.
    Wrong,
}

impl Offers {
    /// Makes an empty list for peers in swarms of one size: peer 0 and those after it in the first.
    /// Peer 0 is at the first of so many trackers, the one after it at the second.
    #[must_use]
    pub fn new(swarm_size: u32, trackers: u32) -> Self {
        Self {
            swarm_size,
            trackers: trackers.max(1),
            first: 0,
            entries: Vec::new(),
        }
    }

    /// Forgets all offers; what comes of them from now on is late.
    pub fn clear(&mut self) {
        self.first += self.entries.len() as u64;
        self.entries.clear();
    }

    /// Numbers an offer that peer `from` makes, due at `due`.
    pub fn make(&mut self, from: u32, due: Duration) -> OfferNumber {
        let number = OfferNumber(self.first + self.entries.len() as u64);
        self.entries.push(Entry {
            due,
            from,
            state: State::Sent,
            crosses: false,
        });
        number
    }

    /// Notes that peer `to` got an offer. Returns when it was due to be sent.
    ///
    /// # Errors
    /// When it should not have got it.
    pub fn relayed(&mut self, number: OfferNumber, to: u32) -> Result<Duration, Stray> {
        let (swarm_size, trackers) = (self.swarm_size, self.trackers);
        let entry = self.entry(number)?;
        let is_in_swarm = entry.from / swarm_size == to / swarm_size;
        if entry.state != State::Sent || entry.from == to || !is_in_swarm {
            return Err(Stray::Wrong);
        }
        entry.state = State::Relayed;
        entry.crosses = entry.from % trackers != to % trackers;
        Ok(entry.due)
    }

    /// Notes that peer `to` got the answer to an offer.
    ///
    /// # Errors
    /// When it should not have got it.
    pub fn answered(&mut self, number: OfferNumber, to: u32) -> Result<Answered, Stray> {
        let entry = self.entry(number)?;
        if entry.state != State::Relayed || entry.from != to {
            return Err(Stray::Wrong);
        }
        entry.state = State::Answered;
        Ok(Answered {
            due: entry.due,
            crosses: entry.crosses,
        })
    }

    fn entry(&mut self, number: OfferNumber) -> Result<&mut Entry, Stray> {
        let at = number.0.checked_sub(self.first).ok_or(Stray::Late)?;
        let at = usize::try_from(at).map_err(|_| Stray::Wrong)?;
        self.entries.get_mut(at).ok_or(Stray::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Duration = Duration::from_millis(5);

    #[test]
    fn offer_goes_to_another_and_its_answer_comes_back() {
        let mut offers = Offers::new(4, 1);
        let number = offers.make(1, DUE);
        assert_eq!(offers.relayed(number, 2), Ok(DUE));
        let answered = Answered {
            due: DUE,
            crosses: false,
        };
        assert_eq!(offers.answered(number, 1), Ok(answered));
    }

    #[test]
    fn offers_between_trackers_are_told_apart() {
        let mut offers = Offers::new(4, 2);
        for (from, to, crosses) in [(0, 2, false), (1, 3, false), (0, 1, true), (3, 2, true)] {
            let number = offers.make(from, DUE);
            offers.relayed(number, to).unwrap();
            let answered = offers.answered(number, from).unwrap();
            assert_eq!(answered.crosses, crosses, "{from} to {to}");
        }
    }

    #[test]
    fn wrong_ways_are_noticed() {
        let mut offers = Offers::new(4, 1);
        let number = offers.make(1, DUE);
        assert_eq!(offers.relayed(number, 1), Err(Stray::Wrong));
        assert_eq!(
            offers.relayed(number, 4),
            Err(Stray::Wrong),
            "another swarm"
        );
        assert_eq!(offers.answered(number, 1), Err(Stray::Wrong));
        offers.relayed(number, 2).unwrap();
        assert_eq!(offers.relayed(number, 3), Err(Stray::Wrong));
        assert_eq!(offers.answered(number, 2), Err(Stray::Wrong));
        offers.answered(number, 1).unwrap();
        assert_eq!(offers.answered(number, 1), Err(Stray::Wrong));
        assert_eq!(offers.relayed(OfferNumber(9), 2), Err(Stray::Wrong));
    }

    #[test]
    fn offers_of_the_load_before_are_late() {
        let mut offers = Offers::new(4, 1);
        let old = offers.make(1, DUE);
        offers.clear();
        assert_eq!(offers.relayed(old, 2), Err(Stray::Late));
        let new = offers.make(1, DUE);
        assert_ne!(old, new);
        assert_eq!(offers.relayed(new, 2), Ok(DUE));
    }
}
