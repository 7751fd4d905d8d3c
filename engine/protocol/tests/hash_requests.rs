//! BEP 52 hash requests: what is answered, what answers prove, what is refused. That the rule is
//! libtorrent's too is shown by libtorrent.rs.
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod common;

use shoal_protocol::Hash256;
use shoal_protocol::merkle::proof::{HashRequest, ProofError};
use shoal_protocol::merkle::{block_count, log2_ceil};
use shoal_protocol::metainfo::{LayersNeeded, Metainfo};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 700 pieces of two blocks, the last one of a byte.
fn big() -> Metainfo {
    common::file(699 * 32_768 + 1, 32_768)
}

fn root(metainfo: &Metainfo) -> Hash256 {
    metainfo.info().files()[0].pieces_root().unwrap()
}

fn request(metainfo: &Metainfo, base: u32, index: u32, length: u32, proof: u32) -> HashRequest {
    HashRequest {
        pieces_root: root(metainfo),
        base,
        index,
        length,
        proof_layers: proof,
    }
}

#[test]
fn piece_layers_are_collected_from_answers_in_any_order() {
    let metainfo = big();
    let mut needed = LayersNeeded::new(metainfo.info());
    let mut requests: Vec<_> = needed.requests().collect();
    assert_eq!(
        requests,
        [
            request(&metainfo, 1, 0, 512, 9),
            request(&metainfo, 1, 512, 512, 9)
        ]
    );
    requests.reverse();
    for request in requests {
        assert!(!needed.is_complete() && needed.needs(&request));
        let hashes = metainfo.answer(&request, &[]).unwrap();
        assert_eq!(hashes.len(), 513);
        needed.accept(&request, &hashes).unwrap();
        needed.accept(&request, &hashes).unwrap();
        assert!(!needed.needs(&request));
    }
    assert!(needed.is_complete());
    assert_eq!(&needed.finish(metainfo.info()).unwrap(), metainfo.layers());
}

#[test]
fn files_of_one_piece_need_no_layer_and_equal_files_one() {
    let metainfo = common::file(32_768, 32_768);
    let needed = LayersNeeded::new(metainfo.info());
    assert!(needed.is_complete());
    assert_eq!(&needed.finish(metainfo.info()).unwrap(), metainfo.layers());
    let twins = ["a", "b"].map(|name| (vec![name.to_owned()], 70_000, 0));
    let metainfo = common::folder("twins", 32_768, &twins);
    assert_eq!(LayersNeeded::new(metainfo.info()).missing(), 1);
}

#[test]
fn wrong_answers_are_refused_and_change_nothing() {
    let metainfo = big();
    let mut needed = LayersNeeded::new(metainfo.info());
    let request = needed.requests().next().unwrap();
    let good = metainfo.answer(&request, &[]).unwrap();
    for at in [0, 511, 512] {
        let mut wrong = good.clone();
        wrong[at] = Hash256::new([9; 32]);
        assert_eq!(needed.accept(&request, &wrong), Err(ProofError::Mismatch));
    }
    assert_eq!(
        needed.accept(&request, &good[1..]),
        Err(ProofError::WrongCount)
    );
    let other = HashRequest {
        length: 256,
        ..request
    };
    assert_eq!(needed.accept(&other, &good), Err(ProofError::UnknownRoot));
    assert_eq!(needed.missing(), 2);
}

#[test]
fn padding_is_not_taken_from_the_answer() {
    let metainfo = big();
    let mut needed = LayersNeeded::new(metainfo.info());
    let request = needed.requests().nth(1).unwrap();
    let mut hashes = metainfo.answer(&request, &[]).unwrap();
    hashes[700 - 512..512].fill(Hash256::new([0; 32]));
    needed.accept(&request, &hashes).unwrap();
}

#[test]
fn block_hashes_of_a_piece_are_answered_and_proved() {
    for length in [16_385, 32_768, 40_000, 699 * 32_768 + 1] {
        let metainfo = common::file(length, 32_768);
        let info = metainfo.info();
        let blocks = block_count(length);
        for piece in info.pieces().take(3).chain(info.pieces().next_back()) {
            let Some(request) = info.block_hashes_request(piece) else {
                continue;
            };
            assert_eq!(metainfo.blocks_needed(&request), Ok(Some(piece)));
            let leaves = common::leaves(&metainfo, piece);
            let hashes = metainfo.answer(&request, &leaves).unwrap();
            let node = request.fold(blocks, &hashes).unwrap();
            assert_eq!(node.hash, metainfo.piece_hash(piece));
            assert_eq!(node.height, info.piece_height(piece));

            let proof_layers = log2_ceil(blocks) - 1;
            let request = HashRequest {
                proof_layers,
                ..request
            };
            let hashes = metainfo.answer(&request, &leaves).unwrap();
            assert_eq!(hashes.len() as u64, request.answer_length());
            let node = request.fold(blocks, &hashes).unwrap();
            assert_eq!((node.hash, node.index), (root(&metainfo), 0));
            assert_eq!(
                metainfo.answer(&request, &leaves[1..]),
                Err(ProofError::NotAtHand)
            );
        }
    }
}

#[test]
fn rows_above_the_piece_layer_are_answered() {
    let metainfo = big();
    for (base, index, length, proof) in [(2, 0, 512, 8), (5, 4, 4, 5), (10, 0, 2, 0), (3, 77, 1, 7)]
    {
        let request = request(&metainfo, base, index, length, proof);
        let hashes = metainfo.answer(&request, &[]).unwrap();
        let node = request
            .fold(block_count(699 * 32_768 + 1), &hashes)
            .unwrap();
        assert_eq!(node.hash, root(&metainfo), "{request:?}");
    }
}

#[test]
fn unreasonable_requests_are_refused() {
    let metainfo = big();
    // Its tree has height 11.
    for (base, index, length, proof, error) in [
        (1, 0, 0, 0, ProofError::Unaligned),
        (1, 0, 3, 0, ProofError::Unaligned),
        (1, 1, 2, 0, ProofError::Unaligned),
        (1, 0, 1 << 14, 0, ProofError::Unaligned),
        (1, 1024, 2, 0, ProofError::OutOfTree),
        (1, 0, 2048, 0, ProofError::OutOfTree),
        (11, 0, 1, 0, ProofError::OutOfTree),
        (1, 0, 2, 10, ProofError::OutOfTree),
        (u32::MAX, 0, 2, 0, ProofError::OutOfTree),
        (0, u32::MAX - 1, 2, u32::MAX, ProofError::OutOfTree),
        (0, 0, 4, 0, ProofError::NotAtHand),
        (0, 1400, 2, 0, ProofError::OutOfTree),
    ] {
        let request = request(&metainfo, base, index, length, proof);
        assert_eq!(metainfo.answer(&request, &[]), Err(error), "{request:?}");
    }
    let unknown = HashRequest {
        pieces_root: Hash256::new([1; 32]),
        ..request(&metainfo, 1, 0, 2, 0)
    };
    assert_eq!(metainfo.answer(&unknown, &[]), Err(ProofError::UnknownRoot));
}

#[test]
fn number_of_uncles_is_that_of_bep_52() {
    let metainfo = big();
    for (length, proof, uncles) in [
        (2, 0, 0),
        (2, 1, 1),
        (512, 8, 0),
        (512, 9, 1),
        (512, 12, 4),
        (1, 0, 1),
    ] {
        assert_eq!(
            request(&metainfo, 1, 0, length, proof).uncle_count(),
            uncles
        );
    }
}
