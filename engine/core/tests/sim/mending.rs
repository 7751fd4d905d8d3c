//! What is damaged is mended: only the wrong blocks are fetched, from whoever has them.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shoal_core::TorrentState;
use shoal_protocol::BlockRef;
use shoal_sim::{Content, KIB, MIB, Spec, World};

const PATIENCE: Duration = Duration::from_secs(60);

/// Mends these blocks of a torrent with one seeder; returns what was fetched, in bytes.
fn mend(torrent: &Arc<Content>, seed: u64, wrong: &[BlockRef]) -> u64 {
    let mut world = World::new(seed);
    let seeder = world.seeder(torrent, Spec::default());
    let node = world.add(Spec::default());
    world.mend(node, torrent, wrong);
    world.run(PATIENCE);
    let shot = world.snapshot(node, torrent);
    assert_eq!(shot.state, TorrentState::Complete);
    assert!(shot.have.is_full());
    assert_eq!(shot.wasted_bytes, 0);
    assert_eq!(
        shot.downloaded_bytes,
        world.snapshot(seeder, torrent).uploaded_bytes
    );
    shot.downloaded_bytes
}

fn length(torrent: &Content, blocks: &[BlockRef]) -> u64 {
    let info = torrent.metainfo.info();
    let spans = blocks.iter().map(|block| info.block_span(*block));
    spans.map(|span| u64::from(span.length)).sum()
}

#[test]
fn three_wrong_blocks_are_three_blocks_to_fetch() {
    let torrent = Content::with_piece_length(1, &[4 * MIB + 7], Some(256 << 10));
    let info = torrent.metainfo.info();
    let at = |piece: u32, block| BlockRef {
        piece: info.piece(piece).unwrap(),
        block,
    };
    // Two in one piece, and the last one, which is short.
    let wrong = [at(2, 0), at(2, 15), at(16, 0)];
    assert_eq!(mend(&torrent, 1, &wrong), length(&torrent, &wrong));
}

#[test]
fn any_damage_is_mended_with_no_more_than_what_is_wrong() {
    for seed in 0..40 {
        let sizes = [700 * KIB, 5, 3 * MIB, 16 * KIB, 90 * KIB];
        let length_of_piece = 16 << 10 << (seed % 5);
        let torrent = Content::with_piece_length(seed, &sizes, Some(length_of_piece));
        let info = torrent.metainfo.info();
        let mut world = World::new(seed);
        let share = world.rng.random_range(0.01..1.0);
        let blocks = info.pieces().flat_map(|piece| info.blocks(piece));
        let wrong: Vec<_> = blocks.filter(|_| world.rng.random_bool(share)).collect();
        assert_eq!(
            mend(&torrent, seed, &wrong),
            length(&torrent, &wrong),
            "seed {seed}"
        );
    }
}
