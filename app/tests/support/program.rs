//! A child process whose lines can be waited for. It dies with the test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running or ended process.
pub(crate) struct Program {
    child: Child,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    stderr: String,
    /// Streams at their end.
    closed: usize,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_or(command, "it starts")
    }

    /// As [`Self::start`]; `needed`: what to say where there is no such program.
    pub(crate) fn start_or(command: &mut Command, needed: &str) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}: {needed}"));
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        collect(stdout, Arc::clone(&seen), |seen, line| {
            seen.lines.push(line);
        });
        collect(stderr, Arc::clone(&seen), |seen, line| {
            seen.stderr.push_str(&line);
            seen.stderr.push('\n');
        });
        Self { child, seen }
    }

    /// Waits for the first line of standard output for which `find` returns something.
    pub(crate) fn line<T>(&self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let mut looked_at = 0;
        self.wait(what, |seen| {
            let found = seen.lines[looked_at..].iter().find_map(|line| find(line));
            looked_at = seen.lines.len();
            found
        })
    }

    /// Waits for words on standard error.
    pub(crate) fn says(&self, words: &str) {
        self.wait(words, |seen| seen.stderr.contains(words).then_some(()));
    }

    /// Waits for the process to end; returns its exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        self.wait("its end", |seen| (seen.closed == 2).then_some(()));
        let status: ExitStatus = self.child.wait().unwrap();
        status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {status}\n{}", self.stderr()))
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to end, as Ctrl-C and `kill` do.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success(), "kill -s {name} {pid}");
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.0.lock().unwrap().lines.clone()
    }

    pub(crate) fn stderr(&self) -> String {
        self.seen.0.lock().unwrap().stderr.clone()
    }

    fn wait<T>(&self, what: &str, mut look: impl FnMut(&Seen) -> Option<T>) -> T {
        let (lock, changed) = &*self.seen;
        let deadline = Instant::now() + PATIENCE;
        let mut seen = lock.lock().unwrap();
        loop {
            if let Some(found) = look(&seen) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if seen.closed == 2 || left.is_zero() {
                let how = if left.is_zero() {
                    "too late"
                } else {
                    "it ended"
                };
                let tail = seen.lines.iter().rev().take(5).rev();
                let tail: Vec<_> = tail.map(String::as_str).collect();
                panic!(
                    "waited for {what}: {how}\n{}\n{}",
                    tail.join("\n"),
                    seen.stderr
                );
            }
            seen = changed.wait_timeout(seen, left).unwrap().0;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `shoal … --json`.
pub(crate) struct Shoal(Program);

impl std::ops::Deref for Shoal {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.0
    }
}

impl std::ops::DerefMut for Shoal {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.0
    }
}

impl Shoal {
    /// The program under test.
    pub(crate) fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.env_remove("SHOAL_TRACKER").env_remove("RUST_LOG");
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command
    }

    pub(crate) fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Self(Program::start(Self::command().args(args).arg("--json")))
    }

    /// Shares `path`; returns when the link is there, with the link.
    pub(crate) fn seed(path: &Path, tracker: &str, more: &[&str]) -> (Self, String) {
        let path = path.to_str().unwrap();
        let seed = Self::start(["seed", path, "--tracker", tracker].iter().chain(more));
        let sharing = seed.event("sharing", |_| true);
        let magnet = sharing["magnet"].as_str().unwrap().to_owned();
        (seed, magnet)
    }

    pub(crate) fn get(link: &str, out: &Path, more: &[&str]) -> Self {
        let out = out.to_str().unwrap();
        Self::start(["get", link, "--out", out].iter().chain(more))
    }

    /// Waits for an event of this name that `matches`.
    pub(crate) fn event(&self, name: &str, mut matches: impl FnMut(&Value) -> bool) -> Value {
        self.line(&format!("event {name}"), |line| {
            let event = parse(line);
            (event["event"] == name && matches(&event)).then_some(event)
        })
    }

    /// All events so far, or, of an ended process, all.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.lines().iter().map(|line| parse(line)).collect()
    }

    /// The newest event of this name.
    pub(crate) fn latest(&self, name: &str) -> Option<Value> {
        let events = self.events();
        events.into_iter().rfind(|event| event["event"] == name)
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

fn collect(
    stream: impl Read + Send + 'static,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    mut add: impl FnMut(&mut Seen, String) + Send + 'static,
) {
    thread::spawn(move || {
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Some(Ok(line)) = lines.next() {
            add(
                &mut seen.0.lock().unwrap(),
                String::from_utf8_lossy(&line).into_owned(),
            );
            seen.1.notify_all();
        }
        seen.0.lock().unwrap().closed += 1;
        seen.1.notify_all();
    });
}
