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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::session::Config;
    use crate::shared::Shared;

    #[test]
    fn torrents_are_found_and_stay_in_order_whatever_is_removed() {
        let config = Config {
            peer: [1; 20].into(),
            key: [1; 16].into(),
            client: "test".to_owned(),
        };
        let shared = Shared::new(config, 1);
        let ids = [3, 1, 2].map(|id| InfoHash::new([id; 32]));
        let mut torrents = Torrents::default();
        for id in ids {
            let torrent = Torrent::new(id, id.to_string(), Limits::default(), &shared);
            assert_eq!(torrents.add(torrent).info_hash, id);
        }
        assert_eq!(torrents.ids(), ids);
        let removed = torrents.remove(ids[1]).map(|torrent| torrent.info_hash);
        assert_eq!((removed, torrents.contains(ids[1])), (Some(ids[1]), false));
        for id in [ids[0], ids[2]] {
            assert_eq!(torrents.get(id).map(|torrent| torrent.info_hash), Some(id));
            assert_eq!(
                torrents.get_mut(id).map(|torrent| torrent.info_hash),
                Some(id)
            );
        }
        assert!(
            torrents
                .iter()
                .map(|torrent| torrent.info_hash)
                .eq([ids[0], ids[2]])
        );
        assert!(torrents.remove(ids[1]).is_none() && !torrents.is_empty());
    }
}
