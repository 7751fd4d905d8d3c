//! What has happened so far, as numbers.

use shoal_protocol::tracker::Signal;

use super::refusal::Reason;

/// How often things have happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Announces of the CBOR dialect that were answered with introductions.
    pub announces: u64,
    /// Announces of WebTorrent's dialect that were answered.
    pub webtorrent_announces: u64,
    /// Swarms asked about.
    pub scrapes: u64,
    /// Members introduced, or handed an offer of who announced.
    pub introductions: u64,
    /// Offers passed on.
    pub offers: u64,
    /// Answers passed on.
    pub answers: u64,
    /// Candidates, and their ends, passed on.
    pub candidates: u64,
    /// Signals passed on from one dialect to the other.
    pub bridged: u64,
    /// Members forgotten because they were silent.
    pub expired: u64,
    /// Snapshots that other nodes were asked for.
    pub snapshots_asked: u64,
    /// Members of other nodes for which there was no room.
    pub remote_members_dropped: u64,
    refusals: [u64; Reason::ALL.len()],
}

impl Tally {
    /// Counts what was refused for one reason.
    #[must_use]
    pub const fn refusals(&self, reason: Reason) -> u64 {
        self.refusals[reason as usize]
    }

    /// Counts a signal that is passed on.
    pub(super) const fn note(&mut self, signal: &Signal) {
        match signal {
            Signal::Offer(_) => self.offers += 1,
            Signal::Answer(_) => self.answers += 1,
            Signal::Candidate { .. } | Signal::EndOfCandidates => self.candidates += 1,
        }
    }

    pub(super) const fn refuse(&mut self, reason: Reason) {
        self.refusals[reason as usize] += 1;
    }
}
