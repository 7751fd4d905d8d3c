//! TLS by rustls, with a certificate that is read again when its files have changed.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::settings::{self, SettingsError};

/// The certificate in use, and where it came from.
#[derive(Debug)]
pub(super) struct Certificate {
    files: settings::Tls,
    current: RwLock<Arc<CertifiedKey>>,
    /// How the files looked when they were last read.
    seen: Mutex<Looks>,
}

/// By what a changed file is told from an unchanged one.
type Looks = Vec<Option<(SystemTime, u64)>>;

impl Certificate {
    /// Reads the files.
    pub(super) fn read(files: settings::Tls) -> Result<Arc<Self>, SettingsError> {
        let seen = Mutex::new(looks(&files));
        let current = RwLock::new(read(&files)?);
        Ok(Arc::new(Self {
            files,
            current,
            seen,
        }))
    }

    /// Makes what accepts connections with whatever certificate there is then.
    pub(super) fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, SettingsError> {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&self.files, &error))?;
        let resolver = Arc::clone(self);
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Reads the files again. The old certificate stays where that fails.
    pub(super) fn reload(&self) -> Result<(), SettingsError> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = looks(&self.files);
        let read = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Reads the files again if they have changed.
    pub(super) fn refresh(&self) {
        let seen = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if seen == looks(&self.files) {
            return;
        }
        match self.reload() {
            Ok(()) => tracing::info!("a new certificate is in use"),
            Err(error) => tracing::error!(%error, "the old certificate stays in use"),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn read(files: &settings::Tls) -> Result<Arc<CertifiedKey>, SettingsError> {
    let unusable_at = |path: &PathBuf, message: String| SettingsError::Certificate {
        path: path.clone(),
        message,
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable_at(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        let message = "there is none in the file".to_owned();
        return Err(unusable_at(&files.certificate, message));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable_at(&files.key, error.to_string()))?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
    certified
        .map(Arc::new)
        .map_err(|error| unusable(files, &error))
}

fn unusable(files: &settings::Tls, error: &tokio_rustls::rustls::Error) -> SettingsError {
    SettingsError::Certificate {
        path: files.certificate.clone(),
        message: error.to_string(),
    }
}

fn looks(files: &settings::Tls) -> Looks {
    let look = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    [&files.certificate, &files.key].map(look).to_vec()
}
