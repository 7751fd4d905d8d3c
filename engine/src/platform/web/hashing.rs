//! Hashing: in the page's worker, or, without one, in turns of the page.

use bytes::Bytes;
use js_sys::Uint8Array;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::{BLOCK_LENGTH, Hash256};
use wasm_bindgen::JsCast;

use super::turns::share_turn;
use super::worker::{Answer, Call, Worker};

/// Hashes a block.
pub(super) async fn hash(worker: Worker, data: Bytes) -> Hash256 {
    let payload = Uint8Array::from(data.as_ref()).into();
    if let Ok((Answer::Bytes, hashes)) = worker.call(Call::Hash, payload).await
        && let Some(hashes) = hashes.dyn_ref::<Uint8Array>()
        && let [hash] = split(&hashes.to_vec()).as_slice()
    {
        return *hash;
    }
    // Without a worker it takes the page's time.
    share_turn(move || hash_block(&data)).await
}

/// Hashes each block of what begins with a block.
pub(super) fn hash_all(data: &[u8], hashes: &mut Vec<Hash256>) {
    hashes.extend(data.chunks(BLOCK_LENGTH as usize).map(hash_block));
}

/// Reads hashes that stand one behind the other.
pub(super) fn split(hashes: &[u8]) -> Vec<Hash256> {
    let (hashes, _) = hashes.as_chunks::<{ Hash256::LEN }>();
    hashes.iter().copied().map(Hash256::new).collect()
}

/// Bytes that the page hashes without a break: a multiple of the block length, about a millisecond.
pub(super) const STEP: u32 = 8 * BLOCK_LENGTH;
