//! Trackers as processes of their own, that can be killed, alone or as nodes of a cluster.

use std::env::consts::EXE_SUFFIX;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::redis_command;
use super::{Program, Scratch};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Redis. It ends when dropped.
pub(crate) struct Redis {
    folder: Scratch,
    _program: Program,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = Scratch::new();
        let mut command = redis_command::redis_server(&folder.path(""));
        let program = Program::start_or(&mut command, redis_command::NEEDED);
        let socket = redis_command::socket(&folder.path(""));
        until("Redis listens", || UnixStream::connect(&socket).is_ok());
        Self {
            folder,
            _program: program,
        }
    }

    /// Starts so many trackers that serve the same swarms; returns when each hears all others.
    pub(crate) fn nodes<const COUNT: usize>(&self) -> [Node; COUNT] {
        let cluster = redis_command::url(&self.folder.path(""));
        let nodes = std::array::from_fn(|_| Node::start_with(&["--cluster", &cluster]));
        for node in &nodes {
            let heard = format!("\"nodes\":{},", COUNT - 1);
            until("the nodes hear each other", || {
                node.page("/stats.json").contains(&heard)
            });
        }
        nodes
    }
}

/// The program `shoal-tracker`. It ends when dropped.
pub(crate) struct Node {
    address: SocketAddr,
    program: Program,
}

impl Node {
    /// Starts one that is alone.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        // Cargo tells where the binaries of this package are; those of the others stand beside them.
        let shoal = Path::new(env!("CARGO_BIN_EXE_shoal"));
        let mut command = Command::new(shoal.with_file_name(format!("shoal-tracker{EXE_SUFFIX}")));
        command
            .args(["--listen", "127.0.0.1:0", "--ice", "none"])
            .args(more)
            .env_remove("RUST_LOG");
        let needed = "cargo build -p shoal-tracker builds it";
        let program = Program::start_or(&mut command, needed);
        let address = program.line("its address", |line| {
            let address = line.strip_prefix("listening on http://")?;
            Some(address.parse().unwrap())
        });
        Self { address, program }
    }

    /// What peers are told.
    pub(crate) fn url(&self) -> String {
        self.url_at("/announce")
    }

    /// The same tracker by another path.
    pub(crate) fn url_at(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.program.kill();
    }

    /// Returns how often it has refused something for this reason.
    pub(crate) fn refusals(&self, reason: &str) -> u64 {
        let metric = format!("shoal_tracker_refusals_total{{reason=\"{reason}\"}} ");
        let metrics = self.page("/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&metric));
        value.expect("it counts refusals").parse().unwrap()
    }

    /// Returns a page with its head.
    fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: tracker\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
