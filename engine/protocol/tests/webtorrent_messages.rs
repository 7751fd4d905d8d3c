//! WebTorrent's tracker messages: those of other programs are understood, ours are the frozen texts,
//! and no text does harm.

#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use shoal_protocol::tracker::AnnounceEvent;
use shoal_protocol::tracker::webtorrent::{
    Announce, Answer, DecodeError, MAX_MESSAGE, MAX_OFFERS, MAX_SCRAPE, Offer, Request, Response,
    Sdp, SwarmCounts,
};
use shoal_protocol::{OfferId, PeerId, SwarmId};
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SWARM: SwarmId = SwarmId::new([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
]);
/// With a quote, a backslash, DEL, and bytes above 0x7f.
const OTHER: SwarmId = SwarmId::new(
    *b"\x22\x5c\x7f\x80\xff\x2f\x0a\xa0\xb0\xc0\xd0\xe0\xf0\xe1\xd1\xc1\xb1\xa1\x91\x81",
);
const ANN: PeerId = PeerId::new(*b"-WW0300-aaaaaaaaaaaa");
const BOB: PeerId = PeerId::new(*b"-WW0300-bbbbbbbbbbbb");
const OFFER: OfferId = OfferId::new([0xee; 20]);
const SDP: &str = "v=0\r\ns=\"é\\\r\n";

#[test]
fn requests_of_other_clients_are_understood() {
    let frozen = frozen();
    for (name, request) in requests() {
        let name = format!("npm {name}");
        assert_eq!(Request::decode(&frozen[&name]).unwrap(), request, "{name}");
    }
}

#[test]
fn responses_of_other_trackers_are_understood() {
    let frozen = frozen();
    for (name, response) in responses() {
        let name = format!("npm {name}");
        let decoded = Response::decode(&frozen[&name]).unwrap();
        assert_eq!(decoded, Some(response), "{name}");
    }
}

#[test]
fn messages_are_the_frozen_texts() {
    let frozen = frozen();
    let encoded = requests()
        .map(|(name, request)| (name, request.encode()))
        .into_iter()
        .chain(responses().map(|(name, response)| (name, response.encode())));
    for (name, frame) in encoded {
        assert_eq!(text(&frame), text(&frozen[name]), "{name}");
    }
}

