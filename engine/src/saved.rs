//! What is remembered of a torrent from one run to the next, as a record; without any I/O. Beside it the
//! metainfo is kept, as a `.torrent` file.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shoal_core::{Limits, Order, Rate, Selection};
use shoal_protocol::magnet::Magnet;
use shoal_protocol::metainfo::MAX_FILES;

const VERSION: u32 = 1;

/// A torrent, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// Its place among the others.
    pub(crate) number: u64,
    pub(crate) magnet: Magnet,
    pub(crate) role: Role,
    pub(crate) limits: Limits,
    pub(crate) order: Order,
    pub(crate) selection: Selection,
    pub(crate) is_paused: bool,
    /// What tells whether complete files have been changed: one number a file, 0 for one that is not
    /// complete; or none.
    pub(crate) stamps: Vec<u64>,
}

/// What somebody does with a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Looks at it.
    Open,
    /// Downloads it, to here.
    Download(String),
    /// Shares these.
    Share(Vec<String>),
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    #[error("it is damaged ({0})")]
    Damaged(#[from] serde_json::Error),
    #[error("it was written by a newer version")]
    Newer,
    #[error("its link, its limits or its list of files cannot be read")]
    Field,
}

#[derive(Serialize, Deserialize)]
struct Fields {
    version: u32,
    number: u64,
    magnet: String,
    role: Role,
    upload_limit: String,
    download_limit: String,
    sequential: bool,
    paused: bool,
    #[serde(default)]
    stamps: Vec<u64>,
    /// Files that are left out: from each first number to before each second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<(usize, usize)>,
}

impl Saved {
    /// Writes the record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let fields = Fields {
            version: VERSION,
            number: self.number,
            magnet: self.magnet.to_string(),
            role: self.role.clone(),
            upload_limit: self.limits.upload.to_string(),
            download_limit: self.limits.download.to_string(),
            sequential: self.order == Order::Sequential,
            paused: self.is_paused,
            stamps: self.stamps.clone(),
            skipped: runs(self.selection.skipped()),
        };
        serde_json::to_vec_pretty(&fields).expect("its keys are text")
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is damaged, or written by a newer version.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version > VERSION {
            return Err(SavedError::Newer);
        }
        let fields: Fields = serde_json::from_slice(bytes)?;
        let rate = |text: &str| text.parse::<Rate>().map_err(|_| SavedError::Field);
        Ok(Self {
            number: fields.number,
            magnet: Magnet::parse(&fields.magnet).map_err(|_| SavedError::Field)?,
            role: fields.role,
            limits: Limits {
                upload: rate(&fields.upload_limit)?,
                download: rate(&fields.download_limit)?,
            },
            order: match fields.sequential {
                true => Order::Sequential,
                false => Order::RarestFirst,
            },
            selection: skipping(&fields.skipped)?,
            is_paused: fields.paused,
            stamps: fields.stamps,
        })
    }
}

/// Numbers in order, those that follow each other together: of many files often few are wanted.
fn runs(numbers: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, end)) if *end == number => *end += 1,
            _ => runs.push((number, number + 1)),
        }
    }
    runs
}

/// A record that names more files than a torrent may have is none of ours.
fn skipping(runs: &[(usize, usize)]) -> Result<Selection, SavedError> {
    let mut skipped = BTreeSet::new();
    for (first, end) in runs {
        if *end > MAX_FILES {
            return Err(SavedError::Field);
        }
        skipped.extend(*first..*end);
    }
    Ok(Selection::all_but(skipped))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shoal_protocol::InfoHash;

    use super::*;

    fn saved(name: String, rate: u64, stamps: Vec<u64>) -> Saved {
        let mut magnet = Magnet::new(InfoHash::new([7; 32]));
        magnet.add_tracker("ws://127.0.0.1:9010/announce");
        magnet.name = Some(name.clone()).filter(|name| !name.is_empty());
        Saved {
            number: 3,
            magnet,
            role: Role::Share(vec![name]),
            limits: Limits {
                upload: Rate::bytes_per_second(rate),
                download: Rate::UNLIMITED,
            },
            order: Order::Sequential,
            selection: Selection::all_but([0, 3, 4, 5]),
            is_paused: true,
            stamps,
        }
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(name in ".*", rate: u64, stamps: Vec<u64>) {
            let saved = saved(name, rate, stamps);
            prop_assert_eq!(Saved::decode(&saved.encode()).unwrap(), saved);
        }

        #[test]
        fn a_record_that_is_cut_off_is_damaged(name in ".*", cut: prop::sample::Index) {
            let bytes = saved(name, 1, Vec::new()).encode();
            let cut = cut.index(bytes.len());
            prop_assert!(Saved::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_newer_record_is_told_from_a_damaged_one() {
        let newer = br#"{"version": 2, "something": "else"}"#;
        assert!(matches!(Saved::decode(newer), Err(SavedError::Newer)));
        assert!(matches!(
            Saved::decode(b"\0\0\0"),
            Err(SavedError::Damaged(_))
        ));
    }
}
