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
fn a_secret_is_not_shown_by_the_error_about_it() {
    let output = command(&["--listen", "127.0.0.1:0"])
        .env("SHOAL_TRACKER_TURN_SECRET", "1234567890")
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("put it in quotes"), "{message}");
    assert!(!message.contains("1234567890"), "{message}");
}
        ("introductions", "0"),

#[test]
fn limits_that_cannot_work_are_refused() {
    for (name, value) in [
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
    let mut tracker = Tracker::spawn(command);
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
    command
        .env("SHOAL_TRACKER_SWARMS__DENY_FILE", &deny)
        .stderr(Stdio::piped());
    let mut tracker = Tracker::spawn(command);
    tracker.line();
    let mut log = BufReader::new(tracker.child.stderr.take().unwrap()).lines();
    let mut hang_up = |content: &str, expected: &str| {
        fs::write(&deny, content).unwrap();
        let pid = tracker.child.id().to_string();
        let kill = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(kill.unwrap().success());
        assert!(
            log.any(|line| line.unwrap().contains(expected)),
            "{expected}"
        );
    };
    hang_up("nonsense", "all stays as it was");
    hang_up(&"ab".repeat(20), "read again");
}

/// The running program; killed when dropped.
struct Tracker {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Tracker {
    fn start(flags: &[&str]) -> Self {
        Self::spawn(command(flags))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
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
