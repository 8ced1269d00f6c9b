"""Their helpers' assertions are to say as much as those of the tests."""

import pytest

pytest.register_assert_rewrite("tests.integration.broker.helpers")
