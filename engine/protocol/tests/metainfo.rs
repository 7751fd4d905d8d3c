//! Metainfo: where pieces and blocks lie, what is refused, and that making and reading agree.
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod common;

use bytes::Bytes;
use shoal_protocol::metainfo::{
    Info, MAX_COMPONENT_LENGTH, MAX_FILES, MAX_PATH_DEPTH, Metainfo, MetainfoBuilder,
    MetainfoError, default_piece_length,
};
use shoal_protocol::{BlockRef, Hash256};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn path(text: &str) -> Vec<String> {
    text.split('/').map(str::to_owned).collect()
}

fn gaps() -> Metainfo {
    let files = [
        ("z", 0),
        ("b", 40_000),
        ("c", 0),
        ("a", 0),
        ("e/f", 32_768),
        ("g", 100_000),
    ];
    let files: Vec<_> = files
        .iter()
        .zip(0..)
        .map(|((p, l), n)| (path(p), *l, n))
        .collect();
    common::folder("gaps", 32_768, &files)
}

/// An info dictionary with this file tree, otherwise good.
fn info_with(tree: &str) -> Result<Info, MetainfoError> {
    decode(&format!(
        "d9:file tree{tree}12:meta versioni2e4:name1:n12:piece lengthi16384ee"
    ))
}

fn decode(info: &str) -> Result<Info, MetainfoError> {
    Info::decode(Bytes::copy_from_slice(info.as_bytes()))
}

/// A file's entry in a file tree.
fn leaf(length: u64) -> String {
    match length {
        0 => "d0:d6:lengthi0eee".to_owned(),
        _ => format!(
            "d0:d6:lengthi{length}e11:pieces root32:{}ee",
            "r".repeat(32)
        ),
    }
}

#[test]
fn files_lie_in_tree_order_and_each_begins_a_piece() {
    let metainfo = gaps();
    let info = metainfo.info();
    let names: Vec<_> = info
        .files()
        .iter()
        .map(|file| file.path().join("/"))
        .collect();
    assert_eq!(names, ["a", "b", "c", "e/f", "g", "z"]);
    assert_eq!(info.piece_count(), 2 + 1 + 4);
    assert_eq!(info.total_length(), 172_768);
    assert!(!info.is_single_file());
    let spans: Vec<_> = info.pieces().map(|piece| info.piece_span(piece)).collect();
    let spans: Vec<_> = spans
        .iter()
        .map(|s| (s.file.index(), s.offset, s.length))
        .collect();
    let expected = [
        (1, 0, 32_768),
        (1, 32_768, 7_232),
        (3, 0, 32_768),
        (4, 0, 32_768),
        (4, 32_768, 32_768),
        (4, 65_536, 32_768),
        (4, 98_304, 1_696),
    ];
    assert_eq!(spans, expected);
    for (number, pieces) in [
        (0, 0..0),
        (1, 0..2),
        (2, 2..2),
        (3, 2..3),
        (4, 3..7),
        (5, 7..7),
    ] {
        let file = info.file_index(number).unwrap();
        assert!(
            info.pieces_of(file)
                .map(|piece| piece.get())
                .eq(pieces.clone())
        );
    }
    assert_eq!(info.file_index(6), None);
    assert_eq!(info.piece(7), None);
}

#[test]
fn only_exact_blocks_are_blocks() {
    let metainfo = gaps();
    let info = metainfo.info();
    let piece = info.piece(6).unwrap();
    assert_eq!(info.block_count(piece), 1);
    assert_eq!(
        info.block(piece, 0, 1_696),
        Some(BlockRef { piece, block: 0 })
    );
    for (begin, length) in [
        (0, 1_695),
        (0, 16_384),
        (1, 1_695),
        (16_384, 0),
        (u32::MAX, 1),
    ] {
        assert_eq!(info.block(piece, begin, length), None, "{begin} {length}");
    }
    let piece = info.piece(3).unwrap();
    let block = info.block(piece, 16_384, 16_384).unwrap();
    let span = info.block_span(block);
    assert_eq!(
        (span.file.index(), span.offset, span.length),
        (4, 16_384, 16_384)
    );
}

#[test]
fn encoded_metainfo_reads_back_the_same() {
    for metainfo in [
        gaps(),
        common::file(0, 16_384),
        common::file(1 << 20, 16_384),
    ] {
        let torrent = metainfo.encode().unwrap();
        let read = Metainfo::decode(&torrent).unwrap();
        assert_eq!(read, metainfo);
        assert_eq!(read.encode().unwrap(), torrent);
        assert_eq!(read.magnet().info_hash, metainfo.info_hash());
    }
}

#[test]
fn lone_empty_file_has_no_pieces() {
    let metainfo = common::file(0, 16_384);
    assert!(metainfo.info().is_single_file());
    assert_eq!(metainfo.info().piece_count(), 0);
    assert_eq!(metainfo.info().files()[0].pieces_root(), None);
}

