//! Who calls: the account at the other end of a Unix socket, or the person that a verified client certificate names.
//!
//! What a request says about itself is never believed, with one exception: `serve` answers for whom it authenticated
//! itself, and says so to the run's own socket. Whoever reaches that socket is the account that runs the run, and could
//! write its journal: the exception gives them nothing that they do not have.

use jiff::Timestamp;
use tonic::metadata::MetadataValue;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo, UdsConnectInfo};
use tonic::{Request, Status};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::journal::{self, Holder};
use crate::record::{Through, Witness};

/// Whom `serve` answers for, as JSON.
const ON_BEHALF: &str = "runbook-witness-bin";

/// The longest name that is taken, in bytes.
const LONGEST: usize = 256;

const NAMELESS: &str = "the client certificate names nobody: it needs an e-mail address, a URI, a common name or a DNS name";
const EXPIRED: &str = "the client certificate is not valid any more: connect with a new one";

/// Who sent a request.
///
/// # Errors
/// UNAUTHENTICATED where nothing says it.
pub(super) fn witness<T>(request: &Request<T>) -> Result<Witness, Status> {
    let forwarded = request.metadata().get_bin(ON_BEHALF);
    if let Some(peer) = request.extensions().get::<UdsConnectInfo>() {
        let uid = peer.peer_cred.map(|peer| peer.uid());
        return match (forwarded, uid) {
            (Some(value), _) => on_behalf(value),
            (None, Some(uid)) => Ok(journal::peer(uid)),
            (None, None) => Err(Status::unauthenticated("the kernel does not say who calls")),
        };
    }
    if forwarded.is_some() {
        let message = "nobody answers for somebody else over TCP";
        return Err(Status::permission_denied(message));
    }
    let tls = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let from = tls.and_then(|tls| tls.get_ref().remote_addr());
    let certificates = request.peer_certs();
    let certificate = certificates.as_ref().and_then(|all| all.first());
    let name = match certificate {
        Some(certificate) => person(certificate.as_ref(), Timestamp::now()),
        None => Err(NAMELESS),
    };
    let name = name.map_err(Status::unauthenticated)?;
    Ok(Witness {
        name,
        from: from.map(|from| from.to_string()).unwrap_or_default(),
        through: Through::Tls,
    })
}

/// This account, on this machine.
pub fn local(through: Through) -> Witness {
    Holder::here().witness(through)
}

fn on_behalf(value: &MetadataValue<tonic::metadata::Binary>) -> Result<Witness, Status> {
    let bytes = value.to_bytes().unwrap_or_default();
    serde_json::from_slice(&bytes)
        .map_err(|error| Status::invalid_argument(format!("{ON_BEHALF} cannot be read: {error}")))
}

/// Says whom a request is sent for.
pub(super) fn send_for<T>(request: &mut Request<T>, witness: &Witness) {
    let bytes = serde_json::to_vec(witness).unwrap_or_default();
    let value = MetadataValue::from_bytes(&bytes);
    request.metadata_mut().insert_bin(ON_BEHALF, value);
}

/// Whom a certificate names that is valid now: a connection, or a session that is taken up again, may outlive it.
fn person(der: &[u8], now: Timestamp) -> Result<String, &'static str> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| NAMELESS)?;
    let now = ASN1Time::from_timestamp(now.as_second()).map_err(|_| EXPIRED)?;
    if !certificate.validity().is_valid_at(now) {
        return Err(EXPIRED);
    }
    name_in(&certificate).ok_or(NAMELESS)
}

/// Whom a certificate names: an e-mail address, else a URI (as SPIFFE has it), else the common name, else a DNS name.
/// Nothing that cannot be shown on one line is a name.
fn name_in(certificate: &X509Certificate<'_>) -> Option<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.map(|names| names.value.general_names.as_slice());
    let first = |pick: fn(&GeneralName<'_>) -> Option<String>| names?.iter().find_map(pick);
    let common = || {
        let mut names = certificate.subject().iter_common_name();
        names.find_map(|name| name.as_str().ok().map(str::to_owned))
    };
    first(|name| match name {
        GeneralName::RFC822Name(name) => Some((*name).to_owned()),
        _ => None,
    })
    .or_else(|| {
        first(|name| match name {
            GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
    })
    .or_else(common)
    .or_else(|| {
        first(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
    })
    .filter(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= LONGEST && !name.chars().any(crate::report::is_harmful)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn named(common: &str, names: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !common.is_empty() {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        person(certificate.der(), Timestamp::now()).ok()
    }

    #[test]
    fn a_certificate_is_good_for_its_time_however_long_the_connection_lasts() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "bob");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 2);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let on = |day: &str| person(certificate.der(), day.parse().expect("a time"));
        assert!(on("2026-01-01T12:00:00Z").is_ok());
        for day in ["2025-12-31T23:59:59Z", "2026-01-02T00:00:01Z"] {
            assert_eq!(on(day), Err(EXPIRED), "{day}");
        }
    }

    #[test]
    fn a_certificate_names_a_person_by_the_surest_of_its_names() {
        let mail = || SanType::Rfc822Name("bob@example.com".try_into().expect("a name"));
        let uri = || SanType::URI("spiffe://example.com/bob".try_into().expect("a name"));
        let host = || SanType::DnsName("bob.example.com".try_into().expect("a name"));
        let is = |name: &str| Some(name.to_owned());
        assert_eq!(
            named("bob", vec![host(), uri(), mail()]),
            is("bob@example.com")
        );
        assert_eq!(
            named("bob", vec![host(), uri()]),
            is("spiffe://example.com/bob")
        );
        assert_eq!(named("bob", vec![host()]), is("bob"));
        assert_eq!(named("", vec![host()]), is("bob.example.com"));
        assert_eq!(named("", vec![]), None);
        assert_eq!(named("bob\u{1b}[2J", vec![]), None);
        assert_eq!(named(&"b".repeat(300), vec![]), None);
        assert_eq!(person(b"no certificate", Timestamp::now()), Err(NAMELESS));
    }
}
