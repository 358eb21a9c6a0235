# The app in a container, for any host that takes one (Cloud Run, say): docker build --build-arg RUN=full -t wastebook .
FROM python:3.11-slim
WORKDIR /app
COPY requirements.lock ./
# What answers photos, in the versions of the book; nothing that trains.
RUN pip install --no-cache-dir --constraint requirements.lock \
    joblib numpy onnxruntime opencv-python-headless pillow platformdirs requests rich streamlit tqdm typer \
    && useradd --create-home app
COPY pyproject.toml README.md ./
COPY lib lib
RUN pip install --no-cache-dir --no-deps --editable .
ARG RUN=full
COPY runs/${RUN}/models runs/${RUN}/models
ENV WASTEBOOK_APP_RUN=${RUN} PORT=8080
USER app
HEALTHCHECK CMD python -c "import os, urllib.request as web; web.urlopen(f'http://localhost:{os.environ[\"PORT\"]}/_stcore/health')"
CMD ["sh", "-c", "exec wastebook app --run \"$WASTEBOOK_APP_RUN\" --address 0.0.0.0"]
