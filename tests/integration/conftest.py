"""What attacking the command line found and is not mended yet: each is a test that fails, and says why here."""

import pytest

URLS = "odd URLs: the error should name the setting and never a part of a password"
PLACES = "a home or database in an impossible place: the exit code or the words are not yet those wanted"
FILES = "mistakes in config.toml: the error does not name the file and the value in every case"
WEIGHTS = "weights of odd tensors (sparse, complex, without data, overflowing) are not refused in one line"
NETWORKS = "networks that can't be built: the reason is not yet in one helpful line"
NAMES = "names of all sorts: not every table and message gives them back as they are"
RIGHTS = "files of the store are their owner's alone, which several users of one store don't want"
VALUES = "infinity is printed as no JSON knows it"

KNOWN_DEFECTS = {
    "[out of reach: ": URLS,
    "[settings: file": FILES,
    "test_mistakes_on_postgresql_are_refused_too": URLS,
    "test_empty_variables_count_as_not_set": FILES,
    "test_nothing_is_drawn_or_read_for_a_database_out_of_reach": PLACES,
    "test_weights_that_overflow_single_precision": WEIGHTS,
    "test_weights_of_odd_tensors_are_refused": WEIGHTS,
    "test_weights_that_swell": WEIGHTS,
    "test_size_too_small_for_the_network_is_refused": NETWORKS,
    "test_network_that_can_not_be_built_is_refused": NETWORKS,
    "[usage: network with a very long name]": NETWORKS,
    "test_argument_that_is_no_text_is_refused": NAMES,
    "test_odd_name_comes_back": NAMES,
    "test_doctor_in_words_shows_what_is_not_well": PLACES,
    "test_json_of_a_query_is_json_whatever_the_values": VALUES,
    "test_an_empty_variable_is_none": FILES,
    "test_a_tilde_is_the_users_folder": PLACES,
    "test_a_wrong_line_of_the_file_is_named": FILES,
    "test_a_heartbeat_that_comes_after_the_lease": FILES,
    "test_passwords_are_not_shown": URLS,
    "test_artifacts_have_the_rights_of_any_new_file": RIGHTS,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the known defects; they don't fail the run, and one that passes is seen as XPASS in its report."""
    for item in items:
        for name, reason in KNOWN_DEFECTS.items():
            if name in item.nodeid:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
