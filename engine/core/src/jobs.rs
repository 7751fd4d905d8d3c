//! What is under way outside: reads, writes and hashes whose answers will come.

use bytes::Bytes;
use shoal_protocol::wire::BlockRequest;
use shoal_protocol::{BlockRef, InfoHash, PieceIndex};
use slab::Slab;

use crate::io::{LinkId, Token};

/// What an answer of the caller is for.
#[derive(Debug)]
pub(crate) enum Job {
    /// Blocks that a peer has asked for and that follow each other.
    Serve {
        link: LinkId,
        requests: Vec<BlockRequest>,
    },
    /// A block is hashed that came before what its hash must be, or that is ours.
    Verify { block: BlockRef },
    /// A block is written, verified before or on the way.
    Store { block: BlockRef, bytes: usize },
    /// The info dictionary is hashed.
    VerifyInfo { info: Bytes },
    /// A block of ours that may be right is read.
    Recall { block: BlockRef },
    /// A block is read to be hashed for a peer.
    ReadLeaf { piece: PieceIndex },
    /// A block is hashed for a peer.
    HashLeaf { piece: PieceIndex },
    /// The files get their final names.
    Finish,
}

/// The table of them. A token is a place in it and the serial number of what stands there: an answer for a
/// torrent that is gone by then finds nothing, even if its place is taken again.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: Slab<Entry>,
    last: u32,
}

#[derive(Debug)]
struct Entry {
    serial: u32,
    torrent: InfoHash,
    job: Job,
}

impl Jobs {
    pub(crate) fn insert(&mut self, torrent: InfoHash, job: Job) -> Token {
        self.last = self.last.wrapping_add(1);
        let serial = self.last;
        let place = self.jobs.insert(Entry {
            serial,
            torrent,
            job,
        });
        Token(u64::from(serial) << 32 | place as u64)
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<(InfoHash, Job)> {
        let place = (token.0 & u64::from(u32::MAX)) as usize;
        let entry = self.jobs.get(place)?;
        if u64::from(entry.serial) != token.0 >> 32 {
            return None;
        }
        let Entry { torrent, job, .. } = self.jobs.remove(place);
        Some((torrent, job))
    }

    /// Forgets all jobs of a torrent.
    pub(crate) fn forget(&mut self, torrent: InfoHash) {
        self.jobs.retain(|_, entry| entry.torrent != torrent);
    }

    /// Returns the jobs of a torrent.
    pub(crate) fn of(&self, torrent: InfoHash) -> impl Iterator<Item = &Job> {
        let jobs = self.jobs.iter().map(|(_, entry)| entry);
        jobs.filter(move |entry| entry.torrent == torrent)
            .map(|entry| &entry.job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_for_what_was_forgotten_finds_nothing() {
        let (one, other) = (InfoHash::new([1; 32]), InfoHash::new([2; 32]));
        let mut jobs = Jobs::default();
        let forgotten = jobs.insert(one, Job::Finish);
        let kept = jobs.insert(other, Job::Finish);
        jobs.forget(one);
        let again = jobs.insert(one, Job::Finish);
        assert!(jobs.remove(forgotten).is_none());
        assert!(matches!(jobs.remove(kept), Some((torrent, Job::Finish)) if torrent == other));
        assert_eq!(jobs.of(one).count(), 1);
        assert!(jobs.remove(again).is_some() && jobs.remove(again).is_none());
    }
}
