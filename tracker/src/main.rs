//! The program `shoal-tracker`: reads flags and settings, starts the server, stops it on a signal.
//!
//! Standard output gets one line, `listening on http://ADDRESS`, when peers can connect; logs go to
//! standard error. Exit codes: 0 stopped as asked, 1 cannot run, 2 unusable flags or settings.

#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use shoal_tracker::server::{Server, ServerError};
use shoal_tracker::settings::{Settings, SettingsError};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

/// Introduces the peers of Shoal's swarms to each other.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:9010]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// Serve the web app in this folder at /
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,

    /// Server that helps peers to find a path, may be repeated: stun:HOST[:PORT],
    /// turn:USER:PASSWORD@HOST[:PORT], or none [default: stun:stun.l.google.com:19302]
    #[arg(long, value_name = "URL")]
    ice: Vec<String>,

    /// Settings file (TOML) with the same names; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Log more: -v what happens to connections, -vv every frame (RUST_LOG wins)
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    start_log(flags.verbose);
    let result = flags.settings().map_err(Into::into).and_then(run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if error.is::<SettingsError>() { 2 } else { 1 };
            eprintln!("shoal-tracker: {error:#}");
            ExitCode::from(code)
        }
    }
}

#[tokio::main]
async fn run(settings: Settings) -> anyhow::Result<()> {
    let signals = signals()?;
    let server = Server::bind(settings).await.map_err(|error| match error {
        ServerError::Settings(error) => error.into(),
        error => anyhow::Error::from(error),
    })?;
    let mut stdout = std::io::stdout();
    // Nobody may be listening to standard output; peers may all the same.
    let _ = writeln!(stdout, "listening on http://{}", server.address());
    let _ = stdout.flush();
    server.run(stopped(signals)).await;
    Ok(())
}

/// Ends at the first signal to stop; a second one ends the program.
async fn stopped(mut signals: mpsc::Receiver<()>) {
    signals.recv().await;
    tracing::info!("stopping");
    tokio::spawn(async move {
        signals.recv().await;
        std::process::exit(1);
    });
}

fn signals() -> anyhow::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(2);
    ctrlc::set_handler(move || {
        // Two are enough.
        let _ = sender.try_send(());
    })?;
    Ok(receiver)
}

fn start_log(verbose: u8) {
    // warp warns of every odd path that a stranger asks for.
    let level = match verbose {
        0 => "info,warp=error",
        1 => "info,warp=error,shoal_tracker=debug",
        _ => "debug,shoal_tracker=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

impl Flags {
    fn settings(self) -> Result<Settings, SettingsError> {
        let mut settings = match &self.config {
            Some(path) => Settings::from_file(path)?,
            None => Settings::default(),
        };
        if let Some(listen) = self.listen {
            settings.listen = listen;
        }
        if let Some(web) = self.web {
            settings.web = Some(web);
        }
        if !self.ice.is_empty() {
            settings.ice = self.ice;
        }
        Ok(settings)
    }
}
