//! The program: its ready line, its exit codes, its end.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use shoal_protocol::tracker::{AnnounceEvent, ClientMessage, PeerKey, ServerMessage};
use shoal_protocol::{PeerId, SwarmId};
use tokio_tungstenite::tungstenite::{Message, client};

#[test]
fn prints_one_line_when_ready_and_stops_on_sigterm() {
    for signal in ["TERM", "INT"] {
        let mut tracker = Tracker::start(&["--listen", "127.0.0.1:0"]);
        let address = tracker.address();
        let _connection = TcpStream::connect(address).unwrap();
        tracker.signal(signal);
        assert_eq!(tracker.exit().code(), Some(0), "{signal}");
        let mut rest = String::new();
        tracker.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, message) = failure(&["--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(
        message.contains(&format!("cannot listen on {address}")),
        "{message}"
    );
    assert!(message.to_lowercase().contains("in use"), "{message}");
}

#[test]
fn unusable_flags_and_settings_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracker.toml");
    fs::write(&file, "listen = \"127.0.0.1:0\"\nlimits.conections = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let empty = folder.path().to_str().unwrap();
    for (flags, expected) in [
        (&["--listen", "nowhere"][..], "--listen"),
        (&["--frobnicate"], "--frobnicate"),
        (&["--ice", "http://a.example"], "stun:"),
        (&["--ice", "turn:ann:hidden@b.example:x"], "host or port"),
        (&["--web", empty], "index.html"),
        (
            &["--config", "/nowhere/at/all.toml"],
            "/nowhere/at/all.toml",
        ),
        (&["--config", file], "conections"),
    ] {
        let (code, message) = failure(flags);
        assert_eq!(code, Some(2), "{flags:?}: {message}");
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert!(!message.contains("hidden"), "{message}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn so_many_threads_serve_as_are_set_and_else_one_is_left_to_the_system() {
    let processors = thread::available_parallelism().unwrap().get();
    for (set, expected) in [(None, (processors - 1).max(1)), (Some("3"), 3)] {
        let mut command = command(&["--listen", "127.0.0.1:0"]);
        command.envs(set.map(|threads| ("SHOAL_TRACKER_THREADS", threads)));
        let mut tracker = Tracker::spawn(&mut command);
        tracker.address();
        tracker.has_workers(expected);
    }
    let (code, message) = failed(command(&[]).env("SHOAL_TRACKER_THREADS", "0"));
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("THREADS"), "{message}");
}

#[test]
fn a_secret_is_not_shown_by_the_error_about_it() {
    let (code, message) = failed(command(&[]).env("SHOAL_TRACKER_TURN_SECRET", "1234567890"));
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("put it in quotes"), "{message}");
    assert!(!message.contains("1234567890"), "{message}");
}

#[test]
fn limits_that_cannot_work_are_refused() {
    for (name, value) in [
        ("introductions", "0"),
        ("introductions", "65"),
        ("hello_timeout_s", "0"),
        ("stall_timeout_s", "0"),
        ("introduction_lifetime_s", "0"),
        ("joins_per_address", "0"),
    ] {
        let variable = format!("SHOAL_TRACKER_LIMITS__{}", name.to_uppercase());
        let mut command = command(&["--listen", "127.0.0.1:0"]);
        let output = command.env(variable, value).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {message}");
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn flags_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracker.toml");
    fs::write(&file, "listen = \"127.0.0.1:1\"\nice = [\"none\"]\n").unwrap();
    let file = file.to_str().unwrap();
    let mut tracker = Tracker::start(&["--config", file, "--listen", "127.0.0.1:0"]);
    assert!(tracker.line().starts_with("listening on http://127.0.0.1:"));
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracker.toml");
    fs::write(&file, "listen = \"127.0.0.1:1\"\nlimits.connections = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let failing = |name: &str, value: &str| {
        let mut command = command(&["--config", file, "--listen", "127.0.0.1:0"]);
        let output = command.env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let message = failing("SHOAL_TRACKER_LIMITS__CONNECTIONS", "many");
    assert!(
        message.to_lowercase().contains("limits") && message.contains("many"),
        "{message}"
    );
    let message = failing("SHOAL_TRACKER_LISTNE", "x");
    assert!(message.to_lowercase().contains("listne"), "{message}");
    let message = failing("SHOAL_TRACKER_ICE", "[\"http://a.example\"]");
    assert!(message.contains("stun:"), "{message}");

    let mut command = command(&[]);
    command
        .env("SHOAL_TRACKER_CONFIG", file)
        .env("SHOAL_TRACKER_LISTEN", "127.0.0.1:0");
    let mut tracker = Tracker::spawn(&mut command);
    let line = tracker.line();
    assert!(
        line.starts_with("listening on http://127.0.0.1:") && !line.ends_with(":1"),
        "{line}"
    );
}

#[cfg(unix)]
#[test]
fn files_are_read_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let deny = folder.path().join("deny");
    fs::write(&deny, "").unwrap();
    let mut command = command(&["--listen", "127.0.0.1:0"]);
    command.env("SHOAL_TRACKER_SWARMS__DENY_FILE", &deny);
    let mut tracker = Tracker::spawn_with_log(&mut command);
    tracker.line();
    let hang_up = |content: &str, expected: &str| {
        fs::write(&deny, content).unwrap();
        tracker.signal("HUP");
        tracker.logs(expected);
    };
    hang_up("nonsense", "all stays as it was");
    hang_up(&"ab".repeat(20), "read again");
}

#[cfg(unix)]
#[test]
fn lists_in_the_settings_file_are_read_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracker.toml");
    let settings =
        |deny: &str| format!("listen = \"127.0.0.1:0\"\n[swarms]\ndeny = [\"{deny}\"]\n");
    fs::write(&file, settings(&"ab".repeat(20))).unwrap();
    let mut command = command(&["--config", file.to_str().unwrap()]);
    let mut tracker = Tracker::spawn_with_log(&mut command);
    let address = tracker.address();
    let served = || [0xab, 0xcd].map(|swarm| is_served(&address, swarm));
    assert_eq!(served(), [false, true]);
    let cannot_work = format!("limits.introductions = 0\n{}", settings(&"cd".repeat(20)));
    for refused in [settings("nonsense"), cannot_work] {
        fs::write(&file, refused).unwrap();
        tracker.signal("HUP");
        tracker.logs("all stays as it was");
        assert_eq!(served(), [false, true]);
    }
    fs::write(&file, settings(&"cd".repeat(20))).unwrap();
    tracker.signal("HUP");
    tracker.logs("read again; what else is set waits for a restart");
    assert_eq!(served(), [true, false]);
}

/// Returns whether a peer may join the swarm whose id is this byte again and again.
#[cfg(unix)]
fn is_served(address: &str, swarm: u8) -> bool {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut socket, _) = client(format!("ws://{address}/announce"), stream).unwrap();
    for message in [
        ClientMessage::Hello {
            version: 1,
            peer: PeerId::new([1; 20]),
            key: PeerKey::new([1; 16]),
        },
        ClientMessage::Announce {
            swarm: SwarmId::new([swarm; 20]),
            event: AnnounceEvent::Started,
            left: None,
            want: 0,
        },
    ] {
        socket.send(Message::Binary(message.encode())).unwrap();
    }
    loop {
        let Message::Binary(frame) = socket.read().unwrap() else {
            continue;
        };
        match ServerMessage::decode(&frame).unwrap() {
            ServerMessage::Peers { .. } => return true,
            ServerMessage::Error { .. } => return false,
            _ => {}
        }
    }
}

