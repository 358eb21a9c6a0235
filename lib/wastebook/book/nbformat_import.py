"""Imported before nbformat: mends its import, which takes two seconds of every process.

It imports jsonschema, which builds a grammar of international addresses where it finds this package, for a
check that no notebook is put to; where it finds none it does without."""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
