//! A command's memory limit: a cgroup of its own, where this machine's cgroup v2 has a memory controller for us.
//!
//! Owns finding a place for such a cgroup, its limit, its reading and its removal (kernel documentation:
//! Documentation/admin-guide/cgroup-v2.rst). Never pretends: where there is none, the reason is given for the notes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Said where a limit cannot be enforced.
const MEASURED_ONLY: &str = "memory is measured, not enforced";

/// A cgroup for one command. Dropping it removes it, unless something still lives in it.
pub(super) struct Limit {
    dir: PathBuf,
    /// Where the supervisor itself belongs.
    home: PathBuf,
}

/// What the cgroup says at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) oom_kills: u64,
    pub(super) peak_bytes: Option<u64>,
}

impl Limit {
    /// Makes a cgroup with this limit, or says why there is none.
    pub(super) fn new(bytes: u64) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::below(&mounts, &own, bytes).map_err(|why| format!("{MEASURED_ONLY}: {why}"))
    }

    fn below(mounts: &str, own: &str, bytes: u64) -> Result<Self, String> {
        let home = home(mounts, own).ok_or("no cgroup v2")?;
        // A cgroup with processes may hand no memory controller down, save the root; so a sibling is the common case.
        let places: Vec<&Path> = [Some(home.as_path()), home.parent()].into_iter().flatten().collect();
        let hands_down = |place: &&Path| {
            let enabled = fs::read_to_string(place.join("cgroup.subtree_control")).unwrap_or_default();
            enabled.split_whitespace().any(|controller| controller == "memory")
        };
        let place = places.into_iter().find(hands_down).ok_or("no cgroup v2 memory controller")?;
        let dir = place.join(format!("piton-{}", std::process::id()));
        let unwritable = |error: io::Error| format!("cgroup {}: {error}", dir.display());
        fs::create_dir(&dir).map_err(unwritable)?;
        let limit = Self { dir: dir.clone(), home };
        limit.set("memory.max", &bytes.to_string()).map_err(unwritable)?;
        // Without swap to escape to, and the whole command at once rather than one process of it. Older kernels lack
        // these files; the limit holds without them.
        let _ = limit.set("memory.swap.max", "0");
        let _ = limit.set("memory.oom.group", "1");
        Ok(limit)
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.dir.join(file), value)
    }

    /// Moves the supervisor in: what it starts now begins inside, with no moment outside.
    pub(super) fn enter(&self) -> Result<(), String> {
        self.set("cgroup.procs", "0")
            .map_err(|error| format!("{MEASURED_ONLY}: cgroup {}: {error}", self.dir.display()))
    }

    /// Moves the supervisor back out. An error leaves it under the command's limit.
    pub(super) fn leave(&self) -> io::Result<()> {
        fs::write(self.home.join("cgroup.procs"), "0")
    }

    pub(super) fn told(&self) -> Told {
        let read = |file: &str| fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        told(&read("memory.events"), &read("memory.peak"))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

fn told(events: &str, peak: &str) -> Told {
    let count = events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
    Told { oom_kills: count.unwrap_or(0), peak_bytes: peak.trim().parse().ok() }
}

/// Directory of this process's cgroup v2.
fn home(mounts: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    // proc_pid_mountinfo(5): root is field 4, mount point field 5, the type follows the separator.
    let (root, point) = mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let fields: Vec<&str> = head.split(' ').collect();
        (tail.split(' ').next() == Some("cgroup2")).then_some((*fields.get(3)?, *fields.get(4)?))
    })?;
    let inside = if root == "/" { path } else { path.strip_prefix(root)? };
    Some(Path::new(point).join(inside.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n36 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_cgroup_is_found_on_hybrid_and_unified_machines() {
        assert_eq!(home(HYBRID, "4:memory:/x\n0::/\n"), Some("/sys/fs/cgroup/unified".into()));
        let unified = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let service = home(unified, "0::/system.slice/piton.service\n");
        assert_eq!(service, Some("/sys/fs/cgroup/system.slice/piton.service".into()));
        assert_eq!(home("", "0::/\n"), None);
    }

    #[test]
    fn without_a_controller_the_reason_is_said() {
        let mounts = format!("1 1 0:1 / {} rw - cgroup2 none rw\n", std::env::temp_dir().display());
        let why = Limit::below(&mounts, "0::/\n", 1 << 20).err().unwrap();
        assert_eq!(why, "no cgroup v2 memory controller");
        assert_eq!(Limit::below("", "", 1).err().unwrap(), "no cgroup v2");
    }

    #[test]
    fn a_limit_is_written_where_the_controller_is_handed_down() {
        let root = std::env::temp_dir().join(format!("piton-cgroup-{}", std::process::id()));
        fs::create_dir_all(root.join("own")).unwrap();
        fs::write(root.join("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        fs::write(root.join("own/cgroup.subtree_control"), "\n").unwrap();
        let mounts = format!("1 1 0:1 / {} rw - cgroup2 none rw\n", root.display());
        let limit = Limit::below(&mounts, "0::/own\n", 1 << 20).unwrap();
        assert_eq!(limit.dir.parent(), Some(root.as_path()));
        assert_eq!(fs::read_to_string(limit.dir.join("memory.max")).unwrap(), "1048576");
        assert_eq!(limit.home, root.join("own"));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn an_oom_kill_and_the_peak_are_read() {
        let events = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(told(events, "1048576\n"), Told { oom_kills: 3, peak_bytes: Some(1 << 20) });
        assert_eq!(told("", ""), Told::default());
    }
}
