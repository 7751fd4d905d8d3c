//! Collects a torrent's piece layers from peers, who are asked for parts of them (BEP 52 *hash
//! request*) once the info dictionary is known.
//!
//! Each part is proved up to the file's root by itself, so parts may come from anybody in any order,
//! and a wrong one names its sender. Memory grows with verified hashes only.

use std::collections::BTreeMap;

use super::{Info, MetainfoError, PieceLayers};
use crate::Hash256;
use crate::merkle::proof::{HashRequest, LAYER_REQUEST_LENGTH, ProofError};
use crate::merkle::{block_count, log2_ceil};

/// The piece layers that are still to be had.
#[derive(Clone, Debug)]
pub struct LayersNeeded {
    /// One for each root, in the order of the roots.
    layers: Vec<Layer>,
    /// Parts that are not there yet.
    missing: usize,
}

#[derive(Clone, Debug)]
struct Layer {
    root: Hash256,
    blocks: u64,
    /// Height of the layer.
    base: u32,
    /// Height of the root.
    height: u32,
    parts: Vec<Option<Vec<Hash256>>>,
}

impl LayersNeeded {
    /// Finds out what is needed for a torrent.
    #[must_use]
    pub fn new(info: &Info) -> Self {
        let layered = info.files().iter().filter(|file| file.piece_count() > 1);
        let mut layers: Vec<_> = layered
            .filter_map(|file| {
                let blocks = block_count(file.length());
                let parts = file.piece_count().div_ceil(LAYER_REQUEST_LENGTH);
                Some(Layer {
                    root: file.pieces_root()?,
                    blocks,
                    base: file.piece_height(info.piece_length()),
                    height: log2_ceil(blocks),
                    parts: vec![None; parts as usize],
                })
            })
            .collect();
        layers.sort_by_key(|layer| layer.root);
        layers.dedup_by_key(|layer| layer.root);
        let missing = layers.iter().map(|layer| layer.parts.len()).sum();
        Self { layers, missing }
    }

    /// Returns the requests for all that is missing. Any subset may be sent to any peer.
    pub fn requests(&self) -> impl Iterator<Item = HashRequest> {
        self.layers.iter().flat_map(|layer| {
            let missing = layer
                .parts
                .iter()
                .zip(0..)
                .filter(|(part, _)| part.is_none());
            missing.map(|(_, part)| layer.request(part))
        })
    }

    /// Tells whether an answer to this request is still needed.
    #[must_use]
    pub fn needs(&self, request: &HashRequest) -> bool {
        self.find(request)
            .is_some_and(|(layer, part)| self.layers[layer].parts[part].is_none())
    }

    /// Takes an answer to one of [`Self::requests`]. One that is there already is no error.
    ///
    /// # Errors
    /// When the request is none of ours or the hashes do not lead to the file's root; then the peer
    /// is at fault and nothing has changed.
    pub fn accept(&mut self, request: &HashRequest, hashes: &[Hash256]) -> Result<(), ProofError> {
        let (layer, part) = self.find(request).ok_or(ProofError::UnknownRoot)?;
        let layer = &mut self.layers[layer];
        let node = request.fold(layer.blocks, hashes)?;
        if node.height != layer.height || node.hash != layer.root {
            return Err(ProofError::Mismatch);
        }
        let real = request.real_length(layer.blocks) as usize;
        let slot = &mut layer.parts[part];
        if slot.is_none() {
            *slot = Some(hashes[..real].to_vec());
            self.missing -= 1;
        }
        Ok(())
    }

    /// Tells whether all is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Returns the number of answers that are missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Makes the piece layers.
    ///
    /// # Errors
    /// When some are missing, or `info` is not the one this was made for.
    pub fn finish(self, info: &Info) -> Result<PieceLayers, MetainfoError> {
        let layers = self.layers.into_iter().filter_map(|layer| {
            let parts: Option<Vec<_>> = layer.parts.into_iter().collect();
            Some((layer.root, parts?.concat()))
        });
        PieceLayers::new(info, layers.collect::<BTreeMap<_, _>>())
    }

    /// Finds the layer and part that a request is for, if it is exactly one of ours.
    fn find(&self, request: &HashRequest) -> Option<(usize, usize)> {
        let layer = self
            .layers
            .binary_search_by_key(&request.pieces_root, |layer| layer.root)
            .ok()?;
        let part = request.index / LAYER_REQUEST_LENGTH;
        let ours = (part as usize) < self.layers[layer].parts.len()
            && self.layers[layer].request(part) == *request;
        ours.then_some((layer, part as usize))
    }
}

impl Layer {
    fn request(&self, part: u32) -> HashRequest {
        let levels = self.height - self.base;
        HashRequest {
            pieces_root: self.root,
            base: self.base,
            index: part * LAYER_REQUEST_LENGTH,
            length: LAYER_REQUEST_LENGTH.min(1 << levels),
            proof_layers: levels - 1,
        }
    }
}
