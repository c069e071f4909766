//! Where a connection's values come from, each layer apart, so that [`super::effective`] can say who won.
//!
//! The order is that of the `temporal` CLI (measured on v1.5.1): flags, the TLS variables of its first
//! versions, the environment of its env file, variables, and last the config file's profile. Below the
//! current variables stand those of `tctl` and the documents of old (`TEMPORAL_CLI_*`), which the CLI
//! itself no longer reads. A variable that is set to nothing counts as not set.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use temporalio_common::envconfig::{
    ClientConfigProfile, ConfigError, DataSource, LoadClientConfigProfileOptions,
    load_client_config_profile,
};

use super::{ConnectError, ConnectionArgs};

/// A value that has one name in all sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, clippy::enum_variant_names)] // an API key is a key by name
pub(super) enum Key {
    Address,
    Namespace,
    ApiKey,
    Tls,
    TlsCertPath,
    TlsCertData,
    TlsKeyPath,
    TlsKeyData,
    TlsCaPath,
    TlsCaData,
    TlsServerName,
    TlsDisableHostVerification,
    ClientAuthority,
    Identity,
    CodecEndpoint,
    CodecAuth,
    UiAddress,
    ClientConnectTimeout,
    CommandTimeout,
}

/// A key's names: the flag without its dashes, the variable, the CLI's first variable, and the one of old.
struct Names {
    key: Key,
    flag: &'static str,
    variable: Option<&'static str>,
    first: Option<&'static str>,
    old: Option<&'static str>,
}

const fn names(key: Key, flag: &'static str, variable: Option<&'static str>) -> Names {
    Names {
        key,
        flag,
        variable,
        first: None,
        old: None,
    }
}

impl Names {
    const fn first(mut self, variable: &'static str) -> Self {
        self.first = Some(variable);
        self
    }

    const fn old(mut self, variable: &'static str) -> Self {
        self.old = Some(variable);
        self
    }
}

#[rustfmt::skip] // a table
const NAMES: [Names; 19] = [
    names(Key::Address, "address", Some("TEMPORAL_ADDRESS")).old("TEMPORAL_CLI_ADDRESS"),
    names(Key::Namespace, "namespace", Some("TEMPORAL_NAMESPACE")).old("TEMPORAL_CLI_NAMESPACE"),
    names(Key::ApiKey, "api-key", Some("TEMPORAL_API_KEY")),
    names(Key::Tls, "tls", Some("TEMPORAL_TLS")),
    names(Key::TlsCertPath, "tls-cert-path", Some("TEMPORAL_TLS_CLIENT_CERT_PATH")).first("TEMPORAL_TLS_CERT").old("TEMPORAL_CLI_TLS_CERT"),
    names(Key::TlsCertData, "tls-cert-data", Some("TEMPORAL_TLS_CLIENT_CERT_DATA")).first("TEMPORAL_TLS_CERT_DATA"),
    names(Key::TlsKeyPath, "tls-key-path", Some("TEMPORAL_TLS_CLIENT_KEY_PATH")).first("TEMPORAL_TLS_KEY").old("TEMPORAL_CLI_TLS_KEY"),
    names(Key::TlsKeyData, "tls-key-data", Some("TEMPORAL_TLS_CLIENT_KEY_DATA")).first("TEMPORAL_TLS_KEY_DATA"),
    names(Key::TlsCaPath, "tls-ca-path", Some("TEMPORAL_TLS_SERVER_CA_CERT_PATH")).first("TEMPORAL_TLS_CA").old("TEMPORAL_CLI_TLS_CA"),
    names(Key::TlsCaData, "tls-ca-data", Some("TEMPORAL_TLS_SERVER_CA_CERT_DATA")).first("TEMPORAL_TLS_CA_DATA"),
    names(Key::TlsServerName, "tls-server-name", Some("TEMPORAL_TLS_SERVER_NAME")).old("TEMPORAL_CLI_TLS_SERVER_NAME"),
    names(Key::TlsDisableHostVerification, "tls-disable-host-verification", Some("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION")).old("TEMPORAL_CLI_TLS_DISABLE_HOST_VERIFICATION"),
    names(Key::ClientAuthority, "client-authority", None),
    names(Key::Identity, "identity", None),
    names(Key::CodecEndpoint, "codec-endpoint", Some("TEMPORAL_CODEC_ENDPOINT")).old("TEMPORAL_CLI_CODEC_ENDPOINT"),
    names(Key::CodecAuth, "codec-auth", Some("TEMPORAL_CODEC_AUTH")).old("TEMPORAL_CLI_CODEC_AUTH"),
    names(Key::UiAddress, "ui-address", Some("TEMPORAL_UI_ADDRESS")),
    names(Key::ClientConnectTimeout, "client-connect-timeout", None),
    names(Key::CommandTimeout, "command-timeout", None),
];

