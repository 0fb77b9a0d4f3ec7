#!/usr/bin/env bash
# What the classic move does with the databases' own tools. One verb per job, URLs and passwords only from the environment
# (an argument could be read by anyone with `ps`), results as JSON on standard output.
set -euo pipefail
export LC_ALL=C

# The parts of mysql://user:password@host:port/schema, percent-decoded, in the array `part`.
read_url() {
    local rest=${1#*://} authority login server
    authority=${rest%%/*}
    login=${authority%@*}
    server=${authority##*@}
    part=([user]=$(decode "${login%%:*}") [password]=$(decode "${login#*:}") [host]=${server%%:*} [port]=3306 [schema]='')
    if [[ $server == *:* ]]; then part[port]=${server##*:}; fi
    if [[ $rest == */* ]]; then rest=${rest#*/} part[schema]=$(decode "${rest%%\?*}"); fi
}

decode() {
    local text=${1//\\/\\\\}
    printf '%b' "${text//%/\\x}"
}

# A word as an SQL string. (Backslashes count in strings of the dump's and our sessions alike.)
quoted() {
    local text=${1//\\/\\\\}
    printf "'%s'" "${text//\'/\'\'}"
}

# A name as an SQL identifier.
named() { printf '`%s`' "${1//\`/\`\`}"; }

# An option file for the clients; it exists only as a pipe.
options() {
    local -A part
    read_url "$1"
    local password=${part[password]//\\/\\\\}
    printf '[client]\nprotocol=tcp\nhost=%s\nport=%s\nuser="%s"\npassword="%s"\ndefault-character-set=utf8mb4\n' \
        "${part[host]}" "${part[port]}" "${part[user]}" "${password//\"/\\\"}"
}

# client URL ARGUMENTS...: the command-line client, stopping at the first error.
client() {
    local url=$1
    shift
    mariadb --defaults-file=<(options "$url") --batch --skip-column-names --raw "$@"
}

schema_of() {
    local -A part
    read_url "$1"
    printf '%s' "${part[schema]}"
}

# with_login URL OTHER: URL's server and schema with OTHER's user and password, still percent-encoded.
with_login() {
    local server=${1#*://} login=${2#*://}
    login=${login%%/*}
    printf 'mysql://%s@%s' "${login%@*}" "${server##*@}"
}

# dump DIR TABLE...: one consistent snapshot of SOURCE, a file per table, and the log position it belongs to.
dump() {
    local dir=$1 schema rows=() digests=() number=0 table
    shift
    schema=$(schema_of "$SOURCE")
    mkdir -p -- "$dir"
    rm -f -- "$dir"/*.sql
    mariadb-dump --defaults-file=<(options "$SOURCE") --single-transaction --master-data=2 --no-create-info --skip-triggers \
        --hex-blob --order-by-primary --skip-add-locks --skip-disable-keys --tz-utc --max-allowed-packet=64M \
        "$schema" "$@" | awk -v dir="$dir" '
            BEGIN { number = -1; file = dir "/header.sql"; printf "" > file }
            /^-- Dumping data for table / { close(file); number++; file = sprintf("%s/%04d.sql", dir, number); printf "" > file }
            /^\/\*!40103 SET TIME_ZONE=@OLD_TIME_ZONE/ { close(file); file = dir "/footer.sql"; printf "" > file }
            { print > file }'
    grep -q '^-- Dump completed' "$dir/footer.sql"
    local position
    position=$(sed -n "s/^-- CHANGE MASTER TO MASTER_LOG_FILE='\([^']*\)', MASTER_LOG_POS=\([0-9]*\);.*/\1 \2/p" "$dir/header.sql")
    for table in "$@"; do
        local file
        file=$(printf '%s/%04d.sql' "$dir" "$number")
        # Each row stands on a line of its own (the first one after a list of columns shares the INSERT's), and line ends
        # inside values are escaped.
        rows+=("$(grep -c -e '^(' -e '^INSERT INTO .* VALUES (' "$file" || true)")
        digests+=("\"$(sha256sum < "$file" | cut -d ' ' -f 1)\"")
        number=$((number + 1))
    done
    printf '{"file": "%s", "position": %s, "rows": [%s], "digests": [%s]}\n' \
        "${position% *}" "${position#* }" "$(IFS=,; printf '%s' "${rows[*]}")" "$(IFS=,; printf '%s' "${digests[*]}")"
}

# load DIR NUMBER DIGEST TABLE: one table's file into TARGET in one transaction, in the place of what is there.
load() {
    local file
    file=$(printf '%s/%04d.sql' "$1" "$2")
    printf '%s  %s\n' "$3" "$file" | sha256sum --check --quiet -
    {
        # Foreign keys were checked where the rows come from; zero dates and row 0 are rows like any other.
        echo "set sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', foreign_key_checks = 0;"
        echo "start transaction; delete from $(named "$4");"
        cat -- "$file"
        echo "select concat('{\"rows\": ', count(*), '}') from $(named "$4"); commit;"
    } | client "$TARGET" --init-command='set names utf8mb4' "$(schema_of "$TARGET")"
}

# snapshot DIR: the SELECTs on standard input (one a line), all in one snapshot of SERVER, with the log position at which the
# snapshot was taken; MariaDB gives both without stopping a single writer. A SELECT gives either one row D, rows, digest, or
# rows F, number, statement, which go to DIR/NUMBER.exact.sql.
snapshot() {
    mkdir -p -- "$1"
    rm -f -- "$1"/*.exact.sql
    {
        echo "start transaction with consistent snapshot, read only;"
        echo "show status like 'binlog_snapshot_file'; show status like 'binlog_snapshot_position';"
        cat
        echo "commit;"
    } | client "$SERVER" "$(schema_of "$SERVER")" | awk -F '\t' -v dir="$1" '
        NR == 1 { file = $2 }
        NR == 2 { printf "{\"file\": \"%s\", \"position\": %s, \"tables\": [", file, $2 }
        $1 == "D" { printf "%s{\"rows\": %s, \"digest\": \"%s\"}", tables++ ? ", " : "", $2, $3 }
        $1 == "F" { print $3 > (dir "/" $2 ".exact.sql") }
        END { if (NR < 2) exit 1; print "]}" }'
}

# restore-exact DIR NUMBER: puts values into TARGET that the dump could not carry.
restore_exact() {
    local file=$1/$2.exact.sql
    if [[ ! -e $file ]]; then
        echo '{"rows": 0}'
        return
    fi
    { echo "set foreign_key_checks = 0, sql_mode = ''; start transaction;"; cat -- "$file"; echo "commit;"; } |
        client "$TARGET" "$(schema_of "$TARGET")"
    printf '{"rows": %s}\n' "$(wc -l < "$file")"
}

# replicate FILE POSITION ACCOUNT: TO follows FROM from that position on, logging in as ACCOUNT with PASSWORD. Where it follows
# FROM already it only goes on: starting from the first position again would apply changes twice.
replicate() {
    local -A part
    read_url "$FROM"
    local follows
    follows=$(client "$TO" --column-names -e 'show slave status\G' | sed -n 's/^ *Master_Host: //p; s/^ *Master_Port: //p' | paste -sd :)
    if [[ $follows != "${part[host]}:${part[port]}" ]]; then
        client "$TO" << SQL
change master to master_host = $(quoted "${part[host]}"), master_port = ${part[port]},
    master_user = $(quoted "$3"), master_password = $(quoted "$PASSWORD"),
    master_log_file = $(quoted "$1"), master_log_pos = $2, master_use_gtid = no, master_connect_retry = 1;
SQL
    fi
    client "$TO" -e 'start slave'
}

# stop-replica: SERVER follows nobody any more and forgets the password.
stop_replica() { client "$SERVER" -e 'stop slave; reset slave all'; }

# replication-account ACCOUNT: SERVER has it, with PASSWORD, for reading the log. Accounts never travel in the log.
replication_account() {
    client "$SERVER" << SQL
set sql_log_bin = 0;
create user if not exists $(quoted "$1")@'%' identified by $(quoted "$PASSWORD");
alter user $(quoted "$1")@'%' identified by $(quoted "$PASSWORD");
grant replication slave on *.* to $(quoted "$1")@'%';
SQL
}

# copy-account USER HOST: TARGET gets SOURCE's account with its password hash and its grants on the schema, locked.
copy_account() {
    local account schema create grants
    account="$(quoted "$1")@$(quoted "$2")"
    schema=$(schema_of "$SOURCE")
    create=$(client "$SOURCE" -e "show create user $account")
    create=${create/#CREATE USER/create user if not exists}
    create=${create% ACCOUNT LOCK}
    grants=$(client "$SOURCE" -e "show grants for $account" | grep -F " ON $(named "$schema")." | sed 's/$/;/' || true)
    printf 'set sql_log_bin = 0;\n%s account lock;\nalter user %s account lock;\n%s\n' "$create" "$account" "$grants" |
        client "$TARGET"
}

# try-write TABLE COLUMN: SERVER as the application's account (APPLICATION) tries a write that changes no row. Prints whether
# it may write; any other failure than a refusal by read_only is a failure of this script.
try_write() {
    local answer
    if answer=$(client "$(with_login "$SERVER" "$APPLICATION")" "$(schema_of "$SERVER")" \
        -e "update $(named "$1") set $(named "$2") = $(named "$2") where false" 2>&1); then
        echo '{"writes": true}'
    elif [[ $answer == *'ERROR 1290 '* ]]; then
        echo '{"writes": false}'
    else
        printf '%s\n' "$answer" >&2
        return 1
    fi
}

# prepared-xa: how many XA transactions SERVER has prepared and not ended.
prepared_xa() { printf '{"prepared": %s}\n' "$(client "$SERVER" -e 'xa recover' | wc -l)"; }

case $1 in
    dump | load | snapshot | replicate) "$@" ;;
    restore-exact | stop-replica | replication-account | copy-account | try-write | prepared-xa)
        verb=${1//-/_}
        shift
        "$verb" "$@"
        ;;
    *)
        printf 'unknown verb: %s\n' "$1" >&2
        exit 2
        ;;
esac
