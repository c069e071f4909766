//! Flags, environment variables and config-file profiles of the `temporal` CLI (v1.5.1) → [`Settings`].
//!
//! The order is the CLI's: profile of the file, then environment, then flags. The environment and the
//! file are read by the official loader; what that loader ignores is handled here.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use temporalio_common::envconfig::{
    ClientConfigProfile, ClientConfigTLS, ConfigError, DataSource, LoadClientConfigProfileOptions,
    load_client_config_profile,
};

use super::settings::DEFAULT_ADDRESS;
use super::{ConnectError, Secret, Settings, Tls};

/// The connection to the Temporal service. The names are those of the `temporal` CLI.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Address of the Temporal service, HOST:PORT [env: TEMPORAL_ADDRESS] [default: 127.0.0.1:7233]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,

    /// Namespace [env: TEMPORAL_NAMESPACE] [default: default]
    #[arg(long, short = 'n', value_name = "NAME")]
    pub namespace: Option<String>,

    /// API key; implies TLS. The variable keeps it out of the process list [env: TEMPORAL_API_KEY]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<Secret>,

    /// Use TLS; on by itself where an API key or another TLS option is given [env: TEMPORAL_TLS]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls: Option<bool>,

    /// File with the client's certificate, PEM [env: TEMPORAL_TLS_CLIENT_CERT_PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_cert_data")]
    pub tls_cert_path: Option<String>,

    /// The client's certificate itself, PEM [env: TEMPORAL_TLS_CLIENT_CERT_DATA]
    #[arg(long, value_name = "PEM")]
    pub tls_cert_data: Option<String>,

    /// File with the client's private key, PEM [env: TEMPORAL_TLS_CLIENT_KEY_PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_key_data")]
    pub tls_key_path: Option<String>,

    /// The client's private key itself, PEM [env: TEMPORAL_TLS_CLIENT_KEY_DATA]
    #[arg(long, value_name = "PEM")]
    pub tls_key_data: Option<Secret>,

    /// File with the certificate authority of the server, PEM [env: TEMPORAL_TLS_SERVER_CA_CERT_PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_ca_data")]
    pub tls_ca_path: Option<String>,

    /// The certificate authority of the server itself, PEM [env: TEMPORAL_TLS_SERVER_CA_CERT_DATA]
    #[arg(long, value_name = "PEM")]
    pub tls_ca_data: Option<String>,

    /// Name that the server's certificate must have [env: TEMPORAL_TLS_SERVER_NAME]
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,

    /// Accept any server certificate (insecure) [env: TEMPORAL_TLS_DISABLE_HOST_VERIFICATION]
    #[arg(long)]
    pub tls_disable_host_verification: bool,

    /// Value of the :authority pseudo-header
    #[arg(long, value_name = "NAME")]
    pub client_authority: Option<String>,

    /// gRPC metadata for each call; repeatable [env: TEMPORAL_GRPC_META_NAME]
    #[arg(long, value_name = "KEY=VALUE")]
    pub grpc_meta: Vec<String>,

    /// Identity of this client in histories and deployments [default: runbook:USER@HOST]
    #[arg(long, value_name = "TEXT")]
    pub identity: Option<String>,

    /// Profile in the config file [env: TEMPORAL_PROFILE] [default: default]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Config file [env: TEMPORAL_CONFIG_FILE] [default: temporalio/temporal.toml in $XDG_CONFIG_HOME]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Do not read a config file
    #[arg(long)]
    pub disable_config_file: bool,

    /// Do not read environment variables
    #[arg(long)]
    pub disable_config_env: bool,

    /// How long connecting may take [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub client_connect_timeout: Option<Duration>,

    /// How long the whole command may take; 0s is no limit [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub command_timeout: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text
        .parse()
        .map_err(|_| format!("`{text}` is not a duration: expected for example 10s or 1m30s"))?;
    Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())
}

impl ConnectionArgs {
    /// Resolves flags, environment and config file.
    ///
    /// # Errors
    /// Contradictory or unreadable configuration, an API key that would travel in clear, and a codec,
    /// which this tool does not speak.
    pub fn resolve(&self) -> Result<Settings, ConnectError> {
        self.resolve_in(None)
    }

