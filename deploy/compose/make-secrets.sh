#!/bin/sh
# Makes the secrets of compose.yaml that are not there yet, in the folder `secrets` beside this file (or in $1).
set -eu
folder="${1:-$(dirname "$0")/secrets}"
mkdir -p "$folder"
# The folder keeps other accounts out; the files are readable, for containers see them under accounts of their own.
chmod 0700 "$folder"
cd "$folder"

password() {
    [ -s "$1" ] || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$1"
    chmod 0644 "$1"
}
hash() { sha256sum <"$1" | cut -d ' ' -f 1; }

password clickhouse_password
password grafana_clickhouse_password
password grafana_admin_password
password control_token
cat >clickhouse_passwords.xml <<XML
<clickhouse>
    <users>
        <flowhouse><password_sha256_hex>$(hash clickhouse_password)</password_sha256_hex></flowhouse>
        <grafana><password_sha256_hex>$(hash grafana_clickhouse_password)</password_sha256_hex></grafana>
    </users>
</clickhouse>
XML
chmod 0644 clickhouse_passwords.xml
