//! Bad peers spoil nothing: files are right, the liars are sent away, memory stays flat.

use std::time::Duration;

use bytes::BytesMut;
use shoal_core::{Bitfield, Event, PeerChange};
use shoal_protocol::wire::{BlockRequest, Message};
use shoal_sim::{Content, Forger, Glutton, MIB, Miser, Naysayer, Shouter, Spec, Stranger, World};

fn disconnects(world: &World, node: usize) -> usize {
    let events = world.nodes[node].events.iter();
    let disconnects = events.filter(|(_, event)| {
        matches!(
            event,
            Event::Peer {
                change: PeerChange::Disconnected { .. },
                ..
            }
        )
    });
    disconnects.count()
}

/// One honest seeder, one leecher and a stranger; returns the world when the leecher is done.
fn beside(seed: u64, stranger: impl Stranger + 'static, most: Duration) -> (World, usize) {
    let torrent = Content::file(seed, 4 * MIB);
    let mut world = World::new(seed);
    world.stranger(&torrent, Spec::default(), stranger);
    world.seeder(&torrent, Spec::default().up(1 << 20));
    world.run_for(Duration::from_secs(1));
    // With metainfo from a file: what a stranger says first can be judged at once.
    let leecher = world.add(Spec::default());
    let nothing = Bitfield::new(torrent.metainfo.info().piece_count());
    world.resume_with(leecher, &torrent, nothing);
    world.run(most);
    (world, leecher)
}

#[test]
fn a_peer_that_forges_blocks_is_banned_and_the_file_is_right() {
    for seed in 0..5 {
        let (mut world, leecher) = beside(seed, Forger, Duration::from_secs(20));
        world.run_for(Duration::from_secs(200));
        assert_eq!(disconnects(&world, leecher), 1, "banned once and for all");
        let torrent = world.nodes[leecher].stores.values().next().unwrap();
        let torrent = torrent.content.clone();
        assert!(world.snapshot(leecher, &torrent).wasted_bytes > 0);
    }
}

#[test]
fn a_seeder_whose_disk_rots_is_banned_and_the_file_is_right() {
    for seed in 0..5 {
        let torrent = Content::with_piece_length(seed, &[8 * MIB], Some(128 << 10));
        let mut world = World::new(seed);
        let rotten = Spec {
            corrupts: Some(20),
            ..Spec::default()
        };
        world.seeder(&torrent, rotten);
        world.seeder(&torrent, Spec::default());
        let leechers = [(); 3].map(|()| world.leecher(&torrent, Spec::default()));
        world.run(Duration::from_secs(60));
        for leecher in leechers {
            let peers = world.snapshot(leecher, &torrent).peers;
            assert!(
                peers.len() >= 2 && peers.len() <= 4,
                "honest peers are not banned"
            );
        }
    }
}

#[test]
fn a_peer_that_delivers_nothing_holds_nobody_up() {
    let (world, _) = beside(1, Miser, Duration::from_secs(30));
    assert!(world.seconds() < 22.0, "{}", world.seconds());
}

#[test]
fn a_peer_that_rejects_everything_holds_nobody_up() {
    let (world, _) = beside(2, Naysayer, Duration::from_secs(30));
    assert!(world.seconds() < 10.0, "{}", world.seconds());
    assert!(world.steps < 100_000, "{} steps", world.steps);
}

