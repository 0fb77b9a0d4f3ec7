//! TLS on both sides: the certificate that clients see, and what is believed of backends.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{BackendTls, ClientTls};
use crate::error::GateError;

fn wrong(what: &str, source: impl std::fmt::Display) -> GateError {
    GateError::Tls { what: what.to_owned(), why: source.to_string() }
}

/// What takes clients' TLS, if any is offered.
pub(crate) fn acceptor(settings: &ClientTls) -> Result<Option<TlsAcceptor>, GateError> {
    let (chain, key) = match settings {
        ClientTls::Off => return Ok(None),
        ClientTls::SelfMade => {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "piton-gate".to_owned()])
                .map_err(|error| wrong("make a certificate", error))?;
            let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
            (vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
        }
        ClientTls::Files { certificates, key } => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("read the private key", error))?;
            (chain(certificates)?, key)
        }
    };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("set up TLS for clients", error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong("use the certificate", error))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, GateError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong("read the certificates", error))
}

/// What encrypts the way to a backend, if anything does.
pub(crate) fn connector(settings: &BackendTls) -> Result<Option<TlsConnector>, GateError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("set up TLS for a backend", error))?;
    let config = match settings {
        BackendTls::Off => return Ok(None),
        BackendTls::Unverified => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth()
        }
        BackendTls::Verified(authorities) => {
            let mut roots = RootCertStore::empty();
            for certificate in chain(authorities)? {
                roots.add(certificate).map_err(|error| wrong("use the authorities", error))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

/// Believes every certificate, but still checks that whoever shows it has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
