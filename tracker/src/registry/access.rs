//! Which swarms are served.

use std::collections::HashSet;

use shoal_protocol::SwarmId;

/// Which swarms are served: by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// These and no others, if there is a list.
    pub allow: Option<HashSet<SwarmId>>,
    /// Not these.
    pub deny: HashSet<SwarmId>,
}

impl Access {
    /// Returns whether a swarm is served.
    #[must_use]
    pub fn serves(&self, swarm: &SwarmId) -> bool {
        let is_allowed = self
            .allow
            .as_ref()
            .is_none_or(|allow| allow.contains(swarm));
        is_allowed && !self.deny.contains(swarm)
    }
}
