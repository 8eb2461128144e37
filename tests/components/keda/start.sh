#!/usr/bin/env bash
# KEDA's operator, metrics adapter and admission webhooks as plain processes, each with its service account's token and
# KEDA's own roles. Runs until its standard input ends; all that it started ends with it, however it ends.
# Usage: start.sh COMPONENT KUBECTL KUBECONFIG STATE   -> prints "READY" when external metrics are served.
# GRPC_PORT, OPERATOR_METRICS_PORT, OPERATOR_HEALTH_PORT, ADAPTER_PORT, ADAPTER_METRICS_PORT, WEBHOOKS_PORT and
# WEBHOOKS_HEALTH_PORT say where they listen. KEDA_OPERATOR_FLAGS adds flags, such as "--ca-dir=DIR --zap-log-level=debug".
set -euo pipefail
bin=$(cd "$1/bin" && pwd) manifests=$(cd "$1/config" && pwd)
kubectl=$2
KUBECONFIG=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
export KUBECONFIG
rm -rf "$4"
state=$(mkdir -p "$4/certs" && cd "$4" && pwd)
cd "$state"
umask 077
kubectl() { "$kubectl" "$@"; }

# KEDA's own certificate rotation writes a Secret and waits for it to be mounted: bring the files instead.
# One certificate serves all three (gRPC both ways, adapter, webhooks); the apiserver checks the service names in it.
names='DNS:localhost,IP:127.0.0.1,DNS:keda-operator.keda.svc,DNS:keda-metrics-apiserver.keda.svc,DNS:keda-admission-webhooks.keda.svc'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out certs/ca.crt -days 365 -subj /CN=test-keda-ca \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout certs/tls.key -out tls.csr -subj /CN=keda 2>/dev/null
openssl x509 -req -in tls.csr -CA certs/ca.crt -CAkey ca.key -CAcreateserial -days 365 -out certs/tls.crt \
  -extfile <(printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=%s' "$names") 2>/dev/null
authority=$(base64 -w0 certs/ca.crt)

# Server-side: the ScaledJob CRD is larger than the annotation that a client-side apply would put on it.
apply() { kubectl apply --server-side --force-conflicts -f "$1" >> apply.log; }
for part in general service_account rbac crd; do
  kubectl kustomize "$manifests/$part" > "$part.yaml"
  apply "$part.yaml"
done
apply "$manifests/metrics-server/role.yaml"
apply "$manifests/metrics-server/role_binding.yaml"
kubectl wait --for=condition=Established crd/scaledobjects.keda.sh --timeout=60s >> apply.log

# A cluster IP needs a proxy, but the apiserver resolves services of type ExternalName too.
cat > services.yaml <<YAML
apiVersion: v1
kind: Service
metadata: {name: keda-metrics-apiserver, namespace: keda}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: v1
kind: Service
metadata: {name: keda-admission-webhooks, namespace: keda}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.external.metrics.k8s.io}
spec: {group: external.metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100, caBundle: $authority, service: {name: keda-metrics-apiserver, namespace: keda, port: $ADAPTER_PORT}}
YAML
apply services.yaml

# One service account for all three, as in KEDA's manifests: a missing right shows here as it would in a cluster.
# The second is otherwise read from a file that a kubelet mounts.
export POD_NAMESPACE=keda KEDA_CLUSTER_OBJECT_NAMESPACE=keda WATCH_NAMESPACE=""
kubectl config view --raw --flatten > config
kubectl --kubeconfig config config set-credentials keda --token="$(kubectl -n keda create token keda-operator --duration=24h)" > /dev/null
kubectl --kubeconfig config config set-context --current --user=keda > /dev/null
pids=()
run() {
  local name=$1
  shift
  KUBECONFIG=$state/config setsid setpriv --pdeathsig KILL "$bin/keda-$name" "$@" > "$name.log" 2>&1 < /dev/null &
  pids+=($!)
}
fail() {
  echo "$1" >&2
  tail -n 5 ./*.log >&2
  exit 1
}

# The adapter's --port (its own metrics) and the webhooks' --port take no address: these two listen on all interfaces
# of the network they are in.
# shellcheck disable=SC2086
run operator --cert-dir="$state/certs" --metrics-service-bind-address="127.0.0.1:$GRPC_PORT" --metrics-bind-address="127.0.0.1:$OPERATOR_METRICS_PORT" \
  --health-probe-bind-address="127.0.0.1:$OPERATOR_HEALTH_PORT" --zap-encoder=console ${KEDA_OPERATOR_FLAGS:-}
run adapter --cert-dir="$state/certs" --tls-cert-file="$state/certs/tls.crt" --tls-private-key-file="$state/certs/tls.key" --bind-address=127.0.0.1 \
  --secure-port="$ADAPTER_PORT" --port="$ADAPTER_METRICS_PORT" --metrics-service-address="127.0.0.1:$GRPC_PORT" --kubeconfig="$state/config" \
  --authentication-kubeconfig="$state/config" --authorization-kubeconfig="$state/config" --lister-kubeconfig="$state/config"
run webhooks --cert-dir="$state/certs" --port="$WEBHOOKS_PORT" --metrics-bind-address=0 --health-probe-bind-address="127.0.0.1:$WEBHOOKS_HEALTH_PORT" \
  --zap-encoder=console
for port in $OPERATOR_HEALTH_PORT $WEBHOOKS_HEALTH_PORT; do
  for _ in $(seq 240); do
    curl -sf "http://127.0.0.1:$port/readyz" > /dev/null && continue 2
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a process ended"; done
    sleep 0.5
  done
  fail "not ready: port $port"
done

# KEDA ships failurePolicy Ignore; a test must not pass because the webhook was not there. Registered last, so that it
# cannot refuse the objects above.
sed -e "s|^  clientConfig:|&\n    caBundle: $authority|" -e "s|^      name: keda-admission-webhooks|&\n      port: $WEBHOOKS_PORT|" \
  -e 's|failurePolicy: Ignore|failurePolicy: Fail|' "$manifests/webhooks/validation_webhooks.yaml" > webhooks.yaml
apply webhooks.yaml
kubectl wait --for=condition=Available apiservice/v1beta1.external.metrics.k8s.io --timeout=120s >> apply.log || fail "external metrics are not served"
echo "READY"
cat > /dev/null
kill -9 "${pids[@]}" 2>/dev/null || true
wait
