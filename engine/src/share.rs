//! Hashing: files become a torrent, and files are checked against one.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use shoal_core::Bitfield;
use shoal_protocol::BLOCK_LENGTH;
use shoal_protocol::merkle;
use shoal_protocol::metainfo::{Info, Metainfo, MetainfoBuilder};

use crate::error::EngineError;
use crate::platform::{Destination, Platform, PlatformOptions, Source};
use crate::storage::{Kept, Listing, Storage};

/// Bytes that are read and hashed in one go: a multiple of the block length.
const RUN: u64 = 1 << 20;

/// Runs that are under way at once: enough for the cores, and a bound on memory.
const RUNS: usize = 8;

/// How far hashing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes hashed.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// What [`check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Bytes of pieces that are right.
    pub good_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Pieces that are right.
    pub pieces: Bitfield,
}

/// Makes a torrent of files and folders without sharing it. Natively to be called within a tokio runtime.
///
/// # Errors
/// When something cannot be read.
pub async fn create(
    sources: Vec<Source>,
    name: Option<String>,
    trackers: &[String],
    mut progress: impl FnMut(Progress),
) -> Result<Metainfo, EngineError> {
    let platform = Platform::new(&PlatformOptions::default())?;
    let share = Share::scan(&platform, sources, name).await?;
    let (metainfo, _) = share
        .hash(trackers, false, |now| {
            progress(now);
            true
        })
        .await?;
    Ok(metainfo)
}

/// Checks what lies at the destination against a torrent.
///
/// What is not there, or cannot be read, is just not good.
///
/// # Errors
/// When the platform cannot look there.
pub async fn check(
    metainfo: Arc<Metainfo>,
    destination: Destination,
    mut progress: impl FnMut(Progress),
) -> Result<CheckReport, EngineError> {
    let platform = Platform::new(&PlatformOptions::default())?;
    let total_bytes = metainfo.info().total_length();
    let storage = platform.check_storage(&metainfo, &destination)?;
    let mut good_bytes = 0;
    let nothing = Kept::unchecked(metainfo.info());
    let found = verify(&metainfo, storage, &nothing, |now| {
        good_bytes = now.good_bytes;
        progress(Progress {
            done_bytes: now.checked_bytes,
            total_bytes,
        });
        true
    })
    .await;
    Ok(CheckReport {
        good_bytes,
        total_bytes,
        pieces: found.good,
    })
}

/// Files that are going to be shared.
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) total_bytes: u64,
    builder: MetainfoBuilder,
    /// Paths below the name in the torrent's order; none for a single file.
    paths: Vec<Vec<String>>,
    storage: Rc<dyn Storage>,
}

impl Share {
    /// Looks through what is to be shared.
    pub(crate) async fn scan(
        platform: &Platform,
        sources: Vec<Source>,
        name: Option<String>,
    ) -> Result<Self, EngineError> {
        if sources.is_empty() {
            return Err(EngineError::NothingToShare);
        }
        let (listing, scan) = platform.scan(sources).await?;
        let Listing {
            name: own,
            is_single,
            files,
        } = listing;
        let name = name.unwrap_or(own);
        let listed: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
        let is_single = is_single && files.len() == 1;
        let unfit = |error| EngineError::Share(Arc::new(error));
        let builder = match files.as_slice() {
            [(_, length)] if is_single => MetainfoBuilder::single_file(&name, *length, None),
            _ => MetainfoBuilder::folder(&name, files, None),
        }
        .map_err(unfit)?;
        let order: Vec<_> = builder.sources().map(|(source, _)| source).collect();
        let in_order = order
            .iter()
            .filter(|_| !is_single)
            .map(|at| listed[*at].clone());
        Ok(Self {
            paths: in_order.collect(),
            name,
            total_bytes: builder.total_length(),
            storage: platform.share_storage(scan, &order),
            builder,
        })
    }

    /// Hashes everything, unless it is known what that comes to and not to be done again. `progress` says
    /// whether to go on.
    pub(crate) async fn hash(
        mut self,
        trackers: &[String],
        rehash: bool,
        mut progress: impl FnMut(Progress) -> bool,
    ) -> Result<(Metainfo, Rc<dyn Storage>), EngineError> {
        if !rehash && let Some(known) = self.known(trackers).await {
            return Ok((known, self.storage));
        }
        let lengths: Vec<_> = self.builder.sources().map(|(_, length)| length).collect();
        let storage = Rc::clone(&self.storage);
        let runs = lengths
            .into_iter()
            .enumerate()
            .flat_map(|(file, length)| runs(file, 0, length));
        let mut hashes = stream::iter(runs)
            .map(|run| {
                let hashes = storage.hash_blocks(run.file, run.offset, run.length);
                async move { hashes.await.map(|hashes| (run.length, hashes)) }
            })
            .buffered(RUNS);
        let mut done_bytes = 0;
        while let Some(run) = hashes.next().await {
            let (length, hashes) = run?;
            for hash in hashes {
                self.builder
                    .add_block(hash)
                    .map_err(|error| EngineError::Share(Arc::new(error)))?;
            }
            done_bytes += length;
            let now = Progress {
                done_bytes,
                total_bytes: self.total_bytes,
            };
            if !progress(now) {
                return Err(EngineError::Cancelled);
            }
        }
        drop(hashes);
        let metainfo = self
            .builder
            .build(trackers)
            .map_err(|error| EngineError::Share(Arc::new(error)))?;
        tracing::debug!(bytes = self.total_bytes, "hashed");
        self.storage.keep_metainfo(&metainfo).await?;
        Ok((metainfo, self.storage))
    }