#[test]
fn piece_hash_is_the_root_above_its_blocks() {
    for length in [1, 16_384, 16_385, 49_152, 65_536, 65_537, 1 << 20] {
        let metainfo = common::file(length, 65_536);
        for piece in metainfo.info().pieces() {
            let leaves = common::leaves(&metainfo, piece);
            let height = metainfo.info().piece_height(piece);
            let hash = metainfo.piece_hash(piece);
            assert!(
                shoal_protocol::merkle::verify_leaves(&hash, &leaves, height),
                "{length}"
            );
        }
    }
}

#[test]
fn torrents_of_other_versions_are_refused_in_words() {
    let v1 = "d6:lengthi1e4:name1:n12:piece lengthi16384e6:pieces20:01234567890123456789e";
    assert_eq!(decode(v1), Err(MetainfoError::V1Only));
    let v3 = "d12:meta versioni3e4:name1:ne";
    assert_eq!(decode(v3), Err(MetainfoError::Version(3)));
    assert_eq!(
        decode("d4:name1:ne"),
        Err(MetainfoError::Field("meta version"))
    );
    let torrent = format!("d4:info{v1}e");
    assert_eq!(
        Metainfo::decode(torrent.as_bytes()),
        Err(MetainfoError::V1Only)
    );
    let text = MetainfoError::V1Only.to_string();
    assert_eq!(
        text,
        "this is a BitTorrent v1 torrent; only v2 and hybrid torrents can be used"
    );
}

#[test]
fn malformed_info_is_refused() {
    assert!(matches!(decode("hello"), Err(MetainfoError::Bencode(_))));
    assert!(matches!(decode(""), Err(MetainfoError::Bencode(_))));
    assert!(matches!(decode("li1ee"), Err(MetainfoError::Bencode(_))));
    assert!(matches!(
        decode("d4:name1:n3:abci1ee"),
        Err(MetainfoError::Bencode(_))
    ));
    let good = format!("d1:f{}e", leaf(5));
    assert!(info_with(&good).is_ok());
    let tail = |info: &Info| Bytes::from([info.bytes(), &b"x"[..]].concat());
    let tailed = Info::decode(tail(&info_with(&good).unwrap()));
    assert_eq!(tailed, Err(MetainfoError::TrailingBytes));
    for length in [
        "0",
        "8192",
        "16385",
        "-16384",
        "134217728",
        "99999999999999999999",
    ] {
        let info =
            format!("d9:file tree{good}12:meta versioni2e4:name1:n12:piece lengthi{length}ee");
        assert!(decode(&info).is_err(), "{length}");
    }
}

#[test]
fn malformed_file_trees_are_refused() {
    let (file, empty) = (leaf(5), leaf(0));
    let cases = [
        ("de".to_owned(), MetainfoError::NoFiles),
        ("d1:adee".to_owned(), MetainfoError::NoFiles),
        (file.clone(), MetainfoError::FileTree),
        ("d1:ai1ee".to_owned(), MetainfoError::FileTree),
        (
            format!("d1:ad0:{}1:b{file}ee", &file[3..file.len() - 1]),
            MetainfoError::FileTree,
        ),
        (
            "d1:ad0:d6:lengthi5eeee".to_owned(),
            MetainfoError::Field("pieces root"),
        ),
        ("d1:ad0:deee".to_owned(), MetainfoError::Field("length")),
        (
            "d1:ad0:d6:lengthi-1eeee".to_owned(),
            MetainfoError::Field("length"),
        ),
        (format!("d2:..{empty}e"), MetainfoError::Name("..".into())),
        (format!("d1:.{empty}e"), MetainfoError::Name(".".into())),
        (format!("d3:a/b{empty}e"), MetainfoError::Name("a/b".into())),
        (
            format!("d3:a\0b{empty}e"),
            MetainfoError::Name("a\0b".into()),
        ),
        (
            format!("d1:a{}1:b{}e", leaf(5), leaf(6)),
            MetainfoError::ConflictingRoots,
        ),
    ];
    for (tree, error) in cases {
        assert_eq!(info_with(&tree), Err(error), "{tree}");
    }
    let long = MAX_COMPONENT_LENGTH + 1;
    let tree = format!("d{long}:{}{empty}e", "x".repeat(long));
    assert!(matches!(info_with(&tree), Err(MetainfoError::Name(_))));
    let invalid = b"d9:file treed1:\xff".to_vec();
    let rest = format!("{empty}e12:meta versioni2e4:name1:n12:piece lengthi16384ee");
    let invalid = Info::decode([&invalid, rest.as_bytes()].concat().into());
    assert!(matches!(invalid, Err(MetainfoError::Name(_))));
}

