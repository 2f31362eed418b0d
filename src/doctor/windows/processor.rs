//! The processor below the clock: its counter, and its power saving.

use super::host::Host;
use crate::doctor::finding::{Check, Finding, Problem};
use crate::doctor::machine::JITTER_GOOD_NS;

/// Counters that take about a microsecond to read, by their ticks in a second: the timer of ACPI, and HPET.
const SLOW_COUNTERS: [(i64, &str); 2] = [(3_579_545, "the ACPI timer"), (14_318_180, "HPET")];

/// Where the plan is named, and below it each plan.
const SCHEMES: &str = r"SYSTEM\CurrentControlSet\Control\Power\User\PowerSchemes";

/// Windows' own plans, by the numbers that Microsoft has given them.
const PLANS: [(&str, &str, Plan); 4] = [
    ("a1841308-3541-4fab-bc81-f71556f20b4a", "Power saver", Plan::Saving),
    ("381b4222-f694-41f0-9685-ff5bb260df2e", "Balanced", Plan::Balanced),
    ("8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c", "High performance", Plan::Fast),
    ("e9a42b02-d5df-448d-aa00-03f14749eb61", "Ultimate performance", Plan::Fast),
];
/// What the slider in the settings lays over "Balanced".
const OVERLAYS: [(&str, &str, Plan); 2] = [
    ("961cc777-2547-4f9d-8174-7d86181b8a7a", "best power efficiency", Plan::Saving),
    ("ded574b5-45a0-4f42-8737-46345c09c238", "best performance", Plan::Fast),
];

/// How a plan treats the processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Slow, and asleep as often as can be.
    Saving,
    /// As the load has it.
    Balanced,
    /// Awake.
    Fast,
    /// One that somebody made.
    Own,
}

/// What is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Ticks of the performance counter in a second.
    pub counter_hz: i64,
    /// The power plan, with its name; nothing where it cannot be read.
    pub plan: Option<(String, Plan)>,
    /// How the leader's packets scatter, where one was heard: standard deviation.
    pub jitter_ns: Option<f64>,
}

/// Reads the registry.
pub fn look(host: &impl Host, jitter_ns: Option<f64>) -> Facts {
    Facts { counter_hz: host.counter_hz(), plan: plan(host), jitter_ns }
}

fn plan(host: &impl Host) -> Option<(String, Plan)> {
    let active =
        |name: &str| Some(host.value(SCHEMES, name)?.text()?.trim_matches(['{', '}']).to_lowercase());
    let known = |list: &[(&str, &str, Plan)], guid: &str| {
        let found = list.iter().find(|(known, ..)| *known == guid);
        found.map(|(_, name, plan)| ((*name).to_owned(), *plan))
    };
    let guid = active("ActivePowerScheme")?;
    let Some((name, plan)) = known(&PLANS, &guid) else {
        return Some((own_name(host, &guid).unwrap_or(guid), Plan::Own));
    };
    // The slider counts only where the plan leaves it something to say.
    let overlay = active("ActiveOverlayAcPowerScheme").and_then(|guid| known(&OVERLAYS, &guid));
    Some(match overlay.filter(|_| plan == Plan::Balanced) {
        Some((over, plan)) => (format!("{name}, {over}"), plan),
        None => (name, plan),
    })
}

/// The name that its maker gave it; Windows' own are named by a file (`@%SystemRoot%…`), and known anyway.
fn own_name(host: &impl Host, guid: &str) -> Option<String> {
    let name = host.value(&format!(r"{SCHEMES}\{guid}"), "FriendlyName")?.text()?.to_owned();
    let plain = !name.starts_with('@');
    let named = name.rsplit(',').next().map(str::to_owned);
    if plain { Some(name) } else { named }
}

/// Judges the counter behind all clocks.
pub fn check_clock_source(facts: &Facts) -> Vec<Finding> {
    let slow = SLOW_COUNTERS.iter().find(|(hz, _)| *hz == facts.counter_hz);
    if let Some((_, name)) = slow {
        return vec![Problem::SlowClockSource.seen(
            format!("Windows counts time by {name}, which is slow and coarse: about 1 µs a reading"),
            "bcdedit /deletevalue useplatformclock, and start the computer anew; in a virtual machine, its settings",
        )];
    }
    let mhz = f64::from(i32::try_from(facts.counter_hz).unwrap_or(i32::MAX)) / 1e6;
    vec![Check::ClockSource.ok(format!("the performance counter ticks {mhz} million times a second"))]
}