/// `tctl`'s authorization header.
const OLD_AUTHORIZATION: &str = "TEMPORAL_CLI_AUTH";
const METADATA: &str = "TEMPORAL_GRPC_META_";

impl Key {
    /// The flag, without its dashes; the env file uses the same names.
    pub(super) fn flag(self) -> &'static str {
        let own = NAMES.iter().find(|names| names.key == self);
        own.map_or("", |names| names.flag)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// An environment of the CLI's env file.
    Environment {
        /// The file.
        file: PathBuf,
        /// The environment in it.
        name: String,
    },
    /// A profile of the config file.
    Profile {
        /// The file.
        file: PathBuf,
        /// The profile in it.
        name: String,
    },
    /// It follows from something else, which is named.
    Follows(&'static str),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Environment { file, name } => {
                write!(f, "environment `{name}` in {}", file.display())
            }
            Self::Profile { file, name } => write!(f, "profile `{name}` in {}", file.display()),
            Self::Follows(from) => f.write_str(from),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// One source.
#[derive(Default)]
pub(super) struct Layer {
    values: BTreeMap<Key, Given>,
    metadata: BTreeMap<String, Given>,
    headers: BTreeMap<String, Given>,
}

/// All sources, the strongest first.
pub(super) struct Sources {
    layers: Vec<Layer>,
    /// What to say about names of old.
    pub(super) hints: Vec<String>,
}

/// The process's environment variables, or a test's.
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(super) fn new(given: Option<&HashMap<String, String>>) -> Self {
        let own = || {
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect()
        };
        Self(given.map_or_else(own, |map| map.clone().into_iter().collect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }
}

impl Sources {
    /// Reads all of them.
    ///
    /// # Errors
    /// A file that was named and is not there, a file that cannot be read, a profile or environment that
    /// was named and is not in it, a pair without `=`.
    pub(super) fn read(
        arguments: &ConnectionArgs,
        variables: Option<&HashMap<String, String>>,
    ) -> Result<Self, ConnectError> {
        let all = Variables::new(variables);
        let none = Variables(BTreeMap::new());
        let said = if arguments.disable_config_env {
            &none
        } else {
            &all
        };
        let mut hints = Vec::new();
        let layers = vec![
            of_flags(arguments)?,
            of_variables(said, |names| names.first),
            of_environment(arguments, said, &all)?,
            with_metadata(of_variables(said, |names| names.variable), said),
            of_old_variables(said, &mut hints),
            of_profile(arguments, said, &all)?,
        ];
        Ok(Self { layers, hints })
    }

    /// The strongest value.
    pub(super) fn get(&self, key: Key) -> Option<&Given> {
        self.layers.iter().find_map(|layer| layer.values.get(&key))
    }

    /// The strongest of two ways to give the same thing: a path or the data itself.
    ///
    /// # Errors
    /// Both in one source.
    pub(super) fn path_or_data(
        &self,
        path: Key,
        data: Key,
    ) -> Result<Option<(Key, &Given)>, ConnectError> {
        for layer in &self.layers {
            match (layer.values.get(&path), layer.values.get(&data)) {
                (Some(first), Some(second)) => {
                    return Err(ConnectError::configuration(format!(
                        "both {} ({}) and {} ({}) are given; drop one",
                        path.flag(),
                        first.origin,
                        data.flag(),
                        second.origin
                    )));
                }
                (Some(given), None) => return Ok(Some((path, given))),
                (None, Some(given)) => return Ok(Some((data, given))),
                (None, None) => {}
            }
        }
        Ok(None)
    }

    /// gRPC metadata: each entry from its strongest source. One that is set to nothing is left out.
    pub(super) fn metadata(&self) -> BTreeMap<String, Given> {
        self.merged(|layer| &layer.metadata)
    }

    /// The codec's headers, likewise.
    pub(super) fn codec_headers(&self) -> BTreeMap<String, Given> {
        self.merged(|layer| &layer.headers)
    }

    fn merged(&self, part: impl Fn(&Layer) -> &BTreeMap<String, Given>) -> BTreeMap<String, Given> {
        let mut merged = BTreeMap::new();
        for layer in self.layers.iter().rev() {
            merged.extend(part(layer).clone());
        }
        merged.retain(|_, given| !given.text.is_empty());
        merged
    }
}

/// gRPC metadata keys are lower case, and variables cannot hold a `-`.
fn metadata_key(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

fn pair(flag: &str, text: &str) -> Result<(String, String), ConnectError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_lowercase(), value.to_owned())),
        _ => Err(ConnectError::configuration(format!(
            "`--{flag}`: expected KEY=VALUE"
        ))),
    }
}

