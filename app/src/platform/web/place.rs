//! Where downloads lie: in the page until they are saved, so there is nothing to choose.

use shoal_engine::Destination;

/// A place to choose: there is none, and no value of this type.
#[derive(Clone, Debug)]
pub(crate) enum Place {}

impl Place {
    /// Returns where downloads go unless told otherwise.
    pub(crate) fn usual() -> Option<Self> {
        None
    }

    /// Asks for another place.
    pub(crate) async fn choose(_present: Option<&Self>) -> Option<Self> {
        None
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

/// Returns the place as the engine wants it.
pub(crate) fn destination(_place: Option<&Place>) -> Destination {
    Destination
}

/// Shows where files lie: nowhere.
pub(crate) fn show(_location: &str) -> bool {
    false
}
