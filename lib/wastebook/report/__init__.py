"""How it is told: chapters, figures, tables, execution, rendering."""

import sys

# nbformat brings in jsonschema, and that, where it is installed, a grammar of international web addresses,
# a second of reading in each process; notebooks have none. jsonschema does without what it cannot import.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
