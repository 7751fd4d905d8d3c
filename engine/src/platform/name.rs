//! Makes the names of a torrent safe for any disk: a stranger has chosen them.

use std::collections::BTreeSet;

/// Longest name in bytes: what common file systems take, less room for what is added.
const MAX_LENGTH: usize = 200;

/// Longest ending in bytes that is kept when a name is cut.
const MAX_ENDING: usize = 16;

/// Names that Windows keeps for devices, whatever their extension.
const RESERVED: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];

/// Returns `component` as one harmless path component.
pub(super) fn safe(component: &str) -> String {
    let mut name: String = component
        .chars()
        .map(|c| if is_harmful(c) { '_' } else { c })
        .collect();
    shorten(&mut name);
    // Windows drops these from the end, so two names could mean one file; `.` and `..` go with them.
    let kept = name.trim_end_matches(['.', ' ']).len();
    name.replace_range(kept.., &"_".repeat(name.len() - kept));
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix)
            .is_some_and(|rest| rest.chars().count() == 1 && rest != "0")
    };
    if name.is_empty() || RESERVED.contains(&stem.as_str()) || numbered("COM") || numbered("LPT") {
        name.insert(0, '_');
    }
    name
}

/// Returns a safe path for each list of components, no two the same on a file system that does not
/// tell upper from lower case.
pub(super) fn safe_paths<'a>(paths: impl Iterator<Item = &'a [String]>) -> Vec<Vec<String>> {
    let mut taken = BTreeSet::new();
    let mut result = Vec::new();
    for path in paths {
        let mut components: Vec<_> = path.iter().map(|component| safe(component)).collect();
        let key = |components: &[String]| components.join("/").to_lowercase();
        let original = components.last().cloned().unwrap_or_default();
        let mut number = 1;
        // A folder is shared by its files, so only a file's own name is changed.
        while !taken.insert(key(&components)) {
            number += 1;
            if let Some(last) = components.last_mut() {
                *last = numbered(&original, number);
            }
        }
        result.push(components);
    }
    result
}

/// Cuts a name that is too long, and leaves a short ending, which says what the file is.
fn shorten(name: &mut String) {
    if name.len() <= MAX_LENGTH {
        return;
    }
    let ending = name
        .rfind('.')
        .map(|dot| name[dot..].to_owned())
        .filter(|ending| ending.len() <= MAX_ENDING)
        .unwrap_or_default();
    let mut length = MAX_LENGTH - ending.len();
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    name.truncate(length);
    name.push_str(&ending);
}

fn numbered(name: &str, number: u32) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem} ({number}).{extension}"),
        _ => format!("{name} ({number})"),
    }
}

/// Separators, control characters, characters Windows forbids, and those that turn the direction of
/// text around to disguise a name.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_names_become_harmless() {
        for (name, expected) in [
            ("..", "__"),
            (".", "_"),
            ("", "_"),
            ("a/b", "a_b"),
            ("..\\..\\x", ".._.._x"),
            ("con", "_con"),
            ("NUL.txt", "_NUL.txt"),
            ("com1.log", "_com1.log"),
            ("community", "community"),
            ("name. ", "name__"),
            ("a\u{202e}txt.exe", "a_txt.exe"),
            ("ünï 名前.txt", "ünï 名前.txt"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
        assert!(safe(&"名".repeat(500)).len() <= MAX_LENGTH);
        assert!(safe(&format!("{}.flac", "名".repeat(500))).ends_with("名.flac"));
    }

    #[test]
    fn names_that_would_be_one_file_are_numbered() {
        let paths: Vec<Vec<String>> = ["Read.me", "read.ME", "read?me", "read*me"]
            .iter()
            .map(|name| vec!["dir".to_owned(), (*name).to_owned()])
            .collect();
        let safe = safe_paths(paths.iter().map(Vec::as_slice));
        let shown: Vec<_> = safe.iter().map(|path| path.join("/")).collect();
        assert_eq!(
            shown,
            [
                "dir/Read.me",
                "dir/read (2).ME",
                "dir/read_me",
                "dir/read_me (2)"
            ]
        );
    }

    proptest! {
        #[test]
        fn every_name_stays_one_component(name in "\\PC*|[./\\\\ :]*|.*") {
            let name = safe(&name);
            let path = Path::new(&name);
            let components: Vec<_> = path.components().collect();
            prop_assert!(matches!(components.as_slice(), [Component::Normal(_)]), "{name:?}");
            prop_assert!(name.len() <= MAX_LENGTH + 1);
        }
    }
}
