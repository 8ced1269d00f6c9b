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
    """All settings. Each can stand in ``config.toml``, or as ``ANALYZE_<NAME>`` in the environment."""

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
        default=30, gt=0, description="a shard whose worker is silent for so long is given to another"
    )
    heartbeat_seconds: float = Field(default=3, gt=0, description="how often a worker extends its lease")
    sweep_seconds: float = Field(default=5, gt=0, description="how often lost shards are looked for")
    resend_seconds: float = Field(
        default=30, gt=0, description="a message unseen for so long, its queue being empty, is sent again"
    )
    threads: int | None = Field(
        default=None, ge=1, description="threads of a worker process; without it, all cores"
    )
    cache_gb: float = Field(
        default=20,
        ge=0,
        allow_inf_nan=False,
        description="decoded images kept in the home folder for the next job or epoch, at most; 0: none",
    )
    log_format: LogFormat = Field(
        default="text", description="of what workers and `analyze up` say on stderr: text, or json"
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
        """Options, then the environment, then the TOML file of the home folder they name."""
        home = init_settings().get("home") or env_settings().get("home")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file(home))

    @property
    def resolved_database_url(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'unitscope.sqlite3'}"

    @property
    def resolved_store(self) -> Path:
        """The artifact store's root in force."""
        return self.store or self.home / "store"

    @property
    def cache_folder(self) -> Path:
        """Where decoded images are kept."""
        return self.home / "cache"

    @property
    def cache_bytes(self) -> int:
        """How much of them is kept at most."""
        return int(self.cache_gb * 2**30)

    @property
    def uses_private_redis(self) -> bool:
        """Whether Redis is the private one of the home folder."""
        return self.redis_url is None


def config_file(home: str | Path | None) -> Path:
    """Where the TOML file is: ``ANALYZE_CONFIG``, or ``config.toml`` in the home folder."""
    if explicit := os.environ.get("ANALYZE_CONFIG"):
        return Path(explicit).expanduser()
    return Path(home or platformdirs.user_data_path("unitscope")).expanduser() / CONFIG_NAME


def load_settings(options: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; ``options`` are those given on the command line.

    Raises
    ------
    BadSettings
        a value is wrong, a name unknown, or the TOML file can't be parsed.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    path = config_file(given.get("home") or os.environ.get("ANALYZE_HOME"))
    if os.environ.get("ANALYZE_CONFIG") and not path.is_file():
        raise BadSettings(reason=f"there is no file {path}, which ANALYZE_CONFIG names")
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
            reason="heartbeat_seconds must be smaller than lease_seconds, or no worker keeps its shard"
        )
    _check_urls(settings)
    # A relative path means the folder of the command that was typed, for the workers it starts too.
    return settings.model_copy(
        update={
            "home": settings.home.expanduser().absolute(),
            "store": settings.store.expanduser().absolute() if settings.store else None,
        }
    )


def _check_urls(settings: Settings) -> None:
    """See that both URLs are URLs, without repeating them: they can hold passwords."""
    try:
        url = make_url(settings.resolved_database_url)
        fits = url.get_backend_name() in ("sqlite", "postgresql")
        fits = fits and "@" not in (url.host or "")  # the end of a password that isn't percent-encoded
    except Exception:  # the type of its error is not public
        fits = False
    if not fits:
        raise BadSettings(
            reason="database_url is not like sqlite:///FILE or postgresql+psycopg://USER:...@HOST/NAME"
        )
    if settings.redis_url is not None:
        try:
            parse_redis_url(settings.redis_url)
        except ValueError as error:
            raise BadSettings(reason=f"redis_url {error}") from None


def environment(settings: Settings) -> dict[str, str]:
    """The settings as ``ANALYZE_*`` variables: how a program that we start is told of them."""
    values = settings.model_dump(exclude_none=True)
    return {f"ANALYZE_{name.upper()}": str(value) for name, value in values.items()}


def origins(options: Mapping[str, Any]) -> dict[str, str]:
    """Where each setting's value comes from: ``option``, ``environment``, ``file`` or ``default``."""
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
    """A URL without its password, to be shown."""
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    if "@" in credentials:  # redis-py takes the last @ of several, SQLAlchemy the first
        return f"{scheme}{separator}***{at}{place.partition('?')[0]}"
    try:
        parsed = make_url(url)
        if scheme.startswith("redis") and parsed.username and not parsed.password:
            parsed = parsed.set(username="***")  # redis://PASSWORD@HOST, for redis://:PASSWORD@HOST
        secret = [name for name in parsed.query if _is_secret(name)]
        return parsed.update_query_dict(dict.fromkeys(secret, "***")).render_as_string(hide_password=True)
    except Exception:
        return "(a URL that can't be read)"


def has_secret(url: str) -> bool:
    """Whether a URL has a password in it."""
    try:
        parsed = make_url(url)
    except Exception:
        return True
    return bool(parsed.password) or any(_is_secret(name) for name in parsed.query)


def _is_secret(parameter: str) -> bool:
    name = parameter.lower()
    return name not in ("passfile", "password_file") and any(word in name for word in ("pass", "secret", "token"))