#[test]
fn caps_hold() {
    let nested = |depth: usize| format!("{}{}{}", "d1:d".repeat(depth), leaf(0), "e".repeat(depth));
    assert!(info_with(&nested(MAX_PATH_DEPTH)).is_ok());
    assert_eq!(
        info_with(&nested(MAX_PATH_DEPTH + 1)),
        Err(MetainfoError::PathDepth)
    );
    assert!(matches!(
        info_with(&nested(100_000)),
        Err(MetainfoError::Bencode(_) | MetainfoError::PathDepth)
    ));

    let many: String = (0..=MAX_FILES)
        .map(|n| format!("6:{n:06}{}", leaf(0)))
        .collect();
    assert_eq!(
        info_with(&format!("d{many}e")),
        Err(MetainfoError::TooManyFiles)
    );

    for length in [(1 << 34) + 1, 1 << 53, u64::MAX >> 1] {
        let tree = format!("d1:a{}e", leaf(length));
        assert_eq!(
            info_with(&tree),
            Err(MetainfoError::TooManyPieces),
            "{length}"
        );
    }
    assert_eq!(
        info_with(&format!("d1:a{}e", leaf(1 << 34)))
            .unwrap()
            .piece_count(),
        1 << 20
    );

    // Long folder names that many files share take memory for each of them.
    let name = "x".repeat(MAX_COMPONENT_LENGTH);
    let open = format!("d{}:{name}", name.len()).repeat(60);
    let files: String = (0..2000).map(|n| format!("4:{n:04}{}", leaf(0))).collect();
    let tree = format!("{open}d{files}e{}", "e".repeat(60));
    assert_eq!(info_with(&tree), Err(MetainfoError::PathsTooLong));
}

#[test]
fn missing_and_wrong_layers_are_refused() {
    let metainfo = common::file(100_000, 16_384);
    let torrent = metainfo.encode().unwrap();
    let layers = torrent
        .windows(12)
        .position(|bytes| bytes == b"piece layers")
        .unwrap();
    let mut wrong = torrent.clone();
    *wrong.iter_mut().nth_back(5).unwrap() ^= 1;
    assert_eq!(
        Metainfo::decode(&wrong),
        Err(MetainfoError::BadLayer("file.bin".into()))
    );
    let without = [&torrent[..layers - 3], b"e"].concat();
    assert_eq!(
        Metainfo::decode(&without),
        Err(MetainfoError::MissingLayer("file.bin".into()))
    );
}

#[test]
fn builder_wants_exactly_all_blocks() {
    let hash = Hash256::new([1; 32]);
    let mut builder = MetainfoBuilder::single_file("f", 20_000, None).unwrap();
    assert_eq!(builder.piece_length(), 16_384);
    builder.add_block(hash).unwrap();
    assert_eq!(builder.clone().build(&[]), Err(MetainfoError::Incomplete));
    builder.add_block(hash).unwrap();
    assert_eq!(builder.add_block(hash), Err(MetainfoError::TooManyBlocks));
    assert_eq!(builder.build(&[]).unwrap().info().piece_count(), 2);
}

#[test]
fn builder_refuses_what_cannot_be_a_torrent() {
    let folder = |name: &str, files: &[(&str, u64)]| {
        let files = files
            .iter()
            .map(|(text, length)| (path(text), *length))
            .collect();
        MetainfoBuilder::folder(name, files, Some(16_384)).map(drop)
    };
    assert_eq!(folder("n", &[]), Err(MetainfoError::NoFiles));
    assert_eq!(
        folder("a/b", &[("a", 1)]),
        Err(MetainfoError::Name("a/b".into()))
    );
    assert_eq!(
        folder("n", &[("..", 1)]),
        Err(MetainfoError::Name("..".into()))
    );
    assert_eq!(
        folder("n", &[("a", 1), ("a", 1)]),
        Err(MetainfoError::DuplicatePath("a".into()))
    );
    let file_and_folder = folder("n", &[("a/b", 1), ("a", 1)]);
    assert_eq!(
        file_and_folder,
        Err(MetainfoError::DuplicatePath("a/b".into()))
    );
    // A name between a file and the folder of the same name.
    assert!(folder("n", &[("a", 1), ("a!", 1), ("a/b", 1)]).is_err());
    assert_eq!(
        folder("n", &[("a", u64::MAX), ("b", 1)]),
        Err(MetainfoError::TooManyPieces)
    );
    let piece_length = MetainfoBuilder::single_file("f", 1, Some(20_000)).map(drop);
    assert_eq!(piece_length, Err(MetainfoError::PieceLength(20_000)));
}

#[test]
fn piece_length_follows_the_size() {
    let kib = |total: u64, files: usize| default_piece_length(total, files) / 1024;
    assert_eq!(kib(0, 1), 16);
    assert_eq!(kib(32 << 20, 1), 16);
    assert_eq!(kib((32 << 20) + 1, 1), 32);
    assert_eq!(kib(1 << 30, 1), 512);
    assert_eq!(kib(8 << 30, 1), 4096);
    assert_eq!(kib(64 << 30, 1), 4096);
    assert_eq!(kib(65 << 30, 1), 8192);
    assert_eq!(kib(1 << 40, 1), 16 * 1024);
    assert_eq!(kib(1 << 45, 1), 64 * 1024);
    assert_eq!(kib(u64::MAX, 1), 64 * 1024);
}
