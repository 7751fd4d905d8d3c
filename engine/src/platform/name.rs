//! Makes the names of a torrent safe for any disk: a stranger has chosen them.
//!
//! The rules of Linux, macOS and Windows hold together, whichever this is: a download may lie on a disk
//! that another system wrote, or be copied to one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use icu_normalizer::DecomposingNormalizerBorrowed;

/// Longest name in bytes: what common file systems take, less room for what is added.
const MAX_LENGTH: usize = 200;

/// Longest ending in bytes that is kept when a name is cut.
const MAX_ENDING: usize = 16;

/// Names that Windows keeps for devices, whatever their extension.
const RESERVED: [&str; 7] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];

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

/// Returns a safe path for each list of components: no two name the same file, and none a folder of
/// another, on file systems that tell neither upper from lower case nor one Unicode form from another.
pub(super) fn safe_paths<'a>(paths: impl Iterator<Item = &'a [String]>) -> Vec<Vec<String>> {
    let mut root = Folder::default();
    paths.map(|path| root.place(path)).collect()
}

/// A folder whose entries are being named.
#[derive(Default)]
struct Folder {
    /// The names given, as file systems compare them, with the last number that was tried for each.
    taken: BTreeMap<String, u32>,
    /// By the names in the torrent.
    folders: BTreeMap<String, (String, Self)>,
}

impl Folder {
    fn place(&mut self, path: &[String]) -> Vec<String> {
        let mut folder = self;
        let mut placed = Vec::with_capacity(path.len());
        let Some((last, folders)) = path.split_last() else {
            return placed;
        };
        for component in folders {
            let Self { taken, folders } = folder;
            let entry = folders.entry(component.clone());
            let (name, inner) =
                entry.or_insert_with(|| (free_name(component, taken), Self::default()));
            placed.push(name.clone());
            folder = inner;
        }
        placed.push(free_name(last, &mut folder.taken));
        placed
    }
}

/// Finds a name that no other entry of a folder has.
fn free_name(component: &str, taken: &mut BTreeMap<String, u32>) -> String {
    let original = safe(component);
    let key = compared(&original);
    let Some(last) = taken.get(&key) else {
        taken.insert(key, 1);
        return original;
    };
    // Goes on where the last one stopped: a stranger may have chosen a million that look alike.
    let mut number = *last;
    let name = loop {
        number += 1;
        let name = numbered(&original, number);
        if let Entry::Vacant(entry) = taken.entry(compared(&name)) {
            entry.insert(1);
            break name;
        }
    };
    taken.insert(key, number);
    name
}

