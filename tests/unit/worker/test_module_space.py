"""Source files as modules of their own: names that others have, import statements of all kinds, what is taken."""

from __future__ import annotations

import copy
import gc
import inspect
import os
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from shared.errors import NetworkNotBuilt
from tests.own_networks import FACTORY, FILES, write_code
from worker.networks.factory import FunctionOfUser
from worker.networks.modules import ModuleSpace
from worker.networks.sources import FolderSources, NotTaken, StoredSources


def space_of(files: Mapping[str, str]) -> ModuleSpace:
    return ModuleSpace(StoredSources({name: textwrap.dedent(text) for name, text in files.items()}, "code"))


def value_of(statements: str, **others: str) -> Any:
    """Return ``value`` after these statements in a module ``main``, beside a package ``pack``."""
    files = {
        "pack/__init__.py": "NAME = 'pack'",
        "pack/one.py": "NAME = 'one'",
        "pack/inner/two.py": "NAME = 'two'",  # no __init__.py
        "shared/errors.py": "NAME = 'mine'",
        "random.py": "NAME = 'mine'",
    }
    space = space_of({**files, **others, "main.py": statements})
    return space.import_module("main").value


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("import pack\nvalue = pack.NAME", "pack"),
        ("import pack.one\nvalue = pack.one.NAME", "one"),
        ("import pack.one as o\nvalue = o.NAME", "one"),
        ("from pack import one\nvalue = one.NAME", "one"),
        ("from pack.one import NAME as value", "one"),
        ("from pack.one import *\nvalue = NAME", "one"),
        ("from pack.inner import two\nvalue = two.NAME", "two"),
        ("import pack.inner.two\nvalue = pack.inner.two.NAME", "two"),
        ("import importlib\nvalue = importlib.import_module('pack.one').NAME", "one"),
        ("import importlib.util\nvalue = importlib.import_module('pack.one').NAME", "one"),
        ("from importlib import import_module\nvalue = import_module('pack.one').NAME", "one"),
        ("import importlib\nvalue = importlib.import_module('.one', 'json').NAME if 0 else 'x'", "x"),
        ("value = __import__('pack.one').one.NAME", "one"),
        ("from shared.errors import NAME as value", "mine"),
        ("import random\nvalue = random.NAME", "mine"),
        ("import os.path\nvalue = os.path.basename('a/b')", "b"),
        ("def later():\n    import pack.one\n    return pack.one.NAME\nvalue = later()", "one"),
        ("import sys\nvalue = sys.modules[__name__].__name__.split('.')[-1]", "main"),
    ],
)
def test_import_statements(statements: str, expected: str) -> None:
    assert value_of(statements) == expected


def test_relative_imports_and_circles() -> None:
    files = {
        "pack/sub/__init__.py": "from .. import one\nfrom ..one import NAME\nvalue = one.NAME + NAME",
        "pack/a.py": "from . import b\nNAME = 'a'",
        "pack/b.py": "from . import a\ndef name():\n    return a.NAME",
    }
    assert value_of("from pack.sub import value", **files) == "oneone"
    assert value_of("from pack import a\nfrom pack.b import name\nvalue = name()", **files) == "a"


def test_own_modules_are_not_ours() -> None:
    """The modules of the same names that this process uses are the same afterwards."""
    import random

    import shared.errors

    assert value_of("import shared.errors, random\nvalue = shared.errors.NAME + random.NAME") == "minemine"
    assert sys.modules["shared.errors"] is shared.errors
    assert sys.modules["random"] is random
    assert "pack" not in sys.modules


def test_two_spaces_have_modules_of_the_same_name() -> None:
    first, second = space_of({"net.py": "NAME = 1"}), space_of({"net.py": "NAME = 2"})
    assert [space.import_module("net").NAME for space in (first, second, first)] == [1, 2, 1]


def test_dataclasses_with_annotations_as_text() -> None:
    """They look their module up by name."""
    statements = """
    from __future__ import annotations
    from dataclasses import dataclass, InitVar
    @dataclass
    class Config:
        width: int = 3
        depth: InitVar[int] = 1
    value = Config().width
    """
    assert value_of(statements) == 3


