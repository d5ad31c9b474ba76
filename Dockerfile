# Both stages are the same Debian release: the binary links to glibc (CGO), and
# one built against a newer glibc wouldn't start on an older one.
FROM golang:1.26-trixie AS build
WORKDIR /src

# Modules first, so that a change of source alone doesn't download them again.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG VERSION=dev
# Without the tag go-metrics falls back to the armon/go-metrics API.
RUN CGO_ENABLED=1 go build -trimpath -tags hashicorpmetrics \
    -ldflags "-X main.version=$VERSION" -o /ringbin ./cmd/ringbin

# Slim rather than distroless: compose.yaml needs a shell to make the secret.
FROM debian:trixie-slim
# A fixed id, so that the owner of a volume's files outlives the image. The
# directories exist with that owner because a new named volume takes it from them.
RUN groupadd --gid 10001 ringbin \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin ringbin \
 && install -d -m 0700 -o ringbin -g ringbin /data /secret
COPY --from=build /ringbin /usr/local/bin/ringbin
USER 10001:10001
VOLUME /data
# Public API, raft and peer RPC, gossip. The admin port stays on loopback.
EXPOSE 8080 8081 8082/tcp 8082/udp
ENTRYPOINT ["ringbin"]
CMD ["serve", "--data-dir", "/data"]
