"""How it is told: chapters, figures, tables, execution, rendering."""
