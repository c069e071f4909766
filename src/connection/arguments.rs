//! The connection's flags: those of the `temporal` CLI (v1.5.1), under its names.
//!
//! What they come to, together with variables and files, is decided in [`super::effective`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use super::sources::{Key, Sources};
use super::{ConnectError, Effective, Secret, effective};

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
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls_disable_host_verification: Option<bool>,

    /// Value of the :authority pseudo-header
    #[arg(long, value_name = "NAME")]
    pub client_authority: Option<String>,

    /// gRPC metadata for each call; repeatable [env: TEMPORAL_GRPC_META_NAME]
    #[arg(long, value_name = "KEY=VALUE")]
    pub grpc_meta: Vec<String>,

    /// Remote codec: the URL to which /encode and /decode are added; `{namespace}` is filled in
    /// [env: TEMPORAL_CODEC_ENDPOINT]
    #[arg(long, value_name = "URL")]
    pub codec_endpoint: Option<String>,

    /// Authorization header for the codec [env: TEMPORAL_CODEC_AUTH]
    #[arg(long, value_name = "TEXT")]
    pub codec_auth: Option<Secret>,

    /// HTTP header for the codec; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub codec_header: Vec<Secret>,

    /// Identity of this client in histories and deployments [default: runbook:USER@HOST]
    #[arg(long, value_name = "TEXT")]
    pub identity: Option<String>,

    /// Address of the Web UI, for links to Workflows; known for Temporal Cloud [env: TEMPORAL_UI_ADDRESS]
    #[arg(long, value_name = "URL")]
    pub ui_address: Option<String>,

    /// Profile in the config file [env: TEMPORAL_PROFILE] [default: default]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Config file [env: TEMPORAL_CONFIG_FILE] [default: temporalio/temporal.toml in $XDG_CONFIG_HOME]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Environment in the temporal CLI's env file, where profiles are not used yet
    /// [env: TEMPORAL_ENV] [default: default]
    #[arg(long, value_name = "NAME")]
    pub env: Option<String>,

    /// Env file of the temporal CLI [default: $HOME/.config/temporalio/temporal.yaml]
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,

    /// Read no config file, and the env file only where it is named
    #[arg(long)]
    pub disable_config_file: bool,

    /// Do not read environment variables
    #[arg(long)]
    pub disable_config_env: bool,

    /// How long connecting may take [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub client_connect_timeout: Option<String>,

    /// How long the whole command may take; 0s is no limit [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub command_timeout: Option<String>,
}

fn duration_text(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

/// A duration as the CLI takes it; 0 is allowed.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text
        .parse()
        .map_err(|_| format!("`{text}` is not a duration: expected for example 10s or 1m30s"))?;
    Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())
}

impl ConnectionArgs {
    /// Resolves flags, environment and files, with where each value came from.
    ///
    /// # Errors
    /// Contradictory or unreadable configuration, and a credential that would travel in clear.
    pub fn effective(&self) -> Result<Effective, ConnectError> {
        self.effective_in(None)
    }

    /// As [`Self::effective`], with these variables in place of the process's.
    pub(super) fn effective_in(
        &self,
        variables: Option<&HashMap<String, String>>,
    ) -> Result<Effective, ConnectError> {
        effective::of(&Sources::read(self, variables)?)
    }

    /// The flags that were given and have one value.
    pub(super) fn values(&self) -> Vec<(Key, String)> {
        let text = |value: &Option<String>| value.clone();
        let secret = |value: &Option<Secret>| value.as_ref().map(|it| it.expose().to_owned());
        let switch = |value: Option<bool>| value.map(|it| it.to_string());
        let all = [
            (Key::Address, text(&self.address)),
            (Key::Namespace, text(&self.namespace)),
            (Key::ApiKey, secret(&self.api_key)),
            (Key::Tls, switch(self.tls)),
            (Key::TlsCertPath, text(&self.tls_cert_path)),
            (Key::TlsCertData, text(&self.tls_cert_data)),
            (Key::TlsKeyPath, text(&self.tls_key_path)),
            (Key::TlsKeyData, secret(&self.tls_key_data)),
            (Key::TlsCaPath, text(&self.tls_ca_path)),
            (Key::TlsCaData, text(&self.tls_ca_data)),
            (Key::TlsServerName, text(&self.tls_server_name)),
            (
                Key::TlsDisableHostVerification,
                switch(self.tls_disable_host_verification),
            ),
            (Key::ClientAuthority, text(&self.client_authority)),
            (Key::Identity, text(&self.identity)),
            (Key::CodecEndpoint, text(&self.codec_endpoint)),
            (Key::CodecAuth, secret(&self.codec_auth)),
            (Key::UiAddress, text(&self.ui_address)),
            (
                Key::ClientConnectTimeout,
                text(&self.client_connect_timeout),
            ),
            (Key::CommandTimeout, text(&self.command_timeout)),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
