//! Tells what happens: as JSON lines, or as results on standard output and notes on standard error.

use std::io::{self, Write};

use super::error::CliError;
use super::json::{self, Event};
use super::progress::Screen;

/// Where a command's words go.
#[derive(Debug)]
pub(crate) struct Reporter {
    json: bool,
    screen: Screen,
    last_note: String,
}

impl Reporter {
    /// Makes the reporter of a command.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            screen: if json {
                Screen::without_bar()
            } else {
                Screen::find()
            },
            last_note: String::new(),
        }
    }

    /// Makes one that speaks JSON.
    pub(crate) fn json() -> Self {
        Self::new(true)
    }

    /// Tells programs; in text mode nobody.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn event(&mut self, event: &Event) -> Result<(), CliError> {
        if !self.json {
            return Ok(());
        }
        let line = serde_json::to_string(event).expect("events have only text keys");
        print(&line).map_err(CliError::Output)
    }

    /// Prints a result on standard output; in JSON mode nothing.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn result(&mut self, text: &str) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        self.screen.aside(|| print(text)).map_err(CliError::Output)
    }

    /// Tells people something, once; in JSON mode nobody.
    pub(crate) fn note(&mut self, text: &str) {
        if self.json || self.last_note == text {
            return;
        }
        text.clone_into(&mut self.last_note);
        self.screen.aside(|| eprintln_quietly(text));
    }

    /// Tells what is being done, and how far it is.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn progress(
        &mut self,
        progress: json::Progress,
        status: &str,
    ) -> Result<(), CliError> {
        self.screen.show(&progress, status);
        self.event(&Event::Progress(progress))
    }

    /// Tells why the command failed.
    pub(crate) fn fail(&mut self, kind: &str, message: &str) {
        self.finish();
        eprintln_quietly(&format!("error: {message}"));
        let event = Event::Error(json::Error {
            kind: kind.to_owned(),
            message: message.to_owned(),
        });
        // The exit code tells it all the same.
        let _ = self.event(&event);
    }

    /// Takes the progress bar away.
    pub(crate) fn finish(&mut self) {
        self.screen.clear();
    }

    /// Returns whether words are for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Returns where the progress bar is.
    pub(crate) fn screen(&self) -> Screen {
        self.screen.clone()
    }
}

/// Prints a line at once: programs wait for it.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Standard error may be closed; that is no reason to end, unlike `eprintln!` has it.
fn eprintln_quietly(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
