//! The tracker over real sockets: a server in this process on a free port, peers that speak the
//! messages by WebSocket.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

mod deploy;
mod downloads;
mod http;
mod identity;
mod introductions;
mod limits;
mod operation;
mod relay;
mod shutdown;
mod support;
mod tls;
mod turned_away;
mod websocket;
mod webtorrent;
