//! What is going to happen, in the order in which it will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shoal_core::Timestamp;

/// A queue by time; what is due at the same time comes in the order in which it was put in.
pub(crate) struct Agenda<T> {
    /// When, the how-manieth, and where in `entries`: small, for a heap moves what it holds.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    entries: Vec<Option<T>>,
    free: Vec<u32>,
    count: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
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
        self.heap.push(Reverse((nanos(at), self.count, place)));
    }

    /// Takes the next entry, unless it is due only after `end`.
    pub(crate) fn take_until(&mut self, end: Timestamp) -> Option<(Timestamp, T)> {
        let Reverse((at, ..)) = self.heap.peek()?;
        if *at > nanos(end) {
            return None;
        }
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.free.push(place);
        let what = self.entries[place as usize].take()?;
        Some((Timestamp::new(std::time::Duration::from_nanos(at)), what))
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_equals_in_turn() {
        let at = |millis| Timestamp::new(Duration::from_millis(millis));
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
}