/// Judges what saves power.
pub fn check_power(facts: &Facts) -> Vec<Finding> {
    const FASTER: &str = "powercfg /setactive SCHEME_MIN, which is \"High performance\"; where that is hidden: Settings, \
                          System, Power, \"Best performance\"";
    let Some((name, plan)) = &facts.plan else {
        return vec![Check::Power.ok("Windows does not tell its power plan")];
    };
    let uneven = facts.jitter_ns.filter(|jitter| *jitter > JITTER_GOOD_NS);
    let seen = match (plan, uneven) {
        (Plan::Fast, _) | (Plan::Balanced | Plan::Own, None) => {
            let shows = if *plan == Plan::Fast { "" } else { ", which does not show in the packets" };
            return vec![Check::Power.ok(format!("power plan: {name}{shows}"))];
        }
        (Plan::Saving, _) => {
            format!("the power plan is \"{name}\": processors sleep, and packets are served late")
        }
        (Plan::Balanced | Plan::Own, Some(jitter)) => format!(
            "the power plan is \"{name}\", which lets processors sleep, and packets arrive unevenly, by {:.0} µs",
            jitter / 1e3
        ),
    };
    vec![Problem::PowerPlan.seen(seen, FASTER)]
}

#[cfg(test)]
mod tests {
    use super::super::host::made_up::World;
    use super::*;

    fn power(world: &World, jitter_ns: Option<f64>) -> Finding {
        check_power(&look(world, jitter_ns)).remove(0)
    }

    fn world(plan: &str) -> World {
        World::new().text(SCHEMES, "ActivePowerScheme", plan)
    }

    #[test]
    fn slow_counters_are_told() {
        let clock = |hz| {
            let mut world = World::new();
            world.counter_hz = hz;
            check_clock_source(&look(&world, None)).remove(0)
        };
        assert_eq!(clock(10_000_000).seen, "the performance counter ticks 10 million times a second");
        assert!(clock(3_328_125).problem.is_none());
        let slow = clock(14_318_180);
        assert_eq!(slow.problem, Some(Problem::SlowClockSource));
        assert!(slow.seen.contains("HPET") && slow.mend.unwrap().contains("useplatformclock"));
        assert_eq!(clock(3_579_545).problem, Some(Problem::SlowClockSource));
    }

    #[test]
    fn a_plan_that_saves_is_always_told_and_the_usual_one_where_it_shows() {
        let saver = power(&world(PLANS[0].0), None);
        assert_eq!(saver.problem, Some(Problem::PowerPlan));
        assert!(saver.mend.unwrap().starts_with("powercfg /setactive SCHEME_MIN"));
        assert_eq!(power(&world(PLANS[1].0), None).problem, None);
        assert_eq!(power(&world(PLANS[1].0), Some(60e3)).problem, Some(Problem::PowerPlan));
        for fast in [PLANS[2].0, PLANS[3].0] {
            assert_eq!(power(&world(fast), Some(60e3)).problem, None);
        }
    }

    #[test]
    fn the_slider_counts_above_the_usual_plan() {
        let slid = |overlay| world(PLANS[1].0).text(SCHEMES, "ActiveOverlayAcPowerScheme", overlay);
        assert_eq!(power(&slid(OVERLAYS[0].0), None).problem, Some(Problem::PowerPlan));
        let best = power(&slid(OVERLAYS[1].0), Some(60e3));
        assert_eq!(best.seen, "power plan: Balanced, best performance");
    }

    #[test]
    fn a_plan_of_ones_own_is_named() {
        let guid = "11111111-2222-3333-4444-555555555555";
        let world = world(guid).text(&format!(r"{SCHEMES}\{guid}"), "FriendlyName", "Studio");
        let found = power(&world, Some(60e3));
        assert!(found.problem == Some(Problem::PowerPlan) && found.seen.contains("\"Studio\""));
        assert!(power(&World::new(), Some(60e3)).seen.contains("does not tell"));
    }
}
