//! A Redis of a test's own, and trackers that share it.

use std::net::SocketAddr;
use std::process::Stdio;

use shoal_protocol::tracker::ServerMessage;
use shoal_tracker::settings::{Secret, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};

use crate::redis_command;
use crate::support::{Peer, Tracker, within};

/// `redis-server` on a socket in a folder that goes with it. It keeps nothing.
pub(crate) struct Redis {
    folder: TempDir,
    options: Vec<String>,
    child: Child,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        Self::with_options(&[]).await
    }

    /// Starts it with more options.
    pub(crate) async fn with_options(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = spawn(&folder, &options);
        let mut redis = Self {
            folder,
            options,
            child,
        };
        redis.listens().await;
        redis
    }

    pub(crate) async fn stop(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Stops the process without ending it: its connections stay, and nothing is answered.
    pub(crate) async fn freeze(&self) {
        let id = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-STOP", &id]).status();
        assert!(kill.await.unwrap().success());
    }

    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.folder, &self.options);
        self.listens().await;
    }

    pub(crate) fn url(&self) -> String {
        redis_command::url(self.folder.path())
    }

    /// Starts a tracker in this process.
    pub(crate) async fn tracker(&self) -> Tracker {
        tracker_at(&self.url()).await
    }

    /// Starts a tracker as a process of its own.
    pub(crate) async fn program(&self) -> Program {
        Program::start(&self.url()).await
    }

    async fn listens(&mut self) {
        let socket = redis_command::socket(self.folder.path());
        within(async {
            while UnixStream::connect(&socket).await.is_err() {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "redis-server does not run: {ended:?}");
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn spawn(folder: &TempDir, options: &[String]) -> Child {
    let mut command = Command::from(redis_command::redis_server(folder.path()));
    let child = command.args(options).kill_on_drop(true).spawn();
    child.expect(redis_command::NEEDED)
}

pub(crate) async fn tracker_at(url: &str) -> Tracker {
    Tracker::with_settings(Settings {
        cluster: Some(Secret::new(url)),
        ..Settings::default()
    })
    .await
}

/// The program; killed when dropped.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Program {
    async fn start(cluster: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shoal-tracker"))
            .args(["--listen", "127.0.0.1:0"])
            .env("SHOAL_TRACKER_CLUSTER", cluster)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        within(stdout.read_line(&mut line)).await.unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        Self {
            address: address.parse().unwrap(),
            child,
        }
    }

    /// Kills it: it says nothing to anybody.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

pub(crate) async fn connect(tracker: SocketAddr) -> Peer {
    let stream = TcpStream::connect(tracker).await.unwrap();
    Peer::over(stream, tracker, "/announce").await.unwrap()
}

/// Connects and says hello as peer `number`.
pub(crate) async fn peer(tracker: SocketAddr, number: u8) -> Peer {
    let mut peer = connect(tracker).await;
    peer.hello(number, number).await;
    let ServerMessage::Welcome { .. } = peer.next().await else {
        panic!("not welcome");
    };
    peer
}

/// Asks for a page; returns what follows the head.
pub(crate) async fn get(tracker: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(tracker).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: tracker\r\nconnection: close\r\n\r\n");
    within(stream.write_all(request.as_bytes())).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// Waits until a page has a text in it.
pub(crate) async fn shows(tracker: SocketAddr, path: &str, text: &str) {
    let page = async {
        while !get(tracker, path).await.contains(text) {
            tokio::task::yield_now().await;
        }
    };
    within(page).await;
}

/// Waits until a tracker has run for so long that it is connected to Redis if it can be, and hears
/// whom it can hear.
pub(crate) async fn has_tried(tracker: SocketAddr) {
    let tried = async {
        loop {
            let stats = get(tracker, "/stats.json").await;
            let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
            if stats["uptime_s"].as_u64().unwrap() >= 2 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(tried).await;
}

/// Checks that a tracker is let in by no Redis.
pub(crate) async fn is_alone(tracker: SocketAddr) {
    has_tried(tracker).await;
    let ready = get(tracker, "/ready").await;
    assert_eq!(ready, "ready, without its cluster: swarms are local\n");
}

/// Waits until a tracker hears so many others.
pub(crate) async fn hears(tracker: SocketAddr, nodes: usize) {
    shows(tracker, "/stats.json", &format!("\"nodes\":{nodes},")).await;
}

/// Waits until a tracker knows of so many members at others. What it says may be a second old, so
/// the number must have been another one before, and have been waited for.
pub(crate) async fn knows(tracker: SocketAddr, members: usize) {
    let text = format!("\"members\":{members}}}");
    shows(tracker, "/stats.json", &text).await;
}
