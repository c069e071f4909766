//! Sources → [`Settings`], and for each value what it is and where it came from; secrets are named and
//! never shown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::arguments::duration;
use super::settings::{CodecSettings, DEFAULT_ADDRESS, names_a_credential};
use super::sources::{Given, Key, Origin, Sources};
use super::{ConnectError, Secret, Settings, Tls};

/// Where the Web UI of Temporal Cloud is, whatever the address of the namespace.
const CLOUD_UI: &str = "https://cloud.temporal.io";
/// The hosts of Temporal Cloud: namespace endpoints, and regional endpoints for API keys.
const CLOUD_HOSTS: [&str; 2] = [".tmprl.cloud", ".api.temporal.io"];
const HIDDEN: &str = "set (hidden)";

/// What the sources come to.
#[derive(Clone, Debug)]
pub struct Effective {
    /// For the connection.
    pub settings: Settings,
    /// For a person, in the order of the flags.
    pub values: Vec<EffectiveValue>,
    /// Names of old that were used, and what they are called now.
    pub hints: Vec<String>,
}

/// One value of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveValue {
    /// The flag, without its dashes.
    pub name: String,
    /// The value, or `set (hidden)`; none where it is not set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// Resolves the sources.
///
/// # Errors
/// Contradictions, files that cannot be read, and a credential that would travel in clear.
pub(super) fn of(sources: &Sources) -> Result<Effective, ConnectError> {
    let defaults = Settings::default();
    let mut show = Show::default();
    let address = show.text(sources, Key::Address, Some(DEFAULT_ADDRESS));
    let namespace = show.text(sources, Key::Namespace, Some(&defaults.namespace));
    if namespace.as_deref() == Some("") {
        return Err(ConnectError::configuration("the namespace is empty"));
    }
    let namespace = namespace.unwrap_or(defaults.namespace);
    let api_key = show.secret(sources, Key::ApiKey);
    let tls = tls(sources, api_key.is_some(), &mut show)?;
    let authority = show.text(sources, Key::ClientAuthority, None);
    let identity = show.text(sources, Key::Identity, Some(&defaults.identity));
    let metadata = show.pairs("grpc-meta", sources.metadata());
    let codec = codec(sources, &namespace, &mut show)?;
    let connect_timeout =
        show.duration(sources, Key::ClientConnectTimeout, defaults.connect_timeout)?;
    let command_timeout = show.duration(sources, Key::CommandTimeout, Duration::ZERO)?;
    let settings = Settings {
        namespace,
        identity: identity.unwrap_or(defaults.identity),
        api_key,
        tls,
        authority,
        metadata,
        codec,
        connect_timeout: positive(connect_timeout).unwrap_or(defaults.connect_timeout),
        command_timeout: positive(command_timeout),
        ..Settings::default()
    };
    let mut settings = settings.with_address(address.as_deref().unwrap_or(DEFAULT_ADDRESS))?;
    settings.ui = ui(sources, &settings.address, &mut show)?;
    show.tls_by_address(&settings);
    Ok(Effective {
        settings,
        values: show.values,
        hints: sources.hints.clone(),
    })
}

