//! The Redis through which the nodes of a cluster find each other.

use std::fmt;
use std::path::Path;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates,
};
use tokio_rustls::rustls::crypto::ring;

use super::{Secret, SettingsError};

/// Where Redis is, and how our channels' names begin there.
#[derive(Clone)]
pub struct Redis {
    pub(crate) client: Client,
    pub(crate) prefix: String,
}

impl Redis {
    /// Reads the settings. Nothing is connected yet.
    pub(super) fn new(
        url: &Secret,
        prefix: &str,
        authority: Option<&Path>,
    ) -> Result<Self, SettingsError> {
        let info = url.expose().into_connection_info();
        // The error of the library is not shown: it may repeat the password.
        let info = info.map_err(|_| SettingsError::ClusterUrl)?;
        let is_prefix = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_prefix || prefix.len() > MAX_PREFIX {
            return Err(SettingsError::ClusterPrefix);
        }
        // RESP 3 (Redis 6) has answers and what is published in one connection.
        let redis = info.redis_settings().clone();
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let info = info
            .set_redis_settings(redis.set_protocol(ProtocolVersion::RESP3))
            .set_tcp_settings(tcp);
        Ok(Self {
            client: client(info, authority)?,
            prefix: prefix.to_owned(),
        })
    }
}

fn client(info: ConnectionInfo, authority: Option<&Path>) -> Result<Client, SettingsError> {
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        if authority.is_some() {
            return Err(SettingsError::ClusterWithoutTls);
        }
        return Client::open(info).map_err(|_| SettingsError::ClusterUrl);
    }
    // The library takes the program's own, which may have been chosen already.
    let _ = ring::default_provider().install_default();
    let Some(path) = authority else {
        return Client::open(info).map_err(|_| SettingsError::ClusterUrl);
    };
    let refused = |message: String| SettingsError::Certificate {
        path: path.to_owned(),
        message,
    };
    let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(pem),
    };
    Client::build_with_tls(info, certificates).map_err(|error| refused(error.to_string()))
}

impl fmt::Debug for Redis {
    /// Without the address, in which a password may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Longest prefix in bytes.
const MAX_PREFIX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, prefix: &str) -> Result<Redis, SettingsError> {
        Redis::new(&Secret::new(url), prefix, None)
    }

    #[test]
    fn addresses_of_all_kinds_are_taken() {
        for url in [
            "redis://127.0.0.1",
            "redis://user:north@redis.example:6380/2",
            "rediss://:north@redis.example",
            "unix:///run/redis/redis.sock",
        ] {
            let redis = check(url, "shoal").unwrap();
            assert!(!format!("{redis:?}").contains("north"));
        }
    }

    #[test]
    fn what_cannot_work_is_refused_and_not_shown() {
        for url in [
            "",
            "127.0.0.1:6379",
            "http://u:north@a",
            "redis://u:north@a:x",
        ] {
            let error = check(url, "shoal").unwrap_err();
            assert!(!format!("{error} {error:?}").contains("north"));
        }
        assert!(check("redis://a", "").is_err());
        assert!(check("redis://a", "with space").is_err());
        let authority = Some(Path::new("/nowhere"));
        let plain = Redis::new(&Secret::new("redis://a"), "shoal", authority);
        assert!(matches!(plain, Err(SettingsError::ClusterWithoutTls)));
        let absent = Redis::new(&Secret::new("rediss://a"), "shoal", authority);
        assert!(matches!(absent, Err(SettingsError::Certificate { .. })));
    }
}
