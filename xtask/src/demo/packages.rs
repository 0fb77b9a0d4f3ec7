//! What the demo needs from the machine: MariaDB's server and client, and sysbench, from Debian's packages.
//!
//! Owns saying what is missing and installing it. Never starts a system service: while it installs, a `policy-rc.d`
//! (Debian's switch for that) forbids packages to start anything, and is removed afterwards.

use std::collections::BTreeSet;
use std::process::Command;

use piton_testkit::find_program;

use super::{Demo, Result};

const NEEDED: [(&[&str], &str); 6] = [
    (&["mariadbd", "mysqld"], "mariadb-server"),
    (&["mariadb-install-db", "mysql_install_db"], "mariadb-server"),
    (&["mariadb", "mysql"], "mariadb-client"),
    (&["mariadb-dump"], "mariadb-client"),
    (&["sysbench"], "sysbench"),
    (&["setpriv"], "util-linux"),
];

/// `$@` are the packages. Everything it changes outside of `apt-get` it changes back.
const INSTALL: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@"
"#;

/// Installs what is missing, after saying so.
pub(super) fn ensure(demo: &Demo) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.into_iter().collect();
    demo.say(&format!("installing Debian packages: {} (no service is started)", names.join(" ")));
    let mut command = if is_root() {
        let mut command = Command::new("sh");
        command.arg("-c");
        command
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", "sh", "-c"]);
        command
    };
    let installed = command.arg(INSTALL).arg("sh").args(&names).status();
    if installed.is_ok_and(|status| status.success()) && self::missing().is_empty() {
        return Ok(());
    }
    Err(format!("please install them yourself, then run this again: apt-get install {}", names.join(" ")).into())
}

fn missing() -> BTreeSet<&'static str> {
    NEEDED
        .iter()
        .filter(|(names, package)| find_program(names, package).is_err())
        .map(|(_, package)| *package)
        .collect()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
