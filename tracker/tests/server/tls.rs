//! Peers over TLS, and a certificate that is exchanged while the tracker runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use shoal_protocol::tracker::{ClientMessage, PeerKey, ServerMessage};
use shoal_tracker::settings::{Settings, Swarms, Tls};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Tracker, id, within};

#[tokio::test]
async fn peers_are_served_over_tls_with_the_newest_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_certificate(folder.path());
    let tracker = Tracker::with_settings(Settings {
        tls: Some(files(folder.path())),
        ..Settings::default()
    })
    .await;
    assert!(welcomes(&tracker, &first).await);

    // Both have changed; nobody has said so.
    let second = write_certificate(folder.path());
    within(async { while !welcomes(&tracker, &second).await {} }).await;
    assert!(!welcomes(&tracker, &first).await);

    // One that cannot be used changes nothing.
    fs::write(folder.path().join("key.pem"), "nonsense").unwrap();
    assert!(tracker.reload.reload(&Swarms::default()).is_err());
    assert!(welcomes(&tracker, &second).await);
}

#[tokio::test]
async fn a_certificate_that_is_none_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path());
    let path = folder.path().join("certificate.pem");
    fs::write(&path, "").unwrap();
    let settings = Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        tls: Some(files(folder.path())),
        ..Settings::default()
    };
    let error = shoal_tracker::server::Server::bind(settings)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
}

/// Connects as one that trusts this certificate alone; `None` if it is another.
pub(crate) async fn connect(
    tracker: &Tracker,
    trusted: &CertificateDer<'static>,
) -> Option<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(tracker.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    within(connecting).await.ok()
}

/// Whether a peer that trusts this certificate alone gets a welcome.
async fn welcomes(tracker: &Tracker, trusted: &CertificateDer<'static>) -> bool {
    let Some(stream) = connect(tracker, trusted).await else {
        return false;
    };
    let (mut socket, _) = within(client_async("wss://localhost/announce", stream))
        .await
        .unwrap();
    let hello = ClientMessage::Hello {
        version: 1,
        peer: id(1),
        key: PeerKey::new([1; 16]),
    };
    within(socket.send(Message::Binary(hello.encode())))
        .await
        .unwrap();
    let Some(Ok(Message::Binary(frame))) = within(socket.next()).await else {
        return false;
    };
    matches!(
        ServerMessage::decode(&frame),
        Ok(ServerMessage::Welcome { .. })
    )
}

pub(crate) fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let CertifiedKey { cert, signing_key } = made;
    let files = files(folder);
    fs::write(files.certificate, cert.pem()).unwrap();
    fs::write(files.key, signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

pub(crate) fn files(folder: &Path) -> Tls {
    Tls {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    }
}
