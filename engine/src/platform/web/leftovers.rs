//! Folders of downloads that nothing remembers: a page was ended after it had made one and before it was
//! remembered, or the browser has lost its database. Nobody would ever find them again.

use futures_util::TryStreamExt;
use shoal_core::StorageFault;
use shoal_protocol::InfoHash;
use shoal_protocol::magnet::Magnet;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::stream::JsStream;

use super::exception::Exception;
use super::records::Records;
use super::worker::{Call, Worker, folder};

/// Deletes them. What is another page's, or is taken meanwhile, stays.
pub(super) async fn remove(records: Records, worker: Worker) {
    let torrents = match torrents().await {
        Ok(torrents) => torrents,
        // Without such folders there is nothing left in them.
        Err(exception) => return tracing::debug!(%exception, "no folders"),
    };
    for torrent in torrents {
        match remove_if_unknown(&records, &worker, torrent).await {
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
) -> Result<bool, StorageFault> {
    let Some(_lock) = records.take_if_unknown(torrent).await? else {
        return Ok(false);
    };
    let torrent = torrent.to_string();
    worker
        .call(Call::Delete { torrent }, JsValue::UNDEFINED)
        .await?;
    Ok(true)
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

    use super::super::worker::subfolder;
    use super::*;

    #[test]
    async fn what_nothing_remembers_is_deleted_unless_it_is_in_use() {
        let (records, worker) = (Records::default(), Worker::start());
        let [left, used, kept] = [1, 2, 3].map(|byte| InfoHash::new([byte; 32]));
        let top = folder().await.expect("a folder");
        for torrent in [left, used, kept] {
            let made = subfolder(&top, &torrent.to_string(), true).await;
            made.expect("made");
        }
        let other = Records::default();
        assert!(other.take(used).await);
        let record = br#"{"version": 99}"#.to_vec();
        other.keep(kept, record, None, None).await.expect("kept");
        other.release(kept);

        remove(records, worker).await;
        let is_there =
            async |torrent: InfoHash| subfolder(&top, &torrent.to_string(), false).await.is_ok();
        assert!(!is_there(left).await);
        assert!(is_there(used).await);
        assert!(is_there(kept).await, "a record of a newer version");
        assert!(other.take(kept).await);
        other.forget(kept).await.expect("forgotten");
    }
}
