# Each target only wraps public commands; the README gives the same steps for Windows and conda.
PYTHON ?= python3
BIN := .venv/bin

# Compiled modules are kept even where the environment says not to: without them each chapter takes ten seconds to start.
export PYTHONDONTWRITEBYTECODE =
# Threads that wait for one another sleep: two test workers share the cores.
export OMP_WAIT_POLICY = PASSIVE

# Its package downloads Quarto itself while it installs: tried once, for a minute and a half at most.
BRING_QUARTO := import subprocess, sys; \
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--retries', '0', 'quarto-cli==1.9.38']; \
    sys.exit(subprocess.run(command, timeout=90).returncode)

# What JupyterLab, VS Code, nbconvert and papermill add when they save a notebook, and the pre-commit hook takes out.
SAVED := metadata.language_info.codemirror_mode metadata.language_info.file_extension metadata.language_info.mimetype metadata.language_info.nbconvert_exporter metadata.language_info.pygments_lexer metadata.language_info.version metadata.papermill metadata.vscode cell.metadata.papermill cell.metadata.vscode cell.metadata.jupyter

.PHONY: report test lab check

report: .venv/ready
	$(BIN)/wastebook build --profile quick --run sample

# Files in their own order: whole chapters, which take longest, come first.
test: .venv/ready-for-tests check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: .venv/ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/nbstripout --verify --keep-id --extra-keys '$(SAVED)' chapters/*.ipynb chapters/slides/*.ipynb docs/*.ipynb
	$(BIN)/codespell

lab: .venv/ready
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/chapters

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-compile --disable-pip-version-check --quiet -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	@$(BIN)/python -c "$(BRING_QUARTO)" 2>/dev/null || echo "Quarto could not be brought in; the embedded renderer takes its place."
	touch $@

.venv/ready-for-tests: .venv/ready requirements-test.lock
	$(BIN)/python -m pip install --no-compile --disable-pip-version-check --quiet -r requirements-test.lock
	touch $@