#[cfg(unix)]
#[test]
fn more_files_are_opened_than_the_soft_limit_has() {
    let mut command = limited("ulimit -Sn 64", &[]);
    // None is closed for its silence, to make room.
    command.env("SHOAL_TRACKER_LIMITS__HELLO_TIMEOUT_S", "600");
    let mut tracker = Tracker::spawn(&mut command);
    let address = tracker.address();
    let connections: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    let mut last = TcpStream::connect(&address).unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    last.write_all(b"GET /health HTTP/1.1\r\nhost: tracker\r\n\r\n")
        .unwrap();
    let mut start = [0; 12];
    last.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    drop(connections);
}

#[cfg(unix)]
#[test]
fn too_few_files_are_warned_of_once() {
    let mut command = limited("ulimit -n 64", &["-v", "--log-format", "json"]);
    command.env("SHOAL_TRACKER_LIMITS__HELLO_TIMEOUT_S", "600");
    let mut tracker = Tracker::spawn_with_log(&mut command);
    let address = tracker.address();
    assert!(tracker.logs("ulimit -n").contains("\"WARN\""));
    let connections: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    assert!(tracker.logs("cannot accept").contains("\"WARN\""));
    for _ in 0..5 {
        assert!(tracker.logs("cannot accept").contains("\"DEBUG\""));
    }
    drop(connections);
}

