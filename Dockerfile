# boardkeeper as a container image: `docker build -t boardkeeper .`
#
# The images are pinned by tag, not by digest: pin them in your own copy with
# `docker buildx imagetools inspect python:3.11.14-slim-trixie`. Python packages are pinned by hash.

# Not the slim one: it has a C compiler, for the modules that are compiled (setup.py).
FROM python:3.11.14-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Packages first: they change less often than the program, so the layer is kept.
COPY .ci/locks/build.lock .ci/locks/run.lock locks/
RUN python -m venv /opt/tools \
    && /opt/tools/bin/python -m pip install --require-hashes --only-binary :all: -r locks/build.lock \
    && python -m venv --without-pip /opt/boardkeeper \
    && /opt/tools/bin/python -m pip --python /opt/boardkeeper/bin/python \
        install --require-hashes --only-binary :all: -r locks/run.lock
COPY pyproject.toml setup.py README.md config.example.yaml ./
COPY bot bot
RUN BOARDKEEPER_COMPILE=1 /opt/tools/bin/python -m pip wheel --no-deps --no-build-isolation \
        --wheel-dir wheels . \
    && /opt/tools/bin/python -m pip --python /opt/boardkeeper/bin/python \
        install --no-deps --no-index wheels/*.whl

FROM python:3.11.14-slim-trixie
RUN install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/boardkeeper /opt/boardkeeper
# The root file system may be read-only: nothing is written outside of /data and /tmp.
ENV PATH=/opt/boardkeeper/bin:$PATH HOME=/data PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
# Asks inside the container; `web.listen` must be on port 8080, which is the default.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/live', timeout=4)"]
ENTRYPOINT ["boardkeeper"]
CMD ["run", "-c", "/config/config.yaml"]
