# moe-eval with CUDA. Nothing but a driver and the NVIDIA container toolkit has to be on the host.
#
#   docker build --tag moe-eval .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" --volume "$PWD:/work" --volume moe-eval-cache:/cache \
#       moe-eval run llava-1.5-7b --tasks pope --data hub
#
# Runs are written to results/runs of the folder that is mounted at /work; /cache keeps downloaded and converted models.
# Without a GPU, leave --gpus away. Training: --entrypoint python moe-eval -m moellava.train phi2-stage1 ...
# On more than one GPU, or with data workers, add --ipc host.

# torch brings the CUDA libraries it was built with: of the image only what lets the driver in is needed.
ARG CUDA=13.0.1-base-ubuntu24.04
FROM nvidia/cuda:${CUDA}

ARG EXTRAS=train,easy-vqa

ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/moe-eval/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1
RUN python3 -m venv /opt/moe-eval

# By itself first: a changed line of code does not fetch gigabytes again.
COPY constraints.txt /src/
RUN pip install --constraint /src/constraints.txt torch transformers

COPY pyproject.toml README.md LICENSE /src/
COPY moellava /src/moellava
COPY moe_eval /src/moe_eval
COPY tasks /src/tasks
COPY recipes /src/recipes
COPY results /src/results
RUN pip install --constraint /src/constraints.txt "/src[${EXTRAS}]" && rm -rf /src

# Anybody may write the caches, for `docker run --user` takes the user of the host, who is not known here. 1000 is
# Ubuntu's own user, and most people's on their host.
ENV HF_HOME=/cache/huggingface \
    MOELLAVA_CACHE=/cache/moellava \
    MPLCONFIGDIR=/cache/matplotlib \
    TORCHINDUCTOR_CACHE_DIR=/cache/torchinductor \
    HOME=/cache
RUN mkdir /cache /work && chmod 1777 /cache && chown 1000:1000 /work
USER 1000:1000
VOLUME /cache
WORKDIR /work

ENTRYPOINT ["moe-eval"]
CMD ["--help"]
