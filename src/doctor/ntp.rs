//! Do the time servers answer, and do they agree with each other and with this computer?

use super::finding::{Check, Finding, Problem};
use super::os::Os;
use crate::ntp::NtpError;
use crate::ntp::client::{Exchange, Rejected};
use crate::snapshot::BoundedRate;
use crate::time::{Offset, Span, System, Timestamp};

/// A server further from this computer's clock than this is doubted: either of them is wrong.
const FAR: Span = Span::from_secs(3_600);
/// A computer that believes to live before this has no clock that runs while it is switched off: 2024-01-01.
const PLAUSIBLE_FROM: Timestamp<System> = Timestamp::from_ns(1_704_067_200_000_000_000);
/// Servers may differ by this besides what their answers leave open: honest ones are a few ms apart.
const AGREE: Span = Span::from_ms(10);
/// Answers must be this far apart to tell a rate.
const RATE_BASE_MIN: Span = Span::from_secs(5);

/// What came of asking a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// As it was configured.
    pub name: String,
    /// Requests.
    pub asked: u32,
    /// Its answers, and what this computer's clock read in their middle.
    pub answers: Vec<(Exchange, Timestamp<System>)>,
    /// Why the last answer that did not count did not.
    pub rejected: Option<Rejected>,
    /// Why the last request that was not sent was not.
    pub unsent: Option<NtpError>,
}

/// Where UTC is by a server, against this computer's clock; positive: UTC is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion {
    /// UTC minus this computer's clock.
    pub offset: Span,
    /// What the answer leaves open.
    pub bound: Span,
    /// The server's stratum.
    pub stratum: u8,
}

impl Server {
    /// Not asked yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), asked: 0, answers: Vec::new(), rejected: None, unsent: None }
    }

    /// By the answer that was fastest.
    pub fn opinion(&self) -> Option<Opinion> {
        let (exchange, system) = self.answers.iter().min_by_key(|(exchange, _)| exchange.delay)?;
        Some(Opinion {
            // Both count from 1970: the difference is what the clock is off.
            offset: Offset::between(exchange.utc, *system).span(),
            bound: exchange.delay.half() + exchange.root_distance,
            stratum: exchange.stratum,
        })
    }

    /// UTC against the raw clock by the two answers that leave least open, which is the bound.
    fn rate(&self) -> Option<BoundedRate> {
        let pairs = self.answers.iter().enumerate().flat_map(|(at, (first, _))| {
            self.answers.iter().skip(at.saturating_add(1)).map(move |(last, _)| (first, last))
        });
        let rates =
            pairs.filter(|(first, last)| last.raw - first.raw >= RATE_BASE_MIN).map(|(first, last)| {
                let elapsed = last.raw - first.raw;
                let gain = (last.utc - first.utc) - elapsed;
                // All of a delay may lie on one way, and on the other way the next time.
                let bound = (first.delay + last.delay).half();
                let scale = 1e9 / elapsed.as_ns_f64();
                BoundedRate { value_ppb: gain.as_ns_f64() * scale, bound_ppb: bound.as_ns_f64() * scale }
            });
        rates.min_by(|a, b| a.bound_ppb.total_cmp(&b.bound_ppb))
    }
}

/// The best word of all servers about UTC's rate against the raw clock.
pub fn utc_rate(servers: &[Server]) -> Option<BoundedRate> {
    servers.iter().filter_map(Server::rate).min_by(|a, b| a.bound_ppb.total_cmp(&b.bound_ppb))
}

/// Whether something of time servers comes in, whatever it says, or none is asked: no firewall drops it.
pub fn gets_through(servers: &[Server]) -> bool {
    servers.is_empty() || servers.iter().any(|server| !server.answers.is_empty() || is_useless(server))
}

