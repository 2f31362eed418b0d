use proptest::prelude::*;

use super::*;
use crate::config::DEFAULT_SUBDOMAIN;

pub(crate) const LEADER: LeaderId =
    LeaderId::V1 { technology: 1, uuid: [0, 0x1d, 0xc1, 0, 0, 1], port: 1, subdomain: DEFAULT_SUBDOMAIN };

pub(crate) fn saved() -> SavedState {
    SavedState {
        boot_id: Some("a boot".to_owned()),
        raw_ns: 5_000_000_000_123,
        system_ns: 1_780_000_000_000_000_456,
        slept_ns: Some(0),
        leader: LEADER,
        leader_ns: 86_400_000_000_789,
        leader_sigma_ns: 812.5,
        rate_ppb: -23_000.25,
        rate_sigma_ppb: 11.5,
        wander_ppb: 3.0,
        drift_wander_ppb: 0.0,
        noise: SavedNoise { sigma_ns: 900.0, lambda_ns: 20_000.0, outliers: 0.005 },
        target: SavedTarget {
            system_ns: 1_780_000_000_000_000_400,
            leader_ns: 86_400_000_000_789,
            slew_ppb: 0.0,
        },
        dated: true,
        returning: false,
        utc: Some(SavedUtc {
            utc_ns: 1_780_000_000_000_100_000,
            sigma_ns: 20_000.0,
            rate_ppb: -17_000.0,
            rate_sigma_ppb: 50.0,
        }),
        known_rates: vec![SavedRate { leader: LEADER, rate_ppb: 1.0, sigma_ppb: 2.0, raw_ns: 3 }],
    }
}

#[test]
fn a_state_is_read_as_it_was_written() {
    assert_eq!(SavedState::from_json(&saved().to_json()), Ok(saved()));
    let sparse = SavedState { boot_id: None, slept_ns: None, utc: None, known_rates: Vec::new(), ..saved() };
    assert_eq!(SavedState::from_json(&sparse.to_json()), Ok(sparse));
}

#[test]
fn a_file_that_was_cut_off_is_refused_wherever_it_was_cut() {
    let text = saved().to_json();
    for end in 0..text.trim_end().len() - 1 {
        let error = SavedState::from_json(&text[..end]).unwrap_err();
        assert!(matches!(error, StateError::Syntax(_)), "{end}: {error}");
    }
}

#[test]
fn another_version_is_refused_by_its_number_whatever_else_it_holds() {
    let error = SavedState::from_json("{\"version\": 2, \"raw\": []}").unwrap_err();
    assert_eq!(error.to_string(), "it has version 2, this program reads version 1");
}

#[test]
fn values_that_nobody_wrote_are_refused_by_name() {
    for (text, by, key) in [
        ("-23000.25", "1e7", "rate_ppb"),
        ("20000.0,", "0.0,", "noise.lambda_ns"),
        ("812.5", "-1.0", "leader_sigma_ns"),
    ] {
        let text = saved().to_json().replacen(text, by, 1);
        let error = SavedState::from_json(&text).unwrap_err().to_string();
        assert!(error.starts_with(key) && error.contains("out of range"), "{error}");
    }
}

#[test]
fn only_the_same_boot_continues_the_raw_timeline() {
    let (state, later) = (saved(), Timestamp::from_ns(6_000_000_000_000));
    assert!(state.is_of_boot(Some("a boot"), later));
    assert!(!state.is_of_boot(Some("another"), later));
    assert!(!state.is_of_boot(None, later));
    assert!(!SavedState { boot_id: None, ..saved() }.is_of_boot(None, later));
    // The raw timeline never runs back: this one only looks the same.
    assert!(!state.is_of_boot(Some("a boot"), Timestamp::from_ns(10)));
}

#[test]
fn a_leader_that_went_on_with_the_system_clock_is_the_same() {
    let (state, ten) = (saved(), Span::from_secs(10));
    let after = |leader_s, system_s| {
        let sent = Timestamp::from_ns(state.leader_ns) + Span::from_secs(leader_s);
        let system = Timestamp::from_ns(state.system_ns) + Span::from_secs(system_s);
        state.fits(LEADER, sent, system, ten)
    };
    assert!(after(60, 61) && after(60, 51));
    assert!(!after(60, 80), "the leader rebooted and was set");
    assert!(!after(-86_000, 60), "the leader's time began anew");
    // A week off: the computer's own clock may have lost a minute.
    assert!(after(604_800, 604_740));
}

#[test]
fn utc_is_carried_on_by_the_leader() {
    let later = Timestamp::from_ns(saved().leader_ns) + Span::from_secs(1_000);
    let (utc, sigma) = saved().utc_at(later).unwrap();
    assert_eq!(utc.as_ns(), 1_780_000_000_000_100_000 + 1_000_000_000_000 - 17_000_000);
    assert!((sigma.as_ns_f64() - 20_000_f64.hypot(50_000.0)).abs() < 1.0, "{sigma}");
}

proptest! {
    #[test]
    fn no_garbage_makes_the_reader_panic(text: String) {
        let _ = SavedState::from_json(&text);
    }

    #[test]
    fn a_damaged_file_is_refused_or_harmless(at in 0_usize..900, octet: u8) {
        let mut bytes = saved().to_json().into_bytes();
        let at = at % bytes.len();
        bytes[at] = octet;
        if let Some(state) = std::str::from_utf8(&bytes).ok().and_then(|text| SavedState::from_json(text).ok()) {
            prop_assert!(state.rate_ppb.abs() <= RATE_MAX && state.noise.lambda_ns >= 1.0);
            let _ = (state.prior(), state.target(), state.utc_at(Timestamp::from_ns(i64::MAX)));
        }
    }
}