fn of_flags(arguments: &ConnectionArgs) -> Result<Layer, ConnectError> {
    let mut layer = Layer::default();
    let given = |flag: &str, text: String| Given {
        text,
        origin: Origin::Flag(format!("--{flag}")),
    };
    for (key, text) in arguments.values() {
        layer.values.insert(key, given(key.flag(), text));
    }
    for text in &arguments.grpc_meta {
        let (key, value) = pair("grpc-meta", text)?;
        layer.metadata.insert(key, given("grpc-meta", value));
    }
    for text in &arguments.codec_header {
        let (key, value) = pair("codec-header", text.expose())?;
        layer.headers.insert(key, given("codec-header", value));
    }
    Ok(layer)
}

fn of_variables(variables: &Variables, name: impl Fn(&Names) -> Option<&'static str>) -> Layer {
    let mut layer = Layer::default();
    for names in &NAMES {
        let Some(name) = name(names) else { continue };
        if let Some(text) = variables.get(name) {
            let given = Given {
                text: text.to_owned(),
                origin: Origin::Variable(name.to_owned()),
            };
            layer.values.insert(names.key, given);
        }
    }
    layer
}

fn with_metadata(mut layer: Layer, variables: &Variables) -> Layer {
    for (name, value) in &variables.0 {
        if let Some(key) = name.strip_prefix(METADATA) {
            let given = Given {
                text: value.clone(),
                origin: Origin::Variable(name.clone()),
            };
            layer.metadata.insert(metadata_key(key), given);
        }
    }
    layer
}

fn of_old_variables(variables: &Variables, hints: &mut Vec<String>) -> Layer {
    let mut layer = of_variables(variables, |names| names.old);
    for names in &NAMES {
        let (Some(old), Some(now)) = (names.old, names.variable) else {
            continue;
        };
        if variables.get(old).is_some() {
            hints.push(format!("{old} is now called {now}"));
        }
    }
    let Some(header) = variables.get(OLD_AUTHORIZATION) else {
        return layer;
    };
    let origin = Origin::Variable(OLD_AUTHORIZATION.to_owned());
    match header.strip_prefix("Bearer ") {
        Some(key) => {
            let text = key.trim().to_owned();
            layer.values.insert(Key::ApiKey, Given { text, origin });
            hints.push(format!(
                "{OLD_AUTHORIZATION} is now called TEMPORAL_API_KEY, without `Bearer`"
            ));
        }
        None => {
            let text = header.to_owned();
            let given = Given { text, origin };
            layer.metadata.insert("authorization".to_owned(), given);
            hints.push(format!(
                "{OLD_AUTHORIZATION} is now called TEMPORAL_GRPC_META_AUTHORIZATION"
            ));
        }
    }
    layer
}

