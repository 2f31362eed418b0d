//! The service as the service manager, the event log and its own pipe show it.

use std::path::Path;

use super::{Facts, Unit};
use crate::doctor::os::Os;
use crate::doctor::windows::host::{Host, Running, Start};

/// Our service.
const NAME: &str = "dantetimesync";
/// Errors that are shown.
const ERRORS_SHOWN: usize = 3;

/// Asks all three; the program tells its status at `pipe`, if anywhere, and does not start beside a `rival`.
pub fn look(host: &impl Host, pipe: Option<&Path>, rival: bool) -> Facts {
    let service = host.service(NAME);
    let unit = service.map(|service| {
        let active = match service.running {
            Running::Yes => "active",
            Running::Starting => "activating",
            Running::Stopped if service.exit_code != 0 => "failed",
            Running::Stopped => "inactive",
        };
        Unit {
            load: "loaded".to_owned(),
            active: active.to_owned(),
            file: if service.start == Some(Start::Boot) { "enabled" } else { "disabled" }.to_owned(),
            result: "it ended by itself".to_owned(),
            exit_code: service.exit_code.to_string(),
            ..Unit::default()
        }
    });
    let missing = || host.has_services().then(Unit::default);
    Facts {
        process: service.filter(|service| service.running == Running::Yes).and_then(|service| service.pid),
        unit: unit.or_else(missing),
        socket: pipe.map(Path::to_owned),
        status: pipe.and_then(|pipe| host.status(pipe)),
        errors: errors(&host.complaints().unwrap_or_default()),
        rival,
        os: Os::Windows,
    }
}

/// The texts of events, the last one last, out of what `wevtutil` writes: the last one first, each with its text in
/// `<Data>`.
fn errors(xml: &str) -> Vec<String> {
    let texts = xml.split("<Data").skip(1).filter_map(|rest| {
        let (_, text) = rest.split_once('>')?;
        let (text, _) = text.split_once("</Data>")?;
        let text = plain(text);
        (!text.is_empty()).then_some(text)
    });
    let mut texts: Vec<String> = texts.take(ERRORS_SHOWN).collect();
    texts.reverse();
    texts
}

/// Text without what XML makes of some characters.
fn plain(text: &str) -> String {
    let names = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#13;", ""),
        ("&#10;", " "),
        ("&amp;", "&"),
    ];
    let text = names.iter().fold(text.to_owned(), |text, (name, character)| text.replace(name, character));
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Status, check};
    use super::*;
    use crate::doctor::finding::{Finding, Problem};
    use crate::doctor::windows::host::made_up::World;

    fn found(world: &World) -> Vec<Finding> {
        check(&look(world, Some(Path::new("a pipe")), false))
    }

    fn problems(world: &World) -> Vec<Problem> {
        found(world).iter().filter_map(|finding| finding.problem).collect()
    }

    fn status(state: &str, version: &str) -> Option<Status> {
        Some(Status { state: state.to_owned(), reason: "why".to_owned(), version: version.to_owned() })
    }

    #[test]
    fn a_service_that_is_locked_is_fine() {
        let mut world = World::new().service(NAME, Running::Yes, Start::Boot);
        world.status = status("locked", env!("CARGO_PKG_VERSION"));
        let found = found(&world);
        assert_eq!(found[0].problem, None);
        assert!(found[0].seen.ends_with("(pid 900), locked"), "{}", found[0].seen);
    }

    #[test]
    fn one_that_is_not_installed_stopped_or_started_by_hand_only_is_told() {
        let missing = found(&World::new());
        assert_eq!(missing[0].problem, Some(Problem::ServiceUnknown));
        assert!(missing[0].mend.as_deref().unwrap().contains("service install"));
        let stopped = found(&World::new().service(NAME, Running::Stopped, Start::Boot));
        assert_eq!(stopped[0].problem, Some(Problem::ServiceStopped));
        assert_eq!(stopped[0].mend.as_deref(), Some("dantetimesync service start"));
        // It tries the clock and waits for a network: nothing is wrong with that yet.
        assert_eq!(problems(&World::new().service(NAME, Running::Starting, Start::Boot)), []);
        let by_hand = World::new().service(NAME, Running::Yes, Start::Demand);
        assert_eq!(problems(&by_hand), [Problem::ServiceDisabled, Problem::ServiceSilent]);
    }

    #[test]
    fn one_that_failed_says_with_which_code_and_repeats_its_last_error() {
        let mut world = World::new().service(NAME, Running::Stopped, Start::Boot);
        world.services.get_mut(NAME).unwrap().exit_code = 69;
        world.complaints = Some(
            "<Event><EventData><Data>Windows Time steers &quot;it&quot;</Data></EventData></Event>\r\n\
             <Event><EventData><Data Name='x'>older</Data><Binary></Binary></EventData></Event>"
                .to_owned(),
        );
        let found = found(&world);
        assert_eq!(found[0].problem, Some(Problem::ServiceFailed));
        assert!(
            found[0].seen.contains("exit code 69): another program steers the clock"),
            "{}",
            found[0].seen
        );
        assert_eq!(found[1].problem, Some(Problem::ServiceErrors));
        assert!(found[1].seen.ends_with("Windows Time steers \"it\""), "{}", found[1].seen);
    }

    #[test]
    fn its_own_reason_and_another_version_are_told() {
        let mut world = World::new().service(NAME, Running::Yes, Start::Boot);
        world.status = status("no_leader", "0.0.1");
        assert_eq!(problems(&world), [Problem::ServiceVersion, Problem::ServiceNotLocked]);
        assert!(found(&world)[0].mend.as_deref().unwrap().contains("service stop"));
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_survived(text in "(<Data|>|</Data>|x|&amp;){0,20}") {
            let _ = errors(&text);
        }
    }
}
