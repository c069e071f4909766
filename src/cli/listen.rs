//! The flags that serve a run to others, and those that reach one.

use std::path::PathBuf;

use clap::Args;
use tonic::{Code, Status};

use super::Exit;
use crate::api::client::{ClientFiles, Target, words};
use crate::api::{Address, Bound, Listen, ServerFiles, usual_path};
use crate::ui::Ui;

/// What `--listen` alone means: a Unix socket in its usual place.
const USUAL: &str = "unix";

/// Where others look on and answer.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "For others to look on and answer")]
pub struct ListenFlags {
    /// Let others watch and answer: unix:PATH, or HOST:PORT with the three files below; alone, a Unix socket that only
    /// you can reach
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = USUAL,
        env = "RUNBOOK_LISTEN"
    )]
    pub listen: Option<String>,
    /// File with the server's certificate, PEM
    #[arg(long, value_name = "FILE", env = "RUNBOOK_LISTEN_TLS_CERT")]
    pub listen_tls_cert: Option<PathBuf>,
    /// File with the server's private key, PEM
    #[arg(long, value_name = "FILE", env = "RUNBOOK_LISTEN_TLS_KEY")]
    pub listen_tls_key: Option<PathBuf>,
    /// File with the authority that signs the certificates of those who may look on and answer, PEM
    #[arg(long, value_name = "FILE", env = "RUNBOOK_LISTEN_TLS_CLIENT_CA")]
    pub listen_tls_client_ca: Option<PathBuf>,
}

impl ListenFlags {
    /// Binds where the flags say, if they do; `name` is the usual socket's.
    ///
    /// # Errors
    /// [`Exit::Invalid`], with everything said.
    pub fn bind(&self, name: &str, ui: &Ui) -> Result<Option<Bound>, Exit> {
        match self.listen.as_deref() {
            None | Some("") => Ok(None),
            Some(wanted) => self.bind_to(wanted, name, ui).map(Some),
        }
    }

    /// As [`ListenFlags::bind`]; without the flag, the usual socket.
    ///
    /// # Errors
    /// [`Exit::Invalid`], with everything said.
    pub fn bind_anyway(&self, name: &str, ui: &Ui) -> Result<Bound, Exit> {
        let wanted = self.listen.as_deref().filter(|wanted| !wanted.is_empty());
        self.bind_to(wanted.unwrap_or(USUAL), name, ui)
    }

    fn bind_to(&self, wanted: &str, name: &str, ui: &Ui) -> Result<Bound, Exit> {
        self.listen_to(wanted, name)
            .and_then(|listen| Bound::to(&listen))
            .map_err(|why| {
                ui.error(&format!("--listen: {why}"), None);
                Exit::Invalid
            })
    }

    fn listen_to(&self, wanted: &str, name: &str) -> Result<Listen, String> {
        let address = match wanted {
            USUAL => Address::Unix(usual_path(name)?),
            wanted => wanted.parse()?,
        };
        let files = (
            &self.listen_tls_cert,
            &self.listen_tls_key,
            &self.listen_tls_client_ca,
        );
        let tls = match files {
            (Some(certificate), Some(key), Some(client_ca)) => Some(ServerFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: client_ca.clone(),
            }),
            (None, None, None) => None,
            _ => {
                return Err(
                    "--listen-tls-cert, --listen-tls-key and --listen-tls-client-ca go together"
                        .to_owned(),
                );
            }
        };
        Ok(Listen { address, tls })
    }
}

/// Where a run is reached that is served elsewhere.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "The server")]
pub struct ConnectFlags {
    /// Where the run is served: unix:PATH, or HOST:PORT with a certificate of yours; else it is found by its state file
    #[arg(long, value_name = "ADDRESS", env = "RUNBOOK_CONNECT")]
    pub connect: Option<String>,
    /// File with your certificate, PEM: it says who you are
    #[arg(long, value_name = "FILE", env = "RUNBOOK_CONNECT_TLS_CERT")]
    pub connect_tls_cert: Option<PathBuf>,
    /// File with your private key, PEM
    #[arg(long, value_name = "FILE", env = "RUNBOOK_CONNECT_TLS_KEY")]
    pub connect_tls_key: Option<PathBuf>,
    /// File with the authority of the server, PEM; else those that this machine knows
    #[arg(long, value_name = "FILE", env = "RUNBOOK_CONNECT_TLS_CA")]
    pub connect_tls_ca: Option<PathBuf>,
    /// Name that the server's certificate must have, where that is not the host's
    #[arg(long, value_name = "NAME", env = "RUNBOOK_CONNECT_TLS_SERVER_NAME")]
    pub connect_tls_server_name: Option<String>,
}

impl ConnectFlags {
    /// Whom to call; none where the flags do not say.
    ///
    /// # Errors
    /// [`Exit::Invalid`], with everything said.
    pub fn target(&self, ui: &Ui) -> Result<Option<Target>, Exit> {
        self.read().map_err(|why| {
            ui.error(&format!("--connect: {why}"), None);
            Exit::Invalid
        })
    }

    fn read(&self) -> Result<Option<Target>, String> {
        let Some(wanted) = self.connect.as_deref().filter(|wanted| !wanted.is_empty()) else {
            return Ok(None);
        };
        let address = match wanted {
            USUAL => Address::Unix(usual_path("serve")?),
            wanted => wanted.parse()?,
        };
        let tls = match (&self.connect_tls_cert, &self.connect_tls_key) {
            (Some(certificate), Some(key)) => Some(ClientFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                server_ca: self.connect_tls_ca.clone(),
                server_name: self.connect_tls_server_name.clone(),
            }),
            (None, None) => None,
            _ => return Err("--connect-tls-cert and --connect-tls-key go together".to_owned()),
        };
        Ok(Some(Target { address, tls }))
    }
}

/// Says what a server refused, and gives the exit code that follows.
pub fn told(status: &Status, ui: &Ui) -> Exit {
    let broken = matches!(
        status.code(),
        Code::Unknown | Code::Unavailable | Code::Cancelled
    );
    let hint = "over TCP: is your certificate of the authority that the server wants, and has it not expired?";
    ui.error(&words(status), Some(hint).filter(|_| broken));
    match status.code() {
        Code::NotFound | Code::InvalidArgument => Exit::Invalid,
        Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::DataLoss => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// Goes on where data could be printed.
///
/// # Errors
/// [`Exit::Failed`], with what is wrong said.
pub fn printed(result: std::io::Result<()>, ui: &Ui) -> Result<(), Exit> {
    result.map_err(|error| {
        ui.error(&format!("cannot write to stdout: {error}"), None);
        Exit::Failed
    })
}
