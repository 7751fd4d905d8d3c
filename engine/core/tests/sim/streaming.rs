//! Playing a file while it comes, and what that costs the others.
//!
//! The guards are wide; `swarm-lab --sequential` of `shoal-sim` prints the figures.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use shoal_core::{Bitfield, Command, Order};
use shoal_protocol::wire::{Handshake, Message};
use shoal_protocol::{PeerId, SwarmId};
use shoal_sim::{Content, MIB, Scenario, Spec, Stranger, World, start_up};

/// A seeder of another program: serves whoever asks, and suggests nothing.
struct Plain(Arc<Content>);

impl Stranger for Plain {
    fn open(&mut self, swarm: SwarmId, peer: PeerId, out: &mut BytesMut) {
        Handshake::new(swarm, peer).encode(out);
        Message::HaveAll.encode(out);
        Message::Unchoke.encode(out);
    }

    fn react(&mut self, message: Message, out: &mut BytesMut) {
        match message {
            Message::Request(request) => {
                let info = self.0.metainfo.info();
                let span = info.piece_span(info.piece(request.piece).unwrap());
                let offset = span.offset + u64::from(request.begin);
                Message::Piece {
                    piece: request.piece,
                    begin: request.begin,
                    data: self.0.bytes(span.file, offset, request.length),
                }
                .encode(out);
            }
            Message::HashRequest(request) => Message::HashReject(request).encode(out),
            _ => {}
        }
    }
}

/// One leecher of a [`Plain`] seeder; it has everything but files.
fn alone(torrent: &Arc<Content>) -> (World, usize) {
    let mut world = World::new(3);
    world.stranger(
        torrent,
        Spec::default().up(256 << 10),
        Plain(Arc::clone(torrent)),
    );
    let leecher = world.add(Spec::default());
    let nothing = Bitfield::new(torrent.metainfo.info().piece_count());
    world.resume_with(leecher, torrent, nothing);
    (world, leecher)
}

fn play(world: &mut World, leecher: usize, torrent: &Content) {
    let torrent = torrent.info_hash();
    let order = Order::Sequential;
    world.command(leecher, Command::SetOrder { torrent, order });
}

/// Pieces in the order in which they came.
fn arrivals(world: &World, leecher: usize) -> Vec<u32> {
    let stores = world.nodes[leecher].stores.values();
    let pieces = stores.flat_map(|store| &store.pieces);
    pieces.map(|(_, piece)| piece.get()).collect()
}

#[test]
fn what_one_seeder_has_can_be_played_soon() {
    let scenario = Scenario {
        size: 16 * MIB,
        ..Scenario::new(1, 6)
    };
    let report = scenario.run();
    println!("{report:?}");
    assert!(report.start_up < 0.5 * report.seconds, "{report:?}");
}

#[test]
fn sources_that_do_not_see_each_other_send_different_pieces() {
    let torrent = Content::with_piece_length(2, &[16 * MIB], Some(64 << 10));
    let mut world = World::new(2);
    let slow = || Spec::default().up(512 << 10);
    let seeders = [(); 2].map(|()| world.seeder(&torrent, slow()));
    world.apart.insert(seeders.into());
    for _ in 0..6 {
        world.leecher(&torrent, Spec::default());
    }
    world.run(Duration::from_secs(60));
    let copies = world.sent_at_union().unwrap() as f64 / torrent.size() as f64;
    println!("{copies:.3} copies in {:.1} s", world.seconds());
    assert!(copies < 1.35, "{copies} copies");
}

#[test]
fn playing_begins_much_sooner_and_costs_the_swarm_next_to_nothing() {
    let scenario = |playing| Scenario {
        size: 16 * MIB,
        seeder_up: 4 << 20,
        playing,
        ..Scenario::new(4, 10)
    };
    let [before, after] = [0.0, 1.0].map(|playing| scenario(playing).run());
    println!("nobody plays: {before:?}");
    println!("all play: {after:?}");
    assert!(after.start_up < 0.7 * before.start_up);
    assert!(after.ratio < 1.06 * before.ratio);
    assert!(after.copies < before.copies + 0.05);
}

#[test]
fn a_sole_leecher_is_given_file_after_file() {
    let torrent = Content::with_piece_length(5, &[2 * MIB, 2 * MIB], Some(64 << 10));
    let (mut world, leecher) = alone(&torrent);
    play(&mut world, leecher, &torrent);
    world.run(Duration::from_secs(30));
    let rate = torrent.size() as f64 / world.seconds();
    let wait = start_up(&world.nodes[leecher], &torrent, rate).unwrap();
    let arrivals = arrivals(&world, leecher);
    println!("{wait:?} of {:.1} s: {arrivals:?}", world.seconds());
    let place = |piece| arrivals.iter().position(|at| *at == piece).unwrap();
    assert!(wait.as_secs_f64() < 0.25 * world.seconds());
    assert!(place(31) < 4, "a file's end comes with its beginning");
    assert!(place(63) > 28, "the next file comes after it");
}

#[test]
fn a_sole_leecher_of_seeders_that_do_not_see_each_other_plays_soon() {
    let torrent = Content::with_piece_length(7, &[8 * MIB], Some(64 << 10));
    let mut world = World::new(7);
    let seeders = [(); 2].map(|()| world.seeder(&torrent, Spec::default().up(256 << 10)));
    world.apart.insert(seeders.into());
    let leecher = world.leecher(&torrent, Spec::default());
    play(&mut world, leecher, &torrent);
    world.run(Duration::from_secs(60));
    let rate = torrent.size() as f64 / world.seconds();
    let wait = start_up(&world.nodes[leecher], &torrent, rate).unwrap();
    println!("{wait:?} of {:.1} s", world.seconds());
    assert!(wait.as_secs_f64() < 0.3 * world.seconds());
}

#[test]
fn the_order_can_be_changed_on_the_way() {
    let torrent = Content::with_piece_length(6, &[4 * MIB], Some(64 << 10));
    let (mut world, leecher) = alone(&torrent);
    let half = torrent.size() / 2;
    world.run_until(Duration::from_secs(30), "half is there", |world| {
        world.union_bytes() >= half
    });
    play(&mut world, leecher, &torrent);
    assert_eq!(world.snapshot(leecher, &torrent).order, Order::Sequential);
    let before = arrivals(&world, leecher).len();
    world.run(Duration::from_secs(30));
    let arrivals = arrivals(&world, leecher);
    let steps = |pieces: &[u32]| pieces.windows(2).filter(|pair| pair[0] > pair[1]).count();
    println!(
        "{arrivals:?}, the last {} in order",
        arrivals.len() - before
    );
    let (random, in_order) = arrivals.split_at(before);
    assert!(steps(random) > random.len() / 4);
    assert!(steps(in_order) < in_order.len() / 4);
}
