//! Does what sessions put out: disks, processors, and what is told to people.

use std::time::Duration;

use bytes::Bytes;
use shoal_core::{Bitfield, Command, Event, Input, Output, Role, Timestamp, WriteFault};
use shoal_protocol::Hash256;
use shoal_protocol::tracker::Signal;

use super::{Done, Happening, What, World, Write};
use crate::link::{Endpoint, Packet};
use crate::node::Actor;

/// How long making an offer, starting a download and giving files their final names take.
const OFFER: Duration = Duration::from_millis(3);
const START: Duration = Duration::from_millis(5);
const FINISH: Duration = Duration::from_millis(5);

impl World {
    /// Puts something into a node's session and does what comes out.
    pub(super) fn input(&mut self, node: usize, input: Input) {
        if !self.nodes[node].alive {
            return;
        }
        let now = self.now;
        let Actor::Session(session) = &mut self.nodes[node].actor else {
            return self.stranger_input(node, input);
        };
        session.handle(now, input);
        while let Actor::Session(session) = &mut self.nodes[node].actor
            && let Some(output) = session.poll_output()
        {
            self.output(node, output);
        }
        self.audit_requests(node);
        self.check_session(node);
        if let Some(due) = self.nodes[node].session().poll_timeout() {
            let due = due.max(now);
            if self.nodes[node].wakeup.is_none_or(|wakeup| wakeup > due) {
                self.nodes[node].wakeup = Some(due);
                self.at(due, node, Happening::Wake);
            }
        }
    }

    /// Tells a session what its disk or processor has done.
    pub(super) fn done(&mut self, node: usize, done: Done) {
        let computer = &mut self.nodes[node];
        let input = match done {
            Done::Read(token, result) => {
                computer.jobs_bytes -= result.as_ref().map_or(0, Bytes::len);
                Input::Read { token, result }
            }
            Done::Written(token, bytes, result) => {
                computer.books.unstored -= bytes;
                Input::Written { token, result }
            }
            Done::Hashed(token, bytes, hash) => {
                computer.books.unstored -= bytes;
                Input::Hashed { token, hash }
            }
        };
        self.input(node, input);
    }

    /// Hashes what is to be written if it has this hash.
    fn verify(&mut self, node: usize, write: Write, hash: Hash256) {
        let computer = &mut self.nodes[node];
        let bytes = write.data.len();
        let done = computer.cpu_done(self.now, bytes);
        if computer.hash(&write.data) == hash {
            self.at(done, node, Happening::Verified(Box::new(write)));
        } else {
            let result = Err(WriteFault::WrongHash);
            self.when_done(done, node, Done::Written(write.token, bytes, result));
        }
    }

    /// Asks the disk to write what is right.
    pub(super) fn write(&mut self, node: usize, write: Write) {
        let Write {
            token,
            torrent,
            file,
            offset,
            data,
        } = write;
        let computer = &mut self.nodes[node];
        if !computer.alive {
            return;
        }
        let done = computer.disk_done(self.now, data.len());
        let result = computer.write(torrent, file, offset, &data);
        self.note(node, What::Write, offset);
        if result.is_ok() {
            self.union
                .note_stored(self.now, torrent, file, offset, data.len());
        }
        let result = result.map_err(WriteFault::from);
        self.when_done(done, node, Done::Written(token, data.len(), result));
    }

    fn when_done(&mut self, at: Timestamp, node: usize, done: Done) {
        self.at(at, node, Happening::Done(Box::new(done)));
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Connect { link, role, .. } => {
                self.note(node, What::Connect, link.0);
                self.nodes[node].endpoints.insert(link, Endpoint::new());
                self.check_bounds(node);
                if role == Role::Offerer {
                    let signal = Signal::Offer(format!("{node} {}", link.0));
                    self.tell_of(node, link, signal, OFFER);
                }
            }
            Output::Signal { link, signal } => self.signal(node, link, &signal),
            Output::Send { link, data, block } => {
                let stores = &self.nodes[node].stores;
                let content = stores.values().next().map(|store| &*store.content);
                let packet = Packet::new(data, block, content);
                self.note(node, What::Send, packet.len() as u64);
                self.send(node, link, packet);
            }
            Output::Disconnect { link } => {
                self.note(node, What::Disconnect, link.0);
                self.close(node, link, "closed by the other side", false);
            }
            Output::Tracker { tracker, request } => self.tracker_request(node, tracker, request),
            Output::Read { token, span } => {
                self.note(node, What::Read, span.length.into());
                let computer = &mut self.nodes[node];
                let done = computer.disk_done(self.now, span.length as usize);
                let result = computer.read(span);
                computer.jobs_bytes += result.as_ref().map_or(0, Bytes::len);
                self.when_done(done, node, Done::Read(token, result));
                self.check_bounds(node);
            }
            Output::Write {
                token,
                torrent,
                file,
                offset,
                data,
                hash,
            } => {
                self.note_unstored(node, data.len());
                let write = Write {
                    token,
                    torrent,
                    file,
                    offset,
                    data,
                };
                match hash {
                    Some(hash) => self.verify(node, write, hash),
                    None => self.write(node, write),
                }
            }
            Output::Hash { token, data } => {
                let bytes = data.len();
                let done = self.nodes[node].cpu_done(self.now, bytes);
                let hash = self.nodes[node].hash(&data);
                self.note_unstored(node, bytes);
                self.when_done(done, node, Done::Hashed(token, bytes, hash));
            }
            Output::Finish { token, torrent } => {
                let store = self.nodes[node].stores.get_mut(&torrent).unwrap();
                assert!(store.has_wanted(), "seed {}: finished too early", self.seed);
                store.finished = true;
                let result = Ok(());
                self.input_after(FINISH, node, Input::Finished { token, result });
            }
            Output::Event(event) => self.event(node, event),
        }
    }

    fn event(&mut self, node: usize, event: Event) {
        self.check_complaint(node, &event);
        match &event {
            Event::Metadata { metainfo } => {
                let torrent = metainfo.info_hash();
                let content = &self.nodes[node].stores[&torrent].content;
                assert_eq!(metainfo.info(), content.metainfo.info());
                let have = Bitfield::new(metainfo.info().piece_count());
                let start = Command::Start {
                    torrent,
                    damaged: Bitfield::new(have.len()),
                    have,
                    blocks: Vec::new(),
                };
                self.input_after(START, node, Input::Command(start));
            }
            Event::Piece { torrent, piece } => {
                let store = self.nodes[node].stores.get_mut(torrent).unwrap();
                let info = store.content.metainfo.info();
                assert!(
                    store.blocks.contains_piece(info, *piece),
                    "seed {}: a piece is shown as done that is not stored",
                    self.seed
                );
                store.pieces.push((self.now, *piece));
                return;
            }
            Event::Complete { torrent } => {
                self.note(node, What::Complete, 0);
                self.nodes[node].stores.get_mut(torrent).unwrap().complete = true;
                self.note_change();
            }
            _ => {}
        }
        let now = self.now;
        self.nodes[node].events.push((now, event));
    }
}