/// The time servers, and what matters to judge them.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What came of asking each.
    pub servers: &'a [Server],
    /// Which ones the service asks stands in a configuration that could not be used.
    pub unknown: bool,
    /// This computer's clock.
    pub now: Timestamp<System>,
    /// What lets NTP through a firewall that drops it.
    pub opening: Option<&'a str>,
    /// Whose words mend it.
    pub os: Os,
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let &Facts { servers, now, opening, os, .. } = facts;
    if servers.is_empty() {
        return vec![unasked(facts)];
    }
    let answered: Vec<(&str, Opinion)> =
        servers.iter().filter_map(|server| Some((server.name.as_str(), server.opinion()?))).collect();
    let mut found: Vec<Finding> = if answered.is_empty() {
        vec![dead(servers, opening, os)]
    } else {
        servers
            .iter()
            .filter(|server| server.answers.is_empty())
            .map(|server| unanswered(server, os))
            .collect()
    };
    let (believed, disputed) = agreement(&answered);
    found.extend(disputed);
    let far = believed.iter().find(|(_, opinion)| opinion.offset.abs() > FAR);
    found.extend(far.map(|(name, opinion)| far_off(name, opinion, now, os)));
    Check::Ntp.found(found, || {
        let told: Vec<String> = answered
            .iter()
            .map(|(name, opinion)| {
                let Opinion { offset, bound, stratum } = opinion;
                format!("{name}: this clock is {} ± {} off (stratum {stratum})", -*offset, plain(*bound))
            })
            .collect();
        told.join("; ")
    })
}

fn unasked(facts: &Facts) -> Finding {
    if facts.unknown {
        return Problem::NtpUnasked.seen(
            "no time server was asked: which ones the service asks stands in the configuration, which could not be used",
            "mend the configuration first, or name one: --ntp-server HOST",
        );
    }
    Problem::NtpUnasked.seen(
        "no time server is configured: the date stays as it is",
        format!("if the date shall be set: {}", facts.os.setting("ntp-server", "HOST")),
    )
}

/// Nobody answered: the reason of the first one stands for all.
fn dead(servers: &[Server], opening: Option<&str>, os: Os) -> Finding {
    let reasons: Vec<String> =
        servers.iter().map(|server| format!("{}: {}", server.name, why(server))).collect();
    let useless = servers.iter().all(is_useless);
    let nobody = if useless { "no time server that answers can be used" } else { "no time server answers" };
    Problem::NtpDead.seen(
        format!("{nobody} ({}): the date would not be set", reasons.join("; ")),
        if useless {
            format!("ask others, of your network or: {}", os.setting("ntp-server", "pool.ntp.org"))
        } else if servers.iter().all(is_unresolved) {
            os.either(
                "let this computer find names (resolvectl query, or /etc/resolv.conf), or name servers by address",
                "let this computer find names (ipconfig /all shows who is asked), or name servers by address",
            )
            .to_owned()
        } else if let Some(opening) = opening {
            opening.to_owned()
        } else {
            format!(
                "name servers that this computer can reach, of your network or: {}",
                os.setting("ntp-server", "pool.ntp.org")
            )
        },
    )
}

fn is_unresolved(server: &Server) -> bool {
    matches!(server.unsent, Some(NtpError::Resolving { .. } | NtpError::Unresolved { .. }))
}

/// It answers, and its answers say that they are none.
fn is_useless(server: &Server) -> bool {
    let rejected = server.rejected.as_ref();
    rejected.is_some_and(|rejected| {
        matches!(
            rejected,
            Rejected::Unsynchronised { .. } | Rejected::TooFar(_) | Rejected::Kiss(_) | Rejected::Times(_)
        )
    })
}

fn why(server: &Server) -> String {
    match (&server.unsent, &server.rejected) {
        (_, Some(rejected)) => rejected.to_string(),
        (Some(unsent), None) => match unsent {
            NtpError::Resolving { .. } => "its name is still being looked up".to_owned(),
            NtpError::Unresolved { reason, .. } => format!("its name is not found, {reason}"),
            NtpError::Os { reason, .. } => reason.clone(),
        },
        (None, None) => format!("no answer to {} requests", server.asked),
    }
}

/// One that did not answer while others did.
fn unanswered(server: &Server, os: Os) -> Finding {
    let (name, why) = (&server.name, why(server));
    if is_useless(server) {
        return Problem::NtpUseless
            .seen(format!("{name} {why}"), format!("ask another server instead of {name}"));
    }
    match (&server.unsent, &server.rejected) {
        (Some(NtpError::Resolving { .. } | NtpError::Unresolved { .. }), None) => Problem::NtpName.seen(
            format!("{name}: {why}"),
            os.either(
                "look at the name and at the name servers: resolvectl query, or /etc/resolv.conf".to_owned(),
                format!("look at the name and at the name servers: nslookup {name}"),
            ),
        ),
        _ => Problem::NtpSilent
            .seen(format!("{name}: {why}"), format!("look at the way to {name}: ping {name}")),
    }
}