def test_source_can_be_inspected() -> None:
    space = space_of({"net.py": "def make():\n    return 1\n"})
    assert inspect.getsource(space.import_module("net").make) == "def make():\n    return 1\n"


def test_missing_modules_have_the_names_of_the_user() -> None:
    space = space_of({"pack/__init__.py": "", "main.py": "import pack.nothing"})
    with pytest.raises(ModuleNotFoundError) as error:
        space.import_module("main")
    assert space.own_names(str(error.value)) == "No module named 'pack.nothing'"


def test_modules_end_with_their_network() -> None:
    def names() -> set[str]:
        return {name for name in sys.modules if name.startswith("unitscope_code_")}

    before = names()
    sources = StoredSources({**FILES, "my_models/late.py": "FACTOR = 2"}, "code")
    function = FunctionOfUser("mynet", FACTORY, sources)
    model = function.make({})
    assert names() > before
    copied = copy.deepcopy(model)
    del function, model
    gc.collect()
    assert names() == before
    assert isinstance(copied, nn.Module)


def test_a_module_of_the_network_imports_when_it_runs() -> None:
    """Also when the modules' names were removed, since a copy of the network lives longer."""
    late = """
    from torch import nn
    class Late(nn.Module):
        def forward(self, x):
            import factor
            return x * factor.FACTOR
    def make():
        return Late()
    """
    sources = StoredSources({"net.py": textwrap.dedent(late), "factor.py": "FACTOR = 2"}, "code")
    model = FunctionOfUser("mynet", "net:make", sources).make({})
    copied = copy.deepcopy(model)
    del model
    gc.collect()
    assert copied(3) == 6


def test_each_network_is_made_by_modules_of_its_own() -> None:
    """A function that returns the same object each time would hand a trained network to the next job."""
    files = {"net.py": "from torch import nn\nNET = nn.Linear(2, 2)\ndef make():\n    return NET\n"}
    first, second = (FunctionOfUser("mynet", "net:make", StoredSources(files, "code")).make({}) for _ in range(2))
    assert first is not second


# --- what is taken of a folder ---


def test_only_imported_files_are_taken(tmp_path: Path) -> None:
    sources = FolderSources(write_code(tmp_path / "src", {**FILES, "my_models/other.py": "", "setup.py": ""}))
    FunctionOfUser("mynet", FACTORY, sources).make({})
    assert sources.taken == FILES


def test_bytes_are_taken_as_they_are(tmp_path: Path) -> None:
    content = "\ufeff# -*- coding: utf-8 -*-\r\nNAME = 'ä'\r\n".encode()
    (tmp_path / "net.py").write_bytes(content)
    sources = FolderSources(tmp_path)
    assert ModuleSpace(sources).import_module("net").NAME == "ä"
    assert sources.taken["net.py"].encode() == content


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("KEY = 1")
    code = write_code(tmp_path / "src", {"net.py": "import secret"})
    (code / "secret.py").symlink_to(tmp_path / "secret.py")
    (code / "inside.py").symlink_to(code / "net.py")
    sources = FolderSources(code)
    with pytest.raises(NotTaken, match=r"secret\.py is a link out of the code folder"):
        ModuleSpace(sources).import_module("net")
    assert "secret.py" not in sources.taken
    assert sources.read("inside.py") == "import secret"


def test_links_to_folders_outside_are_not_followed(tmp_path: Path) -> None:
    write_code(tmp_path / "lib" / "pack", {"__init__.py": ""})
    code = write_code(tmp_path / "src", {"net.py": "import pack"})
    (code / "pack").symlink_to(tmp_path / "lib" / "pack")
    with pytest.raises(NotTaken, match=r"pack/__init__\.py is a link out"):
        ModuleSpace(FolderSources(code)).import_module("net")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(b"# \xe4")
    (tmp_path / "fast.abi3.so").write_bytes(b"")
    sources = FolderSources(tmp_path)
    with pytest.raises(NotTaken, match=r"latin\.py is not UTF-8"):
        sources.read("latin.py")
    with pytest.raises(NotTaken, match=r"fast\.abi3\.so is compiled code"):
        sources.read("fast.py")


