"""How others reach this box: worked out once from the configuration, so that all processes agree."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from appliance.domain import names

if TYPE_CHECKING:
    from appliance.config.schema import Config

HTTPS_PORT = 443
ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not listened on


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """`host:port` for people and their clients; names for certificates."""

    web: str
    ssh: str
    api: str
    bastion_names: tuple[str, ...]
    web_hosts: tuple[str, ...]
    api_hosts: tuple[str, ...]

    @property
    def web_origin(self) -> str:
        """The web address as a browser writes it in an origin: without the port where it is 443."""
        return self.web.removesuffix(f":{HTTPS_PORT}")

    @classmethod
    def of(cls, config: Config) -> Addresses:
        """Work the addresses out."""
        host = config.sallyport.advertise_ip or config.sallyport.nodename
        proxy, auth = config.proxy_service, config.auth_service
        web = proxy.public_addr or _reachable(proxy.web_listen_addr, host)
        web_host, _ = names.host_port(web)
        ssh = proxy.ssh_public_addr or _reachable(proxy.listen_addr, web_host)
        api = auth.public_addr or _reachable(auth.listen_addr, host)
        ssh_host, _ = names.host_port(ssh)
        api_host, _ = names.host_port(api)
        local = ("localhost", "127.0.0.1")
        return cls(
            web=web,
            ssh=ssh,
            api=api,
            bastion_names=_unique(ssh_host, f"bastion.{auth.cluster_name}"),
            web_hosts=_unique(web_host, config.sallyport.nodename, *local),
            api_hosts=_unique(api_host, config.sallyport.nodename, *local),
        )


def _reachable(listen: str, host: str) -> str:
    own, port = names.host_port(listen)
    if own in ANYWHERE:
        own = host
    return f"[{own}]:{port}" if _is_v6(own) else f"{own}:{port}"


def _is_v6(host: str) -> bool:
    try:
        return ip_address(host).version == 6  # noqa: PLR2004 - the protocol's name
    except ValueError:
        return False


def _unique(*hosts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(hosts))
