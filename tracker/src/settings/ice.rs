//! How ICE servers are written: as a STUN or TURN URI (RFC 7064, RFC 7065), a TURN server's user
//! and password before its host, which the RFC has no place for:
//! `turn:USER:PASSWORD@HOST[:PORT][?transport=udp]`. Percent-encoding stands for what would be
//! misread (`%3A` for a colon in the user's name, `%40` for `@`). Where the tracker has a TURN
//! server's shared secret, user and password are left out: peers get credentials that end.

use percent_encoding::percent_decode_str;
use shoal_protocol::tracker::IceServer;
use thiserror::Error;

/// Why a text names no ICE server.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IceError {
    /// It does not begin with a known scheme.
    #[error("it must begin with stun:, stuns:, turn: or turns:")]
    Scheme,
    /// Nothing that can be a host, or a port that is none.
    #[error("its host or port is not valid")]
    Host,
    /// TURN without credentials.
    #[error("it needs a user and a password (turn:USER:PASSWORD@HOST), or turn_secret to be set")]
    NoCredentials,
    /// STUN with credentials.
    #[error("only turn: and turns: have a user and a password")]
    NeedlessCredentials,
    /// Credentials that are not text.
    #[error("its user or password is not UTF-8")]
    Encoding,
}

/// Reads one server. `timed`: user and password for a TURN server that is given none.
pub(super) fn parse(given: &str, timed: Option<&(String, String)>) -> Result<IceServer, IceError> {
    let (scheme, rest) = given.split_once(':').ok_or(IceError::Scheme)?;
    let is_turn = match scheme {
        "stun" | "stuns" => false,
        "turn" | "turns" => true,
        _ => return Err(IceError::Scheme),
    };
    let (credentials, address) = match rest.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, rest),
    };
    check_address(address)?;
    let urls = vec![format!("{scheme}:{address}")];
    match credentials {
        None if is_turn => {
            let (user, password) = timed.cloned().ok_or(IceError::NoCredentials)?;
            Ok(IceServer {
                urls,
                username: Some(user),
                credential: Some(password),
            })
        }
        None => Ok(IceServer {
            urls,
            username: None,
            credential: None,
        }),
        Some(_) if !is_turn => Err(IceError::NeedlessCredentials),
        Some(credentials) => {
            let (user, password) = credentials.split_once(':').ok_or(IceError::NoCredentials)?;
            Ok(IceServer {
                urls,
                username: Some(decode(user)?),
                credential: Some(decode(password)?),
            })
        }
    }
}

/// Whether a server that can be read gets the credentials that end.
pub(super) fn is_timed(given: &str) -> bool {
    matches!(parse(given, None), Err(IceError::NoCredentials))
}

/// Returns what may be shown of a server that could not be read.
pub(super) fn without_password(given: &str) -> String {
    match given.rsplit_once('@') {
        Some((_, address)) => format!("…@{address}"),
        None => given.to_owned(),
    }
}

fn check_address(address: &str) -> Result<(), IceError> {
    let host_port = address
        .split_once('?')
        .map_or(address, |(before, _)| before);
    // An IPv6 address stands in brackets.
    let (host, port) = match host_port.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(IceError::Host)?,
        None => host_port
            .find(':')
            .map_or((host_port, ""), |colon| host_port.split_at(colon)),
    };
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    if host.is_empty() || !host.chars().all(is_host) || !is_port {
        return Err(IceError::Host);
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, IceError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(Into::into)
        .map_err(|_| IceError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stun_servers_are_taken_as_they_are() {
        for url in [
            "stun:stun.l.google.com:19302",
            "stun:127.0.0.1",
            "stuns:[2001:db8::1]:5349",
        ] {
            let server = parse(url, None).unwrap();
            assert_eq!(server.urls, [url]);
            assert_eq!((server.username, server.credential), (None, None));
        }
    }

    #[test]
    fn turn_servers_have_a_user_and_a_password() {
        let server = parse(
            "turn:1700000000%3Aann:p@ss:w@turn.example:3478?transport=tcp",
            None,
        )
        .unwrap();
        assert_eq!(server.urls, ["turn:turn.example:3478?transport=tcp"]);
        assert_eq!(server.username.as_deref(), Some("1700000000:ann"));
        assert_eq!(server.credential.as_deref(), Some("p@ss:w"));
    }

    #[test]
    fn turn_servers_with_a_shared_secret_get_credentials_that_end() {
        let timed = ("1700000000".to_owned(), "made".to_owned());
        let server = parse("turn:turn.example:3478", Some(&timed)).unwrap();
        assert_eq!(server.urls, ["turn:turn.example:3478"]);
        assert_eq!(server.username.as_deref(), Some("1700000000"));
        assert_eq!(server.credential.as_deref(), Some("made"));
        let own = parse("turn:ann:secret@turn.example", Some(&timed)).unwrap();
        assert_eq!(own.username.as_deref(), Some("ann"));
    }

    #[test]
    fn only_turn_servers_without_a_user_get_them() {
        assert!(is_timed("turn:turn.example"));
        assert!(is_timed("turns:turn.example:443?transport=tcp"));
        assert!(!is_timed("turn:ann:secret@turn.example"));
        assert!(!is_timed("stun:stun.example"));
        assert!(!is_timed("turn:turn.example:0"));
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for (given, error) in [
            ("", IceError::Scheme),
            ("none", IceError::Scheme),
            ("http://stun.example", IceError::Scheme),
            ("stun:", IceError::Host),
            ("stun://stun.example", IceError::Host),
            ("stun:stun.example:0", IceError::Host),
            ("stun:stun.example:65536", IceError::Host),
            ("stun:[::1", IceError::Host),
            ("turn:turn.example", IceError::NoCredentials),
            ("turn:ann@turn.example", IceError::NoCredentials),
            (
                "stun:ann:secret@stun.example",
                IceError::NeedlessCredentials,
            ),
            ("turn:%ff:secret@turn.example", IceError::Encoding),
        ] {
            assert_eq!(parse(given, None), Err(error), "{given}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("turn:ann:secret@b.example"), "…@b.example");
    }
}
