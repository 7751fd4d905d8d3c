//! Who is there: computers come, share or want something, and go.

use std::sync::Arc;
use std::time::Duration;

use rand::RngCore;
use shoal_core::{Bitfield, Command, Config, Input, Limits, Rate, Selection, Session};
use shoal_protocol::{BlockRef, PeerId};

use super::{FIRST_NODE_LANE, World};
use crate::blocks::Blocks;
use crate::content::Content;
use crate::node::{Actor, Node, Spec, Store};

impl World {
    /// Adds a computer with a session that has nothing to do yet.
    pub fn add(&mut self, spec: Spec) -> usize {
        let mut id = *b"-SH0010-000000000000";
        self.rng.fill_bytes(&mut id[8..]);
        let config = Config {
            peer: PeerId::new(id),
            key: [0; 16].into(),
            client: "sim".to_owned(),
        };
        let mut session = Session::new(config, self.seed << 16 | self.nodes.len() as u64);
        if let Some(fault) = self.sabotage {
            session.sabotage(fault);
        }
        self.add_node(id, spec, Actor::Session(Box::new(session)))
    }

    /// Adds a computer that shares a torrent.
    pub fn seeder(&mut self, content: &Arc<Content>, spec: Spec) -> usize {
        let node = self.add(spec);
        self.share(node, content);
        node
    }

    /// Adds a computer that opens a torrent's link.
    pub fn leecher(&mut self, content: &Arc<Content>, spec: Spec) -> usize {
        let node = self.add(spec);
        self.open(node, content);
        node
    }

    /// A node shares a torrent.
    pub fn share(&mut self, node: usize, content: &Arc<Content>) {
        let blocks = Blocks::all(content.metainfo.info());
        self.put_store(node, content, blocks, true);
        let have = Bitfield::full(content.metainfo.info().piece_count());
        self.add_metainfo(node, content, have);
    }

    /// A node opens a torrent's link.
    pub fn open(&mut self, node: usize, content: &Arc<Content>) {
        let blocks = Blocks::none(content.metainfo.info());
        self.put_store(node, content, blocks, false);
        self.command(
            node,
            Command::AddMagnet {
                magnet: content.metainfo.magnet(),
                trackers: self.named_trackers(),
                limits: Limits::default(),
            },
        );
    }

    /// A node opens a torrent of which it has some pieces from an earlier run.
    pub fn resume_with(&mut self, node: usize, content: &Arc<Content>, have: Bitfield) {
        let info = content.metainfo.info();
        let mut blocks = Blocks::none(info);
        for piece in info.pieces().filter(|piece| have.contains(*piece)) {
            blocks.insert_piece(info, piece);
        }
        self.put_store(node, content, blocks, false);
        self.add_metainfo(node, content, have);
    }

    /// As [`Self::leecher`], for some of the files.
    pub fn chooser(&mut self, content: &Arc<Content>, spec: Spec, selection: Selection) -> usize {
        let node = self.add(spec);
        self.open(node, content);
        let store = self.nodes[node].stores.get_mut(&content.info_hash());
        store.unwrap().chosen.clear();
        self.select(node, content, selection);
        node
    }

    /// A node's user wants other files.
    pub fn select(&mut self, node: usize, content: &Content, selection: Selection) {
        let torrent = content.info_hash();
        if let Some(store) = self.nodes[node].stores.get_mut(&torrent) {
            store.choose(selection.clone());
        }
        self.note_change();
        self.command(node, Command::Select { torrent, selection });
    }

    /// A node opens a torrent of which it has all pieces, but in some of these blocks are not right.
    pub fn mend(&mut self, node: usize, content: &Arc<Content>, wrong: &[BlockRef]) {
        let info = content.metainfo.info();
        let mut blocks = Blocks::none(info);
        for block in info.pieces().flat_map(|piece| info.blocks(piece)) {
            if !wrong.contains(&block) {
                let span = info.block_span(block);
                blocks.insert(span.file, span.offset);
            }
        }
        let mut have = Bitfield::full(info.piece_count());
        let mut damaged = Bitfield::new(info.piece_count());
        for block in wrong {
            have.remove(block.piece);
            damaged.insert(block.piece);
        }
        self.put_store(node, content, blocks, false);
        let torrent = content.info_hash();
        if let Some(store) = self.nodes[node].stores.get_mut(&torrent) {
            store.is_damaged = true;
        }
        self.command(
            node,
            Command::AddMetainfo {
                metainfo: Arc::clone(&content.metainfo),
                have: None,
                trackers: self.named_trackers(),
                limits: Limits::default(),
            },
        );
        let blocks = Vec::new();
        let start = Command::Start {
            torrent,
            have,
            blocks,
            damaged,
        };
        self.command(node, start);
    }

    /// Gives a node a command now.
    pub fn command(&mut self, node: usize, command: Command) {
        self.input(node, Input::Command(command));
    }

    /// Limits a whole session.
    pub fn limit(&mut self, node: usize, upload: Rate, download: Rate) {
        let limits = Limits { upload, download };
        self.command(node, Command::SetSessionLimits { limits });
    }

    /// Limits what a session sends to so many bytes a second.
    pub fn limit_upload(&mut self, node: usize, rate: u64) {
        self.limit(node, Rate::bytes_per_second(rate), Rate::UNLIMITED);
    }

    /// A computer is switched off: nobody is told.
    pub fn vanish(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.note_change();
        // Its WebSocket is noticed sooner than its data channels.
        let delay = Duration::from_secs(5);
        self.later(delay, move |world| {
            world.tracker.forget(node);
            world.other_tracker.forget(node);
        });
    }

    /// A session ends as it should.
    pub fn leave(&mut self, node: usize) {
        self.command(node, Command::Shutdown);
        self.later(Duration::from_millis(1), move |world| {
            world.nodes[node].alive = false;
            world.note_change();
        });
    }

    /// Breaks all connections of a node; both sides notice.
    pub fn cut(&mut self, node: usize) {
        let links = self.nodes[node].endpoints.links().to_vec();
        for link in links {
            self.close(node, link, "cut", true);
        }
    }

    pub(super) fn add_node(&mut self, id: [u8; 20], spec: Spec, actor: Actor) -> usize {
        let number = self.nodes.len();
        let id = PeerId::new(id);
        self.ids.insert(id, number);
        self.nodes.push(Node::new(id, spec, actor));
        assert_eq!(self.agenda.add_lane(), FIRST_NODE_LANE + number);
        number
    }

    fn put_store(&mut self, node: usize, content: &Arc<Content>, blocks: Blocks, seeds: bool) {
        let store = Store {
            content: Arc::clone(content),
            blocks,
            seeds,
            finished: false,
            complete: seeds,
            stored: 0,
            is_damaged: false,
            selection: Selection::all(),
            chosen: (0..content.metainfo.info().files().len()).collect(),
            pieces: Vec::new(),
        };
        self.union.expect(content);
        self.nodes[node].stores.insert(content.info_hash(), store);
        self.note_change();
    }

    fn named_trackers(&self) -> Vec<String> {
        let named = self.named_trackers.iter();
        named.map(|url| (*url).to_owned()).collect()
    }

    fn add_metainfo(&mut self, node: usize, content: &Content, have: Bitfield) {
        self.command(
            node,
            Command::AddMetainfo {
                metainfo: Arc::clone(&content.metainfo),
                have: Some(have),
                trackers: self.named_trackers(),
                limits: Limits::default(),
            },
        );
    }
}
