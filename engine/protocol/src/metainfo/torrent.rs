//! Metainfo: all that must be known of a torrent to download, verify and share it. As a file: a
//! `.torrent` (BEP 52).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Info, MAX_TORRENT_LENGTH, MetainfoError, PieceLayers};
use crate::bencode::{self, Value};
use crate::magnet::{self, Magnet};
use crate::merkle::LayerTree;
use crate::merkle::proof::{HashRequest, ProofError};
use crate::{Hash256, InfoHash, PieceIndex};

/// A torrent's info dictionary, piece layers and trackers, which fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    info: Info,
    layers: PieceLayers,
    trackers: Vec<String>,
}

impl Metainfo {
    /// Puts together what peers sent, or what was made. Trackers beyond the caps of [`magnet`] are
    /// left out.
    ///
    /// # Errors
    /// When the layers are another torrent's.
    pub fn new(
        info: Info,
        layers: PieceLayers,
        trackers: &[String],
    ) -> Result<Self, MetainfoError> {
        let needed = info.files().iter().filter(|file| file.piece_count() > 1);
        for file in needed {
            let layer = file.pieces_root().and_then(|root| layers.get(&root));
            if layer.is_none_or(|layer| layer.nodes().len() != file.piece_count() as usize) {
                return Err(MetainfoError::MissingLayer(file.path().join("/")));
            }
        }
        let mut kept = Vec::new();
        trackers
            .iter()
            .for_each(|tracker| magnet::add_tracker(&mut kept, tracker));
        Ok(Self {
            info,
            layers,
            trackers: kept,
        })
    }

    /// Reads a `.torrent` file.
    ///
    /// # Errors
    /// When it is not canonical bencode, has no v2 half, lacks piece layers, or breaks BEP 52 or a
    /// cap of [`super`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > MAX_TORRENT_LENGTH {
            return Err(MetainfoError::TorrentTooLong);
        }
        let mut fields = Fields::default();
        let length = bencode::read_dict(bytes, |key, value| fields.read(key, value))?;
        if length != bytes.len() {
            return Err(MetainfoError::TrailingBytes);
        }
        let info = fields.info.ok_or(MetainfoError::Field("info"))?;
        let info = Info::decode(Bytes::copy_from_slice(info))?;
        let layers = PieceLayers::new(&info, fields.layers)?;
        Self::new(info, layers, &fields.trackers)
    }

    /// Writes a `.torrent` file.
    ///
    /// # Errors
    /// None that can come of checked metainfo.
    pub fn encode(&self) -> Result<Vec<u8>, MetainfoError> {
        let mut pairs = Vec::new();
        if let Some(first) = self.trackers.first() {
            pairs.push((
                "announce",
                bencode::write(|encoder| encoder.emit_str(first))?,
            ));
            // Each a tier of its own: they are used in their order.
            let tiers: Vec<_> = self.trackers.iter().map(|tracker| vec![tracker]).collect();
            pairs.push((
                "announce-list",
                bencode::write(|encoder| encoder.emit(&tiers))?,
            ));
        }
        pairs.push(("info", self.info.bytes().to_vec()));
        pairs.push(("piece layers", self.encode_layers()?));
        Ok(bencode::write_dict(&pairs)?)
    }

    /// Returns the info dictionary.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Returns the piece layers.
    #[must_use]
    pub fn layers(&self) -> &PieceLayers {
        &self.layers
    }

    /// Returns the trackers' addresses.
    #[must_use]
    pub fn trackers(&self) -> &[String] {
        &self.trackers
    }

    /// Returns the torrent's name in the protocol.
    #[must_use]
    pub fn info_hash(&self) -> InfoHash {
        self.info.info_hash()
    }

    /// Returns the hash of a piece: the root above its blocks, of height
    /// [`Info::piece_height`]. For a file of one piece this is the file's root.
    ///
    /// # Panics
    /// If the piece is another torrent's.
    #[must_use]
    pub fn piece_hash(&self, piece: PieceIndex) -> Hash256 {
        let file = self.info.file(self.info.file_of(piece));
        let root = file.pieces_root().expect("a file with pieces has a root");
        let in_file = (piece.get() - file.first_piece()) as usize;
        self.layers
            .get(&root)
            .map_or(root, |layer| layer.nodes()[in_file])
    }

    /// Makes the link to this torrent.
    #[must_use]
    pub fn magnet(&self) -> Magnet {
        Magnet {
            v1: self.info.info_hash_v1(),
            name: Some(self.info.name().to_owned()),
            trackers: self.trackers.clone(),
            ..Magnet::new(self.info_hash())
        }
    }

    /// Returns the piece whose block hashes must be at hand to answer a request with
    /// [`Self::answer`]; `None` if none are needed.
    ///
    /// # Errors
    /// When the request is to be rejected.
    pub fn blocks_needed(&self, request: &HashRequest) -> Result<Option<PieceIndex>, ProofError> {
        let index = self
            .info
            .file_by_root(&request.pieces_root)
            .ok_or(ProofError::UnknownRoot)?;
        let file = self.info.file(index);
        let tree = self.tree(
            &request.pieces_root,
            file.piece_height(self.info.piece_length()),
        );
        request.check(tree.as_ref().height())?;
        if request.base >= tree.as_ref().base() {
            return Ok(None);
        }
        let piece = request
            .piece_below(tree.as_ref().base())
            .ok_or(ProofError::NotAtHand)?;
        // Wholly padding: nobody needs to ask.
        let in_file = Some(piece).filter(|piece| *piece < file.piece_count());
        let piece = in_file.and_then(|piece| self.info.piece(file.first_piece() + piece));
        piece.ok_or(ProofError::OutOfTree).map(Some)
    }

    /// Answers a hash request. `leaves` are the block hashes of the piece that
    /// [`Self::blocks_needed`] names, and not looked at if it names none.
    ///
    /// # Errors
    /// When the request is to be rejected.
    pub fn answer(
        &self,
        request: &HashRequest,
        leaves: &[Hash256],
    ) -> Result<Vec<Hash256>, ProofError> {
        let Some(piece) = self.blocks_needed(request)? else {
            let tree = self
                .layers
                .get(&request.pieces_root)
                .ok_or(ProofError::OutOfTree)?;
            return request.answer(tree);
        };
        if leaves.len() != self.info.block_count(piece) as usize {
            return Err(ProofError::NotAtHand);
        }
        let tree = self.tree(&request.pieces_root, self.info.piece_height(piece));
        request.answer_below(tree.as_ref(), leaves)
    }

    /// The piece layer's tree, or for a file of one piece the root alone.
    fn tree(&self, root: &Hash256, height: u32) -> Tree<'_> {
        let alone = || Tree::Root(LayerTree::new(vec![*root], height));
        self.layers.get(root).map_or_else(alone, Tree::Layer)
    }

    fn encode_layers(&self) -> Result<Vec<u8>, MetainfoError> {
        let layers = bencode::write(|encoder| {
            encoder.emit_dict(|mut dict| {
                for (root, layer) in self.layers.iter() {
                    let hashes: Vec<u8> = layer
                        .nodes()
                        .iter()
                        .flat_map(|hash| *hash.as_bytes())
                        .collect();
                    dict.emit_pair_with(root.as_ref(), |value| value.emit_bytes(&hashes))?;
                }
                Ok(())
            })
        });
        Ok(layers?)
    }
}

