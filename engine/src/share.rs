//! Hashing: files become a torrent, and files are checked against one.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use shoal_core::{Bitfield, StorageFault};
use shoal_protocol::merkle;
use shoal_protocol::metainfo::{Metainfo, MetainfoBuilder};

use crate::error::EngineError;
use crate::platform::{Destination, Platform, PlatformOptions, Source};
use crate::storage::{Listing, Storage};

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
        .hash(trackers, |now| {
            progress(now);
            true
        })
        .await?;
    Ok(metainfo)
}

/// Checks what lies at the destination against a torrent.
///
/// # Errors
/// When something cannot be read; what is not there at all is just not good.
pub async fn check(
    metainfo: Arc<Metainfo>,
    destination: Destination,
    mut progress: impl FnMut(Progress),
) -> Result<CheckReport, EngineError> {
    let platform = Platform::new(&PlatformOptions::default())?;
    let total_bytes = metainfo.info().total_length();
    let storage = platform.check_storage(&metainfo, &destination)?;
    let pieces = verify(&metainfo, storage, |done_bytes| {
        progress(Progress {
            done_bytes,
            total_bytes,
        });
        true
    })
    .await?;
    let info = metainfo.info();
    let good = info.pieces().filter(|piece| pieces.contains(*piece));
    Ok(CheckReport {
        good_bytes: good
            .map(|piece| u64::from(info.piece_span(piece).length))
            .sum(),
        total_bytes,
        pieces,
    })
}

/// Files that are going to be shared.
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) total_bytes: u64,
    builder: MetainfoBuilder,
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
        let unfit = |error| EngineError::Share(Arc::new(error));
        let builder = match files.as_slice() {
            [(_, length)] if is_single => MetainfoBuilder::single_file(&name, *length, None),
            _ => MetainfoBuilder::folder(&name, files, None),
        }
        .map_err(unfit)?;
        let order: Vec<_> = builder.sources().map(|(source, _)| source).collect();
        Ok(Self {
            name,
            total_bytes: builder.total_length(),
            storage: platform.share_storage(scan, &order),
            builder,
        })
    }

    /// Hashes everything. `progress` says whether to go on.
    pub(crate) async fn hash(
        mut self,
        trackers: &[String],
        mut progress: impl FnMut(Progress) -> bool,
    ) -> Result<(Metainfo, Rc<dyn Storage>), EngineError> {
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
        Ok((metainfo, self.storage))
    }
}

/// Finds the pieces that are right. `progress` hears of the bytes looked at and says whether to go on.
pub(crate) async fn verify(
    metainfo: &Arc<Metainfo>,
    storage: Rc<dyn Storage>,
    mut progress: impl FnMut(u64) -> bool,
) -> Result<Bitfield, StorageFault> {
    let info = metainfo.info();
    let mut good = Bitfield::new(info.piece_count());
    let looked_at = Cell::new(0u64);
    let mut pieces = stream::iter(info.pieces())
        .map(|piece| {
            let span = info.piece_span(piece);
            let length = u64::from(span.length);
            let hashes = storage.hash_blocks(span.file.index(), span.offset, length);
            async move { (piece, length, hashes.await) }
        })
        .buffered(RUNS);
    while let Some((piece, length, hashes)) = pieces.next().await {
        let hash = metainfo.piece_hash(piece);
        // What cannot be read is simply not there.
        if hashes
            .is_ok_and(|hashes| merkle::verify_leaves(&hash, &hashes, info.piece_height(piece)))
        {
            good.insert(piece);
        }
        looked_at.set(looked_at.get() + length);
        if !progress(looked_at.get()) {
            break;
        }
    }
    Ok(good)
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
