"""The machine room: plain values in, plain values out."""

from collections.abc import Callable
from typing import Any, final

__all__ = [
    "Daemon",
    "Engine",
    "__version__",
    "checksum",
    "checksum_tree",
    "read_manifest",
    "scan",
    "verified_copy",
    "verify",
    "verify_receipt",
    "write_manifest",
]

__version__: str

_Progress = Callable[[int, int, int, int], object]

def checksum(path: str, algorithms: list[str], progress: _Progress | None) -> dict[str, Any]: ...
def checksum_tree(
    root: str,
    algorithms: list[str],
    jobs: int | None,
    cache: str | None,
    progress: _Progress | None,
) -> list[dict[str, Any]]: ...
def verified_copy(
    source: str,
    destination: str,
    choice: str,
    progress: _Progress | None,
) -> tuple[dict[str, Any], str]: ...
def scan(
    paths: list[str],
    choice: str,
    progress: _Progress | None,
) -> list[dict[str, Any]]: ...
def verify(
    root: str,
    manifest: str,
    jobs: int | None,
    from_device: bool,
    state: str | None,
    max_age: float,
    seconds: float | None,
    limit_bytes_per_second: int | None,
    progress: _Progress | None,
) -> dict[str, Any]: ...
def read_manifest(path: str) -> dict[str, Any]: ...
def write_manifest(
    root: str, path: str | None, format: str, jobs: int | None, progress: _Progress | None
) -> dict[str, Any]: ...
def verify_receipt(
    path: str, key: str, tree: str | None, allow_embedded: bool, progress: _Progress | None
) -> dict[str, Any]: ...

@final
class Engine:
    def __new__(cls, data: str, config: str, as_user: str | None) -> Engine: ...
    def acting_as(self, username: str | None) -> Engine: ...
    def call(self, op: str, fields: str, key: str | None) -> Any: ...
    def add(self, code: str, path: str, progress: _Progress | None) -> dict[str, Any]: ...
    def settle(self, code: str, timeout_seconds: float) -> dict[str, Any]: ...
    def one_time_password(self) -> str | None: ...
    def close(self) -> None: ...

@final
class Daemon:
    def __new__(cls, url: str, token: str | None) -> Daemon: ...
    def login(
        self, username: str, password: str, new_password: str | None
    ) -> tuple[Daemon, dict[str, Any]]: ...
    def call(self, op: str, fields: str, key: str | None) -> Any: ...
    def add(self, code: str, path: str, progress: _Progress | None) -> dict[str, Any]: ...
