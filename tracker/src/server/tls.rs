//! TLS by rustls, with a certificate that is read again when its files have changed.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
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
    seen: Mutex<Seen>,
}

/// What is known of the files.
#[derive(Debug)]
struct Seen {
    /// How they looked when what is in use was read.
    looks: Looks,
    /// Why they could not be read since then, as it was logged.
    failure: Option<String>,
}

/// By what a changed file is told from an unchanged one.
type Looks = Vec<Option<(SystemTime, u64)>>;

impl Certificate {
    /// Reads the files.
    pub(super) fn read(files: settings::Tls) -> Result<Arc<Self>, SettingsError> {
        let seen = Mutex::new(Seen {
            looks: looks(&files),
            failure: None,
        });
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
        // Looked at before they are read: what changes meanwhile is read again.
        let looks = looks(&self.files);
        let read = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        *self.seen() = Seen {
            looks,
            failure: None,
        };
        Ok(())
    }

    /// Reads the files again if they have changed since they could be read. What was wrong then may be put
    /// right without a change of their looks, as permissions are.
    pub(super) fn refresh(&self) {
        let looks = looks(&self.files);
        {
            let mut seen = self.seen();
            if seen.looks == looks {
                // What was wrong is put right: the next time it is news again.
                seen.failure = None;
                return;
            }
        }
        match self.reload() {
            Ok(()) => tracing::info!("a new certificate is in use"),
            Err(error) => {
                // Tried every few seconds, told once.
                let failure = Some(error.to_string());
                let known = std::mem::replace(&mut self.seen().failure, failure.clone());
                if known != failure {
                    tracing::error!(%error, "the old certificate stays in use");
                }
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    fn files_in(folder: &tempfile::TempDir) -> settings::Tls {
        settings::Tls {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        }
    }

    /// Writes a certificate and its key; returns the certificate.
    fn write(files: &settings::Tls) -> CertificateDer<'static> {
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    fn set_modified(path: &PathBuf, time: SystemTime) {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }

    #[test]
    fn a_failure_is_told_again_after_the_files_looked_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let files = files_in(&folder);
        write(&files);
        set_modified(&files.key, SystemTime::UNIX_EPOCH);
        let certificate = Certificate::read(files.clone()).unwrap();
        let key = fs::read(&files.key).unwrap();
        fs::write(&files.key, "nonsense").unwrap();
        certificate.refresh();
        assert!(certificate.seen().failure.is_some());

        fs::write(&files.key, key).unwrap();
        set_modified(&files.key, SystemTime::UNIX_EPOCH);
        certificate.refresh();
        assert_eq!(certificate.seen().failure, None);
    }

    #[test]
    fn files_that_could_not_be_read_are_tried_again_however_they_look() {
        let folder = tempfile::tempdir().unwrap();
        let files = files_in(&folder);
        let first = write(&files);
        // Times may be coarse, and what is written next must look different.
        for path in [&files.certificate, &files.key] {
            set_modified(path, SystemTime::UNIX_EPOCH);
        }
        let certificate = Certificate::read(files.clone()).unwrap();
        let uses = |expected: &CertificateDer<'_>| {
            let current = certificate.current.read().unwrap();
            current.cert.first() == Some(expected)
        };
        assert!(uses(&first));

        let second = write(&files);
        let key = fs::read(&files.key).unwrap();
        fs::write(&files.key, vec![b'x'; key.len()]).unwrap();
        let looked = looks(&files);
        certificate.refresh();
        assert!(uses(&first));

        fs::write(&files.key, key).unwrap();
        let (modified, _) = looked[1].unwrap();
        set_modified(&files.key, modified);
        assert_eq!(looks(&files), looked);
        certificate.refresh();
        assert!(uses(&second));
    }
}
