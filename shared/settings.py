"""Settings: defaults < TOML file < ``ANALYZE_*`` environment < options of the command line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import make_url

from shared.errors import BadSettings
from shared.jobs.redis_url import parse_redis_url
from shared.logs import LogFormat

CONFIG_NAME = "config.toml"


class Settings(BaseSettings):
    """All settings. Each can be set in ``config.toml`` or as ``ANALYZE_<NAME>`` in the environment."""

    model_config = SettingsConfigDict(env_prefix="ANALYZE_", env_ignore_empty=True, extra="forbid", frozen=True)

    home: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("unitscope"),
        description="folder with the SQLite file, the artifact store, generated data sets and the private Redis",
    )
    database_url: str | None = Field(
        default=None, repr=False, description="SQLAlchemy URL; without it, a SQLite file in the home folder"
    )
    redis_url: str | None = Field(
        default=None,
        repr=False,
        description="URL of a Redis server; without it, a private one that `analyze up` starts",
    )
    store: Path | None = Field(
        default=None, description="root of the artifact store; without it, `store` in the home folder"
    )
    lease_seconds: float = Field(
        default=30, gt=0, description="time without a heartbeat after which a shard goes to another worker"
    )
    heartbeat_seconds: float = Field(default=3, gt=0, description="interval at which a worker extends its lease")
    sweep_seconds: float = Field(default=5, gt=0, description="interval at which the sweeper runs")
    resend_seconds: float = Field(
        default=30,
        gt=0,
        description="if a shard is unclaimed this long after its message was sent and the queue is empty, "
        "the message is sent again",
    )
    threads: int | None = Field(
        default=None, ge=1, description="threads of a worker process; without it, all cores"
    )
    cache_gb: float = Field(
        default=20,
        ge=0,
        allow_inf_nan=False,
        description="maximum size of the pixel cache in the home folder; 0 disables it",
    )
    log_format: LogFormat = Field(
        default="text", description="format of the log of workers and `analyze up` on stderr: text or json"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: options, the environment, then the TOML file of the home folder set by these two."""
        home = init_settings().get("home") or env_settings().get("home")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file(home))

    @property
    def resolved_database_url(self) -> str:
        """The database URL; by default a SQLite file in the home folder."""
        return self.database_url or f"sqlite:///{self.home / 'unitscope.sqlite3'}"

    @property
    def resolved_store(self) -> Path:
        """The root of the artifact store; by default ``store`` in the home folder."""
        return self.store or self.home / "store"

    @property
    def cache_folder(self) -> Path:
        """The folder of the pixel cache."""
        return self.home / "cache"

    @property
    def cache_bytes(self) -> int:
        """Maximum size of the pixel cache in bytes."""
        return int(self.cache_gb * 2**30)

    @property
    def uses_private_redis(self) -> bool:
        """Whether the home folder's private Redis is used."""
        return self.redis_url is None


def config_file(home: str | Path | None) -> Path:
    """Return the path of the TOML file: ``ANALYZE_CONFIG``, or ``config.toml`` in the home folder."""
    if explicit := os.environ.get("ANALYZE_CONFIG"):
        return Path(explicit).expanduser()
    return Path(home or platformdirs.user_data_path("unitscope")).expanduser() / CONFIG_NAME


def load_settings(options: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; ``options`` are those of the command line, None meaning not given.

    Raises
    ------
    BadSettings
        a value is invalid, a name is unknown, or the TOML file can't be read or parsed.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    path = config_file(given.get("home") or os.environ.get("ANALYZE_HOME"))
    if os.environ.get("ANALYZE_CONFIG") and not path.is_file():
        raise BadSettings(reason=f"ANALYZE_CONFIG is set to {path}, which does not exist")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        reasons = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise BadSettings(reason="; ".join(reasons) + (f" (file {path})" if path.is_file() else "")) from None
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(reason=f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(reason=f"{path}: {error}") from None
    if settings.heartbeat_seconds >= settings.lease_seconds:
        raise BadSettings(
            reason="heartbeat_seconds must be smaller than lease_seconds, or leases expire between heartbeats"
        )
    _check_urls(settings)
    # Relative paths are resolved against the command's folder, so that workers that it starts use the same paths.
    return settings.model_copy(
        update={
            "home": settings.home.expanduser().absolute(),
            "store": settings.store.expanduser().absolute() if settings.store else None,
        }
    )


def _check_urls(settings: Settings) -> None:
    """Validate both URLs. The errors do not quote them, since they can contain passwords."""
    try:
        url = make_url(settings.resolved_database_url)
        valid = url.get_backend_name() in ("sqlite", "postgresql")
        valid = valid and "@" not in (url.host or "")  # part of a password that isn't percent-encoded
    except Exception:  # SQLAlchemy does not document which exceptions make_url raises
        valid = False
    if not valid:
        raise BadSettings(
            reason="database_url must have the form sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        )
    if settings.redis_url is not None:
        try:
            parse_redis_url(settings.redis_url)
        except ValueError as error:
            raise BadSettings(reason=f"redis_url {error}") from None


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as ``ANALYZE_*`` variables, for programs that this process starts."""
    values = settings.model_dump(exclude_none=True)
    return {f"ANALYZE_{name.upper()}": str(value) for name, value in values.items()}


def origins(options: Mapping[str, Any]) -> dict[str, str]:
    """Return each setting's source: ``option``, ``environment``, the path of the TOML file, or ``default``."""
    path = config_file(options.get("home") or os.environ.get("ANALYZE_HOME"))
    in_file = tomllib.loads(path.read_text()) if path.is_file() else {}
    result = {}
    for name in Settings.model_fields:
        if options.get(name) is not None:
            result[name] = "option"
        elif os.environ.get(f"ANALYZE_{name.upper()}"):
            result[name] = "environment"
        elif name in in_file:
            result[name] = str(path)
        else:
            result[name] = "default"
    return result


def redacted(url: str) -> str:
    """Return a URL with its password replaced by ``***``, for display."""
    scheme, separator, rest = url.partition("://")
    credentials, at, location = rest.rpartition("@")
    if "@" in credentials:  # redis-py splits at the last @, SQLAlchemy at the first
        return f"{scheme}{separator}***{at}{location.partition('?')[0]}"
    try:
        parsed = make_url(url)
        if scheme.startswith("redis") and parsed.username and not parsed.password:
            parsed = parsed.set(username="***")  # redis://PASSWORD@HOST, a mistake for redis://:PASSWORD@HOST
        secret = [name for name in parsed.query if _is_secret(name)]
        return parsed.update_query_dict(dict.fromkeys(secret, "***")).render_as_string(hide_password=True)
    except Exception:
        return "(invalid URL)"


def has_secret(url: str) -> bool:
    """Return whether a URL contains a password or another secret; True if it can't be parsed."""
    try:
        parsed = make_url(url)
    except Exception:
        return True
    return bool(parsed.password) or any(_is_secret(name) for name in parsed.query)


def _is_secret(parameter: str) -> bool:
    name = parameter.lower()
    return name not in ("passfile", "password_file") and any(word in name for word in ("pass", "secret", "token"))
