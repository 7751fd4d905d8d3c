//! Whatever becomes of a journal's bytes, it never vouches for what was not recorded.

use proptest::prelude::*;
use proptest::sample::Index;
use shoal_protocol::metainfo::{Info, MetainfoBuilder};
use shoal_protocol::{BLOCK_LENGTH, Hash256};

use super::*;

const BOOT: u64 = 7;

/// A file of 41 pieces of four blocks, the last of one.
fn info() -> Info {
    let block = u64::from(BLOCK_LENGTH);
    let mut builder =
        MetainfoBuilder::single_file("file", block * 161, Some(BLOCK_LENGTH * 4)).unwrap();
    for _ in 0..161 {
        builder.add_block(Hash256::new([1; 32])).unwrap();
    }
    builder.build(&[]).unwrap().info().clone()
}

fn written(info: &Info, records: &[Record]) -> Vec<u8> {
    let mut bytes = header(info).to_vec();
    for record in records {
        bytes.extend(record.encode(bytes.len() as u64));
    }
    bytes
}

fn all_of(info: &Info, records: &[Record]) -> Stored {
    let mut stored = Stored::new(info);
    records.iter().for_each(|record| stored.apply(record, info));
    stored
}

/// Returns whether everything in `part` is in `whole` too.
fn is_within(part: &Stored, whole: &Stored) -> bool {
    let pieces = part.pieces().numbers();
    let mut pieces = pieces.map(|piece| whole.pieces().contains_number(piece));
    let blocks: Vec<_> = whole.blocks().collect();
    pieces.all(|is_there| is_there)
        && part
            .blocks()
            .all(|block| whole.pieces().contains(block.piece) || blocks.contains(&block))
}

fn a_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (0..50u32, 0..4u32).prop_map(|(first, count)| Record::Pieces { first, count }),
        (0..50u32, 0..6u32, 0..6u32).prop_map(|(piece, first, count)| Record::Blocks {
            piece,
            first,
            count
        }),
        (0..600u64).prop_map(|upto| Record::Flushed { upto }),
        prop_oneof![Just(BOOT), any::<u64>()].prop_map(|boot| Record::Opened { boot }),
        (any::<u32>(), any::<u64>()).prop_map(|(file, stamp)| Record::Stamp { file, stamp }),
    ]
}

#[test]
fn what_was_recorded_is_read() {
    let info = info();
    let records = [
        Record::Opened { boot: BOOT },
        Record::Pieces { first: 3, count: 2 },
        Record::Blocks {
            piece: 9,
            first: 2,
            count: 2,
        },
        Record::Blocks {
            piece: 9,
            first: 0,
            count: 1,
        },
        Record::Blocks {
            piece: 40,
            first: 0,
            count: 1,
        },
    ];
    let read = read(&written(&info, &records), &info, BOOT).unwrap();
    assert_eq!(
        read.sure.pieces().numbers().collect::<Vec<_>>(),
        [3, 4, 40],
        "the last piece is one block"
    );
    let blocks: Vec<_> = read.sure.blocks().map(|block| block.block).collect();
    assert_eq!(blocks, [0, 2, 3]);
    assert!(!read.is_torn && read.stamps.is_empty());
    assert_eq!(read.durable, Stored::new(&info));
}

#[test]
fn blocks_together_make_a_piece() {
    let info = info();
    let mut stored = Stored::new(&info);
    for first in [0, 3, 1, 2] {
        let record = Record::Blocks {
            piece: 5,
            first,
            count: 1,
        };
        stored.apply(&record, &info);
    }
    assert!(stored.pieces().contains_number(5));
    assert_eq!(stored.blocks().count(), 0);
}

#[test]
fn after_another_boot_only_what_was_flushed_is_sure() {
    let info = info();
    let first = Record::Pieces { first: 0, count: 1 };
    let second = Record::Pieces { first: 1, count: 1 };
    let upto = (HEADER_LENGTH + 2 * RECORD_LENGTH) as u64;
    let records = [
        Record::Opened { boot: BOOT },
        first,
        second,
        // Says that the first was flushed: the second came while that was under way.
        Record::Flushed { upto },
    ];
    let bytes = written(&info, &records);
    let same = read(&bytes, &info, BOOT).unwrap();
    assert_eq!(same.sure, all_of(&info, &[first, second]));
    let other = read(&bytes, &info, BOOT + 1).unwrap();
    assert_eq!(other.sure, all_of(&info, &[first]));
    assert_eq!(other.durable, other.sure);
    assert_eq!(other.recorded, same.sure);
}

