"""Command line tests. Assertions in their helper modules are rewritten by pytest, to give the same details as in
tests.
"""

import pytest

pytest.register_assert_rewrite("tests.integration.cli.helpers")
