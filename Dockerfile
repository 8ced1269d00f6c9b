# One image for the command line and the workers. Build it with `docker compose build`.
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

# Run as an unprivileged user, to limit the damage if weights or an image exploit a parser.
# A new volume gets the owner of the folder on which it is mounted.
RUN useradd --create-home --uid 1000 unitscope \
    && install --directory --owner unitscope --group unitscope /data

WORKDIR /usr/src/unitscope

# Install the dependencies (several GB with CUDA) in a separate layer, so that changes of the code don't rebuild it:
# without its source folders the project is an empty package, and pip installs only its dependencies.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --constraint constraints.txt .

COPY unitscope unitscope
COPY producer producer
COPY shared shared
COPY worker worker
COPY migrations migrations
RUN pip install --no-deps --force-reinstall .

USER unitscope
# Not the source folder, so that `python -m worker...` imports the installed packages.
WORKDIR /data

# On SIGTERM `analyze worker` ends its worker processes, queues their shards again, and exits.
STOPSIGNAL SIGTERM
ENTRYPOINT ["analyze"]
CMD ["--help"]
