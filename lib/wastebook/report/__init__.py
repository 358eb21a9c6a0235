"""How it is told: chapters at work, numbers in sentences, tables, figures, cards, the reference."""