    /// As [`Self::resolve`], with these variables in place of the process's.
    pub fn resolve_in(
        &self,
        variables: Option<&HashMap<String, String>>,
    ) -> Result<Settings, ConnectError> {
        let profile = self.profile(variables)?;
        if profile
            .codec
            .as_ref()
            .is_some_and(|codec| codec.endpoint.is_some())
        {
            return Err(ConnectError::configuration(
                "a remote codec is configured (TEMPORAL_CODEC_ENDPOINT, or `codec` in the profile), and this tool \
                 does not use one; unset it, or choose a profile without it",
            ));
        }
        let defaults = Settings::default();
        let api_key = self
            .api_key
            .clone()
            .or_else(|| profile.api_key.clone().map(Secret::new))
            .filter(|key| !key.expose().is_empty());
        let settings = Settings {
            namespace: self
                .namespace
                .clone()
                .or_else(|| given(&profile.namespace).map(str::to_owned))
                .unwrap_or(defaults.namespace),
            identity: self.identity.clone().unwrap_or(defaults.identity),
            tls: self.tls_settings(&profile, api_key.is_some(), variables)?,
            api_key,
            authority: self.client_authority.clone(),
            metadata: self.metadata(&profile)?,
            connect_timeout: positive(self.client_connect_timeout)
                .unwrap_or(defaults.connect_timeout),
            command_timeout: positive(self.command_timeout),
            call_timeout: defaults.call_timeout,
            address: defaults.address,
        };
        let address = self
            .address
            .as_deref()
            .or(given(&profile.address))
            .unwrap_or(DEFAULT_ADDRESS);
        settings.with_address(address)
    }

    fn profile(
        &self,
        variables: Option<&HashMap<String, String>>,
    ) -> Result<ClientConfigProfile, ConnectError> {
        if self.disable_config_file && self.disable_config_env {
            return Ok(ClientConfigProfile::default());
        }
        if let Some(path) = &self.config_file
            && !path.exists()
        {
            return Err(ConnectError::configuration(format!(
                "there is no config file {}",
                path.display()
            )));
        }
        let source = self
            .config_file
            .as_ref()
            .map(|path| DataSource::Path(path.to_string_lossy().into_owned()));
        let options = LoadClientConfigProfileOptions::builder()
            .maybe_config_source(source)
            .maybe_config_file_profile(self.profile.clone())
            .disable_file(self.disable_config_file)
            .disable_env(self.disable_config_env)
            .build();
        load_client_config_profile(options, variables).map_err(config_error)
    }

    fn metadata(
        &self,
        profile: &ClientConfigProfile,
    ) -> Result<BTreeMap<String, String>, ConnectError> {
        let mut metadata: BTreeMap<_, _> = profile.grpc_meta.clone().into_iter().collect();
        for pair in &self.grpc_meta {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                ConnectError::configuration(format!("`--grpc-meta {pair}`: expected KEY=VALUE"))
            })?;
            metadata.insert(key.to_lowercase(), value.to_owned());
        }
        Ok(metadata)
    }

    /// TLS is on where anything of it is set, or an API key, unless it is switched off by name.
    fn tls_settings(
        &self,
        profile: &ClientConfigProfile,
        has_key: bool,
        variables: Option<&HashMap<String, String>>,
    ) -> Result<Option<Tls>, ConnectError> {
        let mut config = profile.tls.clone();
        if !self.disable_config_env {
            apply_legacy_variables(&mut config, variables);
        }
        self.apply_tls_flags(&mut config);
        match (self.tls, config) {
            (Some(false), _) => Ok(None),
            (None, Some(config)) if config.disabled == Some(true) => Ok(None),
            (_, Some(config)) => read_tls(config).map(Some),
            (Some(true), None) => Ok(Some(Tls::default())),
            (None, None) => Ok(has_key.then(Tls::default)),
        }
    }

    fn apply_tls_flags(&self, config: &mut Option<ClientConfigTLS>) {
        let path = |path: &Option<String>| path.clone().map(DataSource::Path);
        let data = |text: Option<&str>| text.map(|text| DataSource::Data(text.as_bytes().to_vec()));
        let cert = path(&self.tls_cert_path).or_else(|| data(self.tls_cert_data.as_deref()));
        let key = path(&self.tls_key_path)
            .or_else(|| data(self.tls_key_data.as_ref().map(Secret::expose)));
        let ca = path(&self.tls_ca_path).or_else(|| data(self.tls_ca_data.as_deref()));
        let given = cert.is_some()
            || key.is_some()
            || ca.is_some()
            || self.tls_server_name.is_some()
            || self.tls_disable_host_verification;
        if !given {
            return;
        }
        let config = config.get_or_insert_default();
        replace(&mut config.client_cert, cert);
        replace(&mut config.client_key, key);
        replace(&mut config.server_ca_cert, ca);
        replace(&mut config.server_name, self.tls_server_name.clone());
        config.disable_host_verification |= self.tls_disable_host_verification;
    }
}

