"""The press: it plans, runs, renders and checks any folder of parameterised notebooks."""
