//! What a download's files and journal tell after all that can happen to them.

use std::fs;
use std::time::SystemTime;

use shoal_protocol::metainfo::MetainfoBuilder;
use shoal_protocol::{BLOCK_LENGTH, Hash256};
use tempfile::TempDir;

use super::*;

const BLOCK: u64 = BLOCK_LENGTH as u64;
/// Blocks of the file: five pieces of four, one of two.
const BLOCKS: u64 = 22;

fn torrent(files: &[&str]) -> Arc<Metainfo> {
    torrent_of(files, 1)
}

/// One whose blocks all have this hash.
fn torrent_of(files: &[&str], hash: u8) -> Arc<Metainfo> {
    let length = BLOCK * BLOCKS;
    let piece = Some(BLOCK_LENGTH * 4);
    let listed: Vec<_> = files
        .iter()
        .map(|name| (vec![(*name).to_owned()], length))
        .collect();
    let mut builder = match listed.len() {
        0 => MetainfoBuilder::single_file("name", length, piece).unwrap(),
        _ => MetainfoBuilder::folder("name", listed, piece).unwrap(),
    };
    while builder.next_block().is_some() {
        builder.add_block(Hash256::new([hash; 32])).unwrap();
    }
    Arc::new(builder.build(&[]).unwrap())
}

struct Disk {
    folder: TempDir,
    metainfo: Arc<Metainfo>,
}

