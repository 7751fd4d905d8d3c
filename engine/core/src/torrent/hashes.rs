//! Answers for Merkle trees (BEP 52): from the piece layers, or from block hashes that are kept or made
//! by reading the piece again.

use shoal_protocol::merkle::{self, proof::HashRequest};
use shoal_protocol::wire::Message;
use shoal_protocol::{BlockRef, Hash256, PieceIndex};

use super::Torrent;
use crate::io::{LinkId, Output, StorageFault};
use crate::jobs::Job;
use crate::leaves::{Lookup, Making};
use crate::shared::Shared;

impl Torrent {
    /// A peer asks for hashes.
    pub(super) fn hashes_asked(&mut self, link: LinkId, request: HashRequest, shared: &mut Shared) {
        let needed = self
            .metainfo
            .as_ref()
            .map(|metainfo| metainfo.blocks_needed(&request));
        match needed {
            Some(Ok(None)) => self.answer_hashes(link, &request, &[]),
            Some(Ok(Some(piece))) => self.answer_from_blocks(link, request, piece, shared),
            Some(Err(_)) | None => self.tell(link, &Message::HashReject(request)),
        }
    }

    /// A block of a piece whose block hashes are being made has been read.
    pub(crate) fn leaf_read(
        &mut self,
        piece: PieceIndex,
        result: Result<bytes::Bytes, StorageFault>,
        shared: &mut Shared,
    ) {
        match result {
            Ok(data) => {
                let token = shared.job(self.info_hash, Job::HashLeaf { piece });
                shared.output(Output::Hash { token, data });
            }
            Err(fault) => {
                self.storage_failed(&fault, shared);
                self.leaves_failed(piece);
            }
        }
    }

    /// A block of a piece whose block hashes are being made has been hashed.
    pub(crate) fn leaf_hashed(&mut self, piece: PieceIndex, hash: Hash256, shared: &mut Shared) {
        let Some(content) = &mut self.content else {
            return;
        };
        let (hashes, waiting) = match content.leaves.hashed(piece, hash) {
            Making::Nothing => return,
            Making::Next(block) => return self.read_leaf(piece, block, shared),
            Making::Made { hashes, waiting } => (hashes, waiting),
        };
        let height = content.metainfo.info().piece_height(piece);
        // Wrong ones would make a liar of us.
        if !merkle::verify_leaves(&content.metainfo.piece_hash(piece), &hashes, height) {
            for (link, request) in waiting {
                self.tell(link, &Message::HashReject(request));
            }
            let fault = StorageFault::Changed(self.name.clone());
            return self.storage_failed(&fault, shared);
        }
        content.leaves.keep(piece, hashes.clone());
        for (link, request) in waiting {
            self.answer_hashes(link, &request, &hashes);
        }
    }

    fn answer_from_blocks(
        &mut self,
        link: LinkId,
        request: HashRequest,
        piece: PieceIndex,
        shared: &mut Shared,
    ) {
        let Some(content) = self
            .content
            .as_mut()
            .filter(|content| content.have.contains(piece))
        else {
            return self.tell(link, &Message::HashReject(request));
        };
        if let Some(leaves) = content.leaves.get(piece).map(<[Hash256]>::to_vec) {
            return self.answer_hashes(link, &request, &leaves);
        }
        let blocks = content.metainfo.info().block_count(piece);
        match content.leaves.wait(piece, blocks, link, request) {
            Lookup::Waiting => {}
            Lookup::Begin => self.read_leaf(piece, 0, shared),
            Lookup::Refuse => self.tell(link, &Message::HashReject(request)),
        }
    }

    fn answer_hashes(&mut self, link: LinkId, request: &HashRequest, leaves: &[Hash256]) {
        let answer = self
            .metainfo
            .as_ref()
            .and_then(|metainfo| metainfo.answer(request, leaves).ok());
        let message = answer.map_or(Message::HashReject(*request), |hashes| Message::Hashes {
            request: *request,
            hashes,
        });
        self.tell(link, &message);
    }

    fn read_leaf(&mut self, piece: PieceIndex, block: u32, shared: &mut Shared) {
        let Some(content) = &self.content else {
            return;
        };
        let span = content.span(BlockRef { piece, block });
        let token = shared.job(self.info_hash, Job::ReadLeaf { piece });
        shared.output(Output::Read { token, span });
    }

    fn leaves_failed(&mut self, piece: PieceIndex) {
        let Some(content) = &mut self.content else {
            return;
        };
        for (link, request) in content.leaves.fail(piece) {
            self.tell(link, &Message::HashReject(request));
        }
    }
}
