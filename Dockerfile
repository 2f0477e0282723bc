# The service and the command line: `docker compose up`, or
#   docker build -t taskscope . && docker run --rm -v taskscope:/var/lib/taskscope taskscope health
# Nothing here is fetched without a pin: Python by its tag (stack/versions.toml), packages by their hashes.
ARG PYTHON_IMAGE=python:3.13.9-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/image.txt requirements/image.txt
# The pins are the whole set, so nothing is resolved; `pip check` says whether it is one.
RUN python -m venv /opt/taskscope \
 && /opt/taskscope/bin/pip install --require-hashes --no-deps -r requirements/image.txt \
 && /opt/taskscope/bin/pip check
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/taskscope/bin/pip install --no-build-isolation --no-deps . \
 && /opt/taskscope/bin/pip check

FROM ${PYTHON_IMAGE}
# Who owns mounted repositories has to be who works on them: git refuses those of another user.
ARG UID=10001
# The agent works on git repositories. Folders that volumes are mounted on hand their owner over to new volumes.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid ${UID} --user-group --create-home --shell /usr/sbin/nologin taskscope \
 && install --directory --owner=taskscope --group=taskscope --mode=700 /var/lib/taskscope \
 && install --directory --owner=taskscope --group=taskscope --mode=755 /repositories
COPY --from=build /opt/taskscope /opt/taskscope
COPY --chmod=755 stack/ask.py /usr/local/bin/ask
# It listens on the container's own loopback: docker-compose.yml opens it, and publishes it on the host's loopback.
ENV PATH=/opt/taskscope/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AGENT_HOME=/var/lib/taskscope \
    AGENT_ALLOWED_ROOTS=/repositories
WORKDIR /repositories
USER taskscope
VOLUME /var/lib/taskscope
EXPOSE 8000
# SIGTERM ends `serve` within five seconds, docker's default of ten is enough.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["ask", "http://127.0.0.1:8000/health/ready"]
ENTRYPOINT ["taskscope"]
CMD ["serve"]
