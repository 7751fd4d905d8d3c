//! Folders of downloads that nothing remembers: a page was ended after it had made one and before it was
//! remembered, or the browser's database was lost or could not be written to. Only the person who opens the
//! same link again finds such a one again, and may well do so within some days; later it is deleted.

use futures_util::TryStreamExt;
use js_sys::Date;
use shoal_core::StorageFault;
use shoal_protocol::InfoHash;
use shoal_protocol::magnet::Magnet;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_futures::stream::JsStream;
use web_sys::{File, FileSystemFileHandle};

use super::exception::Exception;
use super::records::Records;
use super::worker::{Call, JOURNALS, Worker, fault, folder, subfolder};

/// How long what was written last is spared, in milliseconds: a week.
const SPARED_MS: f64 = 7.0 * 24.0 * 60.0 * 60.0 * 1000.0;

/// Deletes the old ones. What is another page's, or is taken meanwhile, stays.
pub(super) async fn remove(records: Records, worker: Worker) {
    remove_older(records, worker, Date::now() - SPARED_MS).await;
}

/// Deletes those to which nothing was written since then.
async fn remove_older(records: Records, worker: Worker, since_ms: f64) {
    let torrents = match torrents().await {
        Ok(torrents) => torrents,
        // Without such folders there is nothing left in them.
        Err(exception) => return tracing::debug!(%exception, "no folders"),
    };
    for torrent in torrents {
        match remove_if_unknown(&records, &worker, torrent, since_ms).await {
            Ok(true) => tracing::info!(%torrent, "what was left of a download is deleted"),
            Ok(false) => {}
            Err(fault) => tracing::warn!(%fault, "what is left of a download stays"),
        }
    }
}

async fn remove_if_unknown(
    records: &Records,
    worker: &Worker,
    torrent: InfoHash,
    since_ms: f64,
) -> Result<bool, StorageFault> {
    let Some(_lock) = records.take_if_unknown(torrent).await? else {
        return Ok(false);
    };
    let torrent = torrent.to_string();
    let written_ms = last_written_ms(&torrent).await;
    let written_ms = written_ms.map_err(|exception| fault(&torrent, &exception))?;
    if written_ms.is_some_and(|written_ms| written_ms >= since_ms) {
        return Ok(false);
    }
    worker
        .call(Call::Delete { torrent }, JsValue::UNDEFINED)
        .await?;
    Ok(true)
}

/// Returns when the journal of a download was last written to; `None` if it has none.
async fn last_written_ms(torrent: &str) -> Result<Option<f64>, Exception> {
    let folder = subfolder(&folder().await?, torrent, false).await?;
    let mut last = None;
    for name in JOURNALS {
        let handle = match JsFuture::from(folder.get_file_handle(name)).await {
            Ok(handle) => handle.unchecked_into::<FileSystemFileHandle>(),
            Err(thrown) => match Exception::from(thrown) {
                exception if exception.is_missing() => continue,
                exception => return Err(exception),
            },
        };
        let file: File = JsFuture::from(handle.get_file()).await?.unchecked_into();
        last = Some(file.last_modified().max(last.unwrap_or_default()));
    }
    Ok(last)
}

/// Lists the torrents of which there is a folder.
async fn torrents() -> Result<Vec<InfoHash>, Exception> {
    let names = JsStream::from(folder().await?.keys());
    let names: Vec<JsValue> = names.try_collect().await?;
    let names = names.iter().filter_map(JsValue::as_string);
    Ok(names.filter_map(|name| info_hash(&name)).collect())
}

/// Reads a folder's name, as we write it.
fn info_hash(name: &str) -> Option<InfoHash> {
    let magnet = Magnet::parse(&format!("magnet:?xt=urn:btmh:1220{name}"));
    let info_hash = magnet.ok()?.info_hash;
    (info_hash.to_string() == name).then_some(info_hash)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;
    use web_sys::FileSystemGetFileOptions;

    use super::*;

    #[test]
    async fn what_nothing_remembers_is_deleted_unless_it_is_in_use() {
        let (records, worker) = (Records::default(), Worker::start());
        let [left, used, kept, young] = [1, 2, 3, 4].map(|byte| InfoHash::new([byte; 32]));
        let top = folder().await.expect("a folder");
        for torrent in [left, used, kept, young] {
            let made = subfolder(&top, &torrent.to_string(), true).await;
            made.expect("made");
        }
        let folder = subfolder(&top, &young.to_string(), false).await;
        let create = FileSystemGetFileOptions::new();
        create.set_create(true);
        let journal = folder
            .expect("made")
            .get_file_handle_with_options(JOURNALS[1], &create);
        JsFuture::from(journal).await.expect("made");
        let other = Records::default();
        assert!(other.take(used).await);
        let record = br#"{"version": 99}"#.to_vec();
        other.keep(kept, record, None, None).await.expect("kept");
        other.release(kept);

        remove(records.clone(), worker.clone()).await;
        let is_there =
            async |torrent: InfoHash| subfolder(&top, &torrent.to_string(), false).await.is_ok();
        assert!(!is_there(left).await);
        assert!(is_there(used).await);
        assert!(is_there(kept).await, "a record of a newer version");
        assert!(is_there(young).await, "somebody may open it again");
        remove_older(records, worker, Date::now() + 1000.0).await;
        assert!(!is_there(young).await, "a week later");
        assert!(is_there(used).await && is_there(kept).await);
        assert!(other.take(kept).await);
        other.forget(kept).await.expect("forgotten");
    }
}
