"""Benchmarks need the machine to themselves: skipped unless asked for with `-m benchmark`."""

import pytest


def pytest_collection_modifyitems(config, items):
    if "benchmark" not in (config.option.markexpr or ""):
        for item in items:
            if item.get_closest_marker("benchmark"):
                item.add_marker(pytest.mark.skip(reason="a benchmark: run by hand with -m benchmark"))
