//! What is going to happen, in the order in which it will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shoal_core::Timestamp;

/// Nanoseconds of a slot, as a power of two: about a millisecond.
const SLOT: u32 = 20;

/// Slots that are kept apart: about four seconds, beyond which little is planned.
const SLOTS: u64 = 4096;

/// A queue by time; what is due at the same time comes in the order in which it was put in.
///
/// What is due soon lies in slots by time, unsorted but for the present slot: a heap of all that a large
/// swarm has before it would be larger than a processor's caches.
pub(crate) struct Agenda<T> {
    /// What is due in the present slot or before.
    present: BinaryHeap<Reverse<Key>>,
    /// The present slot's number.
    slot: u64,
    /// The slots that follow, each at its number modulo [`SLOTS`].
    slots: Vec<Vec<Reverse<Key>>>,
    /// Entries in `slots`.
    soon: usize,
    /// What is due beyond them.
    later: BinaryHeap<Reverse<Key>>,
    entries: Vec<Option<T>>,
    free: Vec<u32>,
    count: u64,
}

/// When, the how-manieth, and where in `entries`: small, for a heap moves what it holds.
type Key = (u64, u64, u32);

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self {
            present: BinaryHeap::new(),
            slot: 0,
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            soon: 0,
            later: BinaryHeap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            count: 0,
        }
    }

    pub(crate) fn put(&mut self, at: Timestamp, what: T) {
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = Some(what);
                place
            }
            None => {
                self.entries.push(Some(what));
                u32::try_from(self.entries.len() - 1).unwrap()
            }
        };
        self.count += 1;
        let key = (nanos(at), self.count, place);
        if key.0 >> SLOT < self.slot + SLOTS {
            self.put_soon(key);
        } else {
            self.later.push(Reverse(key));
        }
    }

    /// Takes the next entry, unless it is due only after `end`.
    pub(crate) fn take_until(&mut self, end: Timestamp) -> Option<(Timestamp, T)> {
        while self.present.is_empty() {
            self.advance()?;
        }
        let Reverse((at, ..)) = self.present.peek()?;
        if *at > nanos(end) {
            return None;
        }
        let Reverse((at, _, place)) = self.present.pop()?;
        self.free.push(place);
        let what = self.entries[place as usize].take()?;
        Some((Timestamp::new(std::time::Duration::from_nanos(at)), what))
    }

    fn put_soon(&mut self, key: Key) {
        let slot = key.0 >> SLOT;
        if slot <= self.slot {
            self.present.push(Reverse(key));
        } else {
            self.slots[(slot % SLOTS) as usize].push(Reverse(key));
            self.soon += 1;
        }
    }

    /// Goes on to the next slot, or to the first that is not empty if that is far; `None` if nothing is
    /// left. The present slot must be empty.
    fn advance(&mut self) -> Option<()> {
        let next = match self.soon {
            0 => self.later.peek()?.0.0 >> SLOT,
            _ => self.slot + 1,
        };
        self.slot = self.slot.max(next);
        while let Some(Reverse(key)) = self.later.peek()
            && key.0 >> SLOT < self.slot + SLOTS
        {
            let key = *key;
            self.later.pop();
            self.put_soon(key);
        }
        let mut slot = std::mem::take(&mut self.slots[(self.slot % SLOTS) as usize]);
        self.soon -= slot.len();
        self.present.extend(slot.drain(..));
        self.slots[(self.slot % SLOTS) as usize] = slot;
        Some(())
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::new(Duration::from_millis(millis))
    }

    #[test]
    fn what_is_due_first_comes_first_and_equals_in_turn() {
        let mut agenda = Agenda::new();
        for (number, millis) in [5, 3, 5, 1, 3].into_iter().enumerate() {
            agenda.put(at(millis), number);
        }
        let mut order = Vec::new();
        while let Some((_, number)) = agenda.take_until(at(4)) {
            order.push(number);
        }
        assert_eq!(order, [3, 1, 4]);
        agenda.put(at(2), 9);
        assert_eq!(agenda.take_until(at(9)), Some((at(2), 9)));
        assert_eq!(agenda.take_until(at(9)), Some((at(5), 0)));
    }

    #[test]
    fn the_order_is_that_of_a_sorted_list_near_and_far() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut agenda = Agenda::new();
        let mut model = std::collections::BTreeSet::new();
        let mut now = 0;
        for number in 0..20_000 {
            let most = [1, 50, 3_000, 60_000][rng.random_range(0..4)];
            let due = now + rng.random_range(0..most);
            agenda.put(at(due), number);
            model.insert((due, number));
            // Now and then it runs empty.
            let taken = if number % 1_000 == 0 {
                usize::MAX
            } else {
                rng.random_range(0..3)
            };
            for _ in 0..taken {
                let expected = model.pop_first();
                let next = agenda.take_until(at(u64::MAX >> 20));
                assert_eq!(next, expected.map(|(due, number)| (at(due), number)));
                let Some((due, _)) = expected else { break };
                now = due;
            }
        }
    }
}
