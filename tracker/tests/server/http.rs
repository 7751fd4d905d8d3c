//! Plain requests: the web app, its headers, health.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use shoal_protocol::tracker::ServerMessage;
use shoal_tracker::settings::Settings;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Tracker, within};

#[tokio::test]
async fn the_web_app_is_served_with_its_types() {
    let (tracker, _folder) = with_page().await;
    for (path, kind, body) in [
        ("/", "text/html", "<p>page"),
        ("/index.html", "text/html", "<p>page"),
        ("/wasm/app.js", "text/javascript", "js"),
        ("/wasm/app.wasm", "application/wasm", "wasm"),
        ("/main.css", "text/css", "css"),
        ("/icon.svg", "image/svg+xml", "svg"),
    ] {
        let answer = get(&tracker, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert_eq!(answer.body, body, "{path}");
    }
}

#[tokio::test]
async fn pages_are_asked_for_again_and_hashed_files_are_not() {
    let (tracker, _folder) = with_page().await;
    let index = get(&tracker, "/").await;
    assert_eq!(index.header("cache-control"), Some("no-cache"));
    let hashed = get(&tracker, "/app-dxh0123456789abcdef.js").await;
    let forever = "public, max-age=31536000, immutable";
    assert_eq!(hashed.header("cache-control"), Some(forever));

    let date = index.header("last-modified").unwrap();
    let head = format!("GET / HTTP/1.1\r\nif-modified-since: {date}\r\n");
    assert_eq!(request(&tracker, &head).await.status, 304);
}

#[tokio::test]
async fn pages_may_load_only_what_is_theirs() {
    let (tracker, _folder) = with_page().await;
    let index = get(&tracker, "/").await;
    let policy = index.header("content-security-policy").unwrap();
    for part in [
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "connect-src 'self' blob: ws: wss:",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{part}");
    }
    assert_eq!(index.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(index.header("referrer-policy"), Some("no-referrer"));
}

#[tokio::test]
async fn nothing_outside_of_the_folder_is_served() {
    let (tracker, folder) = with_page().await;
    fs::write(folder.path().join("secret"), "secret").unwrap();
    for path in ["/../secret", "/%2e%2e/secret", "/wasm/..%2f..%2fsecret"] {
        assert_eq!(get(&tracker, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn peers_announce_at_the_top_too() {
    let (tracker, _folder) = with_page().await;
    let without_page = Tracker::start().await;
    for tracker in [tracker, without_page] {
        for path in ["/", "/announce"] {
            let mut peer = tracker.connect_at(path).await.unwrap();
            peer.hello(1, 1).await;
            assert!(matches!(peer.next().await, ServerMessage::Welcome { .. }));
        }
        assert!(tracker.connect_at("/elsewhere").await.is_err());
    }
}

#[tokio::test]
async fn health_is_told() {
    let tracker = Tracker::start().await;
    let answer = get(&tracker, "/health").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn plain_requests_are_told_what_to_do() {
    let tracker = Tracker::start().await;
    for (path, status) in [("/", 426), ("/announce", 426), ("/nothing", 404)] {
        assert_eq!(get(&tracker, path).await.status, status, "{path}");
    }
    let post = request(&tracker, "POST /announce HTTP/1.1\r\n").await;
    assert_eq!(post.status, 405);
}

#[tokio::test]
async fn an_endless_head_is_refused() {
    let tracker = Tracker::start().await;
    let head = format!("GET / HTTP/1.1\r\nx: {}\r\n", "x".repeat(100_000));
    assert_eq!(request(&tracker, &head).await.status, 431);
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

pub(crate) async fn get(tracker: &Tracker, path: &str) -> Answer {
    request(tracker, &format!("GET {path} HTTP/1.1\r\n")).await
}

pub(crate) async fn request(tracker: &Tracker, head: &str) -> Answer {
    request_at(tracker.address, head).await
}

pub(crate) async fn get_at(address: SocketAddr, path: &str) -> Answer {
    request_at(address, &format!("GET {path} HTTP/1.1\r\n")).await
}

async fn request_at(address: SocketAddr, head: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head}host: tracker\r\nconnection: close\r\n\r\n");
    // Both may fail for a request that is refused before its end.
    let _ = within(stream.write_all(request.as_bytes())).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.into(),
        body: body.into(),
    }
}

/// Asks for a WebSocket; returns the status of the answer, and what keeps it open.
pub(crate) async fn upgrade(tracker: &Tracker, head: &str) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(tracker.address).await.unwrap();
    let request = format!("{head}host: tracker\r\nconnection: upgrade\r\n\r\n");
    within(stream.write_all(request.as_bytes())).await.unwrap();
    let mut start = [0; 12];
    within(stream.read_exact(&mut start)).await.unwrap();
    let status = std::str::from_utf8(&start[9..]).unwrap();
    (status.parse().unwrap(), stream)
}

/// Starts a tracker with a page in a subfolder of the folder returned.
async fn with_page() -> (Tracker, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web");
    write_page(&web);
    let tracker = Tracker::with_settings(Settings {
        web: Some(web),
        ..Settings::default()
    })
    .await;
    (tracker, folder)
}

fn write_page(web: &Path) {
    fs::create_dir_all(web.join("wasm")).unwrap();
    for (name, content) in [
        ("index.html", "<p>page"),
        ("wasm/app.js", "js"),
        ("wasm/app.wasm", "wasm"),
        ("app-dxh0123456789abcdef.js", "js"),
        ("main.css", "css"),
        ("icon.svg", "svg"),
    ] {
        fs::write(web.join(name), content).unwrap();
    }
}
