//! Which swarms are served, as an operator writes it down.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use shoal_protocol::SwarmId;

use super::SettingsError;
use crate::registry::Access;

/// Lists of info hashes, in place or in files: one a line, in hexadecimal; what follows a `#` is a
/// comment. Of a v2 info hash (64 digits) only the first 40 digits count.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Swarms {
    /// If there are any, here or in the file, these alone are served.
    pub allow: Vec<String>,
    /// More of them. A file that is given but empty lets nothing be served.
    pub allow_file: Option<PathBuf>,
    /// These are not served.
    pub deny: Vec<String>,
    /// More of them.
    pub deny_file: Option<PathBuf>,
}

impl Swarms {
    pub(crate) fn access(&self) -> Result<Access, SettingsError> {
        let allow = !self.allow.is_empty() || self.allow_file.is_some();
        let allowed = || read(&self.allow, self.allow_file.as_deref());
        Ok(Access {
            allow: allow.then(allowed).transpose()?,
            deny: read(&self.deny, self.deny_file.as_deref())?,
        })
    }
}

fn read(given: &[String], file: Option<&Path>) -> Result<HashSet<SwarmId>, SettingsError> {
    let text = match file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
                path: path.to_owned(),
                source,
            })?
        }
        None => String::new(),
    };
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    lines
        .chain(given.iter().map(String::as_str))
        .map(str::trim)
        .filter(|hash| !hash.is_empty())
        .map(|hash| {
            parse(hash).ok_or_else(|| SettingsError::InfoHash {
                given: hash.to_owned(),
            })
        })
        .collect()
}

fn parse(hash: &str) -> Option<SwarmId> {
    if !matches!(hash.len(), 40 | 64) || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut id = [0; SwarmId::LEN];
    for (byte, place) in id.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&hash[place..place + 2], 16).ok()?;
    }
    Some(SwarmId::new(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_files_are_read_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("allow");
        let text = format!("# mine\n{}  # v1\n\n{}\n", "ab".repeat(20), "CD".repeat(32));
        std::fs::write(&file, text).unwrap();
        let swarms = Swarms {
            allow: vec!["01".repeat(20)],
            allow_file: Some(file),
            ..Swarms::default()
        };
        let access = swarms.access().unwrap();
        for byte in [0xab, 0xcd, 1] {
            assert!(access.serves(&SwarmId::new([byte; 20])));
        }
        assert!(!access.serves(&SwarmId::new([2; 20])));
    }

    #[test]
    fn without_lists_all_are_served() {
        assert_eq!(Swarms::default().access().unwrap(), Access::default());
    }

    #[test]
    fn what_is_no_info_hash_is_told() {
        for given in ["ab", &"xy".repeat(20), &"é".repeat(20)] {
            let swarms = Swarms {
                deny: vec![given.to_owned()],
                ..Swarms::default()
            };
            assert!(swarms.access().unwrap_err().to_string().contains(given));
        }
    }
}
