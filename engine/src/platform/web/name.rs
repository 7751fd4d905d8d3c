//! Makes the names in a torrent fit for saving.
//!
//! A torrent's names are a stranger's words. Browsers keep a download inside its folder whatever it
//! is called; what is left to do is to choose a name that every system takes, rather than have the
//! save fail or the archive unpack badly.

use std::collections::HashSet;

/// The names given to the files of one folder.
#[derive(Default)]
pub(super) struct Names {
    /// In lower case: most systems do not tell `A` from `a`.
    taken: HashSet<String>,
}

impl Names {
    /// Makes a path safe and different from all before it.
    pub(super) fn place(&mut self, path: &[String]) -> Vec<String> {
        let mut placed: Vec<String> = path.iter().map(|component| safe(component)).collect();
        let Some(last) = placed.pop() else {
            return placed;
        };
        let folder = placed.join("/");
        let free = std::iter::once(last.clone())
            .chain((2..).map(|number: u32| numbered(&last, number)))
            .find(|name| self.taken.insert(format!("{folder}/{name}").to_lowercase()));
        placed.extend(free);
        placed
    }
}

/// One component of a path, without separators, control characters, what Windows reserves, or a
/// direction mark that would disguise its ending.
pub(super) fn safe(component: &str) -> String {
    let cleaned: String = component
        .chars()
        .map(|c| if is_awkward(c) { '_' } else { c })
        .collect();
    let trimmed = cleaned.trim_end_matches(['.', ' ']).trim_start();
    let mut name = shorten(trimmed);
    if name.is_empty() || is_device(&name) {
        name.insert(0, '_');
    }
    name
}

fn is_awkward(c: char) -> bool {
    let turns_text =
        matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    c.is_control() || turns_text || r#"/\:*?"<>|"#.contains(c)
}

/// Whether Windows opens a device instead of a file by that name, whatever the ending.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let upper = stem.to_ascii_uppercase();
    let numbered = upper.len() == 4
        && (upper.starts_with("COM") || upper.starts_with("LPT"))
        && upper.ends_with(|c: char| c.is_ascii_digit());
    numbered || matches!(upper.as_str(), "CON" | "PRN" | "AUX" | "NUL")
}

/// Puts a number before a name's ending.
fn numbered(name: &str, number: u32) -> String {
    match name.rfind('.').filter(|dot| *dot > 0) {
        Some(dot) => format!("{} ({number}){}", &name[..dot], &name[dot..]),
        None => format!("{name} ({number})"),
    }
}

/// Cuts a name to what file systems take, keeping a short ending.
fn shorten(name: &str) -> String {
    if name.len() <= MAX_BYTES {
        return name.to_owned();
    }
    let ending = name
        .rfind('.')
        .map(|dot| &name[dot..])
        .filter(|ending| ending.len() <= MAX_ENDING)
        .unwrap_or_default();
    let mut cut = MAX_BYTES - ending.len();
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{ending}", &name[..cut])
}

/// Common file systems allow 255; a browser may append ` (1)`, or `.crdownload` meanwhile.
const MAX_BYTES: usize = 200;

const MAX_ENDING: usize = 16;

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn ordinary_names_stay() {
        for name in ["report.pdf", "Übung 深.txt", ".profile", "a.tar.gz"] {
            assert_eq!(safe(name), name);
        }
    }

    #[test]
    fn what_a_system_would_misread_is_replaced() {
        assert_eq!(safe("..\\..\\evil"), ".._.._evil");
        assert_eq!(safe("a/b:c\n"), "a_b_c_");
        assert_eq!(safe("invoice\u{202e}fdp.exe"), "invoice_fdp.exe");
        assert_eq!(safe("nul.txt"), "_nul.txt");
        assert_eq!(safe("COM1"), "_COM1");
        assert_eq!(safe(" . "), "_");
        assert_eq!(safe(""), "_");
        assert_eq!(safe(".."), "_");
    }

    #[test]
    fn no_two_files_get_the_same_name() {
        let mut names = Names::default();
        let mut place = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|&c| c.to_owned()).collect();
            names.place(&path).join("/")
        };
        assert_eq!(place(&["a", "what?.txt"]), "a/what_.txt");
        assert_eq!(place(&["a", "What*.txt"]), "a/What_ (2).txt");
        assert_eq!(place(&["b", "what?.txt"]), "b/what_.txt");
    }

    #[test]
    fn long_names_keep_their_ending() {
        let short = safe(&format!("{}.flac", "深".repeat(200)));
        assert!(short.len() <= MAX_BYTES);
        assert!(short.ends_with("深.flac"));
    }
}