#[cfg(unix)]
#[test]
fn a_page_needs_files_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "<p>page").unwrap();
    let web = ["--web", folder.path().to_str().unwrap()];
    for (flags, expected) in [(&[][..], false), (&web[..], true)] {
        // Enough for 200 connections, not for a file of the page to each.
        let mut command = limited("ulimit -n 400", flags);
        command.env("SHOAL_TRACKER_LIMITS__CONNECTIONS", "200");
        let mut tracker = Tracker::spawn_with_log(&mut command);
        tracker.line();
        tracker.signal("TERM");
        let log = tracker.logs_up_to("stopping");
        let is_warned = log.iter().any(|line| line.contains("ulimit -n"));
        assert_eq!(is_warned, expected, "{log:?}");
    }
}

/// The program, started by a shell that limits it first.
#[cfg(unix)]
fn limited(limit: &str, flags: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_shoal-tracker"))
        .args(["--listen", "127.0.0.1:0"])
        .args(flags)
        .env_remove("RUST_LOG");
    command
}

/// Longer than anything takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running program; killed when dropped.
struct Tracker {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    /// Lines of its standard error, if that is looked at.
    log: Option<mpsc::Receiver<String>>,
}

impl Tracker {
    fn start(flags: &[&str]) -> Self {
        Self::spawn(&mut command(flags))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let log = child.stderr.take().map(|log| {
            let (sender, receiver) = mpsc::channel();
            let mut lines = BufReader::new(log).lines().map_while(Result::ok);
            thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
            receiver
        });
        Self { child, stdout, log }
    }

    fn spawn_with_log(command: &mut Command) -> Self {
        command.stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// Reads the log up to a line that has `text` in it; returns that.
    fn logs(&self, text: &str) -> String {
        self.logs_up_to(text).pop().unwrap()
    }

    /// Reads the log up to a line that has `text` in it.
    fn logs_up_to(&self, text: &str) -> Vec<String> {
        let log = self.log.as_ref().unwrap();
        let mut lines = Vec::new();
        loop {
            let line = log.recv_timeout(PATIENCE).expect(text);
            let is_last = line.contains(text);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Waits until it is ready; returns where it listens.
    fn address(&mut self) -> String {
        let line = self.line();
        let address = line.strip_prefix("listening on http://");
        address.expect(&line).to_owned()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until so many threads of the runtime are left: those for files end when they have nothing to do.
    #[cfg(target_os = "linux")]
    fn has_workers(&self, expected: usize) {
        let tasks = format!("/proc/{}/task", self.child.id());
        let started = Instant::now();
        loop {
            let tasks = fs::read_dir(&tasks).unwrap().flatten();
            let names = tasks.map(|task| fs::read_to_string(task.path().join("comm")));
            let workers =
                names.filter(|name| matches!(name, Ok(name) if name.starts_with("tokio")));
            let workers = workers.count();
            if workers == expected {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{workers} workers");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "does not stop");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failure(flags: &[&str]) -> (Option<i32>, String) {
    failed(&mut command(flags))
}

fn failed(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"");
    let message = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), message)
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal-tracker"));
    command.args(flags).env_remove("RUST_LOG");
    command
}
