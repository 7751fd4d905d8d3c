//! Several trackers that serve the same swarms: what they tell each other, and what each keeps of
//! the others. Pure, as the [registry](crate::registry) is, which uses it; the server's part carries
//! the bytes through Redis.
//!
//! Every node keeps a mirror of the members of all others, so that it answers an announce without
//! asking anybody. Redis only passes messages on and stores nothing:
//!
//! - Each node numbers the changes of its own members (joined, left) and tells all.
//! - Once a second it tells all what number it has come to. Who has missed something, whatever the
//!   reason (it has just started, a queue was full, Redis was away), asks for a [snapshot] and has
//!   everything again.
//! - A node that has not been heard for [`NODE_EXPIRY`] is forgotten with its members.
//! - A signal to a member of another node goes to that node alone.
//!
//! The nodes trust each other: whoever may publish in Redis can introduce anybody to anybody, as a
//! tracker can. What comes from there is still read without trust in its form: it can neither end
//! a node nor fill its memory, but for this: the `redis` crate has a message in memory before its
//! length is known here, so it is Redis that must refuse what is longer than [`MAX_NODE_MESSAGE`]
//! (`proto-max-bulk-len`; by default it takes 512 MB).
//!
//! [snapshot]: NodeMessage::Snapshot

mod codec;
mod message;
mod roster;

pub use self::codec::{
    DecodeError, MAX_NODE_MESSAGE, MAX_RECORDS, VERSION, decode, decode_sender, encode,
};
pub use self::message::{
    Audience, Change, MemberRecord, NodeId, NodeMessage, NodeSignal, Proof, RefusedSignal,
};
pub use self::roster::{ASK_AGAIN, MAX_NODES, NODE_EXPIRY, ROOM_RETRY};
pub(crate) use self::roster::{Part, Roster, Verdict};
