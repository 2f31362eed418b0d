//! The computer as `/sys` and `/proc` show it.

use super::{Facts, maker};
use crate::doctor::host::Host;
use crate::doctor::os::Os;

/// Processor time so far: in all, and taken away by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ticks {
    all: u64,
    stolen: u64,
}

/// Reads the kernel's files. `before` is what [`ticks`] said before listening.
pub fn look(host: &Host, before: Ticks, jitter_ns: Option<f64>, unheard: bool) -> Facts {
    Facts {
        virtual_machine: virtual_machine(host),
        container: container(host),
        stolen_percent: ticks(host).stolen_since(before),
        jitter_ns,
        unheard,
        os: Os::Linux,
    }
}

/// Processor time, from the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
pub fn ticks(host: &Host) -> Ticks {
    let stat = host.read("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let counts: Vec<u64> =
        first.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    Ticks {
        all: counts.iter().copied().fold(0, u64::saturating_add),
        stolen: counts.get(7).copied().unwrap_or_default(),
    }
}

impl Ticks {
    fn stolen_since(self, before: Self) -> f64 {
        let as_f64 = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let (all, stolen) = (self.all.saturating_sub(before.all), self.stolen.saturating_sub(before.stolen));
        if all == 0 { 0.0 } else { 100.0 * as_f64(stolen) / as_f64(all) }
    }
}

fn virtual_machine(host: &Host) -> Option<String> {
    let words: Vec<String> = ["sys_vendor", "product_name"]
        .iter()
        .filter_map(|file| host.word(format!("/sys/class/dmi/id/{file}")))
        .collect();
    let flagged = || {
        let info = host.read("/proc/cpuinfo").unwrap_or_default();
        let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default().to_owned();
        flags.split_whitespace().any(|flag| flag == "hypervisor").then(|| "an unknown maker".to_owned())
    };
    maker(&words).or_else(|| host.word("/sys/hypervisor/type")).or_else(flagged)
}

fn container(host: &Host) -> Option<String> {
    let told = host.word("/run/systemd/container").or_else(|| {
        let environment = host.read("/proc/1/environ")?;
        environment.split('\0').find_map(|entry| entry.strip_prefix("container=")).map(str::to_owned)
    });
    let docker = || host.exists("/.dockerenv").then(|| "docker".to_owned());
    let podman = || host.exists("/run/.containerenv").then(|| "podman".to_owned());
    told.or_else(docker).or_else(podman)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::doctor::finding::Problem;
    use crate::doctor::host::made_up::World;

    #[test]
    fn virtual_machines_and_containers_are_recognised() {
        let hyper_v = World::new().file("/sys/class/dmi/id/product_name", "Virtual Machine\n");
        let facts = |world: &World, jitter: Option<f64>| {
            look(&world.host(), Ticks::default(), jitter, jitter.is_none())
        };
        assert_eq!(check(&facts(&hyper_v, Some(50e3)))[0].problem, Some(Problem::VirtualMachine));
        assert_eq!(check(&facts(&hyper_v, None))[0].problem, None);
        assert_eq!(check(&facts(&hyper_v, Some(5e3)))[0].problem, None);
        let unknown = World::new().file("/proc/cpuinfo", "flags\t: fpu hypervisor sse\n");
        assert!(check(&facts(&unknown, Some(90e3)))[0].seen.contains("90 µs"));
        let docker = World::new().file("/.dockerenv", "");
        assert_eq!(check(&facts(&docker, None))[0].problem, Some(Problem::Container));
        assert_eq!(check(&facts(&docker, Some(5e3)))[0].problem, None);
        // A leader of another subdomain, or on the wrong interface, was heard there too.
        let strange = look(&docker.host(), Ticks::default(), None, false);
        assert_eq!(check(&strange)[0].problem, None);
        let lxc = World::new().file("/proc/1/environ", "PATH=/\0container=lxc\0");
        assert!(check(&facts(&lxc, None))[0].seen.contains("lxc"));
        assert_eq!(check(&facts(&World::new(), None))[0].seen, "a real computer, no container");
    }

    #[test]
    fn time_that_the_host_takes_is_told() {
        let world = World::new().file("/proc/stat", "cpu  100 0 100 700 0 0 0 100 0 0\ncpu0 1 1\n");
        let before = Ticks { all: 0, stolen: 50 };
        let found = check(&look(&world.host(), before, Some(1e3), false));
        assert_eq!(found[0].problem, Some(Problem::StolenTime));
        assert!(found[0].seen.contains("5 %"), "{}", found[0].seen);
    }
}
