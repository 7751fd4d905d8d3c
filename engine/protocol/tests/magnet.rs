//! Links: what is read, what is refused and in which words, what is printed.
#![allow(clippy::unwrap_used, reason = "a failed test may say so by a panic")]

use shoal_protocol::InfoHash;
use shoal_protocol::ids::InfoHashV1;
use shoal_protocol::magnet::{MAX_LINK_LENGTH, MAX_NAME_LENGTH, MAX_TRACKERS, Magnet, MagnetError};
use url::Url;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const V2: &str = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e";
const V1: &str = "631a31dd0a46257d5078c0dee4e66e26f73e42ac";

fn info_hash() -> InfoHash {
    let bytes = (0..32).map(|n| u8::from_str_radix(&V2[2 * n..2 * n + 2], 16).unwrap());
    InfoHash::try_from(bytes.collect::<Vec<_>>().as_slice()).unwrap()
}

fn parse(text: &str) -> Result<Magnet, MagnetError> {
    Magnet::parse(text)
}

#[test]
fn link_of_a_hybrid_is_read() {
    // The example of BEP 52's specification, made of BEP 9's parameters.
    let magnet = parse(&format!(
        "magnet:?xt=urn:btih:{V1}&xt=urn:btmh:1220{V2}&dn=bittorrent-v1-v2-hybrid-test"
    ))
    .unwrap();
    assert_eq!(magnet.info_hash, info_hash());
    assert_eq!(magnet.v1.unwrap().to_string(), V1);
    assert_eq!(magnet.name.as_deref(), Some("bittorrent-v1-v2-hybrid-test"));
    assert!(magnet.trackers.is_empty() && magnet.other.is_empty());
}

#[test]
fn printed_link_has_the_agreed_form() {
    let mut magnet = Magnet::new(info_hash());
    magnet.name = Some("a b&c.txt".to_owned());
    magnet.add_tracker("ws://127.0.0.1:9010/announce");
    let parameters =
        format!("xt=urn:btmh:1220{V2}&dn=a%20b%26c.txt&tr=ws%3A%2F%2F127.0.0.1%3A9010%2Fannounce");
    assert_eq!(magnet.to_string(), format!("magnet:?{parameters}"));
    let page = Url::parse("http://127.0.0.1:9010?tracker=x#old").unwrap();
    assert_eq!(
        magnet.web_link(&page),
        format!("http://127.0.0.1:9010/#{parameters}")
    );
    let page = Url::parse("https://shoal.example/app/").unwrap();
    assert_eq!(
        magnet.web_link(&page),
        format!("https://shoal.example/app/#{parameters}")
    );
}

#[test]
fn every_form_of_a_link_is_read_alike() {
    let parameters = format!("xt=urn:btmh:1220{V2}&dn=x&tr=ws%3A%2F%2Fa%2F");
    let magnet = parse(&format!("magnet:?{parameters}")).unwrap();
    for text in [
        format!("  magnet:?{parameters}\n"),
        format!("MAGNET:?{parameters}"),
        format!("http://127.0.0.1:9010/#{parameters}"),
        format!("https://shoal.example/?tracker=y#{parameters}"),
        format!("#{parameters}"),
        parameters.clone(),
        parameters.replace("xt=", "xt.1=").replace("tr=", "tr.1="),
        parameters.replace("xt=urn:btmh", "xt=URN:BTMH"),
        parameters.replace(V2, &V2.to_uppercase()),
        parameters.replace(':', "%3a"),
    ] {
        assert_eq!(parse(&text).as_ref(), Ok(&magnet), "{text}");
    }
    assert_eq!(magnet.to_string().parse(), Ok(magnet));
}

#[test]
fn what_is_not_a_link_is_refused_in_words() {
    let cases = [
        ("", MagnetError::NotALink),
        ("hello", MagnetError::NotALink),
        ("https://shoal.example/", MagnetError::NotALink),
        ("https://shoal.example/#about", MagnetError::NotALink),
        ("magnet:?dn=x", MagnetError::NoInfoHash),
        ("magnet:", MagnetError::NoInfoHash),
        ("magnet:?xt=urn:btmh:1220abc", MagnetError::BadInfoHash),
        ("magnet:?xt=urn:btmh:1114abc", MagnetError::BadInfoHash),
    ];
    for (text, error) in cases {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    for v1 in [V1, "MMNDDXIKIYSX2UDYYDPOJZTOE33T4QVM"] {
        assert_eq!(
            parse(&format!("magnet:?xt=urn:btih:{v1}")),
            Err(MagnetError::V1Only)
        );
    }
    let long = format!(
        "magnet:?xt=urn:btmh:1220{V2}&dn={}",
        "x".repeat(MAX_LINK_LENGTH)
    );
    assert_eq!(parse(&long), Err(MagnetError::TooLong));
    assert_eq!(
        MagnetError::TooLong.to_string(),
        "the link is longer than 64 KiB"
    );
}

#[test]
fn page_without_a_link_in_its_address_is_no_error() {
    let visit = |text: &str| Magnet::from_web_link(&Url::parse(text).unwrap());
    assert_eq!(visit("https://shoal.example/"), Ok(None));
    assert_eq!(visit("https://shoal.example/#about"), Ok(None));
    let magnet = Magnet::new(info_hash());
    let link = magnet.web_link(&Url::parse("https://shoal.example/").unwrap());
    assert_eq!(visit(&link), Ok(Some(magnet)));
    assert_eq!(
        visit("https://shoal.example/#xt=urn:btmh:12"),
        Err(MagnetError::BadInfoHash)
    );
}

#[test]
fn unknown_parameters_are_kept() {
    let text = format!("magnet:?xt=urn:btmh:1220{V2}&so=0%2C2&xt=urn%3Asha1%3AABC&x.pe=1.2.3.4");
    let magnet = parse(&text).unwrap();
    let other = [("so", "0,2"), ("xt", "urn:sha1:ABC"), ("x.pe", "1.2.3.4")];
    assert_eq!(
        magnet.other,
        other.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert_eq!(parse(&magnet.to_string()), Ok(magnet));
}

#[test]
fn first_of_several_counts() {
    let other = "00".repeat(32);
    let text = format!("magnet:?xt=urn:btmh:1220{V2}&xt=urn:btmh:1220{other}&dn=a&dn=b");
    let magnet = parse(&text).unwrap();
    assert_eq!(magnet.info_hash, info_hash());
    assert_eq!(magnet.name.as_deref(), Some("a"));
}

#[test]
fn trackers_and_names_are_bounded() {
    let mut text = format!(
        "magnet:?xt=urn:btmh:1220{V2}&dn={}",
        "é".repeat(MAX_NAME_LENGTH)
    );
    for n in 0..MAX_TRACKERS * 2 {
        text += &format!("&tr=ws://{n}/&tr=ws://{n}/");
    }
    text += &format!("&tr={}", "x".repeat(5000));
    let magnet = parse(&text).unwrap();
    assert_eq!(magnet.name.unwrap(), "é".repeat(MAX_NAME_LENGTH / 2));
    assert_eq!(magnet.trackers.len(), MAX_TRACKERS);
    assert_eq!(magnet.trackers[1], "ws://1/");
}

#[test]
fn v1_swarm_is_named_by_the_v1_hash() {
    let v1 = InfoHashV1::new([7; 20]);
    assert_eq!(v1.swarm_id().as_bytes(), &[7; 20]);
    assert_eq!(
        info_hash().swarm_id().as_bytes()[..],
        info_hash().as_bytes()[..20]
    );
}
