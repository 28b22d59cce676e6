# Stands over a system that has packages of kernels in apt's archives. Tests unpack them again and again: here they lie uncompressed, and apt's
# lists say so. What is in them is the same to the byte.
cd /var/cache/apt/archives
# member NAME: a file as a member of an ar archive (deb(5)); its size is even.
member() { printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' "$1" 0 0 0 100644 "$(stat -c %s "$1")" && cat "$1"; }
for deb in linux-*.deb; do
    mkdir /tmp/stored
    cd /tmp/stored
    echo 2.0 >debian-binary
    dpkg-deb --ctrl-tarfile "$OLDPWD/$deb" >control.tar
    dpkg-deb --fsys-tarfile "$OLDPWD/$deb" >data.tar
    { printf '!<arch>\n' && member debian-binary && member control.tar && member data.tar; } >"$OLDPWD/$deb.new"
    cd "$OLDPWD"
    mv "$deb.new" "$deb"
    rm -r /tmp/stored
    for list in /var/lib/apt/lists/*_Packages; do
        awk -v file="/$deb" -v size="$(stat -c %s "$deb")" -v sum="$(sha256sum "$deb" | cut -d ' ' -f 1)" '
            index($0 "\n", file "\n") {
                gsub(/\nMD5sum: [0-9a-f]+/, "")
                gsub(/\nSize: [0-9]+/, "\nSize: " size)
                gsub(/\nSHA256: [0-9a-f]+/, "\nSHA256: " sum)
            }
            { print $0 "\n" }' RS= "$list" >/tmp/list
        cat /tmp/list >"$list"
    done
done
rm -f /tmp/list /var/cache/apt/*.bin
apt-cache gencaches >/dev/null
