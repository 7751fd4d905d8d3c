//! The torrents of a session.

use shoal_protocol::InfoHash;

use crate::torrent::Torrent;

/// Torrents in the order in which they were added. All of them are walked over with every step, and are few:
/// a list is walked, and looked through, sooner than a tree.
#[derive(Debug, Default)]
pub(crate) struct Torrents {
    ids: Vec<InfoHash>,
    /// In the order of `ids`.
    torrents: Vec<Torrent>,
}

impl Torrents {
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns their info hashes.
    pub(crate) fn ids(&self) -> &[InfoHash] {
        &self.ids
    }

    pub(crate) fn contains(&self, id: InfoHash) -> bool {
        self.place(id).is_some()
    }

    pub(crate) fn get(&self, id: InfoHash) -> Option<&Torrent> {
        self.torrents.get(self.place(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: InfoHash) -> Option<&mut Torrent> {
        let place = self.place(id)?;
        self.torrents.get_mut(place)
    }

    /// Adds a torrent that is not here yet.
    pub(crate) fn add(&mut self, torrent: Torrent) -> &mut Torrent {
        self.ids.push(torrent.info_hash);
        self.torrents.push_mut(torrent)
    }

    pub(crate) fn remove(&mut self, id: InfoHash) -> Option<Torrent> {
        let place = self.place(id)?;
        self.ids.remove(place);
        Some(self.torrents.remove(place))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Torrent> {
        self.torrents.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Torrent> {
        self.torrents.iter_mut()
    }

    fn place(&self, id: InfoHash) -> Option<usize> {
        self.ids.iter().position(|other| *other == id)
    }
}
