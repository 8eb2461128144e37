#!/bin/sh
# What an unpacked root lacks and images have: a description of each package for
# scanners (as in distroless), users, and the bundle of certificates.
# Run by mmdebstrap with the root as argument.
set -eu
root=$1
mkdir -p "$root/var/lib/dpkg/status.d" "$root/etc/ssl/certs" "$root/home/nonroot"
for package in "$root"/var/cache/apt/archives/*.deb; do
    name=$(dpkg-deb --field "$package" Package)
    { dpkg-deb --field "$package" | sed 's/^Version:/Status: install ok installed\nVersion:/'; } >"$root/var/lib/dpkg/status.d/$name"
done
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
rm -rf "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/share/locale"
