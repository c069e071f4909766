//! `runbook connection`: the connection's effective values and where each came from, and whether they
//! work.
//!
//! Reads only: the connection that it opens lets no write through. Secrets are named and never shown.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::session;
use super::{Exit, Output};
use crate::connection::{
    Access, Codec, CodecError, ConnectError, ConnectProblem, Connection, ConnectionArgs, Effective,
    Settings,
};
use crate::payload;
use crate::report::write_json;
use crate::run::Interrupts;
use crate::survey::Preflight;
use crate::temporal::{CallError, Cause, Temporal};
use crate::ui::{Align, Style, Table, Text, Tone, Ui, count};

/// A service that answers at all answers a read within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many small calls are measured.
const PINGS: u32 = 5;

/// Show the connection's values and where each came from, and test them
#[derive(Debug, Args)]
pub struct Arguments {
    /// Show the values only: call nothing
    #[arg(long, visible_alias = "offline")]
    pub no_test: bool,
    /// The service
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// What is printed. Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct ConnectionReport {
    /// The values, in the order of the flags.
    pub values: Vec<Value>,
    /// What was tested; empty where nothing was called.
    pub checks: Vec<Check>,
    /// Whether no check failed.
    pub ok: bool,
}

/// One value.
#[derive(Debug, Serialize)]
pub struct Value {
    /// The flag, without its dashes.
    pub name: String,
    /// The value, or that it is set; none where it is not set.
    pub value: Option<String>,
    /// Where it came from.
    pub source: String,
}

/// One test.
#[derive(Debug, Serialize)]
pub struct Check {
    /// `network`, `tls`, `credentials`, `server`, `namespace`, `latency` or `codec`.
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It works.
    Ok,
    /// It works, and something about it is worth a look.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be tested, because something before it failed.
    NotTested,
}

impl Check {
    fn new(name: &'static str, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            name,
            outcome,
            detail: detail.into(),
            hint: None,
        }
    }

    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, detail)
    }

    fn failed(name: &'static str, detail: impl Into<String>, hint: &str) -> Self {
        Self {
            hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
            ..Self::new(name, Outcome::Failed, detail)
        }
    }

    fn not_tested(name: &'static str) -> Self {
        Self::new(name, Outcome::NotTested, "not tested")
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        connection(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

async fn connection(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let effective = session::effective(&arguments.connection, ui)?;
    let checks = if arguments.no_test {
        Vec::new()
    } else {
        let limit = effective.settings.command_timeout;
        let testing = async { Ok(test(&effective.settings).await) };
        session::unless_interrupted(&mut interrupts, limit, ui, testing).await?
    };
    let report = ConnectionReport::new(effective, checks);
    let printed = match output {
        Output::Text => ui.data(&report.text(ui.out_style())),
        Output::Json => ui.write_data(|out| {
            write_json(&report, true, out)?;
            out.write_all(b"\n")
        }),
    };
    Ok(match session::printed(printed, ui) {
        Exit::Done if !report.ok => Exit::Failed,
        exit => exit,
    })
}

/// Network, TLS, credentials, server, namespace, latency and codec, in the order in which they depend on
/// each other.
pub async fn test(settings: &Settings) -> Vec<Check> {
    let started = Instant::now();
    let mut checks = match Connection::open(settings, Access::ReadOnly).await {
        Ok(connection) => {
            let took = milliseconds(started.elapsed());
            let network = format!("{} answers ({took} to connect)", settings.address);
            let temporal = Temporal::new(connection).with_patience(PATIENCE);
            let mut checks = vec![Check::ok("network", network), tls(settings)];
            checks.extend(service(&temporal, settings).await);
            checks
        }
        Err(error) => not_opened(settings, &error),
    };
    checks.push(codec(settings).await);
    checks
}

/// The credentials that are given; empty for none.
fn credentials(settings: &Settings) -> String {
    let certificate = settings
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client.is_some());
    let given = [
        (settings.api_key.is_some(), "API key"),
        (certificate, "client certificate"),
        (
            settings.metadata.contains_key("authorization"),
            "authorization header",
        ),
    ];
    let names: Vec<&str> = given
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| *name)
        .collect();
    names.join(" and ")
}

