//! A file of the page goes to whoever takes it, however slowly, and holds no place for who does not.

use std::time::{Duration, Instant};

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

#[tokio::test]
async fn who_reads_slowly_gets_all_that_it_asked_for() {
    let size = 8 << 20;
    let (settings, _folder) = with_file(size);
    let stall_timeout = Duration::from_secs(2);
    let tracker = Tracker::with_settings(Settings {
        limits: Limits {
            stall_timeout,
            ..Limits::default()
        },
        ..settings
    })
    .await;
    let mut slow = connect_small(&tracker, 64 << 10).await;
    let started = Instant::now();
    slow.write_all(GET_FILE).await.unwrap();
    let mut buffer = vec![0; 256 << 10];
    let mut pace = tokio::time::interval(stall_timeout / 10);
    let mut left = size;
    while left > 0 {
        pace.tick().await;
        let length = left.min(buffer.len());
        within(slow.read_exact(&mut buffer[..length]))
            .await
            .unwrap();
        left -= length;
    }
    assert!(started.elapsed() > stall_timeout * 2);
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
