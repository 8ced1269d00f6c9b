"""Networks of the user's own: a function that returns an ``nn.Module``, its arguments, and its source code.

This module does not import torch, so that the command line can check a request without it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of a network
PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")  # my_models.net:make
ARTIFACT = r"^[0-9a-f]{2}/[0-9a-f]{64}\.code$"
LONGEST = 300  # characters of the path of a factory
LARGEST_ARGUMENTS = 10_000  # characters of JSON


class FactorySpecification(BaseModel):
    """A function that makes a network, with everything that determines what it makes.

    The function belongs to source files in the artifact store (``code``), or to an installed package (``package``
    and ``version``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    factory: str = Field(max_length=LONGEST, description="module and function: my_models.net:make")
    arguments: dict[str, JsonValue] = Field(default_factory=dict, description="keyword arguments of the function")
    classes_argument: str | None = Field(
        default=None, max_length=100, description="argument that is the number of classes"
    )
    code: str | None = Field(default=None, pattern=ARTIFACT, description="artifact with the source files")
    package: str | None = Field(default=None, max_length=200)
    version: str | None = Field(default=None, max_length=200)

    @field_validator("factory")
    @classmethod
    def _check_path(cls, factory: str) -> str:
        if not PATH.fullmatch(factory):
            raise ValueError(f"'{factory}' is not of the form my_models.net:make (module, colon, function)")
        return factory

    @field_validator("arguments")
    @classmethod
    def _in_one_order(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Sort the arguments, so that the key doesn't depend on the order in which they were given."""
        if wrong := [name for name in arguments if not name.isidentifier()]:
            raise ValueError(f"'{wrong[0]}' can't be the name of an argument")
        text = json.dumps(arguments, sort_keys=True, allow_nan=False)
        if len(text) > LARGEST_ARGUMENTS:
            raise ValueError(f"the arguments have more than {LARGEST_ARGUMENTS} characters")
        result: dict[str, JsonValue] = json.loads(text)
        return result

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if (self.code is None) == (self.package is None) or (self.package is None) != (self.version is None):
            raise ValueError("a factory has either code, or a package with its version")
        return self

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def key(self) -> str:
        """Return the SHA-256 (hexadecimal) of the function, its arguments, and its code."""
        return hashlib.sha256(f"factory 1 {self.model_dump_json()}".encode()).hexdigest()

    def arguments_for(self, classes: int) -> Mapping[str, Any]:
        """Return the keyword arguments for a network with so many classes."""
        return {**self.arguments, **({self.classes_argument: classes} if self.classes_argument else {})}

    @property
    def call(self) -> str:
        """The call, for messages: ``my_models.net:make(width=64)``."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.factory}({given})"