fn tls(settings: &Settings) -> Check {
    match &settings.tls {
        None => Check::ok("tls", "off"),
        Some(tls) if tls.disable_host_verification => Check {
            hint: Some("drop --tls-disable-host-verification where this is not a test".to_owned()),
            ..Check::new(
                "tls",
                Outcome::Warning,
                "on, and any certificate is accepted: somebody in between could read and change everything",
            )
        },
        Some(_) => Check::ok("tls", "on, the server's certificate is good"),
    }
}

/// Which part failed, by the kind of the problem; what comes after it was not tested.
fn not_opened(settings: &Settings, error: &ConnectError) -> Vec<Check> {
    use ConnectProblem as P;
    let failed = |name| Check::failed(name, error.to_string(), error.hint());
    let reached = || Check::ok("network", format!("{} answers", settings.address));
    let begun = match error.problem() {
        P::Unreachable | P::Configuration | P::KeyInClear => vec![failed("network")],
        P::CertificateName
        | P::CertificateIssuer
        | P::CertificateExpired
        | P::CertificateInvalid
        | P::ServerIsPlaintext
        | P::ServerWantsTls => vec![reached(), failed("tls")],
        P::ClientCertificate | P::Unauthenticated | P::PermissionDenied => {
            vec![reached(), tls(settings), failed("credentials")]
        }
        P::Service => vec![
            reached(),
            tls(settings),
            Check::not_tested("credentials"),
            failed("server"),
        ],
    };
    let names = [
        "network",
        "tls",
        "credentials",
        "server",
        "namespace",
        "latency",
    ];
    let rest = names.into_iter().skip(begun.len()).map(Check::not_tested);
    begun.into_iter().chain(rest).collect()
}

/// What needs an answer that is the namespace's own: a service says its version to anybody.
async fn service(temporal: &Temporal, settings: &Settings) -> Vec<Check> {
    match temporal.preflight().await {
        Ok(preflight) => vec![
            accepted(settings),
            server(&preflight),
            Check::ok(
                "namespace",
                format!("{} (id {})", preflight.namespace, preflight.namespace_id),
            ),
            latency(temporal).await,
        ],
        Err(error) => {
            let kept_out = matches!(
                error.meaning.cause,
                Cause::Unauthenticated | Cause::PermissionDenied
            );
            let (credentials, namespace) = if kept_out {
                let hint = credentials_hint(settings);
                let refused = Check::failed("credentials", error.to_string(), hint);
                (refused, Check::not_tested("namespace"))
            } else {
                let failed = Check::failed("namespace", error.to_string(), namespace_hint(&error));
                (accepted(settings), failed)
            };
            let rest = ["server", "latency"].map(Check::not_tested);
            let [server, latency] = rest;
            vec![credentials, server, namespace, latency]
        }
    }
}

fn accepted(settings: &Settings) -> Check {
    match credentials(settings) {
        none if none.is_empty() => {
            Check::ok("credentials", "none are given, and none were asked for")
        }
        given => Check::ok("credentials", format!("{given} accepted")),
    }
}

fn credentials_hint(settings: &Settings) -> &'static str {
    if credentials(settings).is_empty() {
        "give an API key (--api-key, TEMPORAL_API_KEY) or a client certificate (--tls-cert-path, --tls-key-path)"
    } else {
        "check that it is the right one for this namespace, has not expired, and may read it"
    }
}

fn server(preflight: &Preflight) -> Check {
    let version = format!("Temporal {}", preflight.server_version);
    match preflight.unknown.first() {
        None => Check::ok("server", version),
        Some(unknown) => Check::new(
            "server",
            Outcome::Warning,
            format!("{version}; not readable: {unknown}"),
        ),
    }
}

fn namespace_hint(error: &CallError) -> &'static str {
    match error.meaning.cause {
        Cause::NamespaceNotFound => {
            "check --namespace (TEMPORAL_NAMESPACE); `temporal operator namespace list` names them"
        }
        _ => "check that the address is the right one, and the service's health",
    }
}

