# One image for the command line and the workers. Build it with `docker compose build`.
#   TORCH=cuda    PyTorch with CUDA: runs on GPUs and on the CPU
#   TORCH=cpu     PyTorch for the CPU only: a fifth of the size
# PYTHON_IMAGE can name the same image with its digest: docs/operations/compose.md.
ARG PYTHON_IMAGE=python:3.12.13-slim-trixie
FROM ${PYTHON_IMAGE}

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib

# Run as an unprivileged user, to limit the damage if weights or an image exploit a parser.
# A new volume gets the owner of the folder on which it is mounted.
RUN groupadd --gid 1000 unitscope \
    && useradd --create-home --uid 1000 --gid 1000 unitscope \
    && install --directory --owner 1000 --group 1000 /data

WORKDIR /usr/src/unitscope

# Install the dependencies (several GB with CUDA) in a separate layer, so that changes of the code don't rebuild it:
# without its source folders the project is an empty package, and pip installs only its dependencies.
COPY pyproject.toml constraints.txt README.md LICENSE ./
# pip prefers the version "2.x.y+cpu" of the second index to "2.x.y" of PyPI, which includes CUDA.
ARG TORCH=cuda
RUN case "$TORCH" in \
        cuda) index= ;; \
        cpu) index=https://download.pytorch.org/whl/cpu ;; \
        *) echo "TORCH must be cuda or cpu" >&2; exit 2 ;; \
    esac \
    && pip install --constraint constraints.txt ${index:+--extra-index-url "$index"} .

COPY unitscope unitscope
COPY producer producer
COPY shared shared
COPY worker worker
COPY migrations migrations
RUN pip install --no-deps --force-reinstall .

# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 1000:1000
# Not the source folder, so that `python -m worker...` imports the installed packages.
WORKDIR /data

# On SIGTERM `analyze worker` finishes its shards, or queues them again after the time of --grace, and exits.
STOPSIGNAL SIGTERM
ENTRYPOINT ["analyze"]
CMD ["--help"]
