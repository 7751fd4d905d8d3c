//! A file of the page holds no place for who does not take it. That slow is good enough is proved by the unit
//! tests of `stall_guard`, whose time is paused.

use std::time::Duration;

use shoal_tracker::settings::{Limits, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::get;
use crate::limits::connect_small;
use crate::support::{Tracker, within};

#[tokio::test]
async fn who_does_not_read_what_it_asked_for_keeps_no_place() {
    let (settings, _folder) = with_file(8 << 20);
    let tracker = Tracker::with_settings(Settings {
        limits: Limits {
            connections: 1,
            stall_timeout: Duration::from_millis(300),
            ..Limits::default()
        },
        ..settings
    })
    .await;
    let mut idle = connect_small(&tracker, 4096).await;
    idle.write_all(GET_FILE).await.unwrap();
    // It has the only place and is answered.
    assert_eq!(within(idle.read_u8()).await.unwrap(), b'H');
    within(async { while get(&tracker, "/health").await.status != 200 {} }).await;
    drop(idle);
}

/// Settings for a page that has a file of so many bytes.
fn with_file(size: usize) -> (Settings, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<p>page").unwrap();
    std::fs::write(folder.path().join("app.wasm"), vec![0; size]).unwrap();
    let settings = Settings {
        web: Some(folder.path().to_owned()),
        ..Settings::default()
    };
    (settings, folder)
}

const GET_FILE: &[u8] = b"GET /app.wasm HTTP/1.1\r\nhost: tracker\r\n\r\n";
