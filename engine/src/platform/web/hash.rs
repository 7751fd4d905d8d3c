//! SHA-256 on the page's own thread, in slices.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use shoal_protocol::Hash256;

use super::turns::share_turn;

/// Hashes a block. A block takes a fraction of a millisecond; many at once share the page's turns.
pub(super) async fn sha256(data: Bytes) -> Hash256 {
    share_turn(|| Hash256::new(Sha256::digest(&data).into())).await
}