/// A file's piece layer, whether it is kept or made up.
enum Tree<'m> {
    Layer(&'m LayerTree),
    Root(LayerTree),
}

impl AsRef<LayerTree> for Tree<'_> {
    fn as_ref(&self) -> &LayerTree {
        match self {
            Self::Layer(tree) => tree,
            Self::Root(tree) => tree,
        }
    }
}

/// What is read of the file before it is judged.
#[derive(Default)]
struct Fields<'b> {
    info: Option<&'b [u8]>,
    layers: BTreeMap<Hash256, Vec<Hash256>>,
    trackers: Vec<String>,
}

impl<'b> Fields<'b> {
    fn read(&mut self, key: &[u8], value: Value<'_, 'b>) -> Result<(), MetainfoError> {
        match (key, value) {
            (b"announce", value) => self.add_tracker(&value),
            (b"announce-list", Value::List(mut tiers)) => bencode::read_list(&mut tiers, |tier| {
                let Value::List(mut tier) = tier else {
                    return Ok(());
                };
                bencode::read_list(&mut tier, |tracker| {
                    self.add_tracker(&tracker);
                    Ok::<_, MetainfoError>(())
                })
            })?,
            (b"info", Value::Dict(info)) => {
                self.info = Some(info.into_raw().map_err(bencode::BencodeError::from)?);
            }
            (b"piece layers", Value::Dict(mut layers)) => {
                bencode::read_pairs(&mut layers, |root, layer| self.read_layer(root, &layer))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn add_tracker(&mut self, tracker: &Value<'_, '_>) {
        if let Some(tracker) = tracker.text() {
            magnet::add_tracker(&mut self.trackers, tracker);
        }
    }

    fn read_layer(&mut self, root: &[u8], layer: &Value<'_, '_>) -> Result<(), MetainfoError> {
        let bad = MetainfoError::Field("piece layers");
        let root = root.try_into().map_err(|_| bad.clone())?;
        let (hashes, rest) = layer.bytes().ok_or_else(|| bad.clone())?.as_chunks();
        if !rest.is_empty() {
            return Err(bad);
        }
        self.layers.insert(
            root,
            hashes.iter().map(|hash| Hash256::new(*hash)).collect(),
        );
        Ok(())
    }
}
