//! Work that must not hold up the engine's thread.

use std::io;

use shoal_core::StorageFault;
use shoal_protocol::merkle::hash_block;
use shoal_protocol::{BLOCK_LENGTH, Hash256};

/// Runs file work on a thread for such.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageFault> + Send + 'static,
) -> Result<T, StorageFault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(StorageFault::Other("file work was given up".to_owned())))
}

/// Returns the hash of each block of `data`.
pub(super) fn hash_blocks(data: &[u8]) -> Vec<Hash256> {
    data.chunks(BLOCK_LENGTH as usize).map(hash_block).collect()
}

/// Says what went wrong with a file in words.
pub(super) fn fault(path: &std::path::Path, doing: &str, error: &io::Error) -> StorageFault {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StorageFault::Full(path.to_string())
        }
        io::ErrorKind::NotFound => StorageFault::Other(format!("{path} does not exist")),
        io::ErrorKind::PermissionDenied => {
            StorageFault::Other(format!("no permission to {doing} {path}"))
        }
        _ => StorageFault::Other(format!("cannot {doing} {path}: {error}")),
    }
}
