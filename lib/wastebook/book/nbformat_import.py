"""Imported before nbformat: mends its import, which takes two seconds of every process. It has jsonschema,
which builds a grammar of addresses where it finds this package, for a check that no notebook is put to."""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
