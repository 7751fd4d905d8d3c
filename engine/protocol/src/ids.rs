//! The fixed-length identifiers of the swarm, each its own type so that none is taken for another.

use std::fmt;

/// Declares a byte-array newtype with hexadecimal `Display`, `Debug` and serde as a byte string.
macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes as they are.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Returns the bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                Ok(Self(bytes.try_into()?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = serde_bytes::ByteArray::<$len>::deserialize(deserializer)?;
                Ok(Self(bytes.into_array()))
            }
        }
    };
}

byte_id! {
    /// A SHA-256 hash: a Merkle tree's node or root (BEP 52).
    Hash256, 32
}
byte_id! {
    /// The v2 info hash: SHA-256 of the bencoded info dictionary (BEP 52). Names a torrent.
    InfoHash, 32
}
byte_id! {
    /// The v1 info hash: SHA-1 of the info dictionary (BEP 3). Only hybrid torrents have one here.
    InfoHashV1, 20
}
byte_id! {
    /// What a swarm is called at trackers and in the peer handshake: 20 bytes. A v2 torrent's is
    /// its info hash cut to 20 bytes (BEP 52).
    SwarmId, 20
}
byte_id! {
    /// A peer's id (BEP 20): a client prefix such as `-SH0010-` and random bytes.
    PeerId, 20
}
byte_id! {
    /// Names one attempt to connect two peers; its offer, answer and candidates carry it.
    OfferId, 20
}

impl InfoHash {
    /// Returns the id that trackers and handshakes use for this torrent's swarm.
    #[must_use]
    pub fn swarm_id(&self) -> SwarmId {
        let mut id = [0; SwarmId::LEN];
        id.copy_from_slice(&self.0[..SwarmId::LEN]);
        SwarmId(id)
    }
}

impl InfoHashV1 {
    /// Returns the id that v1 trackers and handshakes use for this torrent's swarm.
    #[must_use]
    pub fn swarm_id(&self) -> SwarmId {
        SwarmId(self.0)
    }
}