/// A variable that is set to nothing counts as not set.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn replace<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

fn positive(duration: Option<Duration>) -> Option<Duration> {
    duration.filter(|duration| !duration.is_zero())
}

/// The names that the CLI read before v1.5; like the CLI, they override the profile.
fn apply_legacy_variables(
    config: &mut Option<ClientConfigTLS>,
    variables: Option<&HashMap<String, String>>,
) {
    let get = |name: &str| match variables {
        Some(map) => map.get(name).cloned(),
        None => std::env::var(name).ok(),
    };
    let source = |name: &str| {
        let path = get(name)
            .filter(|text| !text.is_empty())
            .map(DataSource::Path);
        let data = get(&format!("{name}_DATA")).filter(|text| !text.is_empty());
        path.or_else(|| data.map(|text| DataSource::Data(text.into_bytes())))
    };
    let sources = [
        source("TEMPORAL_TLS_CERT"),
        source("TEMPORAL_TLS_KEY"),
        source("TEMPORAL_TLS_CA"),
    ];
    if sources.iter().all(Option::is_none) {
        return;
    }
    let config = config.get_or_insert_default();
    let [cert, key, ca] = sources;
    replace(&mut config.client_cert, cert);
    replace(&mut config.client_key, key);
    replace(&mut config.server_ca_cert, ca);
}

fn read_tls(config: ClientConfigTLS) -> Result<Tls, ConnectError> {
    let client = match (config.client_cert, config.client_key) {
        (Some(cert), Some(key)) => {
            let key = String::from_utf8(read(key)?).map_err(|_| {
                ConnectError::configuration("the client's private key is not PEM text")
            })?;
            Some((read(cert)?, Secret::new(key)))
        }
        (None, None) => None,
        (Some(_), None) => return Err(incomplete("certificate", "private key", "--tls-key-path")),
        (None, Some(_)) => return Err(incomplete("private key", "certificate", "--tls-cert-path")),
    };
    Ok(Tls {
        server_ca: config.server_ca_cert.map(read).transpose()?,
        client,
        server_name: config.server_name.filter(|name| !name.is_empty()),
        disable_host_verification: config.disable_host_verification,
    })
}

fn incomplete(has: &str, lacks: &str, flag: &str) -> ConnectError {
    ConnectError::configuration(format!(
        "a client {has} is given without its {lacks}: give {flag} too"
    ))
}

fn read(source: DataSource) -> Result<Vec<u8>, ConnectError> {
    match source {
        DataSource::Path(path) => std::fs::read(&path).map_err(|error| {
            ConnectError::configuration(format!("cannot read the TLS file {path}: {error}"))
        }),
        DataSource::Data(data) => Ok(data),
        _ => Err(ConnectError::configuration(
            "a TLS option has a source that this tool does not know",
        )),
    }
}

fn config_error(error: ConfigError) -> ConnectError {
    match error {
        ConfigError::ProfileNotFound(name) => ConnectError::configuration(format!(
            "there is no profile `{name}` in the config file; `temporal config list` names them"
        )),
        ConfigError::InvalidConfig(reason) => ConnectError::configuration(reason),
        ConfigError::LoadError(error) => {
            ConnectError::configuration(format!("the config file cannot be read: {error}"))
        }
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
