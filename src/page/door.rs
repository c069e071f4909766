//! Who may come in: one browser, with the token that was printed, and only from this page.
//!
//! The token is in an address, which browsers keep and show: it is good once, and what it is exchanged for is in a
//! cookie that scripts cannot read and other sites' requests do not carry. A site that makes a name of its own
//! resolve to this machine is told apart by the Host header, one that posts a form here by the Origin header.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, Method, StatusCode, header};
use sha2::{Digest, Sha256};

/// Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub(super) struct Door {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// As `Host` names us.
    hosts: Vec<String>,
    cookie: String,
    token: String,
    session: String,
    used: Mutex<bool>,
}

/// Why somebody is not let in.
pub(super) type Refused = (StatusCode, &'static str);

impl Door {
    pub(super) fn new(address: SocketAddr) -> Self {
        let inner = Inner {
            hosts: vec![address.to_string(), format!("localhost:{}", address.port())],
            // Cookies know no ports: two of these must not share one.
            cookie: format!("runbook-{}", address.port()),
            token: secret(),
            session: secret(),
            used: Mutex::new(false),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(super) fn token(&self) -> &str {
        &self.inner.token
    }

    /// Takes the token, once, for a `Set-Cookie`.
    pub(super) fn exchange(&self, token: &str) -> Result<String, Refused> {
        let mut used = self
            .inner
            .used
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *used || !same(token, &self.inner.token) {
            return Err((
                StatusCode::FORBIDDEN,
                "This address has let its browser in already, or never did: start `runbook serve --http` again for another one.\n",
            ));
        }
        *used = true;
        let (cookie, session) = (&self.inner.cookie, &self.inner.session);
        Ok(format!(
            "{cookie}={session}; Path=/; HttpOnly; SameSite=Strict"
        ))
    }

    /// Whether a request is for us and from our own page, whoever sends it.
    pub(super) fn is_ours(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        let host = text(headers, header::HOST.as_str());
        if !host.is_some_and(|host| self.inner.hosts.iter().any(|ours| ours == host)) {
            return Err((
                StatusCode::MISDIRECTED_REQUEST,
                "This is not the host that was asked for.\n",
            ));
        }
        let ours = |origin: &str| {
            let host = origin.strip_prefix("http://");
            host.is_some_and(|host| self.inner.hosts.iter().any(|ours| ours == host))
        };
        let refused = (
            StatusCode::FORBIDDEN,
            "This request comes from another site.\n",
        );
        match text(headers, header::ORIGIN.as_str()) {
            Some(origin) if !ours(origin) => return Err(refused),
            None if *method != Method::GET => return Err(refused),
            _ => {}
        }
        match text(headers, "sec-fetch-site") {
            None | Some("same-origin" | "none") => Ok(()),
            // A link or a bookmark leads here from elsewhere; what it shows still needs the cookie.
            Some(_) if *method == Method::GET && is_navigation(headers) => Ok(()),
            Some(_) => Err(refused),
        }
    }

    /// Whether a request carries the session.
    pub(super) fn knows(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let all = headers.get_all(header::COOKIE).iter();
        let pairs = all.filter_map(|value| value.to_str().ok());
        let known = pairs
            .flat_map(|pairs| pairs.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == self.inner.cookie && same(value, &self.inner.session));
        match known {
            true => Ok(()),
            false => Err((
                StatusCode::FORBIDDEN,
                "Open the address that `runbook serve --http` printed: it lets one browser in.\n",
            )),
        }
    }
}

fn is_navigation(headers: &HeaderMap) -> bool {
    text(headers, "sec-fetch-mode") == Some("navigate")
}

/// A header that is there once, as text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(one), None) => one.to_str().ok(),
        (Some(_), Some(_)) => Some(""),
        (None, _) => None,
    }
}

/// 244 random bits.
fn secret() -> String {
    let half = || uuid::Uuid::new_v4().simple().to_string();
    half() + &half()
}

/// Compares digests: how long that takes says nothing about the secret.
fn same(given: &str, secret: &str) -> bool {
    Sha256::digest(given.as_bytes()) == Sha256::digest(secret.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        Door::new("127.0.0.1:8080".parse().expect("an address"))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_token_is_good_once() {
        let door = door();
        assert!(door.exchange("").is_err());
        let cookie = door.exchange(door.token()).expect("the first");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"));
        assert!(door.exchange(door.token()).is_err());
        let (pair, _) = cookie.split_once(';').expect("attributes");
        assert!(
            door.knows(&headers(&[("cookie", &format!("a=b; {pair}"))]))
                .is_ok()
        );
        for wrong in ["", "runbook-8080=", "runbook-8080=x", "runbook-1=x"] {
            assert!(door.knows(&headers(&[("cookie", wrong)])).is_err());
        }
        assert!(door.knows(&headers(&[])).is_err());
    }

    #[test]
    fn other_names_and_other_sites_are_refused() {
        let door = door();
        let asks = |method: Method, pairs: &[(&'static str, &str)]| {
            door.is_ours(&method, &headers(pairs)).is_ok()
        };
        let ours = ("host", "127.0.0.1:8080");
        let own = ("origin", "http://127.0.0.1:8080");
        assert!(asks(Method::GET, &[ours]));
        assert!(asks(Method::GET, &[("host", "localhost:8080")]));
        assert!(!asks(Method::GET, &[]));
        assert!(!asks(Method::GET, &[("host", "evil.example:8080")]));
        assert!(!asks(Method::GET, &[("host", "127.0.0.1")]));
        assert!(!asks(Method::GET, &[ours, ("host", "evil.example")]));
        assert!(asks(Method::POST, &[ours, own]));
        assert!(!asks(Method::POST, &[ours]));
        assert!(!asks(Method::POST, &[ours, ("origin", "null")]));
        assert!(!asks(
            Method::POST,
            &[ours, ("origin", "http://evil.example")]
        ));
        assert!(!asks(
            Method::GET,
            &[ours, ("origin", "http://localhost:9")]
        ));
        let cross = ("sec-fetch-site", "cross-site");
        assert!(!asks(Method::POST, &[ours, own, cross]));
        assert!(!asks(Method::GET, &[ours, cross]));
        assert!(asks(
            Method::GET,
            &[ours, cross, ("sec-fetch-mode", "navigate")]
        ));
    }
}
