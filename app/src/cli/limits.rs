//! Upload and download limits as flags.

use shoal_engine::{Limits, Rate};

/// Flags of commands that transfer.
#[derive(Debug, clap::Args)]
pub(crate) struct LimitArgs {
    /// Send at most this many bytes a second: 500k, 2M, none; 0 pauses
    #[arg(long, value_name = "RATE", default_value = "none")]
    upload_limit: Rate,
    /// Receive at most this many bytes a second: 500k, 2M, none; 0 pauses
    #[arg(long, value_name = "RATE", default_value = "none")]
    download_limit: Rate,
}

impl LimitArgs {
    /// Returns them.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            upload: self.upload_limit,
            download: self.download_limit,
        }
    }
}
