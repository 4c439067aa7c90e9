//! TLS by rustls. Its provider is named here and installed nowhere; the certificate can
//! be replaced while connections last that were made under the one before.

use std::sync::{Arc, PoisonError, RwLock};

use databridge_core::app::config::TlsConfig;
use databridge_core::{ErrorKind, Fault};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {path} cannot be used: {why}")]
pub struct Error {
    setting: &'static str,
    path: String,
    why: String,
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
    fn code(&self) -> &str {
        "config.tls"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("name PEM files of one certificate and its key, readable by the daemon's user".into())
    }
}

/// What new connections are met with.
#[derive(Debug, Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Reads the certificate; `None` where none is configured.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(config: &TlsConfig) -> Result<Option<Self>, Error> {
        let served = read(config)?;
        Ok(served.map(|served| Self(Arc::new(RwLock::new(served)))))
    }

    /// Reads it again; who is connected stays so.
    ///
    /// # Errors
    /// [`Error`]; then the one before is served on.
    pub fn reload(&self, config: &TlsConfig) -> Result<(), Error> {
        if let Some(served) = read(config)? {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = served;
        }
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

fn read(config: &TlsConfig) -> Result<Option<Arc<ServerConfig>>, Error> {
    let Some((cert, key)) = config.files() else { return Ok(None) };
    let wrong = |setting, path: &std::path::Path, why: &dyn std::fmt::Display| Error {
        setting,
        path: path.display().to_string(),
        why: why.to_string(),
    };
    let of_cert = |why: &dyn std::fmt::Display| wrong("tls.cert_file", cert, why);
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| of_cert(&e))?;
    if chain.is_empty() {
        return Err(of_cert(&"there is no certificate in it"));
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong("tls.key_file", key, &e))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut served = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| of_cert(&e))?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|e| of_cert(&e))?;
    served.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(served)))
}
