//! The command line: `shoal seed`, `get`, `create`, `show` and `check`.
//!
//! One file a command, which reads its arguments, drives the engine and tells what happens as
//! [`json::Event`]s; [`report`] prints those, as JSON or in words. Native only: the program's entry
//! is in `platform::native`.
//!
//! Exit codes: 0 done, 1 failed or incomplete, 2 unusable arguments. Standard output is for results,
//! standard error for everything else.

mod check;
mod choice;
mod create;
mod error;
mod follow;
mod get;
mod interrupt;
mod json;
mod limits;
mod link;
mod log;
mod progress;
mod report;
mod seed;
mod show;
mod sources;
mod teller;
mod trackers;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::error::CliError;
use self::report::Reporter;

/// Shares files and folders from peer to peer: everyone who downloads helps to pass them on.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Share files and folders until interrupted; prints the magnet link, then the web link
    Seed(seed::SeedArgs),
    /// Download by magnet link, web link or .torrent file; run again, it resumes
    Get(get::GetArgs),
    /// Write a .torrent file for files and folders; prints the info hash
    Create(create::CreateArgs),
    /// Tell what a link or a .torrent file says
    Show(show::ShowArgs),
    /// Verify downloaded files; exits with 1 if anything is missing or damaged
    Check(check::CheckArgs),
}

/// How all commands print.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Print one JSON object a line instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Log more to standard error; twice or thrice for more (RUST_LOG says it exactly)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl Cli {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    /// With the exit code, when nothing is left to do: they are unusable, or asked for help.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            let in_json = std::env::args_os().any(|argument| argument == "--json");
            if in_json && error.use_stderr() {
                let message = in_one_line(&error.render().to_string());
                Reporter::json().fail("arguments", &message);
            } else {
                // Nothing else can be done when even printing fails.
                let _ = error.print();
            }
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(CliError::UNUSABLE))
        })
    }

    /// Returns whether there is no subcommand, so that the window opens where there is one.
    #[cfg_attr(
        not(feature = "desktop"),
        expect(dead_code, reason = "there is no window")
    )]
    pub(crate) fn wants_window(&self) -> bool {
        self.command.is_none()
    }
}

/// Does what the arguments say; without a subcommand prints help.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let Some(command) = cli.command else {
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    let mut reporter = Reporter::new(cli.output.json);
    log::start(cli.output.verbose, reporter.screen());
    let done = command.run(&mut reporter);
    reporter.finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.fail(error.kind(), &error.in_words());
            ExitCode::from(error.exit_code())
        }
    }
}

impl Command {
    fn run(self, reporter: &mut Reporter) -> Result<(), CliError> {
        // One thread is enough: the engine has its own.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CliError::Runtime)?;
        runtime.block_on(async {
            match self {
                Self::Seed(args) => args.run(reporter).await,
                Self::Get(args) => args.run(reporter).await,
                Self::Create(args) => args.run(reporter).await,
                Self::Show(args) => args.run(reporter),
                Self::Check(args) => args.run(reporter).await,
            }
        })
    }
}

/// The message of an argument error, without the usage that follows it.
fn in_one_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let message = message.split("\n\n").next().unwrap_or(message);
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
