"""Settings: defaults < TOML file < ``ANALYZE_*`` environment < options of the command line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
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
# Variables that Kubernetes and Docker set in each container for a service whose name begins with "analyze".
OF_SERVICE_LINKS = re.compile(
    r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
URLS = ("database_url", "query_database_url", "redis_url")
CONTROL = r"[\x00-\x1f\x7f]"
LONGEST_URL = 10_000  # bytes
LARGEST = 1e9  # value of a setting; more is a mistake, and infinity can't be stored or waited for
SECRET_WORDS = ("pass", "pwd", "secret", "token", "key=", "credential", "://")


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
    query_database_url: str | None = Field(
        default=None,
        repr=False,
        description="URL of the same PostgreSQL database with a role that can only read, for `analyze query`; "
        "without it, `database_url` is used",
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
        default=30,
        gt=0,
        le=LARGEST,
        description="time without a heartbeat after which a shard goes to another worker",
    )
    heartbeat_seconds: float = Field(
        default=3, gt=0, le=LARGEST, description="interval at which a worker extends its lease"
    )
    sweep_seconds: float = Field(default=5, gt=0, le=LARGEST, description="interval at which the sweeper runs")
    resend_seconds: float = Field(
        default=30,
        gt=0,
        le=LARGEST,
        description="if a shard is unclaimed this long after its message was sent and the queue is empty, "
        "the message is sent again",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="threads of a worker process; without it, all cores"
    )
    cache_gb: float = Field(
        default=20,
        ge=0,
        le=LARGEST,
        description="maximum size of the pixel cache in the home folder; 0 disables it",
    )
    user_networks: bool = Field(
        default=True,
        description="whether networks can be added with `analyze network add`, and their code is run; it runs "
        "with the rights of commands and workers",
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
    """A value and its source: ``option``, ``environment``, or the path of a file.

    ``variable`` is the environment variable that has the value or names the file.
    """

    value: Any
    source: str
    variable: str | None = None


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
    found = [_in_place(problem, given) for problem in _inconsistent(settings)]
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
    variables, wrong = _variables(), _unknown_variables()
    home = options.get("home") or (variables["home"].value if "home" in variables else None)
    path = config_file(home)
    content, problems = _content(path)
    given = {name: _Given(value, str(path)) for name, value in content.items()}
    given |= variables
    for name, variable in _file_variables().items():
        try:
            given[name] = _from_file(name, variable)
        except ValueError as error:
            wrong.append(Problem(f"{name}: {error} (variable {variable})", name))
            given.pop(name, None)
    problems += wrong
    given |= {name: _Given(value, "option") for name, value in options.items() if value is not None}
    for name in list(given):
        if reason := _why_no_text(given[name].value, "\0" if name not in URLS else CONTROL):
            problems.append(_problem(name, given.pop(name), reason))
    return given, problems


def _why_no_text(value: object, refused: str) -> str | None:
    """Return why a text or path can't be used: it is not UTF-8, or matches the pattern ``refused``."""
    try:
        str(value).encode()  # bytes that are not UTF-8 became surrogates
    except UnicodeEncodeError:
        return "its name is not valid UTF-8, so it can be neither stored nor printed"
    return "it contains a control character" if re.search(refused, str(value)) else None


def _variables() -> dict[str, _Given]:
    """Return the settings in the environment."""
    given = _environment()
    names = {name: variable_of(name) for name in Settings.model_fields}
    return {
        name: _Given(given[variable], "environment", variable)
        for name, variable in names.items()
        if variable in given
    }


def _environment() -> dict[str, str]:
    """Return the variables ``ANALYZE_*``; an empty variable counts as unset."""
    given = {name.upper(): value for name, value in os.environ.items() if value}
    return {name: value for name, value in given.items() if name.startswith(PREFIX)}


def variable_of(setting: str) -> str:
    """Return the name of a setting's environment variable."""
    return PREFIX + setting.upper()


def _file_variables() -> dict[str, str]:
    """Return the variables ``ANALYZE_..._URL_FILE`` that are set, by the setting that their file contains."""
    given = _environment()
    names = {name: f"{variable_of(name)}_FILE" for name in URLS}
    return {name: variable for name, variable in names.items() if variable in given}


def url_files() -> dict[str, Path]:
    """Return the files that ``ANALYZE_..._URL_FILE`` names, by the name of the variable."""
    given = _environment()
    return {variable: Path(given[variable]) for variable in _file_variables().values()}


def _from_file(name: str, variable: str) -> _Given:
    """Read a URL from the file that a variable names, such as a secret of a container.

    Raises
    ------
    ValueError
        the file can't be read, has no URL, or the URL is also in another variable.
    """
    if variable_of(name) in _environment():
        raise ValueError(f"both {variable_of(name)} and {variable} are set: remove one of them")
    file = url_files()[variable]
    try:
        with file.open("rb") as opened:
            url = opened.read(LONGEST_URL + 1).decode().strip()
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    if not url or len(url) > LONGEST_URL or "\n" in url:
        raise ValueError(f"{file} must contain a URL and nothing else")
    return _Given(url, str(file), variable)


