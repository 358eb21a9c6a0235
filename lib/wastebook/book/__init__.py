"""The press: it plans, runs, renders and checks any folder of parameterised notebooks."""

import sys

# nbformat's import takes two seconds of every process: it has jsonschema, which builds a grammar of addresses
# where it finds this package, for a check that no notebook is put to.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