#[test]
fn what_a_client_may_leave_out_is_understood() {
    let ids = r#""info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb""#;
    for (rest, event, left) in [
        ("", AnnounceEvent::Interval, None),
        (r#","left":null,"event":"""#, AnnounceEvent::Interval, None),
        (r#","left":"many""#, AnnounceEvent::Interval, None),
        (
            r#","left":-1,"event":"paused""#,
            AnnounceEvent::Interval,
            None,
        ),
        (
            r#","left":[{}],"event":null"#,
            AnnounceEvent::Interval,
            None,
        ),
        (r#","left":2.5e3"#, AnnounceEvent::Interval, Some(2500)),
        (r#","left":1e400"#, AnnounceEvent::Interval, Some(u64::MAX)),
        (
            r#","offers":null,"answer":null,"event":"started","left":0"#,
            AnnounceEvent::Started,
            Some(0),
        ),
    ] {
        let frame = format!(r#"{{"action":"announce",{ids}{rest},"new":{{"a":[1,2]}}}}"#);
        let Request::Announce(announce) = Request::decode(&frame.into()).unwrap() else {
            panic!("{rest}");
        };
        assert_eq!((announce.event, announce.left), (event, left), "{rest}");
        assert_eq!(announce.offers, []);
    }
}

#[test]
fn ids_are_twenty_characters_of_a_byte_each() {
    for (id, is_good) in [
        ("aaaaaaaaaaaaaaaaaaaa", true),
        (r"\u0000aaaaaaaaaaaaaaaaaaa", true),
        (r"\u00ff\u00FFaaaaaaaaaaaaaaaaaa", true),
        ("ÿaaaaaaaaaaaaaaaaaaa", true),
        ("Āaaaaaaaaaaaaaaaaaaa", false),
        (r"\u0100aaaaaaaaaaaaaaaaaaa", false),
        (r"\ud83d\ude00aaaaaaaaaaaaaaaaaa", false),
        (r"\ud83daaaaaaaaaaaaaaaaaaa", false),
        ("aaaaaaaaaaaaaaaaaaa", false),
        ("aaaaaaaaaaaaaaaaaaaaa", false),
        ("", false),
    ] {
        let frame = format!(r#"{{"action":"scrape","info_hash":"{id}"}}"#);
        assert_eq!(Request::decode(&frame.into()).is_ok(), is_good, "{id}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let ids = r#""info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb""#;
    let announce = |rest: &str| format!(r#"{{"action":"announce",{ids}{rest}}}"#);
    for frame in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "\u{0}".to_owned(),
        r#"{"action":"announce"}"#.to_owned(),
        // Nothing lists all swarms.
        r#"{"action":"scrape"}"#.to_owned(),
        r#"{"action":"scrape","info_hash":null}"#.to_owned(),
        r#"{"action":"scrape","info_hash":[1]}"#.to_owned(),
        r#"{"action":"announce","info_hash":["aaaaaaaaaaaaaaaaaaaa","aaaaaaaaaaaaaaaaaaaa"],"peer_id":"bbbbbbbbbbbbbbbbbbbb"}"#.to_owned(),
        format!(r#"{{"action":"listen",{ids}}}"#),
        announce(r#","event":"blown up""#),
        announce(r#","event":3"#),
        announce(r#","peer_id":"cccccccccccccccccccc""#),
        announce(r#","offers":{}"#),
        // What ends bittorrent-tracker's process.
        announce(r#","offers":[null]"#),
        announce(r#","offers":[{"offer":null,"offer_id":"oooooooooooooooooooo"}]"#),
        announce(r#","offers":[{"offer":{"type":"offer","sdp":""}}]"#),
        announce(r#","offers":[{"offer":{"type":"offer","sdp":7},"offer_id":"oooooooooooooooooooo"}]"#),
        announce(r#","offers":[{"offer":{"type":"answer","sdp":""},"offer_id":"oooooooooooooooooooo"}]"#),
        announce(r#","answer":{"type":"answer","sdp":""}"#),
        announce(r#","answer":{"type":"offer","sdp":""},"to_peer_id":"cccccccccccccccccccc","offer_id":"oooooooooooooooooooo""#),
        announce("") + "x",
        "[".repeat(MAX_MESSAGE),
        r#"{"a":"#.repeat(MAX_MESSAGE / 5),
    ] {
        let start: String = frame.chars().take(200).collect();
        assert!(Request::decode(&frame.into()).is_err(), "{start}");
    }
    assert!(
        Request::decode(&Bytes::from_static(
            b"{\"action\":\"scrape\",\"info_hash\":\"\xff\"}"
        ))
        .is_err()
    );
}

#[test]
fn lengths_over_the_limits_are_refused_or_cut() {
    let offers = |count, length| {
        let sdp = Sdp::from_text(&"x".repeat(length));
        let offer = Offer { id: OFFER, sdp };
        Request::decode(&announce(vec![offer; count]).encode())
    };
    assert!(offers(1, Sdp::MAX_LEN - 2).is_ok());
    assert!(matches!(
        offers(1, Sdp::MAX_LEN - 1),
        Err(DecodeError::Description("offer"))
    ));
    let Ok(Request::Announce(cut)) = offers(MAX_OFFERS + 1, 100) else {
        panic!("refused");
    };
    assert_eq!(cut.offers.len(), MAX_OFFERS);

    let Ok(Request::Scrape(cut)) =
        Request::decode(&Request::Scrape(vec![SWARM; MAX_SCRAPE + 1]).encode())
    else {
        panic!("refused");
    };
    assert_eq!(cut.len(), MAX_SCRAPE);

    let length = MAX_MESSAGE + 1;
    let long = Request::decode(&vec![b' '; length].into());
    assert!(matches!(long, Err(DecodeError::TooLong { length: found }) if found == length));
}

#[test]
fn descriptions_are_passed_on_as_they_came() {
    let written = r#""\u0041\/é\ud83d\ude00""#;
    let frame = format!(
        r#"{{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb",
        "offers":[{{"offer":{{"sdp": {written}, "type":"offer","more":1}},
        "offer_id":"oooooooooooooooooooo"}}]}}"#
    );
    let Request::Announce(announce) = Request::decode(&frame.into()).unwrap() else {
        panic!("no announce");
    };
    let sdp = &announce.offers[0].sdp;
    assert_eq!(sdp.as_json(), written.as_bytes());
    assert_eq!(sdp.to_text().as_deref(), Some("A/é😀"));
    let passed_on = Response::Offer {
        swarm: SWARM,
        from: ANN,
        offer: OFFER,
        sdp: sdp.clone(),
    };
    let expected = format!(r#""offer":{{"type":"offer","sdp":{written}}}"#);
    assert!(text(&passed_on.encode()).contains(&expected));
}

#[test]
fn a_detached_description_keeps_no_frame() {
    let frame = announce(vec![Offer {
        id: OFFER,
        sdp: Sdp::from_text(SDP),
    }])
    .encode();
    let Request::Announce(announce) = Request::decode(&frame).unwrap() else {
        panic!("no announce");
    };
    let sdp = &announce.offers[0].sdp;
    let detached = sdp.detached();
    assert_eq!(&detached, sdp);
    assert!(!frame.is_unique());
    drop(announce);
    assert!(frame.is_unique());
    assert_eq!(detached.to_text().as_deref(), Some(SDP));
}

#[test]
fn half_a_character_is_no_description() {
    let frame = Bytes::from_static(
        br#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb","offers":[{"offer":{"type":"offer","sdp":"\ud83d"},"offer_id":"oooooooooooooooooooo"}]}"#,
    );
    if let Ok(Request::Announce(announce)) = Request::decode(&frame) {
        assert_eq!(announce.offers[0].sdp.to_text(), None);
    }
    assert_eq!(Sdp::from_text(SDP).to_text().as_deref(), Some(SDP));
}

#[test]
fn addresses_are_not_printed() {
    let offer = Sdp::from_text("a=candidate:1 1 udp 1 192.0.2.7 9 typ host");
    assert!(!format!("{offer:?}").contains("192"));
}

proptest! {
    #[test]
    fn requests_survive(request in request()) {
        prop_assert_eq!(Request::decode(&request.encode()).unwrap(), request);
    }

    #[test]
    fn responses_survive(response in response()) {
        prop_assert_eq!(Response::decode(&response.encode()).unwrap(), Some(response));
    }

    #[test]
    fn garbage_does_no_harm(frame in vec(any::<u8>(), 0..512)) {
        let _ = Request::decode(&frame.clone().into());
        let _ = Response::decode(&frame.into());
    }

    #[test]
    fn damaged_messages_do_no_harm(
        request in request(),
        response in response(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for frame in [request.encode(), response.encode()] {
            let mut frame = frame.to_vec();
            for (place, byte) in &damage {
                let place = place.index(frame.len());
                frame[place] = *byte;
            }
            let _ = Request::decode(&frame.clone().into());
            let _ = Response::decode(&frame.clone().into());
            frame.truncate(cut.index(frame.len()));
            prop_assert!(Request::decode(&frame.clone().into()).is_err());
            prop_assert!(Response::decode(&frame.into()).is_err());
        }
    }
}

fn requests() -> [(&'static str, Request); 7] {
    let of = |event, left, swarm| Announce {
        swarm,
        peer: ANN,
        event,
        left,
        offers: vec![],
    };
    let offers = [(OFFER, SDP), (OfferId::new(*OTHER.as_bytes()), "")];
    let offers = offers.map(|(id, sdp)| Offer {
        id,
        sdp: Sdp::from_text(sdp),
    });
    [
        ("announce", announce(offers.into())),
        (
            "announce, size not known",
            Request::Announce(of(AnnounceEvent::Interval, None, OTHER)),
        ),
        (
            "completed",
            Request::Announce(of(AnnounceEvent::Completed, Some(0), SWARM)),
        ),
        (
            "stopped",
            Request::Announce(of(AnnounceEvent::Stopped, Some(10), SWARM)),
        ),
        (
            "answer",
            Request::Answer(Answer {
                swarm: SWARM,
                peer: BOB,
                to: ANN,
                offer: OFFER,
                sdp: Sdp::from_text(SDP),
            }),
        ),
        ("scrape", Request::Scrape(vec![SWARM])),
        ("scrape of two", Request::Scrape(vec![SWARM, OTHER])),
    ]
}

fn responses() -> [(&'static str, Response); 6] {
    let counts = SwarmCounts {
        seeders: 1,
        leechers: 2,
    };
    [
        (
            "announced",
            Response::Announced {
                swarm: SWARM,
                interval_s: 120,
                counts,
            },
        ),
        (
            "offer",
            Response::Offer {
                swarm: SWARM,
                from: ANN,
                offer: OFFER,
                sdp: Sdp::from_text(SDP),
            },
        ),
        (
            "answer passed on",
            Response::Answer {
                swarm: SWARM,
                from: BOB,
                offer: OFFER,
                sdp: Sdp::from_text(SDP),
            },
        ),
        (
            "scraped",
            Response::Scraped(vec![(SWARM, counts), (OTHER, SwarmCounts::default())]),
        ),
        (
            "failure",
            Response::Failure {
                reason: "invalid event".into(),
                swarm: Some(SWARM),
            },
        ),
        (
            "failure without a swarm",
            Response::Failure {
                reason: "invalid peer_id".into(),
                swarm: None,
            },
        ),
    ]
}

fn announce(offers: Vec<Offer>) -> Request {
    Request::Announce(Announce {
        swarm: SWARM,
        peer: ANN,
        event: AnnounceEvent::Started,
        left: Some(1234),
        offers,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let offer = (id(), sdp()).prop_map(|(id, sdp)| Offer {
        id: OfferId::new(id),
        sdp,
    });
    prop_oneof![
        (
            id(),
            id(),
            prop::sample::select(vec![
                AnnounceEvent::Started,
                AnnounceEvent::Interval,
                AnnounceEvent::Completed,
                AnnounceEvent::Stopped,
            ]),
            option::of(any::<u64>()),
            vec(offer, 0..MAX_OFFERS),
        )
            .prop_map(|(swarm, peer, event, left, offers)| {
                Request::Announce(Announce {
                    swarm: SwarmId::new(swarm),
                    peer: PeerId::new(peer),
                    event,
                    left,
                    offers,
                })
            }),
        (id(), id(), id(), id(), sdp()).prop_map(|(swarm, peer, to, offer, sdp)| {
            Request::Answer(Answer {
                swarm: SwarmId::new(swarm),
                peer: PeerId::new(peer),
                to: PeerId::new(to),
                offer: OfferId::new(offer),
                sdp,
            })
        }),
        vec(id(), 0..5)
            .prop_map(|swarms| Request::Scrape(swarms.into_iter().map(SwarmId::new).collect())),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        (id(), any::<u32>(), counts()).prop_map(|(swarm, interval_s, counts)| {
            Response::Announced {
                swarm: SwarmId::new(swarm),
                interval_s,
                counts,
            }
        }),
        (id(), id(), id(), sdp(), any::<bool>()).prop_map(|(swarm, from, offer, sdp, is_offer)| {
            let (swarm, from) = (SwarmId::new(swarm), PeerId::new(from));
            let offer = OfferId::new(offer);
            if is_offer {
                Response::Offer {
                    swarm,
                    from,
                    offer,
                    sdp,
                }
            } else {
                Response::Answer {
                    swarm,
                    from,
                    offer,
                    sdp,
                }
            }
        }),
        vec((id(), counts()), 0..5).prop_map(|swarms| {
            let swarms = swarms.into_iter();
            Response::Scraped(
                swarms
                    .map(|(id, counts)| (SwarmId::new(id), counts))
                    .collect(),
            )
        }),
        ("(?s).{0,100}", option::of(id())).prop_map(|(reason, swarm)| Response::Failure {
            reason,
            swarm: swarm.map(SwarmId::new),
        }),
    ]
}

fn counts() -> impl Strategy<Value = SwarmCounts> {
    any::<[u32; 2]>().prop_map(|[seeders, leechers]| SwarmCounts { seeders, leechers })
}

fn sdp() -> impl Strategy<Value = Sdp> {
    "(?s).{0,300}".prop_map(|text| Sdp::from_text(&text))
}

fn id() -> impl Strategy<Value = [u8; 20]> {
    any::<[u8; 20]>()
}

fn frozen() -> BTreeMap<String, Bytes> {
    include_str!("vectors/webtorrent.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, text)| (name.into(), Bytes::from_static(text.as_bytes())))
        .collect()
}

fn text(frame: &Bytes) -> &str {
    std::str::from_utf8(frame).unwrap()
}
