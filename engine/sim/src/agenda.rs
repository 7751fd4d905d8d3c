//! What is going to happen, in the order in which it will.
//!
//! A large swarm is larger than a processor's caches. So what happens lies in lanes, one for each node, and is
//! taken a window of time at a time: what one node does in it, then what the next one does. No window is longer
//! than it takes any node to hear of another's doings, so none misses anything: a conservative simulation with
//! lookahead (Chandy and Misra 1979), though on one thread.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use shoal_core::Timestamp;

/// A queue by time in lanes; what is due at the same time comes in the order in which it was put in.
pub(crate) struct Agenda<T> {
    lanes: Vec<Lane<T>>,
    /// What each lane has next, or [`NEVER`].
    next: Vec<Due>,
    /// What was put into other lanes than the one taken from, since the last window was opened. The memory of those
    /// is in no cache: they get it all at once, so that a processor waits for many of them at a time.
    mail: Vec<(usize, Entry<T>)>,
    /// The lane that is taken from, and the end of the window: what is due then is not in it.
    lane: usize,
    end: Due,
    count: u64,
}

/// The lane whose entries are each a window of their own: they may do anything to anybody.
pub(crate) const ALONE: usize = 0;

/// When, in nanoseconds, and the how-manieth.
type Due = (u64, u64);

const NEVER: Due = (u64::MAX, u64::MAX);

struct Lane<T> {
    queue: BinaryHeap<Entry<T>>,
    /// What has come from other lanes since it was taken from last.
    inbox: Vec<Entry<T>>,
}

/// What is due when. It is moved about, so it should be small.
struct Entry<T> {
    due: Due,
    what: T,
}

impl<T> Agenda<T> {
    /// Makes one with the lane [`ALONE`].
    pub(crate) fn new() -> Self {
        let mut agenda = Self {
            lanes: Vec::new(),
            next: Vec::new(),
            mail: Vec::new(),
            lane: ALONE,
            end: (0, 0),
            count: 0,
        };
        agenda.add_lane();
        agenda
    }

    /// Adds a lane; returns its number.
    pub(crate) fn add_lane(&mut self) -> usize {
        self.lanes.push(Lane {
            queue: BinaryHeap::new(),
            inbox: Vec::new(),
        });
        self.next.push(NEVER);
        self.lanes.len() - 1
    }

    /// Puts something into a lane.
    ///
    /// # Panics
    /// When it is another lane than the one taken from, and due within the window: then that was too long.
    pub(crate) fn put(&mut self, lane: usize, at: Timestamp, what: T) {
        self.count += 1;
        let due = (nanos(at), self.count);
        if lane == self.lane {
            self.next[lane] = self.next[lane].min(due);
            self.lanes[lane].queue.push(Entry { due, what });
        } else {
            assert!(due >= self.end, "a node hears of another's doings too soon");
            self.mail.push((lane, Entry { due, what }));
        }
    }

    /// Opens a window with whatever is due next: it lasts `time`, or is of that alone where `time` is none.
    /// Returns `false` if nothing is due until `most`.
    pub(crate) fn open(&mut self, time: Duration, most: Timestamp) -> bool {
        for (lane, entry) in self.mail.drain(..) {
            self.next[lane] = self.next[lane].min(entry.due);
            self.lanes[lane].inbox.push(entry);
        }
        let first = self.next.iter().copied().min().unwrap_or(NEVER);
        let most = nanos(most).saturating_add(1);
        if first >= (most, 0) {
            return false;
        }
        let alone = (first.0, first.1 + 1);
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let end = first.0.saturating_add(time).min(most);
        self.end = match self.next[ALONE] == first {
            true => alone,
            false => alone.max((end, 0)).min(self.next[ALONE]),
        };
        self.lane = ALONE;
        true
    }

    /// Takes the next entry of the window, with its lane; `None`: there is none, and the window is closed. What
    /// others have put into a lane is shown to `see` before the lane's turn, all in one go.
    pub(crate) fn take(&mut self, see: impl Fn(&T)) -> Option<(usize, Timestamp, T)> {
        while let Some(next) = self.next.get(self.lane) {
            if *next < self.end {
                let lane = &mut self.lanes[self.lane];
                let Entry { due, what } = lane.pop(see)?;
                self.next[self.lane] = lane.next();
                let at = Timestamp::new(Duration::from_nanos(due.0));
                return Some((self.lane, at, what));
            }
            self.lane += 1;
        }
        self.end = (0, 0);
        None
    }
}

impl<T> Lane<T> {
    fn pop(&mut self, see: impl Fn(&T)) -> Option<Entry<T>> {
        // A loop of its own, and short: so the processor is far ahead with what comes next while it waits.
        self.inbox.iter().for_each(|entry| see(&entry.what));
        self.queue.extend(self.inbox.drain(..));
        self.queue.pop()
    }

    /// What is next, of what is not in the inbox.
    fn next(&self) -> Due {
        self.queue.peek().map_or(NEVER, |entry| entry.due)
    }
}