    /// What the files were found to be before, with these trackers.
    async fn known(&self, trackers: &[String]) -> Option<Metainfo> {
        let known = self.storage.known_metainfo(&self.name).await.ok()??;
        let info = known.info();
        // The same files can be shared in other folders.
        let lengths = self.builder.sources().map(|(_, length)| length);
        let paths = info.files().iter().map(|file| file.path());
        let fits = info.name() == self.name
            && info.is_single_file() == self.paths.is_empty()
            && lengths.eq(info.files().iter().map(|file| file.length()))
            && (self.paths.is_empty() || paths.eq(self.paths.iter().map(Vec::as_slice)));
        let again = || Metainfo::new(info.clone(), known.layers().clone(), trackers);
        fits.then(again)?.ok()
    }
}

/// How far [`verify`] is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verified {
    /// Bytes looked at.
    pub(crate) checked_bytes: u64,
    /// Bytes of pieces that are right.
    pub(crate) good_bytes: u64,
}

impl Verified {
    /// Where checking begins: what needs none counts as checked.
    pub(crate) fn of(info: &Info, kept: &Kept) -> Self {
        let mut now = Self::default();
        for piece in info.pieces() {
            let length = u64::from(info.piece_span(piece).length);
            if kept.sure.pieces().contains(piece) {
                now.good_bytes += length;
            }
            if !kept.doubtful.contains(piece) {
                now.checked_bytes += length;
            }
        }
        now
    }
}

/// What [`verify`] found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Pieces that are right.
    pub(crate) good: Bitfield,
    /// Pieces that could be read and are not: some of their blocks may be right.
    pub(crate) damaged: Bitfield,
}

/// Finds the pieces that are right: those that are sure, and those of the doubtful that hash as they
/// should. What cannot be read is simply not there. `progress` hears of every piece that was hashed and
/// says whether to go on.
pub(crate) async fn verify(
    metainfo: &Metainfo,
    storage: Rc<dyn Storage>,
    kept: &Kept,
    mut progress: impl FnMut(Verified) -> bool,
) -> Found {
    let info = metainfo.info();
    let mut good = kept.sure.pieces().clone();
    let mut damaged = Bitfield::new(info.piece_count());
    // A hole in a file is nothing that somebody has written.
    let hole = merkle::hash_block(&[0; BLOCK_LENGTH as usize]);
    let mut now = Verified::of(info, kept);
    // In runs: the length of a piece is a stranger's choice.
    let doubtful = info.pieces().filter(|piece| kept.doubtful.contains(*piece));
    let runs = doubtful.flat_map(|piece| {
        let span = info.piece_span(piece);
        let end = span.offset + u64::from(span.length);
        runs(span.file.index(), span.offset, end).map(move |run| (piece, end, run))
    });
    let mut hashes = stream::iter(runs)
        .map(|(piece, end, run)| {
            let hashes = storage.hash_blocks(run.file, run.offset, run.length);
            let is_last = run.offset + run.length == end;
            async move { (piece, is_last, hashes.await) }
        })
        .buffered(RUNS);
    // The piece's leaves so far; none once one of its runs could not be read.
    let mut leaves = Some(Vec::new());
    while let Some((piece, is_last, run)) = hashes.next().await {
        match (&mut leaves, run) {
            (Some(leaves), Ok(run)) => leaves.extend(run),
            _ => leaves = None,
        }
        if !is_last {
            continue;
        }
        let leaves = leaves.replace(Vec::new());
        let length = u64::from(info.piece_span(piece).length);
        let (hash, height) = (metainfo.piece_hash(piece), info.piece_height(piece));
        let is_good = |leaves: &Vec<_>| merkle::verify_leaves(&hash, leaves, height);
        if leaves.as_ref().is_some_and(is_good) {
            good.insert(piece);
            now.good_bytes += length;
        } else if leaves.is_some_and(|leaves| leaves.iter().any(|leaf| *leaf != hole)) {
            damaged.insert(piece);
        }
        now.checked_bytes += length;
        if !progress(now) {
            break;
        }
    }
    Found { good, damaged }
}

/// A part of a file that is hashed in one go.
struct Run {
    file: usize,
    offset: u64,
    length: u64,
}

fn runs(file: usize, start: u64, end: u64) -> impl Iterator<Item = Run> {
    let mut offset = start;
    std::iter::from_fn(move || {
        let length = (end - offset).min(RUN);
        (length > 0).then(|| {
            let run = Run {
                file,
                offset,
                length,
            };
            offset += length;
            run
        })
    })
}
