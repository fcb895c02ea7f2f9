"""What docs/tracking.md has people start with `docker compose up`: checked as it is written. No container was started;
tests/tracking/test_mlflow_server.py runs the same programs, environment and configuration without containers."""

import configparser
import copy
import json
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

DEPLOYED = Path(__file__).parents[2] / "deploy" / "mlflow"
PINNED = dict(line.split("==") for line in (DEPLOYED.parents[1] / "constraints.txt").read_text().split())
SECRETS = {
    "POSTGRES_PASSWORD", "BUCKET_ACCESS_KEY", "BUCKET_SECRET_KEY", "MLFLOW_ADMIN_USERNAME", "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
}  # fmt: skip
NAMED_SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|TOKEN")


@pytest.fixture
def compose() -> dict:
    return yaml.safe_load((DEPLOYED / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def schema() -> Validator:
    """Compose's own schema, as the package check-jsonschema carries it."""
    name = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(Path(str(distribution("check-jsonschema").locate_file(name))).read_text())
    return validator_for(schema)(schema)


def variables() -> list[tuple[str, str]]:
    """Each ${NAME...} of the compose file, and what stands behind the name."""
    return re.findall(r"\$\{(\w+)([^}]*)\}", (DEPLOYED / "compose.yaml").read_text())


def test_the_file_is_one_that_compose_accepts(compose, schema):
    assert [error.message for error in schema.iter_errors(compose)] == []


@pytest.mark.parametrize(("service", "field", "value"), [("mlflow", "enviroment", {}), ("mlflow", "ports", 5000)])
def test_the_check_does_check(compose, schema, service, field, value):
    wrong = copy.deepcopy(compose)
    wrong["services"][service][field] = value
    assert list(schema.iter_errors(wrong))


def test_only_mlflow_is_published_and_on_loopback(compose):
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"mlflow": ["${MLFLOW_BIND:-127.0.0.1}:${MLFLOW_PORT:-5000}:5000"]}
    assert not any("network_mode" in service for service in compose["services"].values())


def test_compose_refuses_to_start_without_each_secret():
    behind: dict[str, set[str]] = {}
    for name, rest in variables():
        behind.setdefault(name, set()).add(rest[:2])
    assert {name for name, rests in behind.items() if rests == {":?"}} == SECRETS
    assert {name for name, rests in behind.items() if rests == {":-"}} == set(behind) - SECRETS


def test_no_secret_is_in_the_files(compose):
    given = {(name, key): value for name, service in compose["services"].items()
             for key, value in service.get("environment", {}).items() if NAMED_SECRET.search(key)}  # fmt: skip
    assert len(given) == 8
    assert [key for key, value in given.items() if not re.fullmatch(r"\$\{\w+:\?[^}]*\}", value)] == []
    written = configparser.ConfigParser()
    written.read(DEPLOYED / "basic_auth.ini")
    assert not {"admin_username", "admin_password"} & set(written["mlflow"])
    uris = [written["mlflow"]["database_uri"], compose["services"]["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]]
    assert uris == ["postgresql+psycopg2:///mlflow"] * 2


def test_the_example_names_each_variable_and_gives_no_secret():
    lines = [line for line in (DEPLOYED / ".env.example").read_text().splitlines() if line and line[0] != "#"]
    example = dict(line.split("=", 1) for line in lines)
    assert set(example) == {name for name, _ in variables()}
    assert {name for name, value in example.items() if not value} == SECRETS
    defaults = {name: rest[2:] for name, rest in variables() if rest.startswith(":-")}
    assert {name: value for name, value in example.items() if value} == defaults


def test_every_service_is_pinned_checked_and_keeps_its_data(compose):
    services = compose["services"]
    assert all("healthcheck" in service for service in services.values())
    for image in (service["image"] for service in services.values() if "image" in service):
        assert re.search(r":v?\d+\.\d+", image), f"{image} is not pinned"
    kept = [volume.split(":")[0] for name in ("database", "bucket") for volume in services[name]["volumes"]]
    assert set(kept) == set(compose["volumes"])
    waits = services["mlflow"]["depends_on"]
    assert {name: waits[name]["condition"] for name in waits} == dict.fromkeys(
        ("database", "bucket"), "service_healthy"
    )


def test_the_image_has_the_versions_that_were_tested(compose):
    recipe = (DEPLOYED / "Dockerfile").read_text()
    (installed,) = re.findall(
        r"^RUN pip install .*--constraint /srv/mlflow/constraints.txt (.*)$", recipe, re.MULTILINE
    )
    names = [re.sub(r"\[.*\]", "", name.strip('"')) for name in installed.split()]
    assert names == ["mlflow", "psycopg2-binary", "boto3"]
    assert set(names) | {"Flask-WTF"} <= set(PINNED)
    copied = re.findall(r"^COPY (.*) /srv/mlflow/$", recipe, re.MULTILINE)
    root = (DEPLOYED / compose["services"]["mlflow"]["build"]["context"]).resolve()
    assert (root / compose["services"]["mlflow"]["build"]["dockerfile"]).is_file()
    wanted = {path for line in copied for path in line.split()}
    assert all((root / path).is_file() for path in wanted)
    let_through = (DEPLOYED / "Dockerfile.dockerignore").read_text().split()
    assert let_through[0] == "*"
    assert {line.removeprefix("!") for line in let_through[1:]} == wanted


def test_nothing_is_told_to_the_makers(compose):
    environment = compose["services"]["mlflow"]["environment"]
    assert (environment["MLFLOW_DISABLE_TELEMETRY"], environment["DO_NOT_TRACK"]) == ("true", "true")