impl Disk {
    fn new(files: &[&str]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            metainfo: torrent(files),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> (DownloadFiles, Kept) {
        DownloadFiles::open(&self.metainfo, self.folder.path()).unwrap()
    }

    /// Opens, writes these blocks of a file, and leaves without a word, as a process that is killed.
    async fn write(&self, file: usize, blocks: impl IntoIterator<Item = u64>) {
        let (files, kept) = self.open();
        files.vouch(kept.sure.pieces()).await.unwrap();
        write(&files, file, blocks).await;
    }

    fn sure(&self) -> Vec<u32> {
        let kept = self.open().1;
        assert_eq!(numbers(&kept.doubtful), [0; 0]);
        numbers(kept.sure.pieces())
    }
}

async fn write(files: &DownloadFiles, file: usize, blocks: impl IntoIterator<Item = u64>) {
    let writes = blocks.into_iter().map(|block| {
        let data = Bytes::from(vec![block as u8; BLOCK as usize]);
        files.write(file, block * BLOCK, data)
    });
    for written in futures_util::future::join_all(writes).await {
        written.unwrap();
    }
}

fn numbers(pieces: &Bitfield) -> Vec<u32> {
    pieces.numbers().collect()
}

#[tokio::test]
async fn a_killed_download_knows_what_it_has() {
    let disk = Disk::new(&[]);
    disk.write(0, [0, 1, 2, 3, 9, 20]).await;
    let kept = disk.open().1;
    assert_eq!(numbers(kept.sure.pieces()), [0]);
    let blocks = kept
        .sure
        .blocks()
        .map(|block| (block.piece.get(), block.block));
    // The file ends behind block 20, before the end of its piece.
    assert_eq!(blocks.collect::<Vec<_>>(), [(2, 1)]);
    disk.write(0, [8, 10, 11, 21, 20]).await;
    assert_eq!(disk.sure(), [0, 2, 5]);
    let data = fs::read(disk.path("name.part")).unwrap();
    assert_eq!(data[9 * BLOCK as usize], 9);
}

#[tokio::test]
async fn pieces_are_told_apart_by_file() {
    let disk = Disk::new(&["a", "b"]);
    disk.write(1, 4..8).await;
    disk.write(0, 0..4).await;
    assert_eq!(disk.sure(), [0, 7]);
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_vouched_for() {
    let disk = Disk::new(&["a", "b"]);
    disk.write(0, 0..22).await;
    disk.write(1, 0..22).await;
    fs::remove_file(disk.path("name.part/a")).unwrap();
    assert_eq!(disk.sure(), [6, 7, 8, 9, 10, 11]);
    fs::remove_dir_all(disk.path("name.part")).unwrap();
    assert_eq!(disk.sure(), [0; 0]);
}

#[tokio::test]
async fn a_file_changed_after_a_proper_end_is_in_doubt() {
    let disk = Disk::new(&["a", "b"]);
    let (files, kept) = disk.open();
    files.vouch(kept.sure.pieces()).await.unwrap();
    write(&files, 0, 0..4).await;
    write(&files, 1, 0..4).await;
    files.close().await.unwrap();
    drop(files);
    assert_eq!(disk.sure(), [0, 6]);
    // Even if it happens within the same second.
    let b = OpenOptions::new()
        .write(true)
        .open(disk.path("name.part/b"));
    b.unwrap().write_all_at(b"x", 7).unwrap();
    let kept = disk.open().1;
    assert_eq!(numbers(kept.sure.pieces()), [0]);
    assert_eq!(numbers(&kept.doubtful), [6]);
}

#[tokio::test]
async fn a_file_changed_after_a_kill_is_in_doubt() {
    let disk = Disk::new(&[]);
    disk.write(0, 0..8).await;
    let part = OpenOptions::new().write(true).open(disk.path("name.part"));
    let later = SystemTime::now() + Duration::from_secs(3600);
    part.unwrap().set_modified(later).unwrap();
    let kept = disk.open().1;
    assert_eq!(numbers(kept.sure.pieces()), [0; 0]);
    assert_eq!(numbers(&kept.doubtful), [0, 1]);
}

#[tokio::test]
async fn a_damaged_journal_makes_everything_behind_it_doubtful() {
    let disk = Disk::new(&[]);
    disk.write(0, 0..4).await;
    let journal = disk.path("name.part.journal");
    disk.write(0, 4..8).await;
    let mut bytes = fs::read(&journal).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let kept = disk.open().1;
    assert_eq!(numbers(kept.sure.pieces()), [0]);
    assert_eq!(numbers(&kept.doubtful), [1], "as far as the file goes");
}

#[tokio::test]
async fn without_a_journal_everything_is_in_doubt() {
    let disk = Disk::new(&[]);
    disk.write(0, 0..4).await;
    fs::remove_file(disk.path("name.part.journal")).unwrap();
    assert_eq!(disk.open().1.doubtful.count(), 6);
}

#[tokio::test]
async fn somebodys_own_file_is_no_journal() {
    let disk = Disk::new(&[]);
    let journal = disk.path("name.part.journal");
    fs::write(&journal, "precious").unwrap();
    disk.write(0, 0..4).await;
    assert_eq!(fs::read(&journal).unwrap(), b"precious");
    let elsewhere = disk.path("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    fs::remove_file(&journal).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &journal).unwrap();
    disk.write(0, 0..4).await;
    assert_eq!(fs::read(&elsewhere).unwrap(), b"", "no link is followed");
}

#[tokio::test]
async fn a_long_journal_is_written_anew() {
    let disk = Disk::new(&[]);
    let (files, kept) = disk.open();
    files.vouch(kept.sure.pieces()).await.unwrap();
    let mut longest = 0;
    for _ in 0..1200 {
        write(&files, 0, (0..22).step_by(2)).await;
        let length = fs::metadata(disk.path("name.part.journal")).unwrap().len();
        longest = longest.max(length);
    }
    assert!(longest < 300 << 10, "{longest}");
    drop(files);
    // As above, the last is not counted.
    assert_eq!(disk.open().1.sure.blocks().count(), 10);
}

#[tokio::test]
async fn nothing_is_left_of_the_journal_when_all_is_there() {
    let disk = Disk::new(&[]);
    let (files, kept) = disk.open();
    files.vouch(kept.sure.pieces()).await.unwrap();
    write(&files, 0, 0..22).await;
    files.finish().await.unwrap();
    files.close().await.unwrap();
    let names: Vec<_> = fs::read_dir(disk.folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn another_torrents_unfinished_download_of_the_same_name_is_left_alone() {
    let disk = Disk::new(&[]);
    disk.write(0, 0..8).await;
    let before = fs::read(disk.path("name.part")).unwrap();
    let journal = fs::read(disk.path("name.part.journal")).unwrap();
    let other = torrent_of(&[], 2);
    let refused = DownloadFiles::open(&other, disk.folder.path()).map(|_| ());
    assert!(matches!(refused, Err(StorageFault::Other(why)) if why.contains("another torrent")));
    assert_eq!(fs::read(disk.path("name.part")).unwrap(), before);
    assert_eq!(fs::read(disk.path("name.part.journal")).unwrap(), journal);
    assert_eq!(disk.sure(), [0, 1]);
}

#[tokio::test]
async fn after_a_flush_that_failed_nothing_is_written_or_finished() {
    let disk = Disk::new(&[]);
    let (files, kept) = disk.open();
    files.vouch(kept.sure.pieces()).await.unwrap();
    write(&files, 0, 0..BLOCKS).await;
    let fault = files.0.flush_failed(StorageFault::Full("disk".to_owned()));
    assert!(
        matches!(fault, StorageFault::Other(_)),
        "to free room does not help"
    );
    let data = Bytes::from(vec![0; BLOCK as usize]);
    assert_eq!(
        Arc::clone(&files.0).write(0, 0, data).await,
        Err(fault.clone())
    );
    assert_eq!(files.0.finish(), Err(fault));
    assert!(!disk.path("name").exists());
    drop(files);
    // Nothing had been flushed before: the next start hashes all that is there.
    let kept = disk.open().1;
    assert_eq!(numbers(kept.sure.pieces()), [0; 0]);
}

#[tokio::test]
async fn who_waits_for_a_download_that_is_finished_meanwhile_finds_it_complete() {
    let disk = Disk::new(&[]);
    let (files, kept) = disk.open();
    files.vouch(kept.sure.pieces()).await.unwrap();
    write(&files, 0, 0..BLOCKS).await;
    let (begins, begun) = std::sync::mpsc::channel();
    let (metainfo, folder) = (Arc::clone(&disk.metainfo), disk.folder.path().to_owned());
    let other = std::thread::spawn(move || {
        begins.send(()).unwrap();
        DownloadFiles::open(&metainfo, &folder).map(|(files, _)| files.0.is_finished())
    });
    begun.recv().unwrap();
    files.0.finish().unwrap();
    drop(files);
    assert_eq!(other.join().unwrap(), Ok(true));
    assert!(!disk.path("name.part").exists());
}