/// The CLI's env file, as `temporal env set` writes it.
#[derive(Deserialize)]
struct EnvFile {
    #[serde(default)]
    env: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Read as the CLI reads it, also where nobody names it: `default` of the file in the home folder.
fn of_environment(
    arguments: &ConnectionArgs,
    said: &Variables,
    all: &Variables,
) -> Result<Layer, ConnectError> {
    let name = arguments.env.as_deref().or(said.get("TEMPORAL_ENV"));
    let named = name.is_some() || arguments.env_file.is_some();
    if arguments.disable_config_file && !named {
        return Ok(Layer::default());
    }
    let home = || all.get("HOME").map(PathBuf::from);
    let own = || home().map(|home| home.join(".config/temporalio/temporal.yaml"));
    let Some(file) = arguments.env_file.clone().or_else(own) else {
        return Ok(Layer::default());
    };
    let missing = |what: String| {
        ConnectError::configuration(format!(
            "{what}; give --env-file, or use a profile: --profile, --config-file"
        ))
    };
    let Some(text) = read_if_there(&file)? else {
        return if named {
            Err(missing(format!("there is no env file {}", file.display())))
        } else {
            Ok(Layer::default())
        };
    };
    let mut known: EnvFile = serde_saphyr::from_str(&text).map_err(|_| {
        missing(format!(
            "{} is not an env file of the temporal CLI (env: NAME: KEY: VALUE)",
            file.display()
        ))
    })?;
    let wanted = name.unwrap_or("default");
    match known.env.remove(wanted) {
        Some(values) => environment_layer(values, &file, wanted),
        None if name.is_some() => Err(missing(format!(
            "{} has no environment `{wanted}`",
            file.display()
        ))),
        None => Ok(Layer::default()),
    }
}

fn environment_layer(
    values: BTreeMap<String, Value>,
    file: &Path,
    name: &str,
) -> Result<Layer, ConnectError> {
    let mut layer = Layer::default();
    let given = |text: String| Given {
        text,
        origin: Origin::Environment {
            file: file.to_owned(),
            name: name.to_owned(),
        },
    };
    for (option, value) in values {
        let text = match value {
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        let key = NAMES.iter().find(|names| names.flag == option);
        match (key, option.as_str()) {
            (Some(names), _) if !text.is_empty() => {
                layer.values.insert(names.key, given(text));
            }
            (None, "grpc-meta") => {
                let (key, value) = pair(&option, &text)?;
                layer.metadata.insert(key, given(value));
            }
            (None, "codec-header") => {
                let (key, value) = pair(&option, &text)?;
                layer.headers.insert(key, given(value));
            }
            _ => {}
        }
    }
    Ok(layer)
}

fn read_if_there(path: &Path) -> Result<Option<String>, ConnectError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConnectError::configuration(format!(
            "{} cannot be read: {error}",
            path.display()
        ))),
    }
}

fn of_profile(
    arguments: &ConnectionArgs,
    said: &Variables,
    all: &Variables,
) -> Result<Layer, ConnectError> {
    if arguments.disable_config_file {
        return Ok(Layer::default());
    }
    let flag = arguments.config_file.clone();
    let named = flag.or_else(|| said.get("TEMPORAL_CONFIG_FILE").map(PathBuf::from));
    if let Some(path) = &named
        && !path.exists()
    {
        let path = path.display();
        return Err(ConnectError::configuration(format!(
            "there is no config file {path}"
        )));
    }
    let own = || config_folder(all).map(|folder| folder.join("temporalio/temporal.toml"));
    let Some(file) = named.or_else(own) else {
        return Ok(Layer::default());
    };
    let name = arguments
        .profile
        .as_deref()
        .or(said.get("TEMPORAL_PROFILE"));
    let source = DataSource::Path(file.to_string_lossy().into_owned());
    let options = LoadClientConfigProfileOptions::builder()
        .config_source(source)
        .maybe_config_file_profile(name.map(str::to_owned))
        .disable_env(true)
        .build();
    // The loader's own look at the environment would hide where a value came from.
    let profile = load_client_config_profile(options, Some(&HashMap::new()))
        .map_err(|error| config_error(error, &file))?;
    let origin = Origin::Profile {
        file,
        name: name.unwrap_or("default").to_owned(),
    };
    profile_layer(profile, &origin)
}