/// Returns what two names have in common that some file system takes for the same.
fn compared(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let form = const { DecomposingNormalizerBorrowed::new_nfd() };
    // By way of upper case, where more letters meet: ß and SS, ſ and S.
    let folded = form.normalize(name).to_uppercase().to_lowercase();
    form.normalize(&folded).into_owned()
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

/// Separators, control characters, characters Windows forbids, and those that cannot be seen or turn the
/// direction of text around, which disguise a name.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*')
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        )
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Component, Path};

    use proptest::prelude::*;
    use proptest::test_runner::{RngAlgorithm, TestRng};

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

    #[test]
    fn names_that_only_some_systems_tell_apart_are_numbered() {
        let names = [
            "é", "e\u{301}", "É", "straße", "STRASSE", "K", "\u{212a}", "K",
        ];
        let paths: Vec<_> = names.iter().map(|name| vec![(*name).to_owned()]).collect();
        let safe = safe_paths(paths.iter().map(Vec::as_slice));
        let shown: Vec<_> = safe.iter().map(|path| path.join("/")).collect();
        assert_eq!(
            shown,
            [
                "é",
                "e\u{301} (2)",
                "É (3)",
                "straße",
                "STRASSE (2)",
                "K",
                "\u{212a} (2)",
                "K (3)"
            ]
        );
    }

    #[test]
    fn a_file_and_a_folder_do_not_become_one() {
        let paths = [
            vec!["a?"],
            vec!["a*", "x"],
            vec!["a*", "y"],
            vec!["A_", "x"],
        ];
        let paths = paths.map(|path| path.into_iter().map(str::to_owned).collect::<Vec<_>>());
        let safe = safe_paths(paths.iter().map(Vec::as_slice));
        let shown: Vec<_> = safe.iter().map(|path| path.join("/")).collect();
        assert_eq!(shown, ["a_", "a_ (2)/x", "a_ (2)/y", "A_ (3)/x"]);
    }

    #[test]
    fn many_that_look_alike_are_named_in_no_time() {
        let paths = vec![vec!["?".to_owned()]; 100_000];
        let safe = safe_paths(paths.iter().map(Vec::as_slice));
        let distinct: BTreeSet<_> = safe.iter().collect();
        assert_eq!(distinct.len(), paths.len());
    }

    /// What each system says of one component, put down apart from the code above.
    fn is_fit(name: &str) -> Result<(), &'static str> {
        let rule = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
        let stem = name.split('.').next().unwrap_or_default();
        let stem = stem.trim_end_matches(' ').to_uppercase();
        let device = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
            || ["COM", "LPT"].iter().any(|port| {
                stem.strip_prefix(port)
                    .is_some_and(|number| "123456789¹²³".chars().any(|c| number == c.to_string()))
            });
        let turns = |c: char| matches!(c as u32, 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
        rule(
            !name.is_empty() && name != "." && name != "..",
            "Linux: a name",
        )?;
        rule(!name.contains(['/', '\0']), "Linux: a separator")?;
        rule(name.len() <= 255, "Linux, macOS: length in bytes")?;
        rule(!name.contains(':'), "macOS: a separator")?;
        rule(
            !name.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*']),
            "Windows",
        )?;
        rule(
            !name.chars().any(|c| (c as u32) < 32 || c as u32 == 127),
            "control",
        )?;
        rule(!name.ends_with(['.', ' ']), "Windows: the end")?;
        rule(!device, "Windows: a device")?;
        rule(name.encode_utf16().count() <= 255, "Windows: length")?;
        rule(!name.chars().any(turns), "people: a turn of direction")
    }

    #[test]
    fn a_million_hostile_names_stay_inside_the_folder() {
        let mut random = Names(TestRng::deterministic_rng(RngAlgorithm::XorShift));
        let base = Path::new("folder");
        for _ in 0..50_000 {
            let folder = 1 + random.below(3);
            let paths: Vec<Vec<String>> = (0..20)
                .map(|_| {
                    let depth = 1 + random.below(folder);
                    (0..depth).map(|_| random.name()).collect()
                })
                .collect();
            let safe = safe_paths(paths.iter().map(Vec::as_slice));
            let mut files = BTreeSet::new();
            let mut folders = BTreeSet::new();
            for (path, from) in safe.iter().zip(&paths) {
                assert_eq!(path.len(), from.len());
                for (name, from) in path.iter().zip(from) {
                    assert_eq!(is_fit(name), Ok(()), "{name:?} from {from:?}");
                }
                let joined = base.join(path.iter().collect::<std::path::PathBuf>());
                let inside = joined.strip_prefix(base).unwrap();
                assert!(
                    inside
                        .components()
                        .all(|part| matches!(part, Component::Normal(_)))
                );
                let key: Vec<_> = path.iter().map(|name| compared(name)).collect();
                (1..key.len()).for_each(|depth| {
                    folders.insert(key[..depth].to_vec());
                });
                assert!(files.insert(key), "two files are one: {paths:?}");
            }
            assert!(files.is_disjoint(&folders), "a file is a folder: {paths:?}");
        }
    }

    /// Draws hostile names.
    struct Names(TestRng);

    impl Names {
        fn below(&mut self, bound: usize) -> usize {
            self.0.random_range(0..bound)
        }

        /// Strings of what is dangerous somewhere, and now and then of anything.
        fn name(&mut self) -> String {
            const PARTS: [&str; 48] = [
                "..",
                ".",
                "/",
                "\\",
                "\0",
                "\n",
                "\x7f",
                "\u{85}",
                ":",
                "*",
                "?",
                "\"",
                "<",
                "|",
                " ",
                "  ",
                "con",
                "PRN",
                "aux",
                "Nul",
                "com1",
                "COM\u{b9}",
                "lpt9",
                "CONIN$",
                ".txt",
                "~",
                "$",
                "a",
                "A",
                "é",
                "e\u{301}",
                "ß",
                "SS",
                "ſ",
                "K",
                "\u{212a}",
                "İ",
                "ı",
                "\u{202e}",
                "\u{2066}",
                "\u{61c}",
                "\u{200d}",
                "\u{feff}",
                "\u{e0041}",
                "名前",
                "c:",
                "//server/share",
                "🐟",
            ];
            let mut name = String::new();
            for _ in 0..self.below(5) {
                match self.below(40) {
                    0 => name.push_str(&PARTS[self.below(PARTS.len())].repeat(self.below(120))),
                    1..4 => name.extend(char::from_u32(self.below(0x11_0000) as u32)),
                    _ => name.push_str(PARTS[self.below(PARTS.len())]),
                }
            }
            name
        }
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
