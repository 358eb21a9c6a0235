# The app in a container, for any host that takes one (Cloud Run, say): docker build --build-arg RUN=full -t wastebook .
FROM python:3.11-slim
WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE ./
# What answers photos (the group `app` of pyproject.toml), in the versions of the book; nothing that trains.
RUN pip install --no-cache-dir "pip>=25.1" \
    && pip install --no-cache-dir --constraint requirements.lock --group app \
    && useradd --create-home app
COPY lib lib
RUN pip install --no-cache-dir --no-deps --editable .
ARG RUN=full
COPY runs/${RUN}/models runs/${RUN}/models
ENV WASTEBOOK_APP_RUN=${RUN} PORT=8080
USER app
# Opens the page, which asks its models once: a page that fails, or a model that cannot answer, is no health.
HEALTHCHECK --start-period=60s --timeout=30s CMD python -c "import os, urllib.request as web; web.urlopen(f'http://localhost:{os.environ[\"PORT\"]}/_stcore/script-health-check')"
CMD ["sh", "-c", "exec wastebook app --run \"$WASTEBOOK_APP_RUN\" --address 0.0.0.0"]
