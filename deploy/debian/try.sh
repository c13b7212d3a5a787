#!/bin/sh
# Installs, upgrades, removes and purges a package on a throw-away copy of this system (an overlay in memory). As root:
#   unshare -m sh deploy/debian/try.sh flowhouse.deb
set -eu
deb="$(realpath "$1")"
top="$(mktemp -d)"
mount -t tmpfs tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$top/root"
cp "$deb" "$top/root/flowhouse.deb"
chroot "$top/root" sh -eu <<'INSIDE'
rm -rf /var/lib/flowhouse /etc/flowhouse
dpkg -i /flowhouse.deb
id flowhouse
test "$(stat -c %a:%G /etc/flowhouse)" = 750:flowhouse
flowhouse check --offline -c /etc/flowhouse/flowhouse.toml
echo '# changed' >>/etc/flowhouse/flowhouse.toml
dpkg -i --force-confold /flowhouse.deb
tail -n 1 /etc/flowhouse/flowhouse.toml | grep -q changed
dpkg -r flowhouse
test -f /etc/flowhouse/flowhouse.toml
dpkg -P flowhouse
test ! -e /etc/flowhouse && test ! -e /usr/bin/flowhouse
echo "installed, upgraded, removed, purged: all as it should be"
INSIDE