def _unknown_variables() -> list[Problem]:
    """Return a problem for each variable ``ANALYZE_*`` that is no setting: a misspelt one would be ignored."""
    problems = []
    for name in sorted(_environment()):
        setting = name[len(PREFIX) :].lower()
        if not is_known_variable(name):
            nearest = _nearest(setting.removesuffix("_file"), 0.5)
            advice = f"did you mean {variable_of(nearest)}?" if nearest else "`analyze doctor` lists the settings"
            text = f"the variable {name} is set, but there is no setting '{setting}' ({advice})"
            problems.append(Problem(text, nearest))
    return problems


def is_known_variable(name: str) -> bool:
    """Return whether a variable ``ANALYZE_*`` has a meaning here, or was set by a container's service links."""
    suffix = name.removeprefix(PREFIX)
    files = [f"{setting}_file" for setting in URLS]
    known = [other.upper() for other in (*Settings.model_fields, *OTHER_VARIABLES, *files)]
    return suffix in known or OF_SERVICE_LINKS.fullmatch(suffix) is not None


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
    except RecursionError:
        return {}, [Problem(f"{path}: its values are nested too deeply", None)]
    except ValueError as error:  # no TOML, no UTF-8, or a number of too many digits
        return {}, [Problem(f"{path}: {error}", None)]


def _problem(name: str, given: _Given, text: str) -> Problem:
    """Describe an invalid value or an unknown name, with the place to correct it."""
    if given.variable:
        return Problem(f"{name}: {text} (variable {given.variable})", name)
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


def _in_place(problem: Problem, given: Mapping[str, _Given]) -> Problem:
    """Name the file that a variable named, if the problem is in its content."""
    value = given.get(problem.setting or "")
    if value and value.variable and value.variable.endswith("_FILE"):
        return Problem(f"{problem.text} ({value.source}, from the variable {value.variable})", problem.setting)
    return problem


def _inconsistent(settings: Settings) -> Iterator[Problem]:
    """Yield the problems of values that are valid by type."""
    if settings.heartbeat_seconds >= settings.lease_seconds:
        text = "heartbeat_seconds must be smaller than lease_seconds, or leases expire between heartbeats"
        yield Problem(text, "heartbeat_seconds")
    # The errors do not quote URLs, since they can contain passwords.
    if settings.database_url is not None and not _is_database_url(settings.database_url):
        text = "database_url must have the form sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        yield Problem(text, "database_url")
    if settings.query_database_url is not None and not _is_database_url(
        settings.query_database_url, ("postgresql",)
    ):
        text = "query_database_url must have the form postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        yield Problem(text, "query_database_url")
    if settings.redis_url is not None:
        try:
            parse_redis_url(settings.redis_url)
        except ValueError as error:
            yield Problem(f"redis_url {error}", "redis_url")


def _is_database_url(text: str, backends: Sequence[str] = ("sqlite", "postgresql")) -> bool:
    try:
        url = make_url(text)
    except Exception:  # SQLAlchemy does not document which exceptions make_url raises
        return False
    # An @ in the host is part of a password that isn't percent-encoded.
    if url.get_backend_name() not in backends or "@" in (url.host or ""):
        return False
    # A SQLite file has no server, user, or password: one that is given belongs to another kind of database.
    return url.get_backend_name() != "sqlite" or not (url.host or url.username or url.password)


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as ``ANALYZE_*`` variables, for programs that this process starts."""
    values = settings.model_dump(exclude_none=True)
    # The URLs are passed on as they are, so the variables of files are emptied: both are refused.
    files = {f"{variable_of(name)}_FILE": "" for name in URLS if name in values}
    return {variable_of(name): str(value) for name, value in values.items()} | files


def origins(options: Mapping[str, Any]) -> dict[str, str]:
    """Return each setting's source: ``option``, ``environment``, the path of the TOML file, or ``default``."""
    given, _ = _given(options)
    return {name: given[name].source if name in given else "default" for name in Settings.model_fields}


def redacted(url: str) -> str:
    """Return a URL with its password and other secrets replaced by ``***``, for display."""
    scheme, separator, rest = url.partition("://")
    credentials, at, location = rest.rpartition("@")
    if "@" in credentials:  # redis-py splits at the last @, SQLAlchemy at the first
        return f"{scheme}{separator}***{at}{location.partition('?')[0]}"
    try:
        parsed = make_url(url)
        if scheme.startswith("redis") and parsed.username and not parsed.password:
            parsed = parsed.set(username="***")  # redis://PASSWORD@HOST, a mistake for redis://:PASSWORD@HOST
        # `options` sets the server's variables, of which any can be a secret to somebody.
        secret = [name for name, value in parsed.query.items() if name == "options" or _is_secret(name, value)]
        return parsed.update_query_dict(dict.fromkeys(secret, "***")).render_as_string(hide_password=True)
    except Exception:
        return "(invalid URL)"


def has_secret(url: str) -> bool:
    """Return whether a URL contains a password or another secret; True if it can't be parsed."""
    try:
        parsed = make_url(url)
    except Exception:
        return True
    return bool(parsed.password) or any(_is_secret(name, value) for name, value in parsed.query.items())


def _is_secret(parameter: str, value: object) -> bool:
    """Return whether a parameter of a URL is or contains a secret.

    ``options`` contains variables of the server (``-c app.password=...``), and ``dbname`` can be a URL itself.
    """
    name = parameter.lower()
    if name in ("passfile", "password_file"):
        return False
    texts = [name, str(value).lower()] if name in ("options", "dbname") else [name]
    return any(word in text for text in texts for word in SECRET_WORDS)
