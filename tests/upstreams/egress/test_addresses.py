"""EGR-02: what an address leads to, whatever it is wrapped in."""

from ipaddress import ip_address

import pytest

from mantlet.upstreams.egress.addresses import Kind, kind_of, reached


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8.8.8.8", "public"),
        ("1.1.1.1", "public"),
        ("2606:4700:4700::1111", "public"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.1", "public"),
        ("192.168.1.1", "private"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("100.64.0.1", "shared"),
        ("100.127.255.255", "shared"),
        ("100.128.0.1", "public"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
        ("fe80::1%eth0", "link_local"),
        ("2606:4700::1%eth0", "link_local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fe80::a9fe:a9fe", "metadata"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("ff02::1", "multicast"),
        ("192.0.0.1", "reserved"),
        ("192.0.2.1", "reserved"),
        ("192.88.99.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("198.51.100.1", "reserved"),
        ("203.0.113.1", "reserved"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("2001:2::1", "reserved"),
        ("2001:20::1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("3fff::1", "reserved"),
        ("64:ff9b:1::a9fe:a9fe", "reserved"),
        ("100::1", "reserved"),
        ("5f00::1", "reserved"),
        ("4000::1", "reserved"),
    ],
)
def test_every_address_has_one_kind(text: str, kind: Kind) -> None:
    """EGR-02"""
    assert kind_of(ip_address(text)) == kind


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("::ffff:127.0.0.1", ["127.0.0.1"]),
        ("::ffff:0:169.254.169.254", ["169.254.169.254"]),
        ("64:ff9b::a9fe:a9fe", ["169.254.169.254"]),
        ("64:ff9b::8.8.8.8", ["8.8.8.8"]),
        ("::169.254.169.254", ["169.254.169.254"]),
        ("::2", ["0.0.0.2"]),
        ("::1", ["::1"]),
        ("::", ["::"]),
        ("2002:a9fe:a9fe::", ["169.254.169.254"]),
        ("2002:7f00:1::1", ["127.0.0.1"]),
        # Teredo: the server, then the client behind its NAT, its bits turned over.
        ("2001:0:a9fe:a9fe::f5ff:fffe", ["169.254.169.254", "10.0.0.1"]),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", ["65.54.227.120", "192.0.2.45"]),
        ("2606:4700::5efe:a9fe:a9fe", ["2606:4700::5efe:a9fe:a9fe", "169.254.169.254"]),
        ("2606:4700::200:5efe:7f00:1", ["2606:4700::200:5efe:7f00:1", "127.0.0.1"]),
        ("2606:4700:4700::1111", ["2606:4700:4700::1111"]),
        ("10.0.0.1", ["10.0.0.1"]),
    ],
)
def test_what_an_address_carries_is_what_it_reaches(text: str, inside: list[str]) -> None:
    """EGR-02"""
    assert [str(each) for each in reached(ip_address(text))] == inside
