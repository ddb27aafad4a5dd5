# Headgate in a container: no root, no shell needed, nothing written outside one volume.
#
#   docker build -t headgate .
#   docker run --read-only -p 8080:8080 -v ./headgate.yaml:/etc/headgate/headgate.yaml:ro headgate
#
# The state (rollouts, decisions) lives in /var/lib/headgate: give it a volume that
# outlives the container, or a restarted one has forgotten its rollouts.

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Dependencies first: they change less often than the product.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/headgate \
 && pip --python /opt/headgate/bin/python install --no-cache-dir --require-hashes -r requirements.lock \
 && pip install --no-cache-dir --require-hashes -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY proxy proxy
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/headgate/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && install -d -o 10001 -g 10001 /var/lib/headgate

FROM python:3.11.13-slim-bookworm
LABEL org.opencontainers.image.title="headgate" \
      org.opencontainers.image.description="A reverse proxy that makes releasing a new version of a service safe" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /opt/headgate /opt/headgate
COPY --from=build --chown=10001:10001 /var/lib/headgate /var/lib/headgate

ENV PATH="/opt/headgate/bin:${PATH}" \
    HEADGATE_CONFIG=/etc/headgate/headgate.yaml \
    PYTHONDONTWRITEBYTECODE=1

# A number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
# A relative state_dir lands in the volume.
WORKDIR /var/lib/headgate
VOLUME ["/var/lib/headgate"]
# Traffic, and probes with /metrics; the admin API stays on loopback.
EXPOSE 8080 9902

HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["headgate", "health"]
ENTRYPOINT ["headgate"]
CMD ["run"]