fn positive(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

/// Collects the values for a person while they are taken.
#[derive(Default)]
struct Show {
    values: Vec<EffectiveValue>,
}

impl Show {
    fn add(&mut self, name: impl Into<String>, value: Option<String>, origin: Origin) {
        let name = name.into();
        self.values.push(EffectiveValue {
            name,
            value,
            origin,
        });
    }

    fn text(&mut self, sources: &Sources, key: Key, default: Option<&str>) -> Option<String> {
        let given = sources.get(key);
        let value = given
            .map(|given| given.text.clone())
            .or(default.map(str::to_owned));
        self.add(key.flag(), value.clone(), origin(given));
        value
    }

    /// A credential; one that is empty is none.
    fn secret(&mut self, sources: &Sources, key: Key) -> Option<Secret> {
        let given = sources.get(key).filter(|given| !given.text.is_empty());
        let shown = given.map(|_| HIDDEN.to_owned());
        self.add(key.flag(), shown, origin(given));
        given.map(|given| Secret::new(given.text.as_str()))
    }

    fn duration(
        &mut self,
        sources: &Sources,
        key: Key,
        default: Duration,
    ) -> Result<Duration, ConnectError> {
        let given = sources.get(key);
        let shown = given.map_or_else(|| format!("{}s", default.as_secs()), |it| it.text.clone());
        self.add(key.flag(), Some(shown), origin(given));
        given.map_or(Ok(default), |given| {
            duration(&given.text)
                .map_err(|why| ConnectError::configuration(format!("{}: {why}", given.origin)))
        })
    }

    /// Pairs; a value whose name speaks of a credential is hidden.
    fn pairs(&mut self, flag: &str, pairs: BTreeMap<String, Given>) -> BTreeMap<String, String> {
        let mut taken = BTreeMap::new();
        for (key, given) in pairs {
            let hidden = names_a_credential(&key);
            let shown = if hidden { HIDDEN } else { given.text.as_str() };
            self.add(
                format!("{flag} {key}"),
                Some(shown.to_owned()),
                given.origin,
            );
            taken.insert(key, given.text);
        }
        taken
    }

    /// `https://` in the address switches TLS on by itself.
    fn tls_by_address(&mut self, settings: &Settings) {
        let off = |value: &&mut EffectiveValue| {
            value.name == Key::Tls.flag() && value.value.as_deref() == Some("false")
        };
        if let Some(value) = self.values.iter_mut().find(off)
            && settings.tls.is_some()
        {
            value.value = Some("true".to_owned());
            value.origin = Origin::Follows("from the address, https://");
        }
        if let Some(address) = self.values.first_mut() {
            address.value = Some(settings.address.clone());
        }
    }
}

fn origin(given: Option<&Given>) -> Origin {
    given.map_or(Origin::Default, |given| given.origin.clone())
}

fn switch(sources: &Sources, key: Key) -> Result<Option<bool>, ConnectError> {
    let Some(given) = sources.get(key) else {
        return Ok(None);
    };
    match given.text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Ok(Some(true)),
        "false" | "f" | "0" => Ok(Some(false)),
        other => Err(ConnectError::configuration(format!(
            "{}: `{other}` is neither true nor false",
            given.origin
        ))),
    }
}

/// TLS is on where anything of it is set, or an API key, unless it is switched off by name.
fn tls(sources: &Sources, has_key: bool, show: &mut Show) -> Result<Option<Tls>, ConnectError> {
    let certificate = sources.path_or_data(Key::TlsCertPath, Key::TlsCertData)?;
    let key = sources.path_or_data(Key::TlsKeyPath, Key::TlsKeyData)?;
    let authority = sources.path_or_data(Key::TlsCaPath, Key::TlsCaData)?;
    let name = sources.get(Key::TlsServerName);
    let any = switch(sources, Key::TlsDisableHostVerification)?;
    let detailed = [certificate, key, authority].iter().any(Option::is_some)
        || name.is_some()
        || any.is_some();
    let said = switch(sources, Key::Tls)?;
    let on = said.unwrap_or(detailed || has_key);
    let follows = match (said, detailed, has_key) {
        (Some(_), ..) => origin(sources.get(Key::Tls)),
        (None, true, _) => Origin::Follows("from the TLS options"),
        (None, false, true) => Origin::Follows("from the API key"),
        (None, false, false) => Origin::Default,
    };
    show.add(Key::Tls.flag(), Some(on.to_string()), follows);
    for (flag, given) in [
        ("tls-cert-path", certificate),
        ("tls-key-path", key),
        ("tls-ca-path", authority),
    ] {
        show_pem(flag, given, show);
    }
    let name = show.text(sources, Key::TlsServerName, None);
    let shown = any.unwrap_or(false).to_string();
    let flag = Key::TlsDisableHostVerification;
    show.add(flag.flag(), Some(shown), origin(sources.get(flag)));
    if !on {
        return Ok(None);
    }
    Ok(Some(Tls {
        server_ca: authority.map(read).transpose()?,
        client: client(certificate, key)?,
        server_name: name,
        disable_host_verification: any.unwrap_or(false),
    }))
}

