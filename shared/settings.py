"""Settings: defaults < TOML file < ``ANALYZE_*`` environment < options of the command line."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import URL, make_url

from shared.config_file import config_file, default_home, expand_user, line_of, read_config
from shared.errors import BadSettings
from shared.jobs.redis_url import parse_redis_url
from shared.logs import LogFormat

PREFIX = "ANALYZE_"
# Variables that are not settings: they are set for worker processes, or name the file with the settings.
OTHER_VARIABLES = ("CONFIG", "DEVICE", "WORKER_NAME", "SUPERVISOR_PID", "SUPERVISOR_PIPE")


class Settings(BaseModel):
    """All settings. Each can be set in ``config.toml`` or as ``ANALYZE_<NAME>`` in the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path = Field(
        default_factory=default_home,
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

    @property
    def resolved_database_url(self) -> str:
        """The database URL; by default a SQLite file in the home folder."""
        return self.database_url or sqlite_url(self.home / "unitscope.sqlite3")

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


def sqlite_url(file: Path) -> str:
    """Return the URL of a SQLite file. Characters with a meaning in URLs (``% ? # @ :``) are percent-encoded."""
    return URL.create("sqlite", database=str(file)).render_as_string(hide_password=False)


@dataclass(frozen=True)
class Problem:
    """An invalid value, or an unknown name. ``setting`` is the one that it affects, None if it can be any."""

    text: str
    setting: str | None


@dataclass(frozen=True)
class _Given:
    """A value and its source: ``option``, ``environment``, or the path of the TOML file."""

    value: Any
    source: str


def load_settings(options: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; ``options`` are those of the command line, None meaning not given.

    Raises
    ------
    BadSettings
        a value is invalid, a name is unknown, or the TOML file can't be read or parsed.
    """
    settings, problems = load_valid_settings(options)
    if problems:
        raise BadSettings(reason="; ".join(problem.text for problem in problems))
    return settings


def load_valid_settings(options: Mapping[str, Any] | None = None) -> tuple[Settings, list[Problem]]:
    """Read the settings like ``load_settings``, with the defaults in place of invalid values.

    Raises
    ------
    BadSettings
        there is no home folder.
    """
    given, problems = _given(options or {})
    settings = None
    while settings is None:
        try:
            settings = Settings(**{name: value.value for name, value in given.items()})
        except ValidationError as error:
            invalid = {str(e["loc"][0]): e["msg"] for e in error.errors()}
            problems += [_problem(name, given[name], text) for name, text in invalid.items()]
            given = {name: value for name, value in given.items() if name not in invalid}
    found = list(_inconsistent(settings))
    defaults = {p.setting: Settings.model_fields[p.setting].default for p in found if p.setting}
    # Relative paths are resolved against the command's folder, so that workers that it starts use the same paths.
    paths = {"home": _absolute(settings.home), "store": _absolute(settings.store) if settings.store else None}
    return settings.model_copy(update={**defaults, **paths}), problems + found


def _absolute(path: Path) -> Path:
    try:
        return expand_user(path).absolute()
    except FileNotFoundError:
        reason = f"{path} is a relative path, and the working folder was removed. Change to another folder"
        raise BadSettings(reason=reason) from None


def _given(options: Mapping[str, Any]) -> tuple[dict[str, _Given], list[Problem]]:
    """Collect the values of all sources; later ones override earlier ones: file, environment, options."""
    variables = _variables()
    path = config_file(options.get("home") or variables.get("home"))
    content, problems = _content(path)
    given = {name: _Given(value, str(path)) for name, value in content.items()}
    given |= {name: _Given(value, "environment") for name, value in variables.items()}
    given |= {name: _Given(value, "option") for name, value in options.items() if value is not None}
    text = "its name is not valid UTF-8, so it can be neither stored nor printed"
    undecodable = [name for name, value in given.items() if not _is_utf8(value.value)]
    problems += [_problem(name, given.pop(name), text) for name in undecodable]
    return given, problems


def _is_utf8(value: object) -> bool:
    """Return whether a text or path is UTF-8; other bytes become surrogates, which can't be encoded."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _variables() -> dict[str, str]:
    """Return the settings in the environment; an empty variable counts as unset."""
    given = {name.upper(): value for name, value in os.environ.items() if value}
    names = {name: PREFIX + name.upper() for name in Settings.model_fields}
    return {name: given[variable] for name, variable in names.items() if variable in given}


def _content(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Read the TOML file, if there is one."""
    try:
        return read_config(path), []
    except (FileNotFoundError, NotADirectoryError):
        missing = f"ANALYZE_CONFIG is set to {path}, which does not exist"
        return {}, [Problem(missing, None)] if os.environ.get("ANALYZE_CONFIG") else []
    except PermissionError:
        return {}, [Problem(f"{path}: Permission denied (ANALYZE_HOME chooses another home folder)", None)]
    except OSError as error:
        return {}, [Problem(f"{path}: {error.strerror}", None)]
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, [Problem(f"{path}: {error}", None)]


def _problem(name: str, given: _Given, text: str) -> Problem:
    """Describe an invalid value or an unknown name, with the place to correct it."""
    if given.source == "environment":
        return Problem(f"{name}: {text} (variable {PREFIX}{name.upper()})", name)
    if given.source == "option":
        return Problem(f"{name}: {text} (option --{name.replace('_', '-')})", name)
    line = line_of(Path(given.source), name)
    place = given.source + (f", line {line}" if line else "")
    if name in Settings.model_fields:
        return Problem(f"{name}: {text} ({place})", name)
    nearest = _nearest(name, 0.5)
    known = f"did you mean '{nearest}'?" if nearest else f"the settings are {', '.join(Settings.model_fields)}"
    return Problem(f"{place}: there is no setting '{name}' ({known})", nearest)


def _nearest(name: str, similarity: float) -> str | None:
    """Return the setting whose name is most similar, if the similarity (0 to 1) is large enough."""
    return next(iter(difflib.get_close_matches(name.lower(), Settings.model_fields, 1, similarity)), None)


def misspelt_variables() -> list[str]:
    """Return a sentence for each ``ANALYZE_*`` variable that is no setting, but has nearly the name of one."""
    known = {PREFIX + name.upper() for name in (*Settings.model_fields, *OTHER_VARIABLES)}
    unknown = [name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known]
    nearest = {name: _nearest(name[len(PREFIX) :], 0.75) for name in sorted(unknown)}
    return [
        f"The variable {name} is ignored: it is not a setting. Did you mean {PREFIX}{setting.upper()}?"
        for name, setting in nearest.items()
        if setting
    ]


def _inconsistent(settings: Settings) -> Iterator[Problem]:
    """Yield the problems of values that are valid by type."""
    if settings.heartbeat_seconds >= settings.lease_seconds:
        text = "heartbeat_seconds must be smaller than lease_seconds, or leases expire between heartbeats"
        yield Problem(text, "heartbeat_seconds")
    # The errors do not quote URLs, since they can contain passwords.
    if settings.database_url is not None and not _is_database_url(settings.database_url):
        text = "database_url must have the form sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        yield Problem(text, "database_url")
    if settings.redis_url is not None:
        try:
            parse_redis_url(settings.redis_url)
        except ValueError as error:
            yield Problem(f"redis_url {error}", "redis_url")


def _is_database_url(text: str) -> bool:
    try:
        url = make_url(text)
    except Exception:  # SQLAlchemy does not document which exceptions make_url raises
        return False
    # An @ in the host is part of a password that isn't percent-encoded.
    return url.get_backend_name() in ("sqlite", "postgresql") and "@" not in (url.host or "")


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as ``ANALYZE_*`` variables, for programs that this process starts."""
    values = settings.model_dump(exclude_none=True)
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}


def origins(options: Mapping[str, Any]) -> dict[str, str]:
    """Return each setting's source: ``option``, ``environment``, the path of the TOML file, or ``default``."""
    given, _ = _given(options)
    return {name: given[name].source if name in given else "default" for name in Settings.model_fields}


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
