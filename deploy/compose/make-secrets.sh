#!/bin/sh
# Creates the passwords of docker-compose.yml, one in a file, in the folder `secrets` beside it or in the named folder.
# Existing passwords are kept. Run it again after changing one: the files with URLs are written from the passwords.
set -eu
umask 077
folder=${1:-$(dirname "$0")/../../secrets}
mkdir -p "$folder"
# The files are readable for all, because the users in the containers have other ids; the folder is closed to others.
chmod 700 "$folder"
# The configurations are mounted into containers with the permissions that they have here.
here=$(dirname "$0")
chmod a+r "$here"/*.conf "$here"/*.sql "$here"/../../producer/operations/query_role.sql 2> /dev/null || :
cd "$folder"

write() { # NAME, content from stdin
    cat > "$1.new"
    chmod 444 "$1.new"
    mv -f "$1.new" "$1"
}

for name in postgres_password database_password query_password redis_password gallery_token; do
    [ -s "$name" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' | write "$name"
    if ! LC_ALL=C grep -qx '[A-Za-z0-9]*' "$name"; then
        echo "$folder/$name: use letters and digits only, since it is a part of a URL" >&2
        exit 2
    fi
    chmod 444 "$name"
done

server=postgres:5432/unitscope # the names of the services, in docker-compose.yml and in deploy/kubernetes/servers.yaml
printf 'postgresql+psycopg://unitscope:%s@%s' "$(cat database_password)" "$server" | write database_url
printf 'postgresql+psycopg://unitscope_query:%s@%s' "$(cat query_password)" "$server" | write query_database_url
printf 'redis://:%s@redis:6379/0' "$(cat redis_password)" | write redis_url
