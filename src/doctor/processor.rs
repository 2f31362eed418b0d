//! The processor below the clock: its counter, and its power saving.

use super::finding::{Check, Finding, Problem};
use super::host::Host;
use super::machine::JITTER_GOOD_NS;

/// Where the kernel tells of its counters.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0";
/// Counters that take about a microsecond to read, or tick coarsely.
const SLOW_SOURCES: [&str; 4] = ["hpet", "acpi_pm", "jiffies", "refined-jiffies"];
/// A processor that needs longer than this to wake up, in µs, can be seen in the stamps.
const WAKE_MAX_US: u32 = 100;

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The counter in use.
    pub source: Option<String>,
    /// Those that could be.
    pub sources: Vec<String>,
    /// How the processors' speed is chosen, and by which driver.
    pub governor: Option<String>,
    /// The driver of that.
    pub driver: Option<String>,
    /// The deepest sleep that is allowed: its name, and µs until a processor is awake again.
    pub deepest: Option<(String, u32)>,
    /// How the leader's packets scatter, where one was heard: standard deviation.
    pub jitter_ns: Option<f64>,
}

/// Reads the kernel's files.
pub fn look(host: &Host, jitter_ns: Option<f64>) -> Facts {
    let sources = host.word(format!("{CLOCK_SOURCE}/available_clocksource")).unwrap_or_default();
    let frequency = "/sys/devices/system/cpu/cpu0/cpufreq";
    Facts {
        source: host.word(format!("{CLOCK_SOURCE}/current_clocksource")),
        sources: sources.split_whitespace().map(str::to_owned).collect(),
        governor: host.word(format!("{frequency}/scaling_governor")),
        driver: host.word(format!("{frequency}/scaling_driver")),
        deepest: deepest(host),
        jitter_ns,
    }
}

fn deepest(host: &Host) -> Option<(String, u32)> {
    let folder = "/sys/devices/system/cpu/cpu0/cpuidle";
    let states = host.names(folder);
    let states = states.iter().filter(|name| name.starts_with("state")).filter_map(|name| {
        let disabled = host.word(format!("{folder}/{name}/disable")).is_some_and(|word| word != "0");
        let latency: u32 = host.number(format!("{folder}/{name}/latency"))?;
        (!disabled).then_some((host.word(format!("{folder}/{name}/name"))?, latency))
    });
    states.max_by_key(|(_, latency)| *latency)
}

/// Judges the counter behind all clocks.
pub fn check_clock_source(facts: &Facts) -> Vec<Finding> {
    let Some(source) = facts.source.as_deref() else {
        return vec![Problem::ClockSourceUnknown.seen(
            "the kernel does not tell which counter its clocks use",
            "look for it in the kernel's log: dmesg | grep clocksource",
        )];
    };
    if !SLOW_SOURCES.contains(&source) {
        return vec![Check::ClockSource.ok(format!("{source} (of {})", facts.sources.join(", ")))];
    }
    let better = facts.sources.iter().find(|other| !SLOW_SOURCES.contains(&other.as_str()));
    let mend = better.map_or_else(
        || "dmesg | grep -i tsc tells why the kernel gave the fast one up; often a BIOS update or another VM setting".to_owned(),
        |better| format!("echo {better} | sudo tee {CLOCK_SOURCE}/current_clocksource"),
    );
    vec![
        Problem::SlowClockSource.seen(
            format!("clocks are read from {source}, which is slow and coarse: about 1 µs a reading"),
            mend,
        ),
    ]
}

/// Judges what saves power.
pub fn check_power(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    // With these two drivers "powersave" is the ordinary, quick one.
    let own_way = facts.driver.as_deref().is_some_and(|driver| driver.contains("pstate"));
    if facts.governor.as_deref() == Some("powersave") && !own_way {
        found.push(Problem::SlowGovernor.seen(
            "the processors are kept at their lowest speed (governor powersave): packets are served late",
            "sudo cpupower frequency-set -g schedutil",
        ));
    }
    let uneven = facts.jitter_ns.is_some_and(|jitter| jitter > JITTER_GOOD_NS);
    if let Some((name, latency)) =
        facts.deepest.as_ref().filter(|(_, latency)| uneven && *latency > WAKE_MAX_US)
    {
        found.push(Problem::DeepSleep.seen(
            format!(
                "processors sleep as deep as {name}, {latency} µs from waking up, and packets arrive unevenly"
            ),
            format!("sudo cpupower idle-set -D {WAKE_MAX_US}"),
        ));
    }
    Check::Power.found(found, || {
        let governor = facts.governor.as_deref().unwrap_or("none");
        match &facts.deepest {
            Some((name, latency)) => {
                format!("governor {governor}; deepest sleep {name} ({latency} µs), which does not show")
            }
            None => format!("governor {governor}; no deep sleep"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::World;

    fn source(current: &str, available: &str) -> Finding {
        let world = World::new()
            .file(&format!("{CLOCK_SOURCE}/current_clocksource"), current)
            .file(&format!("{CLOCK_SOURCE}/available_clocksource"), available);
        check_clock_source(&look(&world.host(), None)).remove(0)
    }

    #[test]
    fn slow_counters_are_told_with_the_faster_one() {
        assert_eq!(source("tsc\n", "tsc hpet acpi_pm \n").problem, None);
        assert_eq!(source("kvm-clock\n", "kvm-clock tsc\n").problem, None);
        let slow = source("hpet\n", "hpet acpi_pm tsc\n");
        assert_eq!(slow.problem, Some(Problem::SlowClockSource));
        assert!(slow.mend.unwrap().starts_with("echo tsc | sudo tee"));
        assert!(source("acpi_pm\n", "acpi_pm\n").mend.unwrap().contains("dmesg"));
        let nothing = check_clock_source(&Facts::default());
        assert_eq!(nothing[0].problem, Some(Problem::ClockSourceUnknown));
    }

    #[test]
    fn the_lowest_speed_is_told_but_not_where_the_word_means_another_thing() {
        let cpu = "/sys/devices/system/cpu/cpu0/cpufreq";
        let world = World::new().file(&format!("{cpu}/scaling_governor"), "powersave\n");
        let problem = |world: &World| check_power(&look(&world.host(), None))[0].problem;
        assert_eq!(problem(&world), Some(Problem::SlowGovernor));
        let world = world.file(&format!("{cpu}/scaling_driver"), "intel_pstate\n");
        assert_eq!(problem(&world), None);
    }

    #[test]
    fn deep_sleep_counts_only_where_it_shows() {
        let idle = "/sys/devices/system/cpu/cpu0/cpuidle";
        let state = |world: World, number: u32, name: &str, latency: &str, disable: &str| {
            world
                .file(&format!("{idle}/state{number}/name"), name)
                .file(&format!("{idle}/state{number}/latency"), latency)
                .file(&format!("{idle}/state{number}/disable"), disable)
        };
        let world = state(state(World::new(), 1, "C1", "2\n", "0\n"), 4, "C10", "890\n", "0\n");
        let problem = |world: &World, jitter| check_power(&look(&world.host(), jitter))[0].problem;
        assert_eq!(problem(&world, Some(60e3)), Some(Problem::DeepSleep));
        assert_eq!(problem(&world, Some(5e3)), None);
        assert_eq!(problem(&world, None), None);
        let world = state(world, 4, "C10", "890\n", "1\n");
        assert_eq!(problem(&world, Some(60e3)), None);
    }
}
