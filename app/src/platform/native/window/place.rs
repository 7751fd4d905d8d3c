//! Where downloads lie: in a folder that the user may choose.

use std::env;
use std::path::{Path, PathBuf};

use directories::UserDirs;
use shoal_engine::Destination;

/// A folder for downloads.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// Returns where downloads go unless told otherwise: the user's folder for them, else home, else here.
    pub(crate) fn usual() -> Option<Self> {
        let named = env::var_os("XDG_DOWNLOAD_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let dirs = UserDirs::new();
        let known = || dirs.as_ref()?.download_dir().map(Path::to_owned);
        let home = || {
            let home = dirs.as_ref()?.home_dir();
            let downloads = home.join("Downloads");
            Some(if downloads.is_dir() {
                downloads
            } else {
                home.to_owned()
            })
        };
        let path = named.or_else(known).or_else(home);
        Some(Self(path.unwrap_or_else(|| PathBuf::from("."))))
    }

    /// Asks for another place.
    pub(crate) async fn choose(present: Option<&Self>) -> Option<Self> {
        let mut dialog = rfd::AsyncFileDialog::new().set_title("Download to");
        if let Some(Self(path)) = present {
            dialog = dialog.set_directory(path);
        }
        let folder = dialog.pick_folder().await?;
        Some(Self(folder.path().to_owned()))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Returns the place as the engine wants it.
pub(crate) fn destination(place: Option<&Place>) -> Destination {
    Destination(place.map_or_else(|| PathBuf::from("."), |place| place.0.clone()))
}

/// Shows where files lie; says whether that worked.
pub(crate) fn show(location: &str) -> bool {
    let path = Path::new(location);
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(path)
    };
    open::that_detached(folder).is_ok()
}
