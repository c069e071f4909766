//! Which of flag, variable, profile and default wins, and what is refused.

use clap::Parser;

use super::*;
use crate::connection::{ConnectProblem, Settings};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    connection: ConnectionArgs,
}

fn resolve(flags: &[&str], variables: &[(&str, &str)]) -> Result<Settings, ConnectError> {
    let command =
        Command::try_parse_from([&["runbook"], flags].concat()).expect("flags that clap takes");
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let effective = command.connection.effective_in(Some(&variables));
    effective.map(|effective| effective.settings)
}

/// Without the file that this machine may have.
fn bare(flags: &[&str], variables: &[(&str, &str)]) -> Result<Settings, ConnectError> {
    resolve(&[&["--disable-config-file"], flags].concat(), variables)
}

fn refused(flags: &[&str], variables: &[(&str, &str)]) -> (ConnectProblem, String) {
    let error = bare(flags, variables).expect_err("refused");
    (error.problem(), error.to_string())
}

#[test]
fn defaults() {
    let settings = bare(&[], &[]).expect("defaults");
    assert_eq!(
        (settings.address.as_str(), settings.namespace.as_str()),
        ("127.0.0.1:7233", "default")
    );
    assert!(settings.identity.starts_with("runbook:") && settings.identity.contains('@'));
    assert!(settings.tls.is_none() && settings.api_key.is_none() && settings.metadata.is_empty());
    assert_eq!(
        (settings.connect_timeout, settings.command_timeout),
        (Duration::from_secs(10), None)
    );
}

#[test]
fn flag_over_variable_over_profile() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("temporal.toml");
    let text = "[profile.prod]\naddress = \"file:1\"\nnamespace = \"file\"\n[profile.prod.grpc_meta]\nTeam_Name = \"file\"\nkept = \"file\"\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("a path");
    let flags = [
        "--config-file",
        file,
        "--profile",
        "prod",
        "--address",
        "flag:3",
        "--grpc-meta",
        "team-name=flag",
    ];
    let variables = [
        ("TEMPORAL_ADDRESS", "variable:2"),
        ("TEMPORAL_NAMESPACE", "variable"),
    ];

    let all = resolve(&flags, &variables).expect("all three");
    assert_eq!(
        (all.address.as_str(), all.namespace.as_str()),
        ("flag:3", "variable")
    );
    assert_eq!(all.metadata["team-name"], "flag");
    assert_eq!(all.metadata["kept"], "file");

    let named = [("TEMPORAL_CONFIG_FILE", file), ("TEMPORAL_PROFILE", "prod")];
    let by_variables = resolve(&[], &named).expect("the file by variables");
    assert_eq!(
        (
            by_variables.address.as_str(),
            by_variables.namespace.as_str()
        ),
        ("file:1", "file")
    );

    let no_variables = resolve(
        &[&flags[..4], &["--disable-config-env"]].concat(),
        &variables,
    )
    .expect("no variables");
    assert_eq!(
        (
            no_variables.address.as_str(),
            no_variables.namespace.as_str()
        ),
        ("file:1", "file")
    );
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let nothing = [
        ("TEMPORAL_ADDRESS", ""),
        ("TEMPORAL_NAMESPACE", ""),
        ("TEMPORAL_API_KEY", ""),
    ];
    let settings = bare(&[], &nothing).expect("settings");
    assert_eq!(
        (settings.address.as_str(), settings.namespace.as_str()),
        ("127.0.0.1:7233", "default")
    );
    assert!(settings.api_key.is_none());
}

#[test]
fn metadata_from_variables() {
    let settings = bare(&[], &[("TEMPORAL_GRPC_META_SOME_KEY", "x")]).expect("settings");
    assert_eq!(
        settings.metadata.get("some-key").map(String::as_str),
        Some("x")
    );
}

