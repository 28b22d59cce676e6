# $1: a word that marks our records; then names and values of variables up to `--`; then what the script is about.
# Results go to what stdout was, under a number that nobody uses by accident; the confs' own output goes nowhere.
# Who started us decides about stderr.
exec 211>&1 >/dev/null
ulimit -v 1048576 -f 65536
__dkms_mark=$1
shift
while [[ $1 != -- ]]; do
    printf -v "$1" %s "$2"
    shift 2
done
shift
__dkms_rest=("$@")
set --