/// `$XDG_CONFIG_HOME`, else `.config` in the home folder.
fn config_folder(variables: &Variables) -> Option<PathBuf> {
    let own = variables.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(variables.get("HOME")?).join(".config"));
    own.filter(|path| path.is_absolute()).or_else(home)
}

fn profile_layer(profile: ClientConfigProfile, origin: &Origin) -> Result<Layer, ConnectError> {
    let mut layer = Layer::default();
    let given = |text: String| Given {
        text,
        origin: origin.clone(),
    };
    let mut put = |key: Key, text: Option<String>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            layer.values.insert(key, given(text));
        }
    };
    put(Key::Address, profile.address);
    put(Key::Namespace, profile.namespace);
    put(Key::ApiKey, profile.api_key);
    if let Some(codec) = profile.codec {
        put(Key::CodecEndpoint, codec.endpoint);
        put(Key::CodecAuth, codec.auth);
    }
    if let Some(tls) = profile.tls {
        // A `tls` section switches TLS on, also an empty one.
        let on = tls.disabled != Some(true);
        put(Key::Tls, Some(on.to_string()));
        put(Key::TlsServerName, tls.server_name);
        let off = tls.disable_host_verification.then(|| "true".to_owned());
        put(Key::TlsDisableHostVerification, off);
        for (path, data, source) in [
            (Key::TlsCertPath, Key::TlsCertData, tls.client_cert),
            (Key::TlsKeyPath, Key::TlsKeyData, tls.client_key),
            (Key::TlsCaPath, Key::TlsCaData, tls.server_ca_cert),
        ] {
            match source {
                None => {}
                Some(DataSource::Path(text)) => put(path, Some(text)),
                Some(DataSource::Data(bytes)) => put(data, Some(pem(bytes, data)?)),
                Some(_) => return Err(unknown_source()),
            }
        }
    }
    let metadata = profile.grpc_meta.into_iter();
    layer.metadata = metadata
        .map(|(key, value)| (metadata_key(&key), given(value)))
        .collect();
    Ok(layer)
}

fn pem(bytes: Vec<u8>, key: Key) -> Result<String, ConnectError> {
    String::from_utf8(bytes)
        .map_err(|_| ConnectError::configuration(format!("{} is not PEM text", key.flag())))
}

fn unknown_source() -> ConnectError {
    ConnectError::configuration("a TLS option has a source that this tool does not know")
}

fn config_error(error: ConfigError, file: &Path) -> ConnectError {
    let file = file.display();
    match error {
        ConfigError::ProfileNotFound(name) => ConnectError::configuration(format!(
            "there is no profile `{name}` in {file}; `temporal config list` names them"
        )),
        ConfigError::InvalidConfig(reason) => {
            ConnectError::configuration(format!("the config file {file} is not valid: {reason}"))
        }
        ConfigError::LoadError(error) => {
            let said = error.to_string();
            let why = match error.is::<std::io::Error>() {
                true => said,
                false => without_values(&said),
            };
            ConnectError::configuration(format!("the config file {file} cannot be read: {why}"))
        }
    }
}

/// A TOML error without the line that it quotes: that may hold a credential. Its place stays, and what is wrong
/// where that quotes nothing.
fn without_values(error: &str) -> String {
    let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    if !first.starts_with("TOML parse error at") {
        return "it is no config file of the temporal CLI".to_owned();
    }
    let quotes = |line: &str| line.contains(['"', '\'', '`', '|']);
    match lines.next_back().filter(|line| !quotes(line)) {
        Some(what) => format!("{first}: {what}"),
        None => first.to_owned(),
    }
}