async fn latency(temporal: &Temporal) -> Check {
    let mut times = Vec::new();
    for _ in 0..PINGS {
        let started = Instant::now();
        if let Err(error) = temporal.ping().await {
            let hint = "the service answers now and then; look at its health";
            return Check::failed("latency", error.to_string(), hint);
        }
        times.push(started.elapsed());
    }
    times.sort();
    let [least, middle, most] = [0, times.len() / 2, times.len() - 1].map(|at| times[at]);
    Check::ok(
        "latency",
        format!(
            "{} a call ({} to {} in {PINGS} calls)",
            milliseconds(middle),
            milliseconds(least),
            milliseconds(most)
        ),
    )
}

/// There and back again; the codec may be reached where the service is not.
async fn codec(settings: &Settings) -> Check {
    let codec = match Codec::of(settings) {
        Ok(Some(codec)) => codec,
        Ok(None) => return Check::ok("codec", "none: payloads are stored as they are written"),
        Err(error) => return Check::failed("codec", error.to_string(), error.hint()),
    };
    let sample = vec![payload::encode(&json!({ "runbook": "connection" }))];
    let round_trip = async {
        let encoded = codec.encode(sample.clone()).await?;
        let changed = encoded != sample;
        Ok::<_, CodecError>((codec.decode(encoded).await? == sample, changed))
    };
    let endpoint = codec.endpoint();
    match round_trip.await {
        Ok((true, true)) => Check::ok("codec", format!("{endpoint} encodes and decodes")),
        Ok((true, false)) => Check {
            hint: Some(
                "check that it is meant to leave this namespace's payloads alone".to_owned(),
            ),
            ..Check::new(
                "codec",
                Outcome::Warning,
                format!("{endpoint} answers, and encodes nothing"),
            )
        },
        Ok((false, _)) => Check::failed(
            "codec",
            format!("{endpoint} does not decode what it encoded"),
            "have the codec server checked: what is written could not be read again",
        ),
        Err(error) => Check::failed("codec", error.to_string(), error.hint()),
    }
}

fn milliseconds(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

impl ConnectionReport {
    /// Values and checks together.
    pub fn new(effective: Effective, checks: Vec<Check>) -> Self {
        let ok = checks.iter().all(|check| check.outcome != Outcome::Failed);
        let values = effective.values.into_iter().map(|value| Value {
            name: value.name,
            value: value.value,
            source: value.origin.to_string(),
        });
        Self {
            values: values.collect(),
            checks,
            ok,
        }
    }

    /// For people.
    pub fn text(&self, style: Style) -> String {
        let mut text = Text::new(style);
        let mut table = Table::new(&[
            ("OPTION", Align::Left),
            ("VALUE", Align::Left),
            ("FROM", Align::Left),
        ]);
        for value in &self.values {
            let shown = value.value.as_deref().unwrap_or("-");
            table.row([&value.name, shown, &value.source]);
        }
        text.table(&table);
        if self.checks.is_empty() {
            return text.into_string();
        }
        text.gap();
        for check in &self.checks {
            text.line(check.tone(), &format!("{}: {}", check.name, check.detail));
            if let Some(hint) = &check.hint {
                text.line(Tone::Plain, &format!("  hint: {hint}"));
            }
        }
        text.gap();
        text.line(self.tone(), &self.conclusion());
        text.into_string()
    }

    fn tone(&self) -> Tone {
        if self.ok { Tone::Good } else { Tone::Bad }
    }

    fn conclusion(&self) -> String {
        let failed = self
            .checks
            .iter()
            .filter(|it| it.outcome == Outcome::Failed);
        match failed.count() as u64 {
            0 => "The connection works.".to_owned(),
            failed => format!(
                "The connection does not work: {} failed.",
                count(failed, "check")
            ),
        }
    }
}

impl Check {
    fn tone(&self) -> Tone {
        match self.outcome {
            Outcome::Ok => Tone::Good,
            Outcome::Warning => Tone::Warn,
            Outcome::Failed => Tone::Bad,
            Outcome::NotTested => Tone::Faint,
        }
    }
}
