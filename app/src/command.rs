//! What the screens ask for. The bridge carries it out.

use crate::platform::Source;
use crate::state::{Limits, Selection, TorrentId};

/// A wish of the user.
#[derive(Debug)]
pub(crate) enum Command {
    /// Share these files and folders as one torrent.
    Share(Vec<Source>),
    /// Open a link: show what is behind it, download when told.
    Open(String),
    /// Download what a link has shown.
    Start(TorrentId),
    /// Stop transferring.
    Pause(TorrentId),
    /// Go on.
    Resume(TorrentId),
    /// Leave the swarm and forget the torrent; finished files on a disk stay.
    Remove(TorrentId),
    /// Download these files of it, from now on.
    Select(TorrentId, Selection),
    /// Look through its files again.
    Check(TorrentId),
    /// Use these limits from now on.
    SetLimits(TorrentId, Limits),
    /// Hand the finished files to the user.
    Save(TorrentId),
    /// Hand what there is of an unfinished download to the user.
    SavePart(TorrentId),
    /// Ask where a download shall go.
    ChoosePlace(TorrentId),
    /// Show the folder in which the files lie.
    ShowPlace(TorrentId),
}
