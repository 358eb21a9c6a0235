# Each target only wraps public commands; the README gives the same steps for Windows and conda.
PYTHON ?= python3
BIN := .venv/bin

# Compiled modules are kept even where the environment says not to: without them each chapter takes ten seconds to start.
export PYTHONDONTWRITEBYTECODE =
# Threads that wait for one another sleep: test workers share the cores.
export OMP_WAIT_POLICY = PASSIVE
# Memory in large pages, where Linux gives them on request.
export GLIBC_TUNABLES = glibc.malloc.hugetlb=1

# uv takes a third of pip's time. Where it finds nothing, as behind an index that pip alone is told of, pip does.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
UV := $(BIN)/uv pip install --python $(BIN)/python --quiet
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
INSTALL = $(UV) $(1) 2>/dev/null || $(PIP) --no-compile $(1)

# Its package downloads Quarto itself while it installs: tried once, for a minute and a half at most.
BRING_QUARTO := import subprocess, sys; \
    sys.exit(subprocess.run('$(PIP) --retries 0 quarto-cli==1.9.38'.split(), timeout=90).returncode)

# What JupyterLab, VS Code, nbconvert and papermill add when they save a notebook, and the pre-commit hook takes out.
SAVED := metadata.language_info.codemirror_mode metadata.language_info.file_extension metadata.language_info.mimetype metadata.language_info.nbconvert_exporter metadata.language_info.pygments_lexer metadata.language_info.version metadata.papermill metadata.vscode cell.metadata.papermill cell.metadata.vscode cell.metadata.jupyter

.PHONY: report test suite check lab

report: .venv/ready
	$(BIN)/wastebook build --profile quick --run sample

# The style and the types are checked beside the tests, which leave some of a core.
test: .venv/ready-for-tests
	$(MAKE) --jobs 2 check suite

# Files in their own order: whole chapters, which take longest, come first. One worker more than cores: some wait.
suite: .venv/ready-for-tests
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

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
	$(PIP) uv==0.13.9 || true
	$(call INSTALL,-r requirements.lock)
	$(call INSTALL,--no-deps --editable .)
	@$(BIN)/python -c "$(BRING_QUARTO)" 2>/dev/null || echo "Quarto could not be brought in; the embedded renderer takes its place."
	touch $@

.venv/ready-for-tests: .venv/ready requirements-test.lock
	$(call INSTALL,-r requirements-test.lock)
	touch $@
