# shellcheck shell=dash
# Stands before scripts of tests, in a network namespace of their own: starts a registry on its 127.0.0.1:5000, which ends with the script.
set -eu
R=127.0.0.1:5000
export COSIGN_PASSWORD=
cd /srv
ip link set lo up
mkdir -p registry
printf '%s\n' 'version: 0.1' 'storage: {filesystem: {rootdirectory: /srv/registry}}' "http: {addr: \"$R\"}" >registry.yml
docker-registry serve registry.yml >registry.log 2>&1 &
registry=$!
trap 'kill $registry' EXIT
tries=0
until bash -c "exec 3<>/dev/tcp/127.0.0.1/5000" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { cat registry.log >&2; exit 1; }
    sleep 0.1
done

# push LAYOUT TAG IMAGE, pull IMAGE TAG LAYOUT: both under the same tag.
push() { skopeo copy -q --preserve-digests --dest-tls-verify=false "oci:$1:$2" "docker://$R/$3:$2"; }
pull() { skopeo copy -q --preserve-digests --src-tls-verify=false "docker://$R/$1:$2" "oci:$3:$2"; }

# tag LAYOUT N, digest LAYOUT N: of the Nth image in it, from 0.
tag() { jq -er ".manifests[$2].annotations[\"org.opencontainers.image.ref.name\"]" "$1/index.json"; }
digest() { jq -er ".manifests[$2].digest" "$1/index.json"; }
blob() { echo "$1/blobs/sha256/${2#sha256:}"; }

# checked KEY TAG: what cosign says of foo.
checked() { cosign verify --key "$1" --insecure-ignore-tlog --allow-insecure-registry "$R/foo:$2"; }

# refused COMMAND...: fails, and says why.
refused() { ! "$@" 2>&1 || { echo "not refused: $*" >&2; exit 1; }; }