type Source<'a> = Option<(Key, &'a Given)>;

/// A path is shown, and data is not: it may be a key.
fn show_pem(flag: &str, given: Source<'_>, show: &mut Show) {
    match given {
        None => show.add(flag, None, Origin::Default),
        Some((key, given)) => {
            let is_path = matches!(key, Key::TlsCertPath | Key::TlsKeyPath | Key::TlsCaPath);
            let shown = if is_path { given.text.as_str() } else { HIDDEN };
            show.add(key.flag(), Some(shown.to_owned()), given.origin.clone());
        }
    }
}

fn client(
    certificate: Source<'_>,
    key: Source<'_>,
) -> Result<Option<(Vec<u8>, Secret)>, ConnectError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let key = String::from_utf8(read(key)?).map_err(|_| {
                ConnectError::configuration("the client's private key is not PEM text")
            })?;
            Ok(Some((read(certificate)?, Secret::new(key))))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(incomplete("certificate", "private key", "--tls-key-path")),
        (None, Some(_)) => Err(incomplete("private key", "certificate", "--tls-cert-path")),
    }
}

fn incomplete(has: &str, lacks: &str, flag: &str) -> ConnectError {
    ConnectError::configuration(format!(
        "a client {has} is given without its {lacks}: give {flag} too"
    ))
}

fn read((key, given): (Key, &Given)) -> Result<Vec<u8>, ConnectError> {
    match key {
        Key::TlsCertPath | Key::TlsKeyPath | Key::TlsCaPath => {
            std::fs::read(&given.text).map_err(|error| {
                ConnectError::configuration(format!(
                    "cannot read the TLS file {} ({}): {error}",
                    given.text, given.origin
                ))
            })
        }
        _ => Ok(given.text.clone().into_bytes()),
    }
}

fn codec(
    sources: &Sources,
    namespace: &str,
    show: &mut Show,
) -> Result<Option<CodecSettings>, ConnectError> {
    let endpoint = show.text(sources, Key::CodecEndpoint, None);
    let auth = show.secret(sources, Key::CodecAuth);
    let headers = show.pairs("codec-header", sources.codec_headers());
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)))
        .collect();
    match endpoint.filter(|endpoint| !endpoint.is_empty()) {
        Some(endpoint) => CodecSettings::new(&endpoint, auth, headers, namespace).map(Some),
        None => Ok(None),
    }
}

/// The Web UI's address, where it is known: said, or Temporal Cloud's. Never guessed.
fn ui(sources: &Sources, address: &str, show: &mut Show) -> Result<Option<String>, ConnectError> {
    let flag = Key::UiAddress.flag();
    if let Some(given) = sources.get(Key::UiAddress).filter(|it| !it.text.is_empty()) {
        let text = given.text.trim_end_matches('/').to_owned();
        let known = text.parse::<reqwest::Url>().is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
        });
        if !known {
            return Err(ConnectError::configuration(format!(
                "`{text}` ({}) is not the address of a Web UI: expected for example http://127.0.0.1:8233",
                given.origin
            )));
        }
        show.add(flag, Some(text.clone()), given.origin.clone());
        return Ok(Some(text));
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let cloud = CLOUD_HOSTS.iter().any(|suffix| host.ends_with(suffix));
    let known = cloud.then(|| CLOUD_UI.to_owned());
    let origin = if cloud {
        Origin::Follows("of Temporal Cloud")
    } else {
        Origin::Default
    };
    show.add(flag, known.clone(), origin);
    Ok(known)
}
