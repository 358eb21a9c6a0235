"""The press: it plans, runs, renders and checks any folder of parameterised notebooks."""

import sys

# nbformat imports jsonschema, which builds a grammar of international addresses where it finds this package:
# two seconds of every process, for a check that no notebook is put to. It does without where it finds none.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
