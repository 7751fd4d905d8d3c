//! How fast those who are there could be done at best.

use std::time::Duration;

use super::World;
use crate::blocks::Blocks;
use crate::content::Content;
use crate::node::{Node, Store};

impl World {
    /// Returns a lower bound for the time in which all honest nodes that are there can have everything,
    /// as things stand: max(F / u_s, F_i / d_i, Σ F_i / Σ u) (Kumar and Ross 2006), where F is what only
    /// those have who have everything, u_s their uplinks together, F_i what node i lacks, d_i how fast it
    /// can take it, and u how fast each can give. A node can give and take no faster than its disk, nor
    /// take faster than it hashes.
    #[must_use]
    pub fn least_time(&self, content: &Content) -> Duration {
        let id = content.info_hash();
        let there = |node: &&Node| node.alive && node.is_honest();
        let nodes = self.nodes.iter().filter(there);
        let members = nodes.filter_map(|node| Some((node, node.stores.get(&id)?)));
        let members: Vec<_> = members.collect();
        let is_full = |store: &Store| store.blocks.is_full();
        let sources = members.iter().filter(|(_, store)| is_full(store));
        let takers = members.iter().filter(|(_, store)| !is_full(store));
        let mut united = Blocks::none(content.metainfo.info());
        takers
            .clone()
            .for_each(|(_, store)| united.unite(&store.blocks));
        let lacks = |blocks: &Blocks| blocks.missing_bytes(content.metainfo.info()) as f64;
        let fresh = lacks(&united) / sources.map(|(node, _)| node.gives()).sum::<f64>();
        let alone = takers
            .clone()
            .map(|(node, store)| lacks(&store.blocks) / node.takes());
        let all = takers.map(|(_, store)| lacks(&store.blocks)).sum::<f64>();
        let all = all / members.iter().map(|(node, _)| node.gives()).sum::<f64>();
        Duration::from_secs_f64(alone.fold(fresh.max(all), f64::max))
    }
}

impl Node {
    /// Bytes a second that it can give at most.
    fn gives(&self) -> f64 {
        let up = self.spec.up.unwrap_or(u64::MAX);
        up.min(self.spec.disk_rate) as f64
    }

    /// Bytes a second that it can take at most.
    fn takes(&self) -> f64 {
        let down = self.spec.down.unwrap_or(u64::MAX);
        down.min(self.spec.disk_rate).min(self.spec.hash_rate) as f64
    }
}
