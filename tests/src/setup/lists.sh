# Stands after the script of every system. Tests have no network, so of apt's lists only what is installed or lies in apt's archives is of
# use, and packages of kernels, which are asked for by name. With all of Debian in them each apt-get of a test takes a second longer.
{
    sed -n 's/^Package: //p' /var/lib/dpkg/status
    find /var/cache/apt/ -name '*.deb' | sed 's,.*/,,; s,_.*,,'
} >/tmp/kept
for list in /var/lib/apt/lists/*_Packages; do
    # A system may have thrown them away.
    [ -e "$list" ] || continue
    awk 'names { kept[$1]; next } $2 in kept || $2 ~ /^linux-(headers|image)-/ { print $0 "\n" }' \
        names=1 /tmp/kept names=0 RS= "$list" >/tmp/list
    cat /tmp/list >"$list"
done
rm -f /tmp/kept /tmp/list /var/cache/apt/*.bin
apt-cache gencaches >/dev/null
