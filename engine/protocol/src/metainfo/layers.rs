//! The piece layers: for each file of more than one piece the hashes of its pieces, which lead to the
//! file's root.

use std::collections::BTreeMap;

use super::{File, Info, MetainfoError};
use crate::Hash256;
use crate::merkle::LayerTree;

/// Piece layers of all files that have one, verified. Equal files share theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceLayers {
    by_root: BTreeMap<Hash256, LayerTree>,
}

impl PieceLayers {
    /// Checks the layers that a torrent needs, each given by its file's root. Others are left out.
    ///
    /// # Errors
    /// When one is missing, or does not lead to its root.
    pub fn new(
        info: &Info,
        mut layers: BTreeMap<Hash256, Vec<Hash256>>,
    ) -> Result<Self, MetainfoError> {
        let mut by_root = BTreeMap::new();
        for file in info.files().iter().filter(|file| file.piece_count() > 1) {
            let Some(root) = file
                .pieces_root()
                .filter(|root| !by_root.contains_key(root))
            else {
                continue;
            };
            let layer = layers
                .remove(&root)
                .ok_or_else(|| MetainfoError::MissingLayer(name(file)))?;
            let fits = layer.len() == file.piece_count() as usize;
            let tree = LayerTree::new(layer, file.piece_height(info.piece_length()));
            if !fits || tree.root() != root {
                return Err(MetainfoError::BadLayer(name(file)));
            }
            by_root.insert(root, tree);
        }
        Ok(Self { by_root })
    }

    /// Returns the layer of the file with this root; `None` if it has just one piece.
    #[must_use]
    pub fn get(&self, root: &Hash256) -> Option<&LayerTree> {
        self.by_root.get(root)
    }

    /// Returns all layers, by their files' roots.
    pub fn iter(&self) -> impl Iterator<Item = (&Hash256, &LayerTree)> {
        self.by_root.iter()
    }
}

fn name(file: &File) -> String {
    file.path().join("/")
}