#[test]
fn stamps_hold_until_the_files_are_opened_again() {
    let info = info();
    let stamp = Record::Stamp { file: 0, stamp: 42 };
    let closed = written(&info, &[Record::Opened { boot: BOOT }, stamp]);
    assert_eq!(read(&closed, &info, BOOT).unwrap().stamps, [(0, 42)]);
    let opened = written(&info, &[stamp, Record::Opened { boot: BOOT }]);
    assert!(read(&opened, &info, BOOT).unwrap().stamps.is_empty());
}

#[test]
fn a_stamp_tells_lengths_and_times_apart() {
    assert_ne!(stamp(1, 2), stamp(2, 1));
    assert_ne!(stamp(1, 2), stamp(1, 3));
}

#[test]
fn a_journal_of_another_torrent_or_version_is_not_read() {
    let info = info();
    let mut bytes = written(&info, &[]);
    assert!(read(&bytes, &info, BOOT).is_some());
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..48]);
    bytes[48..].copy_from_slice(&checksum.to_le_bytes());
    assert!(read(&bytes, &info, BOOT).is_none());
    assert!(is_journal(&bytes), "it may be replaced");
    assert!(!is_journal(b"somebody's own"));
    assert!(
        !is_of_another(&bytes, &info),
        "of another version, but of this torrent"
    );
    bytes[12] ^= 1;
    assert!(!is_of_another(&bytes, &info), "damaged");
    let checksum = crc32fast::hash(&bytes[..48]);
    bytes[48..].copy_from_slice(&checksum.to_le_bytes());
    assert!(is_of_another(&bytes, &info));
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(records in prop::collection::vec(a_record(), 0..40)) {
        let info = info();
        let bytes = written(&info, &records);
        let (encoded, _) = bytes[HEADER_LENGTH..].as_chunks();
        let offsets = (HEADER_LENGTH..).step_by(RECORD_LENGTH);
        let decoded = encoded.iter().zip(offsets);
        let decoded: Option<Vec<_>> = decoded
            .map(|(bytes, at)| Record::decode(bytes, at as u64))
            .collect();
        prop_assert_eq!(decoded, Some(records));
    }

    #[test]
    fn a_prefix_vouches_for_no_more_than_the_whole(
        records in prop::collection::vec(a_record(), 0..40),
        cut: Index,
    ) {
        let info = info();
        let bytes = written(&info, &records);
        let cut = cut.index(bytes.len() + 1);
        let Some(read) = read(&bytes[..cut], &info, BOOT) else {
            prop_assert!(cut < HEADER_LENGTH);
            return Ok(());
        };
        let kept = (cut - HEADER_LENGTH) / RECORD_LENGTH;
        prop_assert_eq!(&read.recorded, &all_of(&info, &records[..kept]));
        prop_assert_eq!(read.is_torn, cut > HEADER_LENGTH + kept * RECORD_LENGTH);
        prop_assert!(is_within(&read.durable, &read.sure));
        prop_assert!(is_within(&read.sure, &read.recorded));
    }

    #[test]
    fn a_flipped_byte_vouches_for_nothing_that_was_not_recorded(
        records in prop::collection::vec(a_record(), 0..40),
        at: Index,
        flip in 1..=u8::MAX,
    ) {
        let info = info();
        let mut bytes = written(&info, &records);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let Some(read) = read(&bytes, &info, BOOT) else {
            prop_assert!(at < HEADER_LENGTH);
            return Ok(());
        };
        let kept = (at - HEADER_LENGTH) / RECORD_LENGTH;
        prop_assert_eq!(&read.recorded, &all_of(&info, &records[..kept]));
        prop_assert!(read.is_torn);
    }

    #[test]
    fn rubbish_is_never_believed(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let info = info();
        let mut journal = header(&info).to_vec();
        prop_assert!(read(&bytes, &info, BOOT).is_none());
        journal.extend(&bytes);
        let read = read(&journal, &info, BOOT).unwrap();
        prop_assert_eq!(read.recorded, Stored::new(&info));
    }

    #[test]
    fn compacting_changes_nothing(records in prop::collection::vec(a_record(), 0..60)) {
        let info = info();
        let stored = all_of(&info, &records);
        let nothing = Stored::new(&info);
        let compact = stored.records(&nothing);
        prop_assert_eq!(all_of(&info, &compact), stored.clone());
        let (durable, _) = records.split_at(records.len() / 2);
        let durable = all_of(&info, durable);
        let mut both = durable.records(&nothing);
        both.extend(stored.records(&durable));
        prop_assert_eq!(all_of(&info, &both), stored);
    }
}
