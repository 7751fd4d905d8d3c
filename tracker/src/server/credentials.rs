//! Credentials of TURN servers that end: made anew for whoever comes, and told again to whoever stays,
//! long before they do.
//!
//! Half of a life has many turns; each turn makes new credentials and tells a share of the peers. So
//! every peer is told once in half of a life, peers that came together are told at different moments,
//! and nothing is kept for a peer: the number of its connection says which turns are its own.

use std::convert::Infallible;
use std::time::SystemTime;

use tokio::time::{MissedTickBehavior, interval};

use super::hub::Hub;
use crate::settings::Settings;

/// Renews credentials for ever, if there are some that end. `clock` tells the time of day.
pub(super) async fn renew(
    hub: &Hub,
    settings: &Settings,
    clock: impl Fn() -> SystemTime,
) -> Infallible {
    let Some(lifetime) = settings.credentials_lifetime() else {
        return std::future::pending().await;
    };
    let mut ticks = interval(lifetime / 2 / TURNS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0;
    loop {
        ticks.tick().await;
        turn = (turn + 1) % TURNS;
        match settings.ice_servers(clock()) {
            Ok(servers) => hub.renew_ice_servers(servers, turn, TURNS),
            Err(error) => tracing::error!(%error, "no new credentials"),
        }
    }
}

/// In half of a life. With the default of a day, one takes 11 minutes, and 20,000 peers are told in
/// groups of 313.
const TURNS: u32 = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use shoal_protocol::tracker::{ClientMessage, ServerMessage};
    use tokio::time::Instant;

    use super::*;
    use crate::server::outbox::Inbox;
    use crate::settings::Secret;

    const LIFETIME: Duration = Duration::from_secs(6400);
    const TURN: Duration = Duration::from_secs(50);

    fn settings(ice: &str) -> Settings {
        Settings {
            ice: vec![ice.to_owned()],
            turn_secret: Some(Secret::new("north")),
            turn_lifetime: LIFETIME,
            ..Settings::default()
        }
    }

    fn hub(settings: &Settings) -> Hub {
        Hub::new(settings.rules().unwrap(), &settings.limits, 7)
    }

    fn connect(hub: &Hub, first: Option<u16>) -> Inbox {
        let (id, inbox) = hub.connect(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        let now = std::time::Instant::now();
        match first {
            Some(number) => {
                let mut peer = [0; 20];
                peer[..2].copy_from_slice(&number.to_be_bytes());
                let hello = ClientMessage::Hello {
                    version: 1,
                    peer: peer.into(),
                    key: [0; 16].into(),
                };
                hub.receive_binary(now, id, &hello.encode());
            }
            None => hub.receive_text(now, id, &"{\"action\":\"scrape\"}".into()),
        }
        inbox
    }

    /// Until when the credentials are good that a peer is told, in seconds since the epoch.
    fn told(inbox: &mut Inbox) -> Option<u64> {
        let frame = inbox.try_recv()?;
        match ServerMessage::decode(&frame.bytes).unwrap() {
            ServerMessage::Welcome { ice_servers, .. } => {
                ice_servers[0].username.as_ref().unwrap().parse().ok()
            }
            message => panic!("not welcome: {message:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_credentials_that_are_about_to_end() {
        let settings = settings("turn:turn.example");
        let hub = hub(&settings);
        let (start, time_of_day) = (Instant::now(), SystemTime::now());
        let clock = || time_of_day + start.elapsed();
        let live = async {
            let mut webtorrent = connect(&hub, None);
            while webtorrent.try_recv().is_some() {}
            let mut peers: BTreeMap<u16, (Inbox, u64, u32)> = BTreeMap::new();
            // From here on, each step sees one turn.
            tokio::time::sleep(TURN / 2).await;
            // Three come in each turn for a life; all stay for three more.
            for turn in 0..512 {
                if turn < 128 {
                    for number in 3 * turn..3 * turn + 3 {
                        peers.insert(number, (connect(&hub, Some(number)), 0, 0));
                    }
                }
                tokio::time::sleep(TURN).await;
                let now = clock().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let mut told_now = 0;
                for (inbox, end, times) in peers.values_mut() {
                    while let Some(new_end) = told(inbox) {
                        assert!(new_end >= *end);
                        *end = new_end;
                        *times += 1;
                        told_now += 1;
                    }
                    let left = Duration::from_secs(*end).saturating_sub(now);
                    assert!(left >= LIFETIME / 2 - 2 * TURN, "{left:?}");
                }
                // Not all at once: 384 are told in 64 turns, and three have just come.
                assert!(told_now <= 384 / 64 + 3, "{told_now} in one turn");
            }
            // Once when they came, and once in each half of a life after that.
            for (number, (_, _, times)) in &peers {
                let halves = (512 - u32::from(*number) / 3) / 64;
                assert!((halves..=halves + 2).contains(times), "{number}: {times}");
            }
            assert!(webtorrent.try_recv().is_none(), "this dialect has none");
        };
        tokio::select! {
            never = renew(&hub, &settings, clock) => match never {},
            () = live => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_told_once() {
        for ice in ["turn:ann:secret@turn.example", "stun:stun.example", "none"] {
            let settings = settings(ice);
            let hub = hub(&settings);
            let mut peer = connect(&hub, Some(1));
            assert!(peer.try_recv().is_some());
            tokio::select! {
                never = renew(&hub, &settings, SystemTime::now) => match never {},
                () = tokio::time::sleep(10 * LIFETIME) => {}
            }
            assert!(peer.try_recv().is_none(), "{ice}");
        }
    }
}
