//! Whether commands would really survive this engine: a service manager or a container may end them with it.
//!
//! Owns the guess, made from what /proc shows, and its words. Never changes anything.

use std::fs;
use std::path::Path;

/// First processes of a container that end, and the container with them, when what they started ends.
const CONTAINER_STARTERS: [&str; 9] =
    ["sh", "bash", "dash", "ash", "tini", "dumb-init", "docker-init", "catatonit", "runsv"];

/// What this engine was started in, where its commands end with it. `None`: nothing is known to be in the way.
pub fn survival_warning() -> Option<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let in_container = ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists())
        || std::env::var_os("container").is_some();
    warning(std::process::id(), parent, read("/proc/1/comm").trim(), in_container, &read("/proc/self/cgroup"))
}

fn warning(pid: u32, parent: i32, first: &str, in_container: bool, cgroup: &str) -> Option<String> {
    if pid == 1 {
        return Some(
            "this engine is its container's first process: when it dies, the container ends every command with it"
                .into(),
        );
    }
    if in_container && parent == 1 && CONTAINER_STARTERS.contains(&first) {
        return Some(format!(
            "this engine was started by its container's first process ({first}): when it dies, the container may end, and \
             every command with it"
        ));
    }
    // Both hierarchies: `0::PATH` of cgroup v2, `N:name=systemd:PATH` of v1.
    let path = cgroup.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        (matches!(controllers, "" | "name=systemd") && path.ends_with(".service")).then_some(path)
    })?;
    let unit = path.rsplit('/').next().unwrap_or(path);
    Some(format!(
        "this engine runs in the service {unit}: when it dies, systemd ends every command with it, unless the unit says \
         KillMode=process"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_would_kill_the_commands_is_named() {
        let shell = "0::/user.slice/user-0.slice/session-1.scope\n";
        assert_eq!(warning(77, 70, "systemd", false, shell), None);
        assert_eq!(warning(77, 1, "systemd", false, shell), None);
        assert_eq!(warning(77, 1, "sh", false, shell), None);
        assert!(warning(1, 0, "piton", true, "0::/\n").unwrap().contains("first process"));
        assert!(warning(7, 1, "tini", true, "0::/\n").unwrap().contains("tini"));
        for cgroup in ["0::/system.slice/piton.service\n", "1:name=systemd:/system.slice/piton.service\n0::/\n"] {
            assert!(warning(77, 70, "systemd", false, cgroup).unwrap().contains("service piton.service"), "{cgroup}");
        }
        assert_eq!(warning(77, 70, "systemd", false, "4:memory:/x.service\n0::/\n"), None);
    }
}
