"""Tests of the broker. Assertions in the helpers are rewritten, too, so that failures show their values."""

import pytest

pytest.register_assert_rewrite("tests.integration.broker.helpers")
