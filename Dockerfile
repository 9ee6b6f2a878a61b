# Jaego's images: a static program, the certificates of public authorities, and nothing else. Made by
# `cargo xtask image`, whose build context is target/dist: neither sources nor secrets can get in.

FROM scratch AS base
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Jaego"
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# By number: there is no /etc/passwd, and Kubernetes can tell that it is not root.
USER 65532:65532

FROM base AS sales-service
LABEL org.opencontainers.image.title="jaego-sales-service" \
      org.opencontainers.image.description="Jaego: products, stock, orders, replenishments"
COPY sales-service /usr/local/bin/sales-service
ENTRYPOINT ["/usr/local/bin/sales-service"]
CMD ["serve"]

FROM base AS production-service
LABEL org.opencontainers.image.title="jaego-production-service" \
      org.opencontainers.image.description="Jaego: factories, and the requests that they get"
COPY production-service /usr/local/bin/production-service
ENTRYPOINT ["/usr/local/bin/production-service"]
CMD ["serve"]

FROM base AS restock-service
LABEL org.opencontainers.image.title="jaego-restock-service" \
      org.opencontainers.image.description="Jaego: the factories' callbacks, goods receipts, quarantine"
COPY restock-service /usr/local/bin/restock-service
ENTRYPOINT ["/usr/local/bin/restock-service"]
CMD ["serve"]

FROM base AS access-service
LABEL org.opencontainers.image.title="jaego-access-service" \
      org.opencontainers.image.description="Jaego: operators' tokens and sessions"
COPY access-service /usr/local/bin/access-service
ENTRYPOINT ["/usr/local/bin/access-service"]
CMD ["serve"]

FROM base AS frontend
LABEL org.opencontainers.image.title="jaego-frontend" \
      org.opencontainers.image.description="Jaego: the shop and the console"
COPY frontend /usr/local/bin/frontend
ENTRYPOINT ["/usr/local/bin/frontend"]
CMD ["serve"]

FROM base AS jaegoctl
LABEL org.opencontainers.image.title="jaego-jaegoctl" \
      org.opencontainers.image.description="Jaego: the operators' command line"
COPY jaegoctl /usr/local/bin/jaegoctl
ENTRYPOINT ["/usr/local/bin/jaegoctl"]

FROM base AS smoke-test
LABEL org.opencontainers.image.title="jaego-smoke-test" \
      org.opencontainers.image.description="Jaego: does the main job against an installation"
COPY smoke-test /usr/local/bin/smoke-test
ENTRYPOINT ["/usr/local/bin/smoke-test"]
