"""`runbook connection` and what it says, against real servers with TLS, client certificates and tokens;
a codec server; and the order of sources, compared with the official command."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import temporal_cli
import tool as tools
from codec_server import CodecServer
from secure import NAME, NAMESPACE, Authority, Issuer, SecureServer

SECONDS = 60
SECRET = "hunter2"


class Command:
    """The built binary with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str, **environment: str) -> tools.Result:
        assert tools.binary().exists(), f"{tools.binary()} is not built"
        done = subprocess.run(
            [str(tools.binary()), *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "NO_COLOR": "1"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return tools.Result(list(arguments), done.returncode, done.stdout, done.stderr)

    def checks(self, *arguments: str, **environment: str) -> dict[str, dict]:
        """What `runbook connection` found, by name; its exit code must agree."""
        result = self("connection", "--output", "json", *arguments, **environment)
        report = result.data()
        assert result.code == (0 if report["ok"] else 1), result
        return {check["name"]: check for check in report["checks"]}


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder, "servers")


@pytest.fixture(scope="module")
def stranger(folder):
    return Authority(folder, "stranger")


@pytest.fixture(scope="module")
def clients(folder):
    return Authority(folder, "clients")


@pytest.fixture(scope="module")
def mutual(authority, clients):
    """Lets in who has a certificate of `clients`."""
    with SecureServer(authority, clients=clients) as made:
        yield made


@pytest.fixture(scope="module")
def guarded(authority, folder):
    """Lets in who has a token with a permission."""
    with SecureServer(authority, issuer=Issuer(folder)) as made:
        yield made


def to(server: SecureServer) -> list[str]:
    return ["--address", server.address, "--namespace", NAMESPACE]


def trust(authority: Authority, name: str | None = NAME) -> list[str]:
    named = ["--tls-server-name", name] if name else []
    return ["--tls-ca-path", str(authority.own.certificate), *named]


def show(pair) -> list[str]:
    return ["--tls-cert-path", str(pair.certificate), "--tls-key-path", str(pair.key)]


def failed(checks: dict[str, dict]) -> dict[str, dict]:
    return {name: check for name, check in checks.items() if check["outcome"] == "failed"}


def only_failure(checks: dict[str, dict], name: str) -> str:
    """The one check that failed, with its hint."""
    found = failed(checks)
    assert list(found) == [name], checks
    assert found[name]["hint"], found
    return f"{found[name]['detail']} | {found[name]['hint']}"


@pytest.mark.timeout(180)
class TestMutualTls:
    def test_the_right_certificate_opens(self, command, mutual, authority, clients):
        pair = clients.sign("operator", "operator")
        checks = command.checks(*to(mutual), *trust(authority), *show(pair))
        assert not failed(checks), checks
        assert "client certificate accepted" in checks["credentials"]["detail"]
        assert checks["namespace"]["detail"].startswith(NAMESPACE)
        assert "Temporal 1." in checks["server"]["detail"]

    def test_the_same_by_variables_of_old(self, command, mutual, authority, clients):
        pair = clients.sign("operator", "operator")
        old = {
            "TEMPORAL_CLI_ADDRESS": mutual.address,
            "TEMPORAL_CLI_NAMESPACE": NAMESPACE,
            "TEMPORAL_CLI_TLS_CA": str(authority.own.certificate),
            "TEMPORAL_CLI_TLS_CERT": str(pair.certificate),
            "TEMPORAL_CLI_TLS_KEY": str(pair.key),
        }
        result = command("connection", "--tls_server_name", NAME, **old)
        assert result.code == 0, result
        assert "--tls_server_name is now called --tls-server-name" in result.stderr
        assert "TEMPORAL_CLI_TLS_CA is now called TEMPORAL_TLS_SERVER_CA_CERT_PATH" in result.stderr

    def test_data_in_place_of_files(self, command, mutual, authority, clients):
        pair = clients.sign("operator", "operator")
        data = {
            "TEMPORAL_TLS_CLIENT_CERT_DATA": pair.certificate.read_text(),
            "TEMPORAL_TLS_CLIENT_KEY_DATA": pair.key.read_text(),
        }
        result = command("connection", *to(mutual), *trust(authority), **data)
        assert result.code == 0, result
        assert "BEGIN" not in result.stdout + result.stderr

    def test_no_certificate(self, command, mutual, authority):
        said = only_failure(command.checks(*to(mutual), *trust(authority)), "credentials")
        assert "--tls-cert-path" in said

    def test_a_strangers_certificate(self, command, mutual, authority, stranger):
        pair = stranger.sign("operator", "operator")
        said = only_failure(command.checks(*to(mutual), *trust(authority), *show(pair)), "credentials")
        assert "--tls-cert-path" in said

    def test_a_server_of_an_unknown_authority(self, command, mutual, stranger, clients):
        pair = clients.sign("operator", "operator")
        said = only_failure(command.checks(*to(mutual), *trust(stranger), *show(pair)), "tls")
        assert "--tls-ca-path" in said

    def test_a_server_of_another_name(self, command, mutual, authority, clients):
        pair = clients.sign("operator", "operator")
        for name in (None, "other.runbook.test"):
            said = only_failure(command.checks(*to(mutual), *trust(authority, name), *show(pair)), "tls")
            assert "--tls-server-name" in said

    def test_verification_switched_off(self, command, mutual, clients):
        pair = clients.sign("operator", "operator")
        checks = command.checks(*to(mutual), *show(pair), "--tls-disable-host-verification")
        assert not failed(checks), checks
        assert checks["tls"]["outcome"] == "warning"

    def test_plaintext_to_a_server_with_tls(self, command, mutual):
        assert "--tls" in only_failure(command.checks(*to(mutual)), "tls")


@pytest.mark.timeout(180)
class TestApiKeys:
    def test_a_good_key_opens(self, command, guarded, authority):
        key = guarded.issuer.token(f"{NAMESPACE}:read")
        checks = command.checks(*to(guarded), *trust(authority), TEMPORAL_API_KEY=key)
        assert not failed(checks), checks
        assert "API key accepted" in checks["credentials"]["detail"]

    def test_the_authorization_of_old(self, command, guarded, authority):
        key = guarded.issuer.token(f"{NAMESPACE}:read")
        result = command("connection", *to(guarded), *trust(authority), TEMPORAL_CLI_AUTH=f"Bearer {key}")
        assert result.code == 0, result
        assert "TEMPORAL_API_KEY" in result.stderr and key not in result.stdout + result.stderr

    def test_no_key(self, command, guarded, authority):
        said = only_failure(command.checks(*to(guarded), *trust(authority)), "credentials")
        assert "--api-key" in said

    @pytest.mark.parametrize("kind", ["expired", "foreign", "garbage"])
    def test_a_key_that_is_not_good(self, command, guarded, authority, kind):
        keys = {
            "expired": lambda: guarded.issuer.token(f"{NAMESPACE}:read", seconds=-60),
            "foreign": lambda: guarded.issuer.token("another:admin"),
            "garbage": lambda: SECRET,
        }
        key = keys[kind]()
        result = command("connection", *to(guarded), *trust(authority), TEMPORAL_API_KEY=key)
        assert result.code == 1, result
        assert "credentials" in result.stdout and key not in result.stdout + result.stderr
        checks = command.checks(*to(guarded), *trust(authority), TEMPORAL_API_KEY=key)
        only_failure(checks, "credentials")

    def test_a_key_is_not_sent_in_clear(self, command, guarded):
        result = command("connection", *to(guarded), "--tls=false", TEMPORAL_API_KEY=SECRET)
        assert result.code == 2 and "in clear" in result.stderr, result


@pytest.mark.timeout(120)
class TestCodec:
    def test_there_and_back(self, command, address):
        auth = f"Bearer {SECRET}"
        with CodecServer(auth) as codec:
            given = ["--codec-endpoint", codec.endpoint, "--codec-header", "X-Team=orders"]
            result = command("connection", "--address", address, *given, TEMPORAL_CODEC_AUTH=auth)
            wrong = command.checks("--address", address, *given, "--codec-auth", "Bearer no")
        assert "encodes and decodes" in result.stdout, result
        assert SECRET not in result.stdout + result.stderr
        assert [path for path, _ in codec.calls[:2]] == ["/codec/encode", "/codec/decode"]
        sent = codec.calls[0][1]
        assert (sent["x-namespace"], sent["x-team"]) == ("default", "orders")
        assert "401" in wrong["codec"]["detail"] and "--codec-auth" in wrong["codec"]["hint"]

    def test_one_that_is_out_of_order_or_gone(self, command, address):
        with CodecServer(status=500) as codec:
            broken = command.checks("--address", address, "--codec-endpoint", codec.endpoint)
        gone = command.checks("--address", address, "--codec-endpoint", codec.endpoint)
        assert broken["codec"]["outcome"] == gone["codec"]["outcome"] == "failed"
        assert "500" in broken["codec"]["detail"]


# Each source names a port of its own, on which nobody listens.
SOURCES = {
    "flag": (["--address", "127.0.0.1:1"], {}),
    "variable": ([], {"TEMPORAL_ADDRESS": "127.0.0.1:2"}),
    "environment": (["--env", "prod", "--env-file", "ENV"], {}),
    "named": (["--env-file", "ENV"], {"TEMPORAL_ENV": "prod"}),
    "profile": (["--profile", "prod", "--config-file", "TOML"], {}),
    "named_profile": ([], {"TEMPORAL_PROFILE": "prod", "TEMPORAL_CONFIG_FILE": "TOML"}),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "names",
    [
        ["flag", "variable", "environment", "profile"],
        ["variable", "environment", "profile"],
        ["variable", "named"],
        ["variable", "profile"],
        ["variable", "named_profile"],
        ["profile"],
        ["named_profile"],
        ["environment", "named_profile"],
    ],
    ids="+".join,
)
def test_the_order_of_sources_is_that_of_the_official_command(command, tmp_path, names):
    files = {"ENV": tmp_path / "temporal.yaml", "TOML": tmp_path / "temporal.toml"}
    files["ENV"].write_text("env:\n  prod:\n    address: 127.0.0.1:3\n")
    files["TOML"].write_text('[profile.prod]\naddress = "127.0.0.1:4"\n')
    flags = [str(files.get(part, part)) for name in names for part in SOURCES[name][0]]
    variables = {key: str(files.get(value, value)) for name in names for key, value in SOURCES[name][1].items()}

    report = command("connection", "--no-test", "--output", "json", *flags, **variables).data()
    ours = next(value for value in report["values"] if value["name"] == "address")
    theirs = subprocess.run(
        [str(temporal_cli.binary()), "workflow", "list", *flags],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ours["value"] in theirs.stderr, (ours, theirs.stderr)


def test_nothing_is_called_and_no_secret_shown_without_a_test(command):
    flags = ["--api-key", SECRET, "--grpc-meta", f"x-token={SECRET}", "--tls-key-data", SECRET, "--tls-cert-data", "c"]
    codec = ["--codec-endpoint", "https://127.0.0.1:9", "--codec-auth", SECRET, "--codec-header", f"a-key={SECRET}"]
    result = command("connection", "--no-test", "--address", "127.0.0.1:9", *flags, *codec)
    assert result.code == 0 and SECRET not in result.stdout + result.stderr, result
    report = json.loads(command("connection", "--offline", "--output", "json").stdout)
    assert report["ok"] and not report["checks"]
