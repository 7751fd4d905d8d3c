//! What cannot work is told in words, with the exit code of the manual.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use support::{Scratch, Shoal, Tracker, random_file};

/// Runs to the end; the error must be told to people and to programs alike.
fn refused(args: &[&str], exit_code: i32, kind: &str, words: &str) {
    let mut shoal = Shoal::start(args);
    let code = shoal.exit_code();
    let error = shoal.latest("error");
    let error = error.unwrap_or_else(|| panic!("{args:?}: no error event\n{}", shoal.stderr()));
    assert_eq!(error["kind"], kind, "{args:?}: {error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{args:?}: {message}");
    let told: Vec<_> = shoal.stderr().lines().map(str::to_owned).collect();
    assert_eq!(told.first(), Some(&format!("error: {message}")), "{args:?}");
    assert_eq!(code, exit_code, "{args:?}: {message}");
}

#[test]
fn what_is_no_link_is_refused() {
    for command in ["get", "show", "check"] {
        refused(
            &[command, "hello"],
            2,
            "not-a-link",
            "not a magnet or share link",
        );
        refused(
            &[command, "https://example.org/page"],
            2,
            "not-a-link",
            "not a magnet or share link",
        );
        refused(
            &[command, "magnet:?xt=urn:btmh:1220abcd"],
            2,
            "not-a-link",
            "incomplete or damaged",
        );
        refused(
            &[command, "./there/is.torrent"],
            2,
            "no-such-file",
            "no such file",
        );
    }
}

#[test]
fn what_is_no_torrent_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.path("photo.torrent");
    fs::write(&file, b"\x89PNG and so on").unwrap();
    let file = file.to_str().unwrap();
    for command in ["get", "show", "check"] {
        refused(&[command, file], 2, "not-a-torrent", file);
    }
}

#[test]
fn a_missing_path_is_named() {
    let scratch = Scratch::new();
    let missing = scratch.path("not there");
    let missing = missing.to_str().unwrap();
    refused(&["seed", missing], 2, "no-such-file", missing);
    let output = scratch.path("x.torrent");
    refused(
        &["create", missing, "-o", output.to_str().unwrap()],
        2,
        "no-such-file",
        missing,
    );
    assert!(!output.exists());
}

#[test]
fn a_torrent_file_is_not_overwritten_unasked() {
    let scratch = Scratch::new();
    let source = random_file(&scratch.path("a"), 10, 1);
    let output = scratch.path("a.torrent");
    fs::write(&output, "precious").unwrap();
    let (source, text) = (source.to_str().unwrap(), output.to_str().unwrap());
    refused(&["create", source, "-o", text], 2, "exists", "--force");
    assert_eq!(fs::read_to_string(&output).unwrap(), "precious");

    let mut forced = Shoal::start(["create", source, "-o", text, "--force"]);
    assert_eq!(forced.exit_code(), 0, "{}", forced.stderr());
    assert_ne!(fs::read(&output).unwrap(), b"precious");
}

#[test]
fn a_file_is_no_folder_to_download_into() {
    let scratch = Scratch::new();
    let file = random_file(&scratch.path("file"), 1, 1);
    refused(
        &[
            "get",
            &nowhere("ws://127.0.0.1:1/"),
            "--out",
            file.to_str().unwrap(),
        ],
        2,
        "not-a-folder",
        "is not a folder",
    );
}

#[test]
fn unusable_flags_are_refused() {
    for (args, words) in [
        (&["get"][..], "required"),
        (&["get", "x", "--upload-limit", "fast"], "500k"),
        (&["seed", ".", "--tracker", "http://t.example/"], "ws://"),
        (&["seed", ".", "--stop-at-copies", "0"], "above 0"),
        (&["get", "x", "--select", "[a"], "unclosed"),
        (&["sned", "."], "unrecognized"),
    ] {
        refused(args, 2, "arguments", words);
    }
}

#[test]
fn a_link_to_nowhere_is_waited_for_as_long_as_one_likes() {
    let (scratch, tracker) = (Scratch::new(), Tracker::start());
    let out = scratch.path("out");
    let get = Shoal::get(&nowhere(&tracker.url()), &out, &[]);
    get.event("state", |event| event["state"] == "finding-peers");
    get.event("tracker", |event| event["state"] == "working");
    drop(get);

    let mut get = Shoal::get(&nowhere(&tracker.url()), &out, &["--give-up", "1"]);
    assert_eq!(get.exit_code(), 1, "{}", get.stderr());
    let error = get.latest("error").unwrap();
    assert_eq!(error["kind"], "gave-up");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("looking for peers"), "{message}");
}

/// Root may do anything, so another user has to try.
#[cfg(target_os = "linux")]
#[test]
fn what_may_not_be_read_or_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    let scratch = Scratch::new();
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    // Where the other user finds it, whoever owns the folder of the build.
    let program = scratch.path("shoal");
    fs::copy(env!("CARGO_BIN_EXE_shoal"), &program).unwrap();
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(program.parent().unwrap(), 0o755);
    let secret = random_file(&scratch.path("secret"), 10, 1);
    allow(&secret, 0o000);
    let closed = scratch.path("closed");
    fs::create_dir(&closed).unwrap();
    allow(&closed, 0o555);

    let link = nowhere("ws://127.0.0.1:1/");
    let (secret, closed) = (secret.to_str().unwrap(), closed.to_str().unwrap());
    let inside = format!("{closed}/in/it");
    for (args, path) in [
        (["seed", secret, "--name", "secret"], secret),
        (["get", &link, "--out", closed], closed),
        (["get", &link, "--out", &inside], inside.as_str()),
    ] {
        let mut command = std::process::Command::new(&program);
        command.args(args).arg("--json");
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(path), "{args:?}: {stderr}");
        assert!(stderr.contains("permission denied"), "{args:?}: {stderr}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains(r#""kind":"permission""#), "{stdout}");
    }
}

/// A link to a torrent that nobody has.
fn nowhere(tracker: &str) -> String {
    format!(
        "magnet:?xt=urn:btmh:1220{}&dn=nothing&tr={tracker}",
        "5a".repeat(32)
    )
}

#[cfg(target_os = "linux")]
const NOBODY: u32 = 65_534;
