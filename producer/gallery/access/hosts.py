"""The Host header: by which names the gallery may be asked for.

A page elsewhere can give its own name the address 127.0.0.1 (DNS rebinding), and then read what a server answers
to that name. So only known names are answered.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Hosts:
    """Names and addresses that are answered, whatever the port: a tunnel or a container can change it.

    Parameters
    ----------
    address
        Numeric address that the server listens on. If it is that of all interfaces, all numeric addresses are
        answered: DNS rebinding needs a name.
    names
        Further names, such as that of the machine or of a proxy.
    """

    def __init__(self, address: str, names: Iterable[str] = ()) -> None:
        self.names = LOCAL | {_bare(address)} | {_bare(name) for name in names}
        self.any_address = ipaddress.ip_address(_bare(address)).is_unspecified

    def allows(self, host: str) -> bool:
        """Return whether the value of a Host header is answered."""
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(:[0-9]{1,5})?", host)
        if not match:
            return False
        name = _bare(match[1])
        return name in self.names or (self.any_address and _is_address(name))


def is_loopback(address: str) -> bool:
    """Return whether only programs of this machine can reach a numeric address."""
    return ipaddress.ip_address(_bare(address)).is_loopback


def _bare(host: str) -> str:
    """Return a name in lower case, without brackets, the zone of an IPv6 address, and a dot at its end."""
    return host.strip("[]").partition("%")[0].removesuffix(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