/// In a heap, which gives out the greatest, the soonest is greatest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<T> Eq for Entry<T> {}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const EVER: Timestamp = Timestamp::new(Duration::from_secs(1 << 30));

    fn at(millis: u64) -> Timestamp {
        Timestamp::new(Duration::from_millis(millis))
    }

    fn drain(agenda: &mut Agenda<u64>) -> Vec<u64> {
        let taken = std::iter::from_fn(|| agenda.take(|_| ()));
        taken.map(|(.., number)| number).collect()
    }

    fn three_lanes() -> Agenda<u64> {
        let mut agenda = Agenda::new();
        agenda.add_lane();
        agenda.add_lane();
        agenda
    }

    #[test]
    fn a_lane_is_taken_in_order_and_equals_in_turn() {
        let mut agenda = three_lanes();
        for (number, millis) in [5, 3, 5, 1, 3].into_iter().enumerate() {
            agenda.put(1, at(millis), number as u64);
        }
        assert!(agenda.open(Duration::from_secs(1), at(4)));
        assert_eq!(drain(&mut agenda), [3, 1, 4]);
        assert!(!agenda.open(Duration::from_secs(1), at(4)));
        agenda.put(1, at(2), 9);
        assert!(agenda.open(Duration::from_secs(1), EVER));
        assert_eq!(drain(&mut agenda), [9, 0, 2]);
    }

    #[test]
    fn in_a_window_it_goes_lane_by_lane_and_without_one_by_time() {
        // 1 and 4 are 3 ms apart: what is due when a window ends is not in it.
        for (window, order) in [(4, [2, 4, 1, 3]), (3, [2, 1, 3, 4]), (0, [1, 2, 3, 4])] {
            let mut agenda = three_lanes();
            for (number, lane) in [(1, 2), (2, 1), (3, 2), (4, 1)] {
                agenda.put(lane, at(number), number);
            }
            let mut taken = Vec::new();
            while agenda.open(Duration::from_millis(window), EVER) {
                taken.extend(drain(&mut agenda));
            }
            assert_eq!(taken, order);
        }
    }

    #[test]
    fn what_may_do_anything_waits_for_all_before_it_and_all_after_it_wait() {
        let mut agenda = three_lanes();
        agenda.put(2, at(1), 1);
        agenda.put(ALONE, at(3), 3);
        agenda.put(1, at(2), 2);
        agenda.put(2, at(4), 4);
        let mut windows = Vec::new();
        while agenda.open(Duration::from_secs(1), EVER) {
            windows.push(drain(&mut agenda));
        }
        assert_eq!(windows, [vec![2, 1], vec![3], vec![4]]);
    }

    #[test]
    fn a_lane_goes_on_with_what_it_puts_in_and_others_hear_of_it_in_the_next_window() {
        let window = Duration::from_millis(10);
        let mut agenda = three_lanes();
        agenda.put(1, at(0), 1);
        agenda.put(2, at(0), 2);
        assert!(agenda.open(window, EVER));
        assert_eq!(agenda.take(|_| ()), Some((1, at(0), 1)));
        agenda.put(2, at(10), 5);
        agenda.put(1, at(10), 4);
        agenda.put(1, at(9), 3);
        assert_eq!(drain(&mut agenda), [3, 2]);
        assert!(agenda.open(window, EVER));
        assert_eq!(drain(&mut agenda), [4, 5]);
        agenda.put(ALONE, at(30), 6);
        assert!(agenda.open(window, EVER));
        assert_eq!(agenda.take(|_| ()), Some((ALONE, at(30), 6)));
        agenda.put(1, at(30), 7);
        assert!(drain(&mut agenda).is_empty());
        assert!(agenda.open(window, EVER));
        assert_eq!(drain(&mut agenda), [7]);
    }

    #[test]
    fn what_has_come_into_a_lane_is_shown_once_before_its_turn() {
        let shown = RefCell::new(Vec::new());
        let see = |number: &u64| shown.borrow_mut().push(*number);
        let mut agenda = three_lanes();
        for (number, lane, millis) in [(1, 1, 0), (2, 2, 1), (3, 1, 20)] {
            agenda.put(lane, at(millis), number);
        }
        assert!(agenda.open(Duration::from_millis(10), EVER));
        assert_eq!(agenda.take(see), Some((1, at(0), 1)));
        assert_eq!(*shown.borrow(), [1, 3]);
        assert_eq!(agenda.take(see), Some((2, at(1), 2)));
        assert_eq!(agenda.take(see), None);
        assert!(agenda.open(Duration::from_millis(10), EVER));
        assert_eq!(agenda.take(see), Some((1, at(20), 3)));
        assert_eq!(*shown.borrow(), [1, 3, 2]);
    }

    #[test]
    #[should_panic(expected = "too soon")]
    fn a_window_that_is_too_long_is_noticed() {
        let mut agenda = three_lanes();
        agenda.put(1, at(1), 1);
        assert!(agenda.open(Duration::from_millis(50), EVER));
        assert_eq!(agenda.take(|_| ()), Some((1, at(1), 1)));
        agenda.put(2, at(50), 2);
    }

    #[test]
    fn the_order_is_that_of_a_sorted_list() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut agenda = three_lanes();
        let mut model = std::collections::BTreeSet::new();
        let mut now = 0;
        for number in 0..20_000 {
            let most = [1, 50, 3_000, 60_000][rng.random_range(0..4)];
            let due = now + rng.random_range(0..most);
            agenda.put(rng.random_range(1..3), at(due), number);
            model.insert((due, number));
            // Now and then it runs empty.
            let taken = if number % 1_000 == 0 {
                usize::MAX
            } else {
                rng.random_range(0..3)
            };
            for _ in 0..taken {
                let expected = model.pop_first();
                let opened = agenda.open(Duration::ZERO, EVER);
                assert_eq!(opened, expected.is_some());
                let Some((due, number)) = expected else { break };
                let (_, when, what) = agenda.take(|_| ()).unwrap();
                assert_eq!((when, what), (at(due), number));
                assert_eq!(agenda.take(|_| ()), None);
                now = due;
            }
        }
    }
}
