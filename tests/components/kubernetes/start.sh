#!/usr/bin/env bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback, with TLS, tokens, RBAC, aggregation and
# admission as in a real cluster. Runs until its standard input ends; all that it started ends with it, however it ends.
# Usage: start.sh COMPONENT STATE   -> prints "READY <kubeconfig>". STATE is made anew. Needs openssl and curl.
# API_PORT, ETCD_PORT, PEER_PORT, CONTROLLER_MANAGER_PORT and SCHEDULER_PORT say where they listen; APISERVER_FLAGS and
# CONTROLLER_MANAGER_FLAGS add flags; SERVICE_RANGE holds the cluster IPs (10.96.0.0/24).
# Lines on standard input: "stop NAME" and "start NAME" stop and start a program (etcd, apiserver, controller-manager,
# scheduler).
set -euo pipefail
bin=$(cd "$1/bin" && pwd)
rm -rf "$2"
state=$(mkdir -p "$2" && cd "$2" && pwd)
cd "$state"
api=${API_PORT:-16443} etcd=${ETCD_PORT:-16441} peer=${PEER_PORT:-16442}
controller_manager=${CONTROLLER_MANAGER_PORT:-16444} scheduler=${SCHEDULER_PORT:-16445}
services=${SERVICE_RANGE:-10.96.0.0/24}
umask 077

# Three separate authorities, as kubeadm makes them: the front proxy's must not be able to sign clients, or any client
# could impersonate anyone.
for authority in ca client-ca front-proxy-ca; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $authority.key -out $authority.crt -days 365 \
    -subj "/CN=test-$authority" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
done
leaf() { # NAME AUTHORITY USAGE SUBJECT_ALTERNATIVE_NAMES
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 365 -out "$1.crt" 2>/dev/null \
    -extfile <(printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=%s\n%s' "$3" "${4:+subjectAltName=$4}")
}
leaf apiserver ca serverAuth DNS:localhost,IP:127.0.0.1,IP:${services%0/*}1,DNS:kubernetes.default.svc
leaf front-proxy front-proxy-ca clientAuth
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null

token() { openssl rand -hex 16; }
admin=$(token) manager_token=$(token) scheduler_token=$(token)
printf '%s,%s,%s,%s\n' "$admin" admin 1 '"system:masters"' "$manager_token" system:kube-controller-manager 2 '' \
  "$scheduler_token" system:kube-scheduler 3 '' > tokens.csv
config() { # FILE TOKEN
  printf '{"apiVersion":"v1","kind":"Config","current-context":"test","contexts":[{"name":"test","context":{"cluster":"test","user":"test"}}],"clusters":[{"name":"test","cluster":{"server":"https://127.0.0.1:%s","certificate-authority-data":"%s"}}],"users":[{"name":"test","user":{"token":"%s"}}]}\n' \
    "$api" "$(base64 -w0 ca.crt)" "$2" > "$1"
}
config kubeconfig "$admin"
config controller-manager.conf "$manager_token"
config scheduler.conf "$scheduler_token"

declare -A pids
# setsid: a Ctrl-C in the test's terminal must not take the control plane down before the test's own clean-up talks to
# it. The signal at this script's death reaches them even when it was killed.
run() {
  local name=$1
  shift
  setsid setpriv --pdeathsig KILL "$@" >> "$name.log" 2>&1 < /dev/null &
  pids[$name]=$!
}
fail() {
  echo "$1" >&2
  tail -n 5 ./*.log >&2
  exit 1
}
alive() { kill -0 "${pids[$1]}" 2>/dev/null || fail "$1 ended"; }

start() {
  case $1 in
  etcd)
    # Durability is worth nothing here and fsync is the slowest thing that etcd does.
    run etcd "$bin/etcd" --data-dir etcd --unsafe-no-fsync --log-level warn --listen-client-urls "http://127.0.0.1:$etcd" \
      --advertise-client-urls "http://127.0.0.1:$etcd" --listen-peer-urls "http://127.0.0.1:$peer" \
      --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "default=http://127.0.0.1:$peer"
    ;;
  apiserver)
    # The address to advertise is given because it is otherwise looked up, and a network without a default route has
    # none; no endpoints for service "kubernetes", because the reconciler refuses loopback addresses.
    # --allow-privileged as in real clusters: without it a privileged pod is refused before Pod Security admission sees
    # it, which proves nothing.
    # shellcheck disable=SC2086
    run apiserver "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd" --bind-address 127.0.0.1 --secure-port "$api" \
      --advertise-address 127.0.0.1 --endpoint-reconciler-type none --allow-privileged --tls-cert-file apiserver.crt \
      --tls-private-key-file apiserver.key --client-ca-file client-ca.crt --token-auth-file tokens.csv --authorization-mode Node,RBAC \
      --service-account-issuer https://kubernetes.default.svc --service-account-key-file sa.pub --service-account-signing-key-file sa.key \
      --service-cluster-ip-range "$services" --requestheader-client-ca-file front-proxy-ca.crt --requestheader-allowed-names front-proxy \
      --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
      --requestheader-extra-headers-prefix X-Remote-Extra- --proxy-client-cert-file front-proxy.crt --proxy-client-key-file front-proxy.key \
      ${APISERVER_FLAGS:-}
    ;;
  controller-manager)
    # Service-account credentials per controller: each then works with its own RBAC role, as in a real cluster.
    # The HPA controller's defaults (15 s, 5 min) are made for production, and longer than any test wants to wait.
    # Nobody renews the lease of a test's node: without the long grace period it would be tainted after a minute.
    # shellcheck disable=SC2086
    run controller-manager "$bin/kube-controller-manager" --kubeconfig controller-manager.conf \
      --authentication-kubeconfig controller-manager.conf --authorization-kubeconfig controller-manager.conf --bind-address 127.0.0.1 \
      --secure-port "$controller_manager" --leader-elect=false --use-service-account-credentials --node-monitor-grace-period 24h \
      --service-account-private-key-file sa.key --root-ca-file ca.crt --cluster-signing-cert-file client-ca.crt \
      --cluster-signing-key-file client-ca.key --horizontal-pod-autoscaler-sync-period 1s \
      --horizontal-pod-autoscaler-downscale-stabilization 5s ${CONTROLLER_MANAGER_FLAGS:-}
    ;;
  scheduler)
    run scheduler "$bin/kube-scheduler" --kubeconfig scheduler.conf --authentication-kubeconfig scheduler.conf \
      --authorization-kubeconfig scheduler.conf --bind-address 127.0.0.1 --secure-port "$scheduler" --leader-elect=false
    ;;
  *) echo "there is no program $1" >&2 ;;
  esac
}
get() { curl -sf --cacert ca.crt -H "Authorization: Bearer $admin" "https://127.0.0.1:$api$1" > /dev/null; }
until_served() { # PATH PROGRAM
  for _ in $(seq 480); do
    get "$1" && return
    alive "$2"
    sleep 0.25
  done
  fail "not ready in time: $1"
}

start etcd
start apiserver
until_served /readyz apiserver
start controller-manager
start scheduler
# Until the controllers have made the default service account, every pod is refused: that, not /readyz, is "ready".
until_served /api/v1/namespaces/default/serviceaccounts/default controller-manager
echo "READY $state/kubeconfig"

while read -r word name; do
  case $word in
  stop)
    # SIGKILL: kube-apiserver's graceful end takes minutes.
    kill -9 "${pids[$name]}" && wait "${pids[$name]}" || true
    ;;
  start) start "$name" ;;
  esac
  echo "DONE $word $name"
done
kill -9 "${pids[@]}" 2>/dev/null || true
wait
