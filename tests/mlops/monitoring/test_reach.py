"""Where channels may go: never inside the network, whatever names, numbers and resolvers say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from mlops.errors import ConfigError, InvalidInput, NotDelivered
from mlops.monitoring.channels.hook_url import read_url
from mlops.monitoring.channels.hosts import check_host
from mlops.monitoring.channels.public import is_public, may_reach
from mlops.monitoring.channels.reach import PUBLIC, Call, Reach
from mlops.monitoring.channels.webhook import WebhookChannel
from tests.channels import HERE, LOCAL, Hook, notice, raw_server, web_server

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "2606:4700::1%lo",
    "fec0::1",
    "ff02::1",
]
PUBLIC_ONES = ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.fixture(scope="module")
def inside() -> Iterator[Hook]:
    """A service of this machine that nothing may reach."""
    with web_server() as hook:
        yield hook
        assert hook.connections == 0


def answers(*addresses: str) -> Reach:
    return Reach(resolver=lambda host, port: addresses)


def refused(channel: WebhookChannel) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        channel.send(notice())
    return caught.value


# -- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", INSIDE)
def test_address_of_an_inside_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC_ONES)
def test_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_an_allowed_network_opens_itself_alone() -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd12::/64"))
    assert may_reach(ip_address("10.1.2.3"), allowed)
    assert may_reach(ip_address("fd12::5"), allowed)
    assert may_reach(ip_address("8.8.8.8"), allowed)
    for closed in ("10.2.0.1", "::ffff:10.1.2.3", "2002:a01:203::1", "fd13::1", "127.0.0.1"):
        assert not may_reach(ip_address(closed), allowed)


@pytest.mark.parametrize("address", INSIDE)
def test_name_of_an_inside_address_is_refused(inside: Hook, address: str) -> None:
    url = f"http://hooks.example.com:{inside.port}/"
    error = refused(WebhookChannel("it", url, reach=answers(address)))
    assert error.again is False
    assert "inside the network" in error.why
    assert address not in error.why.replace("hooks.example.com", "")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1"])
def test_one_inside_address_among_public_ones_refuses_all(inside: Hook, address: str) -> None:
    for order in ((address, "93.184.216.34"), ("93.184.216.34", address)):
        error = refused(
            WebhookChannel("it", f"http://mixed.example.com:{inside.port}/", reach=answers(*order))
        )
        assert error.again is False


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ],
)
def test_this_machine_is_refused_by_any_name(inside: Hook, host: str) -> None:
    error = refused(WebhookChannel("it", f"http://{host}:{inside.port}/"))
    assert error.again is False


NUMBERS = [
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "0x7f.1",
    "127.0.1",
    "0",
    "0x7f.0.0.0x1",
]


@pytest.mark.parametrize("host", NUMBERS)
def test_number_that_is_an_address_in_disguise_is_no_host(inside: Hook, host: str) -> None:
    with pytest.raises(InvalidInput):
        WebhookChannel("it", f"http://{host}:{inside.port}/")


@pytest.mark.parametrize("host", NUMBERS)
def test_the_systems_resolver_reads_it_and_it_is_refused_all_the_same(inside: Hook, host: str) -> None:
    with Call("it", PUBLIC) as call, pytest.raises(NotDelivered):
        call.connect(host, inside.port)


def test_a_name_that_points_elsewhere_after_the_check_is_not_followed() -> None:
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    with web_server() as inner:
        try:
            outer_server = web_server("127.0.0.2", inner.port)
            with outer_server as outer:
                reach = Reach(allowed=(ip_network("127.0.0.2/32"),), resolver=rebinding)
                WebhookChannel("it", f"http://hooks.example.com:{inner.port}/", reach=reach).send(notice())
                assert len(outer.posts) == 1
        except OSError:
            pytest.skip("this machine has no 127.0.0.2")
        assert asked == ["hooks.example.com"]
        assert inner.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_the_inside_is_not_followed(inside: Hook, status: int) -> None:
    with web_server() as outer:
        outer.status, outer.headers = status, {"Location": inside.url}
        error = refused(WebhookChannel("it", outer.url, reach=LOCAL))
        assert error.again is False
        assert "redirect" in error.why
        assert len(outer.posts) == 1


def test_proxies_of_the_environment_are_not_asked(inside: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{inside.port}")
    with web_server() as hook:
        WebhookChannel("it", hook.url, reach=LOCAL).send(notice())
        assert len(hook.posts) == 1


# -- time ---------------------------------------------------------------------------------------


def test_resolver_that_does_not_answer_is_left() -> None:
    done = threading.Event()

    def never(host: str, port: int) -> list[str]:
        done.wait(60)
        return []

    try:
        error = refused(
            WebhookChannel("it", "http://slow.example.com/", reach=Reach(resolver=never, timeout_s=0.2))
        )
    finally:
        done.set()
    assert (error.again, error.why) == (True, "no answer within 0.2 s")


def test_name_without_an_address_may_have_one_later() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    error = refused(WebhookChannel("it", "http://gone.example.com/", reach=Reach(resolver=unknown)))
    assert (error.again, error.why) == (True, "Name or service not known")
    assert refused(WebhookChannel("it", "http://gone.example.com/", reach=answers())).again is True


def test_second_address_is_tried_where_the_first_does_not_answer() -> None:
    with web_server() as hook:
        reach = Reach(
            allowed=(ip_network("127.0.0.0/8"),), resolver=lambda host, port: ["127.0.0.3", "127.0.0.1"]
        )
        WebhookChannel("it", f"http://two.example.com:{hook.port}/", reach=reach).send(notice())
        assert len(hook.posts) == 1


def test_server_that_ends_the_connection_is_told_as_such() -> None:
    with raw_server(lambda connection: None) as port:
        error = refused(WebhookChannel("it", f"http://127.0.0.1:{port}/", reach=LOCAL))
    assert error.again is True
    assert error.why


def test_call_that_is_over_connects_no_more() -> None:
    with web_server() as hook, Call("it", Reach(allowed=HERE, timeout_s=0.01)) as call:
        threading.Event().wait(0.1)
        with pytest.raises(NotDelivered, match="within"):
            call.connect("127.0.0.1", hook.port)


# -- authorities --------------------------------------------------------------------------------


def test_missing_or_foreign_certificate_file_is_a_setting_that_is_wrong(tmp_path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    for name in ("no.pem", "missing.pem"):
        with pytest.raises(ConfigError, match="certificates") as caught:
            Reach(ca_file=tmp_path / name).tls()
        assert caught.value.remedy


# -- addresses of webhooks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "header"),
    [
        ("https://hooks.example.com", "hooks.example.com", 443, "/", "hooks.example.com"),
        ("HTTPS://Hooks.Example.com/A?b=C", "hooks.example.com", 443, "/A?b=C", "hooks.example.com"),
        ("http://example.com:8080?x", "example.com", 8080, "/?x", "example.com:8080"),
        ("https://example.com:80/", "example.com", 80, "/", "example.com:80"),
        ("http:" + "//8.8.8.8:80/a@b", "8.8.8.8", 80, "/a@b", "8.8.8.8"),
        ("https:" + "//[2606:4700::1]:8443/", "2606:4700::1", 8443, "/", "[2606:4700::1]:8443"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
        (
            "https://a_b.example/services/T0/B0/x-y~z",
            "a_b.example",
            443,
            "/services/T0/B0/x-y~z",
            "a_b.example",
        ),
    ],
)
def test_address_is_taken_apart(url: str, host: str, port: int, target: str, header: str) -> None:
    read = read_url("url", url)
    assert (read.host, read.port, read.target, read.host_header) == (host, port, target, header)


BAD = [
    "/path",
    "",
    "user@example.com/",
    "user:secret@example.com/",
    "example.com@127.0.0.1/",
    "example.com:443@127.0.0.1/",
    "example.com\\@127.0.0.1/",
    "127.0.0.1\\.example.com/",
    "example.com%00.internal/",
    "example.com%2f@127.0.0.1/",
    "exa mple.com/",
    "example.com/a b",
    "example.com/\r\nX: y",
    "example.com/#@127.0.0.1",
    "example.com#@127.0.0.1/",
    "bücher.example/",
    "①②⑦.⓪.⓪.①/",
    "127。0。0。1/",
    "example.com./",
    ".example.com/",
    "a..b/",
    "-a.example/",
    "example.com:/",
    "example.com:0/",
    "example.com:22/",
    "example.com:25/",
    "example.com:1023/",
    "example.com:65536/",
    "example.com:99999/",
    "example.com:+80/",
    "example.com:٨٠/",
    "[::1",
    "::1/",
    "[fe80::1%25lo]/",
    "[1.2.3.4]/",
    "[::g]/",
    "[]/",
    "1.2.3/",
    "1.2.3.256/",
    "a." * 150 + "example/",
    "example.com/" + "x" * 2000,
]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "https:example.com",
        *(f"https://{each}" for each in BAD),
    ],
)
def test_address_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_url("url", url)
    assert caught.value.field == "url"
    assert caught.value.remedy
    assert "secret" not in caught.value.message.replace("a secret signs", "")


@pytest.mark.parametrize(
    "host", ["", ".", "a b", "-a", "a-", "example.com.", "1", "127.1", "x" * 64, "é.example"]
)
def test_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_host("host", host)
    assert caught.value.field == "host"


@pytest.mark.parametrize(
    ("host", "taken"),
    [("Mail.Example.com", "mail.example.com"), ("::1", "::1"), ("10.0.0.1", "10.0.0.1"), ("a", "a")],
)
def test_host_that_is_one_is_taken(host: str, taken: str) -> None:
    assert check_host("host", host) == taken
