#!/bin/sh
# Runs Debian's dh_dkms and ours in copies of /srv/case and shows how what they leave differs, besides the version in marker lines.
# Called as: side.sh SUITE [VARIABLE=VALUE]... -- [ARGUMENT]...   The snippets are Debian's for both: their words are another test's.
set -u
suite=$1
shift
variables=
while [ "$1" != -- ]; do
    variables="$variables $1"
    shift
done
shift
debian=/srv/$suite
rm -rf /srv/theirs /srv/ours
for who in theirs ours; do
    cp -a /srv/case /srv/$who
    program=/opt/dh/dkms
    if [ $who = theirs ]; then program=$debian/usr/bin/dh_dkms; fi
    cd /srv/$who || exit 2
    # shellcheck disable=SC2086 # several variables
    env DH_AUTOSCRIPTDIR=$debian/usr/share/debhelper/autoscripts $variables "$program" "$@" >/srv/$who.log 2>&1
    code=$?
    # Which code an error has is not documented.
    if [ $code != 0 ]; then code=failed; fi
    echo "$code" >code
    # Debian's leaves its copy of the conf, which dh_clean takes away.
    rm -f debian/*.dkms.debhelper debian/dkms.debhelper
    find debian -type f -name '*.debhelper' -exec sed -i 's|^\(# Automatically added by dh_dkms/\).*|\1|' {} +
    # trixie's asks for a newer dkms than what brought this directive needs, and for that with two others too.
    if [ "$suite" = trixie ] && [ $who = theirs ]; then
        if grep -rqs '^BUILD_EXCLUSIVE_CONFIG=' --include=dkms.conf .; then
            find debian -name '*.substvars' -exec sed -i 's/(>= 3[.]0[.]11)/(>= 3.0.3-4~)/' {} +
        else
            find debian -name '*.substvars' -exec sed -i 's/(>= 3[.]0[.]11)/(>= 2.1.0.0)/' {} +
        fi
    fi
    find . -printf '%y %m %p\n' | grep -v '/DEBIAN' | sort >/srv/$who.list
done
if [ "$(cat /srv/theirs/code)" = failed ]; then
    # What is left behind by an error is nobody's contract.
    diff /srv/theirs/code /srv/ours/code
else
    diff -r /srv/theirs /srv/ours && diff /srv/theirs.list /srv/ours.list
fi >/srv/diff || {
    cat /srv/diff
    echo "theirs said:"
    cat /srv/theirs.log
    echo "ours said:"
    cat /srv/ours.log
    exit 1
}