#[test]
fn tls_is_on_where_anything_of_it_is_set() {
    let on = |flags: &[&str], variables: &[(&str, &str)]| {
        bare(flags, variables).expect("settings").tls.is_some()
    };
    assert!(on(&["--tls"], &[]));
    assert!(on(&["--tls=true"], &[]));
    assert!(on(&["--api-key", "k"], &[]));
    assert!(on(&[], &[("TEMPORAL_API_KEY", "k")]));
    assert!(on(&["--tls-server-name", "frontend"], &[]));
    assert!(on(&["--address", "https://host:7233"], &[]));
    assert!(on(&[], &[("TEMPORAL_TLS", "true")]));
    assert!(on(&[], &[("TEMPORAL_TLS_SERVER_NAME", "frontend")]));
    assert!(!on(&["--tls=false"], &[("TEMPORAL_TLS", "true")]));
    assert!(!on(
        &[],
        &[
            ("TEMPORAL_TLS", "false"),
            ("TEMPORAL_TLS_SERVER_NAME", "frontend")
        ]
    ));
    assert!(!on(&["--address", "http://host:7233"], &[]));
}

#[test]
fn host_verification_is_off_only_when_asked() {
    let off = |flags: &[&str], variables: &[(&str, &str)]| {
        bare(flags, variables)
            .expect("settings")
            .tls
            .expect("TLS")
            .disable_host_verification
    };
    assert!(!off(&["--tls"], &[]));
    assert!(off(&["--tls-disable-host-verification"], &[]));
    assert!(off(
        &[],
        &[("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "true")]
    ));
    assert!(!off(
        &[],
        &[("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "false")]
    ));
}

#[test]
fn certificates_from_flags_variables_and_the_names_of_old() {
    let expected = Some((b"cert".to_vec(), Secret::new("key")));
    let client = |flags: &[&str], variables: &[(&str, &str)]| {
        bare(flags, variables)
            .expect("settings")
            .tls
            .expect("TLS")
            .client
    };
    assert_eq!(
        client(&["--tls-cert-data", "cert", "--tls-key-data", "key"], &[]),
        expected
    );
    let variables = [
        ("TEMPORAL_TLS_CLIENT_CERT_DATA", "cert"),
        ("TEMPORAL_TLS_CLIENT_KEY_DATA", "key"),
    ];
    assert_eq!(client(&[], &variables), expected);
    assert_eq!(
        client(
            &[],
            &[
                ("TEMPORAL_TLS_CERT_DATA", "cert"),
                ("TEMPORAL_TLS_KEY_DATA", "key")
            ]
        ),
        expected
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cert.pem");
    std::fs::write(&path, "cert").expect("written");
    let path = path.to_str().expect("a path");
    assert_eq!(
        client(
            &["--tls-cert-path", path, "--tls-key-data", "key"],
            &variables
        ),
        expected
    );
}

#[test]
fn an_api_key_is_never_sent_in_clear() {
    for flags in [
        &["--api-key", "k", "--address", "http://host:7233"][..],
        &["--api-key", "k", "--tls", "--address", "http://host:7233"],
        &["--api-key", "k", "--tls=false"],
    ] {
        assert_eq!(
            refused(flags, &[]).0,
            ConnectProblem::KeyInClear,
            "{flags:?}"
        );
    }
    assert_eq!(
        refused(&["--tls=false"], &[("TEMPORAL_API_KEY", "k")]).0,
        ConnectProblem::KeyInClear
    );
}

#[test]
fn secrets_are_not_shown() {
    let flags = [
        "--api-key",
        "hunter2",
        "--tls-cert-data",
        "cert",
        "--tls-key-data",
        "hunter3",
    ];
    let command = Command::try_parse_from([&["runbook"][..], &flags].concat()).expect("flags");
    let shown = format!(
        "{:?} {:?}",
        command.connection,
        bare(&flags, &[]).expect("settings")
    );
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn what_is_refused_says_why() {
    let mut cases = vec![
        refused(&["--address", "host"], &[]),
        refused(&["--address", "host:port"], &[]),
        refused(&["--address", "ftp://host:1"], &[]),
        refused(&["--address", "user@host:1"], &[]),
        refused(&["--address", ""], &[]),
        refused(&["--address", "http://host:1", "--tls"], &[]),
        refused(&["--tls-cert-data", "cert"], &[]),
        refused(&["--tls-key-data", "key"], &[]),
        refused(&["--tls-ca-path", "/nowhere/ca.pem"], &[]),
        refused(&["--grpc-meta", "novalue"], &[]),
        refused(&[], &[("TEMPORAL_CODEC_ENDPOINT", "codec:8888")]),
    ];
    for flags in [
        &["--config-file", "/nowhere/temporal.toml"][..],
        &["--profile", "nope", "--config-file", "/dev/null"],
    ] {
        let error = resolve(flags, &[]).expect_err("refused");
        cases.push((error.problem(), error.to_string()));
    }
    assert!(
        cases
            .iter()
            .all(|(problem, _)| *problem == ConnectProblem::Configuration)
    );
    let text: Vec<_> = cases.into_iter().map(|(_, text)| text).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn durations() {
    let settings = bare(
        &[
            "--client-connect-timeout",
            "1m30s",
            "--command-timeout",
            "0s",
        ],
        &[],
    )
    .expect("settings");
    assert_eq!(
        (settings.connect_timeout, settings.command_timeout),
        (Duration::from_secs(90), None)
    );
    assert!(Command::try_parse_from(["runbook", "--command-timeout", "soon"]).is_err());
    assert!(Command::try_parse_from(["runbook", "--command-timeout", "-1s"]).is_err());
}

#[test]
fn the_commands_help() {
    use clap::CommandFactory;
    Command::command().debug_assert();
}

fn effective(flags: &[&str], variables: &[(&str, &str)]) -> Effective {
    let command = Command::try_parse_from([&["runbook"], flags].concat()).expect("flags");
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let effective = command.connection.effective_in(Some(&variables));
    effective.expect("settings")
}

/// Each value that somebody set, with its source; file names without their folder.
fn told(effective: &Effective, folder: &str) -> String {
    let values = effective.values.iter();
    let lines = values
        .filter(|it| it.origin != crate::connection::Origin::Default)
        .map(|it| {
            let value = it.value.as_deref().unwrap_or("not set");
            format!("{}: {value} ({})", it.name, it.origin).replace(folder, "FOLDER")
        })
        .chain(effective.hints.iter().map(|hint| format!("hint: {hint}")));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_value_says_where_it_came_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().to_str().expect("a path");
    let config = folder.path().join(".config/temporalio");
    std::fs::create_dir_all(&config).expect("a folder");
    let toml = "[profile.prod]\naddress = \"file:1\"\nnamespace = \"file\"\napi_key = \"hunter1\"\n\
                [profile.prod.tls]\nserver_name = \"file\"\n[profile.prod.grpc_meta]\nx_token = \"hunter2\"\n\
                [profile.prod.codec]\nendpoint = \"https://file\"\n";
    std::fs::write(config.join("temporal.toml"), toml).expect("written");
    let yaml = "env:\n  default:\n    address: environment:1\n    codec-auth: hunter3\n    \
                grpc-meta: team=environment\n    color: never\n";
    std::fs::write(config.join("temporal.yaml"), yaml).expect("written");
    std::fs::write(folder.path().join("ca.pem"), "ca").expect("written");
    let ca = folder.path().join("ca.pem");

    let flags = [
        "--profile",
        "prod",
        "--codec-header",
        "X-Key=hunter4",
        "--grpc-meta",
        "a=b",
        "--command-timeout",
        "1m",
    ];
    let variables = [
        ("HOME", home),
        ("TEMPORAL_ADDRESS", "variable:1"),
        ("TEMPORAL_CLI_NAMESPACE", "old"),
        ("TEMPORAL_CLI_TLS_CA", ca.to_str().expect("a path")),
        ("TEMPORAL_GRPC_META_TEAM", "variable"),
        ("TEMPORAL_GRPC_META_X_TOKEN", ""),
        ("TEMPORAL_UI_ADDRESS", "http://ui:8080/"),
    ];
    let all = effective(&flags, &variables);
    let text = told(&all, home);
    assert!(!text.contains("hunter"), "{text}");
    insta::assert_snapshot!(text);
    assert_eq!(all.settings.address, "environment:1", "as the CLI has it");
    assert_eq!(all.settings.api_key, Some(Secret::new("hunter1")));
    assert_eq!(all.settings.ui.as_deref(), Some("http://ui:8080"));

    let no_files = effective(&["--disable-config-file"], &variables);
    assert_eq!(no_files.settings.address, "variable:1");
    let named = effective(
        &[
            "--disable-config-file",
            "--env",
            "default",
            "--codec-endpoint",
            "https://c",
        ],
        &variables,
    );
    assert_eq!(named.settings.address, "environment:1");
    let codec = named.settings.codec.expect("a codec");
    assert_eq!(codec.auth, Some(Secret::new("hunter3")));
}

#[test]
fn the_authorization_of_old() {
    let key = effective(
        &["--disable-config-file"],
        &[("TEMPORAL_CLI_AUTH", "Bearer k")],
    );
    assert_eq!(key.settings.api_key, Some(Secret::new("k")));
    assert!(key.settings.tls.is_some());
    let header = effective(
        &["--disable-config-file"],
        &[("TEMPORAL_CLI_AUTH", "Basic x")],
    );
    assert_eq!(header.settings.metadata["authorization"], "Basic x");
    assert!(
        !told(&header, "-").contains("Basic"),
        "{}",
        told(&header, "-")
    );
}

#[test]
fn the_web_ui_is_known_or_said_and_never_guessed() {
    let ui = |address: &str| {
        effective(&["--disable-config-file", "--address", address], &[])
            .settings
            .ui
    };
    let cloud = Some("https://cloud.temporal.io".to_owned());
    assert_eq!(ui("orders.f45a2.tmprl.cloud:7233"), cloud);
    assert_eq!(ui("us-west-2.aws.api.temporal.io:7233"), cloud);
    for unknown in [
        "127.0.0.1:7233",
        "tmprl.cloud.example.com:7233",
        "[::1]:7233",
    ] {
        assert_eq!(ui(unknown), None, "{unknown}");
    }
}

#[test]
fn what_the_env_file_lacks_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let good = path("good.yaml", "env:\n  prod:\n    address: a:1\n");
    let broken = path("broken.yaml", "env: [\n");
    let cases = [
        vec!["--env", "nope", "--env-file", &good],
        vec!["--env", "prod", "--env-file", "/nowhere/temporal.yaml"],
        vec!["--env", "prod"],
        vec!["--env-file", &broken],
        vec![
            "--env",
            "prod",
            "--env-file",
            &good,
            "--profile",
            "nope",
            "--config-file",
            "/dev/null",
        ],
        vec![
            "--tls-cert-path",
            "a",
            "--env-file",
            &good,
            "--ui-address",
            "ui:1",
        ],
        vec!["--namespace", ""],
    ];
    let home = ("HOME", "/nowhere");
    let mut said: Vec<String> = cases
        .iter()
        .map(|flags| resolve(flags, &[home]).expect_err("refused").to_string())
        .collect();
    for variables in [
        ("TEMPORAL_ENV", "nope"),
        ("TEMPORAL_CONFIG_FILE", "/nowhere/temporal.toml"),
        ("TEMPORAL_TLS", "maybe"),
        ("TEMPORAL_UI_ADDRESS", "ui"),
    ] {
        said.push(
            resolve(&[], &[home, variables])
                .expect_err("refused")
                .to_string(),
        );
    }
    let both = [
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", "a"),
        ("TEMPORAL_TLS_CLIENT_CERT_DATA", "b"),
    ];
    said.push(bare(&[], &both).expect_err("refused").to_string());
    let text = said.join("\n");
    let text = text.replace(folder.path().to_str().expect("a path"), "FOLDER");
    insta::assert_snapshot!(text);
    assert_eq!(
        resolve(&["--env", "prod", "--env-file", &good], &[home])
            .expect("an environment")
            .address,
        "a:1"
    );
}
