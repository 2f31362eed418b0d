//! Is the computer a virtual one, and does that show?

#[cfg(target_os = "linux")]
pub mod linux;

use super::finding::{Check, Finding, Problem};
use super::os::Os;

/// Up to here a path is good, whatever the computer is: standard deviation of the arrivals.
pub const JITTER_GOOD_NS: f64 = 20e3;
/// A host that takes more of the processor's time than this away is overloaded, in percent.
const STOLEN_MAX_PERCENT: f64 = 2.0;

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The virtual machine's maker.
    pub virtual_machine: Option<String>,
    /// The container's kind.
    pub container: Option<String>,
    /// Time that the host took away while listening, in percent.
    pub stolen_percent: f64,
    /// How the leader's packets scatter, where one was heard: standard deviation.
    pub jitter_ns: Option<f64>,
    /// Nothing of PTP was heard.
    pub unheard: bool,
    /// Where it is known whether there is a container.
    pub os: Os,
}

/// The maker of a virtual machine, by what the firmware says of the computer's maker and name; nothing for a real one.
pub fn maker(firmware: &[String]) -> Option<String> {
    const MAKERS: [(&str, &str); 9] = [
        ("VMware", "VMware"),
        ("VirtualBox", "VirtualBox"),
        ("innotek", "VirtualBox"),
        ("QEMU", "QEMU/KVM"),
        ("KVM", "KVM"),
        ("Xen", "Xen"),
        ("Virtual Machine", "Hyper-V"),
        ("Amazon EC2", "Amazon EC2"),
        ("Parallels", "Parallels"),
    ];
    let known = MAKERS.iter().find(|(word, _)| firmware.iter().any(|text| text.contains(word)));
    known.map(|(_, name)| (*name).to_owned())
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if facts.stolen_percent > STOLEN_MAX_PERCENT {
        found.push(Problem::StolenTime.seen(
            format!(
                "the host took {:.0} % of this machine's processor time away while listening",
                facts.stolen_percent
            ),
            "on the host: give this machine processors of its own, or less company",
        ));
    }
    let uneven = facts.jitter_ns.filter(|jitter| *jitter > JITTER_GOOD_NS);
    if let (Some(maker), Some(jitter)) = (&facts.virtual_machine, uneven) {
        found.push(Problem::VirtualMachine.seen(
            format!("a virtual machine ({maker}), and packets arrive unevenly, by {:.0} µs", jitter / 1e3),
            "give the machine a network card of its own (bridged or passed through, not NAT), or use a real computer",
        ));
    }
    // One that hears anything of PTP has the host's network.
    if let Some(kind) = facts.container.as_ref().filter(|_| facts.unheard) {
        found.push(Problem::Container.seen(
            format!("inside a container ({kind}): the clock is the host's, and only a network that is the host's, or bridged to Dante's, hears Dante"),
            "run the service on the host, or the container with --network=host and --cap-add=SYS_TIME",
        ));
    }
    Check::Machine.found(found, || match (&facts.virtual_machine, &facts.container) {
        (_, Some(kind)) => format!("a container ({kind}) that hears the network"),
        (Some(maker), None) if facts.jitter_ns.is_some() => {
            format!("a virtual machine ({maker}), which does not show in the packets")
        }
        (Some(maker), None) => format!("a virtual machine ({maker}); no packets to see whether that hurts"),
        (None, None) => facts.os.either("a real computer, no container", "a real computer").to_owned(),
    })
}