/// Whom most agree with, and what is to be said of the others.
fn agreement<'a>(answered: &[(&'a str, Opinion)]) -> (Vec<(&'a str, Opinion)>, Option<Finding>) {
    let agree =
        |one: &Opinion, other: &Opinion| (one.offset - other.offset).abs() <= one.bound + other.bound + AGREE;
    let friends = |one: &Opinion| answered.iter().filter(|(_, other)| agree(one, other)).count();
    let Some((_, centre)) = answered.iter().max_by_key(|(_, opinion)| friends(opinion)) else {
        return (Vec::new(), None);
    };
    let (with, against): (Vec<_>, Vec<_>) =
        answered.iter().copied().partition(|(_, other)| agree(centre, other));
    if against.is_empty() {
        return (with, None);
    }
    let told = |ones: &[(&str, Opinion)]| {
        ones.iter()
            .map(|(name, opinion)| format!("{name} ({})", opinion.offset))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if with.len() > against.len() {
        let names: Vec<&str> = against.iter().map(|(name, _)| *name).collect();
        let finding = Problem::NtpOutvoted.seen(
            format!("{} contradicts the others, {}, and is not believed", told(&against), told(&with)),
            format!("ask another server instead of {}", names.join(" and ")),
        );
        return (with, Some(finding));
    }
    let all = told(answered);
    let finding = Problem::NtpDisagree.seen(
        format!("the time servers disagree and none has most on its side: {all} against this clock"),
        if answered.len() < 3 {
            "name at least three servers, so that one that is wrong is outvoted: --ntp-server, repeated"
        } else {
            "compare with a watch, and name others instead of those that are wrong: --ntp-server, repeated"
        },
    );
    (Vec::new(), Some(finding))
}

fn far_off(name: &str, opinion: &Opinion, now: Timestamp<System>, os: Os) -> Finding {
    let utc = now + opinion.offset;
    let away = in_words(opinion.offset);
    if now < PLAUSIBLE_FROM {
        return Problem::NtpFar.seen(
            format!(
                "this computer believes it is {}, {name} says {}: this computer has no date yet",
                now.date(),
                utc.date()
            ),
            format!("{}, which sets the date; a battery for the clock (RTC) keeps it", os.start_service()),
        );
    }
    Problem::NtpFar.seen(
        format!("{name} says {}, this computer {}: one of them is wrong by {away}", utc.date(), now.date()),
        format!("compare with a watch: if {name} is wrong, name another server (--ntp-server HOST)"),
    )
}

fn in_words(span: Span) -> String {
    let hours = span.abs().as_secs_f64() / 3_600.0;
    if hours < 48.0 { format!("{hours:.1} h") } else { format!("{:.1} days", hours / 24.0) }
}

/// Without the sign, which a bound does not have.
fn plain(span: Span) -> String {
    span.to_string().trim_start_matches('+').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntp::ServerIndex;
    use crate::ntp::wire::Leap;

    const NOW: i64 = 1_780_000_000_000_000_000;

    fn now() -> Timestamp<System> {
        Timestamp::from_ns(NOW)
    }

    fn exchange(offset: Span, at_s: i64) -> (Exchange, Timestamp<System>) {
        let system = now() + Span::from_secs(at_s);
        let exchange = Exchange {
            server: ServerIndex(0),
            raw: Timestamp::from_ns(5_000_000_000) + Span::from_secs(at_s),
            utc: Timestamp::from_ns(system.as_ns()) + offset,
            delay: Span::from_ms(1),
            root_distance: Span::from_ms(2),
            leap: Leap::None,
            stratum: 2,
        };
        (exchange, system)
    }

    fn server(name: &str, offset: Span) -> Server {
        let answers = vec![exchange(offset, 0), exchange(offset, 8)];
        Server { answers, asked: 2, ..Server::new(name) }
    }

    fn silent(name: &str) -> Server {
        Server { asked: 4, ..Server::new(name) }
    }

    fn judged(servers: &[Server], opening: Option<&str>) -> Vec<Finding> {
        check(&Facts { servers, unknown: false, now: now(), opening, os: Os::Linux })
    }

    fn problems(servers: &[Server]) -> Vec<Problem> {
        judged(servers, None).iter().filter_map(|finding| finding.problem).collect()
    }

    const DAY: Span = Span::from_secs(86_400);

    #[test]
    fn servers_that_agree_are_described() {
        let found = judged(&[server("a", Span::from_ms(12)), server("b", Span::from_ms(14))], None);
        assert_eq!(found[0].problem, None);
        assert!(
            found[0].seen.starts_with("a: this clock is -12.0 ms ± 2.5 ms off (stratum 2)"),
            "{}",
            found[0].seen
        );
    }

    #[test]
    fn that_none_was_asked_is_told_with_the_reason() {
        let seen = |unknown| {
            let found =
                check(&Facts { servers: &[], unknown, now: now(), opening: None, os: Os::Linux }).remove(0);
            assert_eq!(found.problem, Some(Problem::NtpUnasked));
            (found.seen, found.mend.unwrap())
        };
        let (configured, mend) = seen(false);
        assert!(configured.starts_with("no time server is configured"), "{configured}");
        assert!(mend.contains("ntp-server = "), "{mend}");
        let (unknown, mend) = seen(true);
        assert!(unknown.starts_with("no time server was asked"), "{unknown}");
        assert!(mend.starts_with("mend the configuration first"), "{mend}");
    }

    #[test]
    fn dead_servers_are_told_with_the_reason() {
        let found = judged(&[silent("10.0.0.9")], None);
        assert_eq!(found[0].problem, Some(Problem::NtpDead));
        assert!(found[0].seen.contains("no answer to 4 requests"));
        let shut = judged(&[silent("10.0.0.9")], Some("open it"));
        assert_eq!(shut[0].mend.as_deref(), Some("open it"));
        let unresolved = NtpError::Unresolved { name: "x".into(), reason: "no such name".into() };
        let nameless = Server { unsent: Some(unresolved), ..silent("x") };
        assert!(judged(std::slice::from_ref(&nameless), None)[0].seen.contains("no such name"));
        let good = || server("good", Span::ZERO);
        assert_eq!(problems(&[good(), silent("b")]), [Problem::NtpSilent]);
        assert_eq!(problems(&[good(), nameless]), [Problem::NtpName]);
        let useless = Server { rejected: Some(Rejected::Unsynchronised { stratum: 16 }), ..silent("c") };
        let dead = judged(std::slice::from_ref(&useless), Some("open it"));
        assert_eq!(dead[0].problem, Some(Problem::NtpDead));
        assert!(
            dead[0].seen.starts_with("no time server that answers can be used (c: is not"),
            "{}",
            dead[0].seen
        );
        assert!(dead[0].mend.as_deref().unwrap().starts_with("ask others"));
        let found = judged(&[good(), useless], None);
        assert_eq!(found[0].problem, Some(Problem::NtpUseless));
        assert!(found[0].seen.contains("c is not synchronised itself (stratum 16)"), "{}", found[0].seen);
    }

    #[test]
    fn a_server_a_day_wrong_is_told_with_both_dates() {
        let found = judged(&[server("a", DAY)], None);
        assert_eq!(found[0].problem, Some(Problem::NtpFar));
        assert!(found[0].seen.contains("wrong by 24.0 h"), "{}", found[0].seen);
        let found = check(&Facts {
            servers: &[server("a", Span::from_secs(1_780_000_000))],
            unknown: false,
            now: Timestamp::from_ns(0),
            opening: None,
            os: Os::Linux,
        });
        assert!(found[0].seen.contains("no date yet"), "{}", found[0].seen);
    }

    #[test]
    fn of_two_that_disagree_none_is_believed_and_of_three_the_odd_one_is_named() {
        let (a, b, c) =
            (server("a", Span::ZERO), server("b", Span::from_secs(5)), server("c", Span::from_ms(3)));
        let mend = |servers: &[Server]| {
            let found = judged(servers, None).remove(0);
            assert_eq!(found.problem, Some(Problem::NtpDisagree));
            found.mend.unwrap()
        };
        assert!(mend(&[a.clone(), b.clone()]).starts_with("name at least three servers"));
        let day = server("d", DAY);
        assert!(mend(&[a.clone(), b.clone(), day]).starts_with("compare with a watch"));
        let found = judged(&[a.clone(), b, c.clone()], None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].problem, Some(Problem::NtpOutvoted));
        assert!(found[0].seen.starts_with("b (+5.000 s) contradicts"), "{}", found[0].seen);
        // An outvoted one may be any time away: it is not compared with this clock.
        assert_eq!(problems(&[a, server("b", DAY), c]), [Problem::NtpOutvoted]);
    }

    #[test]
    fn utc_has_a_rate_when_answers_are_far_enough_apart() {
        let mut server = server("a", Span::ZERO);
        let rate = utc_rate(std::slice::from_ref(&server)).unwrap();
        assert!(rate.value_ppb.abs() < 1.0 && (rate.bound_ppb - 125_000.0).abs() < 1.0, "{rate:?}");
        server.answers.truncate(1);
        assert_eq!(utc_rate(&[server]), None);
    }
}
