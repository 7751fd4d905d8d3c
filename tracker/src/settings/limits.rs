//! What one peer, one address and all together may use.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use shoal_protocol::tracker::MAX_PEERS;
use shoal_protocol::tracker::webtorrent::MAX_MESSAGE;

use super::SettingsError;

/// What one peer, one address and all together may use. In the file every duration is a number of
/// seconds under its name with `_s` behind.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections in all. More are turned away.
    pub connections: usize,
    /// Connections of one IP address. Generous, as many people can share one.
    pub connections_per_address: usize,
    /// Swarms of one connection.
    pub swarms_per_connection: usize,
    /// Memberships of all connections of one IP address.
    pub joins_per_address: usize,
    /// Members of one swarm.
    pub members_per_swarm: usize,
    /// Members of all other nodes of the cluster that are kept. One takes some 250 bytes, by estimate.
    pub remote_members: usize,
    /// Members in one introduction.
    pub introductions: usize,
    /// Messages a second that a connection is read at. What comes faster waits.
    pub messages_per_second: u32,
    /// Messages that a connection may send at once, after some quiet.
    pub message_burst: u32,
    /// Messages waiting to be sent to one connection.
    pub queued_messages: usize,
    /// Bytes waiting to be sent to one connection.
    pub queued_bytes: usize,
    /// How long peers have to go by themselves once they were told that the tracker stops.
    #[serde(rename = "shutdown_notice_s", deserialize_with = "seconds")]
    pub shutdown_notice: Duration,
    /// How often peers are told to announce.
    #[serde(rename = "announce_interval_s", deserialize_with = "seconds")]
    pub announce_interval: Duration,
    /// When a member that has not announced is forgotten.
    #[serde(rename = "member_expiry_s", deserialize_with = "seconds")]
    pub member_expiry: Duration,
    /// How long signals may pass between two members after one was told of the other.
    #[serde(rename = "introduction_lifetime_s", deserialize_with = "seconds")]
    pub introduction_lifetime: Duration,
    /// How long a new connection may take to say hello, and a request to arrive.
    #[serde(rename = "hello_timeout_s", deserialize_with = "seconds")]
    pub hello_timeout: Duration,
    /// How often a connection is pinged.
    #[serde(rename = "ping_interval_s", deserialize_with = "seconds")]
    pub ping_interval: Duration,
    /// When a connection from which nothing is heard, not even an answer to pings, is closed.
    #[serde(rename = "idle_timeout_s", deserialize_with = "seconds")]
    pub idle_timeout: Duration,
    /// When a connection that takes nothing of what is sent to it is closed.
    #[serde(rename = "stall_timeout_s", deserialize_with = "seconds")]
    pub stall_timeout: Duration,
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let above = |value: Duration, name, least: &'static str| (!value.is_zero(), name, least);
        let least = [
            (self.announce_interval >= SECOND, "announce_interval_s", "0"),
            (
                self.member_expiry > self.announce_interval,
                "member_expiry_s",
                "announce_interval_s",
            ),
            (
                self.idle_timeout > self.ping_interval,
                "idle_timeout_s",
                "ping_interval_s",
            ),
            above(self.ping_interval, "ping_interval_s", "0"),
            above(self.hello_timeout, "hello_timeout_s", "0"),
            above(self.stall_timeout, "stall_timeout_s", "0"),
            above(self.introduction_lifetime, "introduction_lifetime_s", "0"),
            (self.introductions > 0, "introductions", "0"),
            (self.joins_per_address > 0, "joins_per_address", "0"),
            (self.messages_per_second > 0, "messages_per_second", "0"),
            (self.message_burst > 0, "message_burst", "0"),
            (self.queued_messages > 0, "queued_messages", "0"),
            (self.queued_bytes >= MAX_MESSAGE, "queued_bytes", "65535"),
        ];
        if self.introductions > MAX_PEERS {
            return Err(SettingsError::TooManyIntroductions);
        }
        match least.into_iter().find(|(good, ..)| !good) {
            Some((_, name, least)) => Err(SettingsError::TooLittle { name, least }),
            None => Ok(()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 256,
            swarms_per_connection: 256,
            joins_per_address: 10_000,
            members_per_swarm: 100_000,
            remote_members: 1_000_000,
            introductions: 10,
            messages_per_second: 50,
            // Ten offers with their candidates, for a few swarms at once.
            message_burst: 500,
            queued_messages: 256,
            queued_bytes: 256 * 1024,
            shutdown_notice: Duration::from_secs(1),
            announce_interval: Duration::from_secs(120),
            member_expiry: Duration::from_secs(300),
            introduction_lifetime: Duration::from_secs(300),
            // A WebTorrent client first gathers the candidates of its offers.
            hello_timeout: Duration::from_secs(15),
            ping_interval: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(45),
            stall_timeout: Duration::from_secs(10),
        }
    }
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if seconds > MAX_SECONDS {
        return Err(de::Error::custom("more than a day"));
    }
    Duration::try_from_secs_f64(seconds).map_err(de::Error::custom)
}

const SECOND: Duration = Duration::from_secs(1);

const MAX_SECONDS: f64 = 86_400.0;
