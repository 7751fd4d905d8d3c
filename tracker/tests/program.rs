//! The program: its ready line, its exit codes, its end.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

#[test]
fn prints_one_line_when_ready_and_stops_on_sigterm() {
    for signal in ["TERM", "INT"] {
        let mut tracker = Tracker::start(&["--listen", "127.0.0.1:0"]);
        let line = tracker.line();
        let address = line.strip_prefix("listening on http://").expect(&line);
        let _connection = TcpStream::connect(address).unwrap();
        let kill = Command::new("kill")
            .args([format!("-{signal}"), tracker.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
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

#[test]
fn flags_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracker.toml");
    fs::write(&file, "listen = \"127.0.0.1:1\"\nice = [\"none\"]\n").unwrap();
    let file = file.to_str().unwrap();
    let mut tracker = Tracker::start(&["--config", file, "--listen", "127.0.0.1:0"]);
    assert!(tracker.line().starts_with("listening on http://127.0.0.1:"));
}

/// The running program; killed when dropped.
struct Tracker {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Tracker {
    fn start(flags: &[&str]) -> Self {
        let mut child = command(flags).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "does not stop");
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
    let output = command(flags).output().unwrap();
    assert_eq!(output.stdout, b"");
    let message = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), message)
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal-tracker"));
    command.args(flags).env_remove("RUST_LOG");
    command
}
