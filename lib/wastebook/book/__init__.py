"""The press: it plans, runs, renders and checks any folder of parameterised notebooks."""

from wastebook.book import nbformat_import  # noqa: F401 (mends the import of nbformat)
