//! What a download's files and journal tell after all that can happen to them.

use std::fs;
use std::time::{Duration, SystemTime};

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
    fs::remove_file(disk.path("name.part")).unwrap();
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
        DownloadFiles::open(&metainfo, &folder).map(|(files, _)| !files.0.has_part())
    });
    begun.recv().unwrap();
    files.0.finish().unwrap();
    drop(files);
    assert_eq!(other.join().unwrap(), Ok(true));
    assert!(!disk.path("name.part").exists());
}

/// All but these.
fn without(files: impl IntoIterator<Item = usize>) -> Selection {
    Selection::all_but(files)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap();
            names.push(name.display().to_string());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    names.sort();
    names
}

impl Disk {
    async fn choose(&self, selection: Selection) -> (DownloadFiles, Kept) {
        let (files, kept) = self.open();
        files.select(&selection).await.unwrap();
        files.vouch(kept.sure.pieces()).await.unwrap();
        (files, kept)
    }
}

#[tokio::test]
async fn only_chosen_files_are_made_and_get_their_final_names() {
    let disk = Disk::new(&["a", "b", "c"]);
    let (files, _) = disk.choose(without([0, 2])).await;
    write(&files, 1, 0..BLOCKS).await;
    files.finish().await.unwrap();
    assert_eq!(names(disk.folder.path()), ["name", "name/b"]);
    let stamps = files.stamps().await.unwrap();
    assert!(stamps[0] == 0 && stamps[1] != 0 && stamps[2] == 0);
}

#[tokio::test]
async fn more_is_chosen_later_and_comes_beside_what_is_there() {
    let disk = Disk::new(&["a", "b", "c"]);
    let (files, _) = disk.choose(without([0, 2])).await;
    write(&files, 1, 0..BLOCKS).await;
    files.finish().await.unwrap();
    files.select(&without([2])).await.unwrap();
    write(&files, 0, 0..8).await;
    assert_eq!(
        names(disk.folder.path()),
        [
            "name",
            "name.part",
            "name.part.journal",
            "name.part/a",
            "name/b"
        ]
    );
    drop(files);
    // Another run goes on, and the journal tells of what is complete too.
    let (files, kept) = disk.choose(without([2])).await;
    assert_eq!(numbers(kept.sure.pieces()), [0, 1, 6, 7, 8, 9, 10, 11]);
    assert_eq!(kept.doubtful.count(), 0);
    write(&files, 0, 8..BLOCKS).await;
    files.finish().await.unwrap();
    assert_eq!(names(disk.folder.path()), ["name", "name/a", "name/b"]);
    // And a third, with nothing left to do, leaves no trace.
    disk.choose(without([2])).await;
    assert_eq!(names(disk.folder.path()), ["name", "name/a", "name/b"]);
}

#[tokio::test]
async fn a_file_left_out_halfway_stays_below_the_temporary_name() {
    let disk = Disk::new(&["a", "b"]);
    let (files, _) = disk.choose(Selection::all()).await;
    write(&files, 0, 0..4).await;
    write(&files, 1, 0..BLOCKS).await;
    files.select(&without([0])).await.unwrap();
    files.finish().await.unwrap();
    let left = [
        "name",
        "name.part",
        "name.part.journal",
        "name.part/a",
        "name/b",
    ];
    assert_eq!(names(disk.folder.path()), left);
    files.close().await.unwrap();
    drop(files);
    let (files, kept) = disk.choose(Selection::all()).await;
    assert!(kept.sure.pieces().contains_number(0));
    write(&files, 0, 4..BLOCKS).await;
    files.finish().await.unwrap();
    assert_eq!(names(disk.folder.path()), ["name", "name/a", "name/b"]);
}

#[tokio::test]
async fn somebodys_own_file_in_the_folder_is_not_replaced() {
    let disk = Disk::new(&["a", "b"]);
    let (files, _) = disk.choose(without([0])).await;
    write(&files, 1, 0..BLOCKS).await;
    files.finish().await.unwrap();
    fs::write(disk.path("name/a"), "precious").unwrap();
    let refused = files.select(&Selection::all()).await;
    assert!(matches!(refused, Err(StorageFault::Other(why)) if why.contains("name/a")));
    // One that appears later is found at the end.
    fs::remove_file(disk.path("name/a")).unwrap();
    files.select(&Selection::all()).await.unwrap();
    write(&files, 0, 0..BLOCKS).await;
    fs::write(disk.path("name/a"), "precious").unwrap();
    let refused = files.finish().await;
    assert!(matches!(refused, Err(StorageFault::Other(why)) if why.contains("appeared")));
    assert_eq!(fs::read(disk.path("name/a")).unwrap(), b"precious");
    assert!(disk.path("name.part/a").exists());
}

#[tokio::test]
async fn somebodys_own_folder_is_not_taken() {
    let disk = Disk::new(&["a", "b"]);
    fs::create_dir(disk.path("name")).unwrap();
    fs::write(disk.path("name/diary"), "precious").unwrap();
    let refused = DownloadFiles::open(&disk.metainfo, disk.folder.path()).map(|_| ());
    assert!(matches!(refused, Err(StorageFault::Other(why)) if why.contains("something else")));
    assert_eq!(names(disk.folder.path()), ["name", "name/diary"]);
}

#[tokio::test]
async fn a_file_of_the_temporary_name_that_is_nothing_of_ours_is_not_written_to() {
    let disk = Disk::new(&[]);
    fs::write(disk.path("name.part"), "precious").unwrap();
    let (files, kept) = disk.open();
    // Nothing of it proves right.
    files.vouch(&Bitfield::new(6)).await.unwrap();
    assert_eq!(kept.doubtful.count(), 6);
    let written = files
        .write(0, 0, Bytes::from(vec![0; BLOCK as usize]))
        .await;
    assert!(matches!(written, Err(StorageFault::Other(why)) if why.contains("nothing of this")));
    files.close().await.unwrap();
    assert_eq!(names(disk.folder.path()), ["name.part"]);
    assert_eq!(fs::read(disk.path("name.part")).unwrap(), b"precious");
}

#[tokio::test]
async fn a_complete_file_is_mended_where_a_part_of_it_is_right() {
    let disk = Disk::new(&[]);
    fs::write(disk.path("name"), vec![7; (BLOCK * BLOCKS) as usize]).unwrap();
    let (files, kept) = disk.open();
    assert_eq!(kept.doubtful.count(), 6);
    let block = || Bytes::from(vec![1; BLOCK as usize]);
    files.vouch(&Bitfield::new(6)).await.unwrap();
    let refused = files.write(0, 0, block()).await;
    assert!(matches!(refused, Err(StorageFault::Other(why)) if why.contains("differs")));
    let mut right = Bitfield::new(6);
    right.insert(disk.metainfo.info().piece(3).unwrap());
    files.vouch(&right).await.unwrap();
    files.write(0, 0, block()).await.unwrap();
    files.finish().await.unwrap();
    assert_eq!(names(disk.folder.path()), ["name"]);
    assert_eq!(fs::read(disk.path("name")).unwrap()[..2], [1, 1]);
}
