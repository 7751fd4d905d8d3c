//! What a tracker says holds from then on, as far as it is sane. One session by itself, with a tracker
//! that says what the test likes.

use std::time::Duration;

use shoal_core::{
    Command, Config, Input, Limits, Output, Session, Timestamp, TrackerEvent, TrackerId,
    TrackerRequest,
};
use shoal_protocol::PeerId;
use shoal_protocol::tracker::{ErrorCode, IceServer, ServerMessage};
use shoal_sim::{Content, TRACKER};

const ID: TrackerId = TrackerId(0);

/// A session that wants something, and the present.
struct Alone {
    session: Session,
    content: std::sync::Arc<Content>,
    now: Timestamp,
}

impl Alone {
    /// One that has opened its tracker.
    fn new(seed: u64) -> Self {
        let content = Content::file(1, 1);
        let config = Config {
            peer: PeerId::new([1; 20]),
            key: [0; 16].into(),
            client: "alone".to_owned(),
        };
        let mut alone = Self {
            session: Session::new(config, seed),
            content,
            now: Timestamp::ZERO,
        };
        let outputs = alone.handle(Input::Command(Command::AddMagnet {
            magnet: alone.content.metainfo.magnet(),
            trackers: vec![TRACKER.to_owned()],
            limits: Limits::default(),
        }));
        assert!(outputs.iter().any(is_open));
        alone.handle(Input::Tracker {
            tracker: ID,
            event: TrackerEvent::Opened,
        });
        alone
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.session.handle(self.now, input);
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    fn told(&mut self, message: ServerMessage) -> Vec<Output> {
        let event = TrackerEvent::Message(message);
        self.handle(Input::Tracker { tracker: ID, event })
    }

    fn welcomed(&mut self, turn: &str) {
        self.told(ServerMessage::Welcome {
            version: 1,
            ice_servers: vec![server(turn)],
            interval_s: 120,
        });
    }

    /// Is introduced to somebody; returns the servers by which it looks for a way.
    fn servers_for(&mut self, peer: u8) -> Vec<IceServer> {
        let outputs = self.told(ServerMessage::Peers {
            swarm: self.content.info_hash().swarm_id(),
            peers: vec![PeerId::new([peer; 20])],
            seeders: 1,
            leechers: 1,
            untrickled: 0,
        });
        let mut servers = outputs.into_iter().filter_map(|output| match output {
            Output::Connect { ice_servers, .. } => Some(ice_servers),
            _ => None,
        });
        servers.next().expect("it calls whom it is introduced to")
    }

    /// Lets time pass until it opens its tracker; returns how long that was.
    fn time_to_open(&mut self) -> Duration {
        let before = self.now;
        loop {
            self.now = self.session.poll_timeout().unwrap().max(self.now);
            if self.handle(Input::Timeout).iter().any(is_open) {
                return self.now.since(before);
            }
        }
    }
}

fn is_open(output: &Output) -> bool {
    matches!(
        output,
        Output::Tracker {
            request: TrackerRequest::Open { .. },
            ..
        }
    )
}

fn server(turn: &str) -> IceServer {
    IceServer {
        urls: vec!["turn:turn.example".to_owned()],
        username: Some(turn.to_owned()),
        credential: Some(turn.to_owned()),
    }
}

#[test]
fn a_second_welcome_brings_the_servers_that_hold_from_then_on() {
    let mut alone = Alone::new(1);
    alone.welcomed("of now");
    assert_eq!(alone.servers_for(2), [server("of now")]);
    alone.welcomed("of later");
    assert_eq!(alone.servers_for(3), [server("of later")]);
}

#[test]
fn a_wait_that_the_tracker_asks_for_is_kept_up_to_some_minutes() {
    for (asked, least, most) in [
        (None, 0, 1),
        (Some(0), 0, 1),
        (Some(45), 45, 46),
        (Some(3600), 300, 301),
        (Some(u32::MAX), 300, 301),
    ] {
        for code in [ErrorCode::ShuttingDown, ErrorCode::PeerIdTaken] {
            let mut alone = Alone::new(2);
            alone.welcomed("of now");
            let outputs = alone.told(ServerMessage::Error {
                code,
                message: "later".to_owned(),
                retry_after_s: asked,
                swarm: None,
                peer: None,
            });
            let closed = outputs.iter().any(|output| {
                matches!(
                    output,
                    Output::Tracker {
                        request: TrackerRequest::Close,
                        ..
                    }
                )
            });
            assert!(closed);
            let waited = alone.time_to_open().as_secs();
            let is_kept = (least..=most).contains(&waited);
            assert!(is_kept, "{asked:?}: {waited}");
        }
    }
}
