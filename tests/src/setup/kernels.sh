# Stands before the script of every system. /etc/kernels-of-apt has a line for each kernel that apt can give with headers and image, the
# newest first: FLAVOUR RELEASE HEADERS IMAGE (the last two are packages; dkms-offers chose them). OWN is how the releases of
# the suite's own line begin.

# apt WORDS: apt-get, once more after an update. Packages that are installed aren't kept as files.
apt() {
    case " $* " in
    *" install "*" --download-only "* | *" download "*) keep=true ;;
    *) keep=false ;;
    esac
    set -- -qq -y --no-install-recommends -o "APT::Keep-Downloaded-Packages=$keep" "$@"
    apt-get "$@" >/dev/null || { apt-get -qq update && apt-get "$@" >/dev/null; }
}

# offers FLAVOUR [BEGIN]: RELEASE HEADERS IMAGE of the kernels of a flavour whose releases begin so.
offers() {
    while read -r flavour offer; do
        case "$flavour $offer" in "$1 ${2:-}"*) echo "$offer" ;; esac
    done </etc/kernels-of-apt
}

# signed_offers FLAVOUR [BEGIN]: the same, those whose image is signed before the others: their names are what packages of modules ask for.
signed_offers() {
    offers "$@" | grep -v -e '-unsigned$' || :
    offers "$@" | grep -e '-unsigned$' || :
}

# newest COUNT COMMAND: of the offers on stdin the first for which `COMMAND RELEASE HEADERS IMAGE` works, with these words.
newest() {
    count=$1
    shift
    while [ "$count" -gt 0 ] && read -r offer; do
        # shellcheck disable=SC2086
        if "$@" $offer </dev/null >&2; then
            echo "$offer"
            count=$((count - 1))
        fi
    done
}

# enough COUNT WHAT FILE: an error, if fewer kernels were found.
enough() {
    [ "$(wc -l <"$3")" -ge "$1" ] || { echo "E: apt gives fewer than $1 kernels of $2 with linux-headers and linux-image" >&2; exit 1; }
}
