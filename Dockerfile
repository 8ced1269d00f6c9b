# One image for the command line and the workers. Build it with `docker compose build`.
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

# Not root: a network's weights or an image that got the better of a parser has no rights here.
# A new volume takes over the owner of the folder it is mounted on.
RUN useradd --create-home --uid 1000 unitscope \
    && install --directory --owner unitscope --group unitscope /data

WORKDIR /usr/src/unitscope

# First the dependencies (with CUDA they are several GB), in a layer that a change of the code leaves alone:
# without its folders the project is an empty package, and only what it depends on is installed.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --constraint constraints.txt .

COPY unitscope unitscope
COPY producer producer
COPY shared shared
COPY worker worker
COPY migrations migrations
RUN pip install --no-deps --force-reinstall .

USER unitscope
# Away from the source, so that `python -m worker...` finds the installed packages.
WORKDIR /data

# `analyze worker` takes it as: end the shard in hand, or give it up, and stop.
STOPSIGNAL SIGTERM
ENTRYPOINT ["analyze"]
CMD ["--help"]
