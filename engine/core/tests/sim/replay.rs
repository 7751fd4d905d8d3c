//! How a failure is seen again.

/// Tells upon a panic how to run the same swarm alone.
pub(crate) struct Replay {
    pub(crate) seed: u64,
    pub(crate) peers: usize,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "again: SEED={} PEERS={} cargo test -p shoal-core --test sim -- one_seed --nocapture",
                self.seed, self.peers
            );
        }
    }
}
