"""The documentation says what is there, and leads nowhere that is not."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from starlette.routing import Mount

from mlops.cli.main import EXIT_CODES, build_app
from mlops.config import MLOpsConfig
from mlops.gateway.app import create_app
from mlops.installation import LOOPBACK
from mlops.platform import Addresses, Platform
from mlops.serving.routing import Router
from mlops.store.store import Store

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def named(paths: Iterable[Path]) -> list:
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in paths]


def headings(page: str) -> list[str]:
    text = re.sub(r"```.*?```", "", (ROOT / "docs" / page).read_text(), flags=re.S)
    return [line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.S | re.M)


# -- everything has its heading -----------------------------------------------------------------


def test_settings_have_a_heading_each_and_no_other_is_claimed() -> None:
    found = {heading for heading in headings("settings.md") if heading.startswith("MLOPS_")}
    assert found == {f"MLOPS_{field.upper()}" for field in MLOpsConfig.model_fields}


# Ports share one paragraph; what has no default of its own says so in words.
PLAIN = {
    field: info.default
    for field, info in MLOpsConfig.model_fields.items()
    if isinstance(info.default, str | int | float) and not field.endswith("_port")
}


@pytest.mark.parametrize("field", PLAIN)
def test_default_is_told_as_it_is(field: str) -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    section = text.partition(f"### MLOPS_{field.upper()}\n")[2].partition("\n#")[0]
    told = re.search(r"\bDefault: `?([\w.]+?)`?\.?\s*$", section)
    assert told is not None
    assert told[1] == re.sub(r"\.0$", "", str(PLAIN[field]).lower())


def test_commands_have_a_heading_each_and_no_other_is_claimed() -> None:
    commands = known_commands()
    ours = {name for name in commands if name.startswith("mlops:")}
    assert {heading for heading in headings("cli.md") if heading.startswith("mlops:")} == ours


def known_commands() -> set[str]:
    app = build_app()
    return {each.name for each in (*app.registered_commands, *app.registered_groups) if each.name}


def test_exit_codes_are_listed() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.M)}
    assert listed >= {0, 2, *EXIT_CODES.values()}
    assert listed <= {0, 2, 130, *EXIT_CODES.values()}


def _routes(routes) -> Iterator[str]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _routes(included.routes)
        elif isinstance(route, Mount):
            yield f"GET {route.path}/{{file}}"
        else:
            yield from (f"{method} {route.path}" for method in route.methods if method != "HEAD")


def test_routes_have_a_heading_each_and_no_other_is_claimed() -> None:
    url = f"postgresql://nobody@{LOOPBACK}:1/mlops"  # never connected to
    store = Store(url)
    platform = Platform(
        store,
        Router(store, database_url=url, replica_secret=""),
        list,
        Addresses(f"http://{LOOPBACK}:1"),
        session_key="key",
    )
    routes = set(_routes(create_app(platform).routes))
    assert {"GET /health", "POST /projects/{project}/models/{model}/predict"} <= routes
    assert {heading.strip("`") for heading in headings("api.md") if heading.startswith("`")} == routes


# -- what is written holds ----------------------------------------------------------------------


@pytest.mark.parametrize("page", named(PAGES))
def test_python_blocks_compile(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize("page", named(PAGES))
def test_commands_in_the_text_are_there(page: Path) -> None:
    commands = known_commands()
    # `drilling:…` stands for any command of a project, `mlops:…` must be ours.
    named_here = set(re.findall(r"\b(mlops:[a-z][a-z-]*[a-z])\b", page.read_text()))
    assert named_here <= commands


@pytest.mark.parametrize("page", named(PAGES))
def test_settings_in_the_text_are_there(page: Path) -> None:
    known = {f"MLOPS_{field.upper()}" for field in MLOpsConfig.model_fields}
    assert set(re.findall(r"\bMLOPS_[A-Z]+(?:_[A-Z]+)*\b", page.read_text())) <= known


@pytest.mark.parametrize("page", named(PAGES))
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            slugs = {
                re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                for line in linked.read_text().splitlines()
                if line.startswith("#")
            }
            assert anchor in slugs, target


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"^  - (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.M)
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


# -- nothing of the machine it was made on ------------------------------------------------------

# Placeholders (`{host}`), loopback, reserved names (RFC 2606), names without a dot; the licence's and XML's.
_ADDRESS = re.compile(r"https?://(?:[^\s/@\"'`]*@)?([^\s/\"'`)>:,\\]+)")
_ALLOWED = re.compile(
    r"127\.0\.0\.[12]|\[|.*[{$<…*].*|[\w-]+|([\w-]+\.)*(example|invalid|test)(\.(com|org|net))?"
    r"|www\.apache\.org|www\.w3\.org"
)
_MACHINE = re.compile(r"(?<![\w.$}~-])/(?:home|Users|root|work|workspace|mnt|builds?)/[\w.-]+")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # an image
        return ""


def test_no_tracked_file_holds_an_address_of_elsewhere() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked()
        for host in _ADDRESS.findall(text_of(path))
        if not _ALLOWED.fullmatch(host)
    ]
    assert found == []


def test_no_tracked_file_holds_a_path_of_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in tracked()
        for place in _MACHINE.findall(text_of(path))
    ]
    assert found == []


@pytest.mark.parametrize("host", ["pypi.org", "10.0.0.7", "mirror.corp.net", "127.0.0.1.corp.net", "1.2.3.4"])
def test_addresses_of_elsewhere_are_recognised(host: str) -> None:
    for text in (f"http://{host}/x", f"https://{host}:8080", f'"https://user:pw@{host}"'):
        assert _ADDRESS.findall(text) == [host]
        assert not _ALLOWED.fullmatch(host)


@pytest.mark.parametrize("folder", ["home", "Users", "work", "root"])
def test_paths_of_machines_are_recognised(folder: str) -> None:
    assert _MACHINE.findall(f'path = "/{folder}/ada/x"') == [f"/{folder}/ada"]
