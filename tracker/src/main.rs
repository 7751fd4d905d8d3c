//! The program `shoal-tracker`: reads flags and settings, starts the server, stops it on a signal.
//!
//! Standard output gets one line, `listening on http://ADDRESS`, when peers can connect; logs go to
//! standard error. Exit codes: 0 stopped as asked, 1 cannot run, 2 unusable flags or settings.

#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use serde::Serialize;
use shoal_tracker::platform::{Allocator, Signal, raise_open_files, signals};
use shoal_tracker::server::{Reload, Server, ServerError};
use shoal_tracker::settings::{Settings, SettingsError};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

/// Introduces the peers of Shoal's swarms, and WebTorrent's, to each other.
///
/// Whatever can be set in the file can be set in the environment too: SHOAL_TRACKER_LISTEN,
/// SHOAL_TRACKER_LIMITS__CONNECTIONS. Flags win over that, that wins over the file.
#[derive(Debug, Parser, Serialize)]
#[command(version)]
struct Flags {
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:9010]
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,

    /// Serve the web app in this folder at /
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    web: Option<PathBuf>,

    /// Server that helps peers to find a path, may be repeated: stun:HOST[:PORT],
    /// turn:USER:PASSWORD@HOST[:PORT], or none [default: stun:stun.l.google.com:19302]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ice: Vec<String>,

    /// Redis through which several trackers serve the same swarms: redis://HOST[:PORT],
    /// rediss://USER:PASSWORD@HOST[:PORT]. Others can see flags: a password is better put into
    /// SHOAL_TRACKER_CLUSTER or the file
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,

    /// Settings file (TOML) with the same names and more
    #[arg(long, value_name = "FILE", env = "SHOAL_TRACKER_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,

    /// Logs for people or for programs
    #[arg(long, value_enum, default_value = "text")]
    #[serde(skip)]
    log_format: LogFormat,

    /// Log more: -v what happens to connections, -vv every frame (RUST_LOG wins)
    #[arg(short, long, action = clap::ArgAction::Count)]
    #[serde(skip)]
    verbose: u8,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    let flags = Flags::parse();
    start_log(flags.verbose, flags.log_format);
    let settings = flags.settings();
    let result = settings.map_err(Into::into);
    let result = result.and_then(|settings| run(settings, &flags));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if error.is::<SettingsError>() { 2 } else { 1 };
            eprintln!("shoal-tracker: {error:#}");
            ExitCode::from(code)
        }
    }
}

impl Flags {
    fn settings(&self) -> Result<Settings, SettingsError> {
        Settings::load(self.config.as_deref(), self)
    }
}

fn run(settings: Settings, flags: &Flags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads())
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(serve(settings, flags))
}

async fn serve(settings: Settings, flags: &Flags) -> anyhow::Result<()> {
    let signals = signals()?;
    make_room_for(&settings);
    let server = Server::bind(settings).await.map_err(|error| match error {
        ServerError::Settings(error) => error.into(),
        error => anyhow::Error::from(error),
    })?;
    let mut stdout = std::io::stdout();
    // Nobody may be listening to standard output; peers may all the same.
    let _ = writeln!(
        stdout,
        "listening on {}://{}",
        server.scheme(),
        server.address()
    );
    let _ = stdout.flush();
    let reload = server.reload();
    server.run(stopped(signals, reload, flags)).await;
    Ok(())
}

/// Ends at the first signal to stop; a second one ends the program.
async fn stopped(mut signals: mpsc::Receiver<Signal>, reload: Reload, flags: &Flags) {
    while let Some(Signal::Reload) = signals.recv().await {
        // Lists may stand in the settings file itself.
        let settings = flags.settings();
        let reloaded = settings.and_then(|settings| {
            // All of it: what could not work would only show when a restart ends with it.
            settings.check()?;
            reload.reload(&settings.swarms)
        });
        match reloaded {
            Ok(()) => tracing::info!(
                "lists of swarms and certificates are read again; what else is set waits for a restart"
            ),
            Err(error) => tracing::error!(%error, "nothing is read again, all stays as it was"),
        }
    }
    tracing::info!("stopping");
    tokio::spawn(async move {
        while let Some(signal) = signals.recv().await {
            if signal == Signal::Stop {
                std::process::exit(1);
            }
        }
    });
}

/// Sees to it that all connections can be open. Each is a file, and with a web app may be sent another one.
fn make_room_for(settings: &Settings) {
    let connections = settings.limits.connections;
    let files_each = 1 + usize::from(settings.web.is_some());
    let wanted = u64::try_from(connections.saturating_mul(files_each)).unwrap_or(u64::MAX);
    match raise_open_files() {
        Ok(files) if files < wanted.saturating_add(SPARE_FILES) => tracing::warn!(
            files,
            connections,
            "the system allows fewer open files than limits.connections needs: raise its limit \
             (LimitNOFILE, ulimit -n) or lower that one"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

fn start_log(verbose: u8, format: LogFormat) {
    // warp warns of every odd path that a stranger asks for.
    let level = match verbose {
        0 => "info,warp=error",
        1 => "info,warp=error,shoal_tracker=debug",
        _ => "debug,shoal_tracker=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Files that are not connections with a place, with room to spare.
const SPARE_FILES: u64 = 128;