# --- errors of the function ---

ERRORS = {
    "raises": ("def make():\n    raise ValueError('no way')", "raised ValueError (no way) at net.py, line 2"),
    "raises when imported": ("x = 1 / 0", "importing net raised ZeroDivisionError"),
    "no syntax": ("def make(:", "raised SyntaxError"),
    "no module": ("def make():\n    return 3", "returned an object of type int, not an nn.Module"),
    "returns a class": (
        "from torch import nn\ndef make():\n    return nn.ReLU",
        "returned an object of type type, not an nn.Module",
    ),
    "no function": ("make = 3", "make is no function, but of type int"),
    "no such function": ("", "net has no 'make'"),
    "exits": ("import sys\ndef make():\n    sys.exit(0)", "called sys.exit (0)"),
    "interrupts": ("def make():\n    raise KeyboardInterrupt", None),
    "a missing module": (
        "import transformerz",
        "needs the module 'transformerz', which is neither in the code folder nor installed",
    ),
    "a wrong argument": ("def make(width):\n    pass", "missing 1 required positional argument"),
    "lazy": (
        "from torch import nn\ndef make():\n    return nn.LazyConv2d(3, 3)",
        "weight has no shape yet (a lazy module)",
    ),
    "meta": (
        "from torch import nn\ndef make():\n    return nn.Linear(2, 2, device='meta')",
        "weight is on the meta device",
    ),
    "memory": ("def make():\n    raise MemoryError", "needs more memory than there is"),
    "forks": (
        "import os\nfrom torch import nn\ndef make():\n    os.fork()\n    return nn.ReLU()",
        "forked this process",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_of_the_function(case: str) -> None:
    text, says = ERRORS[case]
    sources = StoredSources({"net.py": text}, "code")
    if says is None:
        with pytest.raises(KeyboardInterrupt):
            FunctionOfUser("mynet", "net:make", sources).make({})
        return
    with pytest.raises(NetworkNotBuilt, match="Network 'mynet' can't be built") as error:
        FunctionOfUser("mynet", "net:make", sources).make({})
    assert says in str(error.value)
    assert "unitscope_code" not in str(error.value)


def test_a_module_that_is_not_in_the_folder() -> None:
    with pytest.raises(NetworkNotBuilt, match=r"neither numpy\.py nor a folder numpy"):
        FunctionOfUser("mynet", "numpy:array", StoredSources({"net.py": ""}, "code"))


def test_programs_may_be_started_and_prints_are_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    text = """
    import subprocess, sys
    from torch import nn
    print("one")
    def make():
        print("two")
        subprocess.run([sys.executable, "-c", ""], check=True)
        return nn.ReLU()
    """
    sources = StoredSources({"net.py": textwrap.dedent(text)}, "code")
    assert isinstance(FunctionOfUser("mynet", "net:make", sources).make({}), nn.ReLU)
    assert capfd.readouterr().out == ""


def test_networks_are_float32_on_the_cpu() -> None:
    text = "from torch import nn\ndef make():\n    return nn.Linear(2, 2).half()"
    model = FunctionOfUser("mynet", "net:make", StoredSources({"net.py": text}, "code")).make({})
    assert {str(parameter.dtype) for parameter in model.parameters()} == {"torch.float32"}


def test_importing_draws_no_random_numbers() -> None:
    import torch

    text = "import torch\nfrom torch import nn\ntorch.rand(3)\ndef make():\n    return nn.Linear(2, 2)"
    torch.manual_seed(1)
    expected = nn.Linear(2, 2).weight
    torch.manual_seed(1)
    model = FunctionOfUser("mynet", "net:make", StoredSources({"net.py": text}, "code")).make({})
    assert isinstance(model, nn.Linear)
    assert torch.equal(model.weight, expected)


def test_this_process_can_still_fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