#[test]
fn garbage_ends_that_connection_only() {
    let message = |message: &Message| {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        out.to_vec()
    };
    let block = |piece, begin, length| BlockRequest {
        piece,
        begin,
        length,
    };
    let cases: Vec<(bool, Vec<u8>)> = vec![
        (false, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (true, vec![0xff; 100]),
        (true, message(&Message::Have(u32::MAX))),
        (true, message(&Message::Bitfield(vec![0xff; 3].into()))),
        (true, message(&Message::Request(block(9999, 0, 16384)))),
        (true, message(&Message::Request(block(0, 1, 16384)))),
        (
            true,
            [message(&Message::HaveAll), message(&Message::HaveAll)].concat(),
        ),
        (
            true,
            message(&Message::Piece {
                piece: 0,
                begin: 0,
                data: vec![0; 16384].into(),
            })
            .repeat(20),
        ),
        (
            true,
            message(&Message::Extended {
                id: 0,
                payload: b"d".to_vec().into(),
            }),
        ),
        (
            true,
            message(&Message::Extended {
                id: 1,
                payload: b"i".to_vec().into(),
            }),
        ),
    ];
    for (seed, (greets, then)) in (0..).zip(cases) {
        let (mut world, leecher) = beside(seed, Shouter { greets, then }, Duration::from_secs(20));
        world.run_for(Duration::from_secs(1));
        let torrent = world.nodes[leecher]
            .stores
            .values()
            .next()
            .unwrap()
            .content
            .clone();
        let peers = world.snapshot(leecher, &torrent).peers.len();
        assert_eq!(peers, 1, "case {seed}");
    }
}

#[test]
fn a_liar_that_gives_no_more_does_not_keep_a_piece_from_others() {
    for chokes in [false, true] {
        let torrent = Content::with_piece_length(5, &[MIB], Some(128 << 10));
        let mut world = World::new(5);
        world.stranger(
            &torrent,
            Spec::default(),
            Once {
                chokes,
                lied: false,
            },
        );
        let leecher = world.add(Spec::default());
        let nothing = Bitfield::new(torrent.metainfo.info().piece_count());
        world.resume_with(leecher, &torrent, nothing);
        world.run_for(Duration::from_secs(3));
        world.seeder(&torrent, Spec::default());
        world.run(Duration::from_secs(60));
    }
}

/// Gives one block, which is wrong, and nothing more.
struct Once {
    chokes: bool,
    lied: bool,
}

impl Stranger for Once {
    fn open(
        &mut self,
        swarm: shoal_protocol::SwarmId,
        peer: shoal_protocol::PeerId,
        out: &mut BytesMut,
    ) {
        shoal_protocol::wire::Handshake::new(swarm, peer).encode(out);
        Message::HaveAll.encode(out);
        Message::Unchoke.encode(out);
    }

    fn react(&mut self, message: Message, out: &mut BytesMut) {
        match message {
            Message::Request(request) if self.lied => Message::Reject(request).encode(out),
            Message::Request(request) => {
                self.lied = true;
                Message::Piece {
                    piece: request.piece,
                    begin: request.begin,
                    data: vec![7; request.length as usize].into(),
                }
                .encode(out);
                if self.chokes {
                    Message::Choke.encode(out);
                }
            }
            Message::HashRequest(request) => Message::HashReject(request).encode(out),
            _ => {}
        }
    }
}

#[test]
fn a_request_flood_is_bounded() {
    let torrent = Content::file(3, 4 * MIB);
    let mut world = World::new(3);
    let requests: Vec<_> = (0..64)
        .flat_map(|_| torrent.metainfo.info().pieces())
        .map(|piece| {
            Message::Request(BlockRequest {
                piece: piece.get(),
                begin: 0,
                length: 16384,
            })
        })
        .take(4000)
        .collect();
    for reads in [true, false] {
        let glutton = Glutton {
            requests: requests.clone(),
            reads,
        };
        world.stranger(&torrent, Spec::default(), glutton);
    }
    let seeder = world.seeder(&torrent, Spec::default());
    let leecher = world.leecher(&torrent, Spec::default());
    let mut most = 0;
    world.run_until(Duration::from_secs(60), "the leecher is done", |world| {
        most = most.max(world.nodes[seeder].jobs_bytes);
        world.nodes[leecher].is_done()
    });
    assert!(most < 2 << 20, "{most} bytes were being read at once");
}

#[test]
fn an_old_client_without_the_fast_extension_is_served() {
    let torrent = Content::file(4, MIB);
    let mut world = World::new(4);
    let info = torrent.metainfo.info();
    let blocks = info.pieces().flat_map(|piece| info.blocks(piece));
    let requests = blocks.map(|block| BlockRequest {
        piece: block.piece.get(),
        begin: block.block * 16384,
        length: info.block_span(block).length,
    });
    let (old, got) = Plain::new(requests.collect());
    world.stranger(&torrent, Spec::default(), old);
    world.seeder(&torrent, Spec::default());
    world.run_until(Duration::from_secs(30), "it has everything", |_| {
        *got.borrow() == torrent.size()
    });
}

/// A client that speaks BEP 3 and nothing else.
struct Plain {
    requests: Vec<BlockRequest>,
    got: std::rc::Rc<std::cell::RefCell<u64>>,
}

impl Plain {
    fn new(requests: Vec<BlockRequest>) -> (Self, std::rc::Rc<std::cell::RefCell<u64>>) {
        let got = std::rc::Rc::default();
        let plain = Self {
            requests,
            got: std::rc::Rc::clone(&got),
        };
        (plain, got)
    }
}

impl Stranger for Plain {
    fn open(
        &mut self,
        swarm: shoal_protocol::SwarmId,
        peer: shoal_protocol::PeerId,
        out: &mut BytesMut,
    ) {
        shoal_protocol::wire::Handshake {
            swarm,
            peer,
            fast: false,
            extension: false,
            v2: false,
        }
        .encode(out);
        Message::Interested.encode(out);
    }

    fn react(&mut self, message: Message, out: &mut BytesMut) {
        match message {
            Message::Unchoke => {
                for request in self.requests.iter().rev().take(4) {
                    Message::Request(*request).encode(out);
                }
            }
            Message::Piece { piece, begin, data } => {
                *self.got.borrow_mut() += data.len() as u64;
                let request = BlockRequest {
                    piece,
                    begin,
                    length: data.len() as u32,
                };
                self.requests.retain(|other| *other != request);
                if let Some(next) = self.requests.iter().rev().nth(3) {
                    Message::Request(*next).encode(out);
                }
            }
            Message::HaveAll | Message::HaveNone | Message::Reject(_) | Message::Suggest(_) => {
                panic!("a message of the fast extension to a peer without it")
            }
            Message::Extended { .. } => panic!("an extension to a peer without extensions"),
            _ => {}
        }
    }
}
