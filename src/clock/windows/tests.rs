use super::*;

#[test]
fn a_filetime_is_100_ns_since_1601() {
    let time = Timestamp::<System>::from_ns(1_790_000_000_123_456_700);
    assert_eq!(from_filetime::<System>(to_filetime(time)), time);
    let epoch = to_filetime(Timestamp::<System>::EPOCH);
    assert_eq!((epoch.dwHighDateTime, epoch.dwLowDateTime), (0x019D_B1DE, 0xD53E_8000));
    let before = Timestamp::<System>::from_ns(-1);
    assert_eq!(from_filetime::<System>(to_filetime(before)).as_ns(), -100);
}

#[test]
fn the_clocks_go_on_together() {
    let mut clock = WindowsClock::observe().unwrap();
    let first = clock.read().unwrap();
    let (mut last, mut narrow) = (first, Span::MAX);
    for _ in 0..2_000 {
        let next = clock.read().unwrap();
        assert!(next.raw >= last.raw && next.uncertainty >= Span::ZERO);
        narrow = narrow.min(next.uncertainty);
        last = next;
    }
    assert!(narrow < Span::from_us(20), "{narrow}");
    let apart = (last.system - first.system) - (last.raw - first.raw);
    assert!(apart.abs() < Span::from_ms(1), "{apart}");
    // The coarse clock stood there at the last tick.
    let behind = clock.read().unwrap().system - coarse_clock();
    assert!(behind > Span::from_ms(-1) && behind < Span::from_ms(40), "{behind}");
}

#[test]
fn before_it_is_proven_the_clock_is_not_steered() {
    let mut clock = WindowsClock::observe().unwrap();
    let refused = clock.set_rate(Rate::from_ppm(1.0)).unwrap_err();
    assert!(refused.to_string().contains("has not been measured yet"), "{refused}");
}

#[test]
fn what_is_no_rate_is_not_put_back() {
    let mut clock = WindowsClock::observe().unwrap();
    let found = clock.found();
    let nonsense = Found { adjustment: clock.scale.nominal() * 2, disabled: false, ..found };
    let refused = clock.restore(nonsense).unwrap_err();
    assert!(refused.to_string().contains("are no rate of a clock"), "{refused}");
    let refused = clock.restore(Found { precise: !found.precise, ..found }).unwrap_err();
    assert!(refused.to_string().contains("another call"), "{refused}");
}

#[test]
fn what_it_is_told_is_counted_in_units_of_the_call() {
    let clock = WindowsClock::observe().unwrap();
    let quantum = clock.scale.quantum().ppm();
    let expected = if clock.call.is_precise() { 0.1 } else { 6.4 };
    assert!((quantum / expected - 1.0).abs() < 0.1, "{quantum}");
    let around = clock.rates_around(Rate::from_ppm(3.21)).unwrap();
    assert!(around.low.ppm() <= 3.21 && around.high.ppm() >= 3.21, "{around:?}");
}

#[test]
fn a_computer_that_has_not_slept_says_so() {
    if let Some(slept) = facts::slept() {
        assert!(slept > Span::from_ms(-100), "{slept}");
    }
    let offset = facts::local_offset(Timestamp::from_ns(1_790_000_000_500_000_000));
    assert!(offset.abs() <= Span::from_secs(15 * 3_600), "{offset}");
    assert_eq!(offset.as_ns() % 60_000_000_000, 0);
}

/// Wine says that it has set the rate, and does not: there the trial finds a clock that does not move. On Windows it
/// finds one that does, with a privilege that tests rarely have.
#[test]
fn a_clock_that_only_pretends_is_not_steered() {
    let mut clock = WindowsClock::observe().unwrap();
    let is_wine = adjustment::exported_by_ntdll(windows_sys::core::s!("wine_get_version"));
    if !is_wine {
        return;
    }
    clock.check_permission().unwrap();
    #[allow(clippy::disallowed_methods, reason = "the real clock is looked at in real time")]
    let pass = |span: Span| {
        std::thread::sleep(std::time::Duration::from_nanos(span.as_ns().unsigned_abs()));
        true
    };
    let refused = clock.prove(pass).unwrap_err();
    assert!(matches!(refused, ClockError::Disobeys { seen: trial::Fault::Dead { .. } }), "{refused}");
    assert!(clock.set_rate(Rate::ZERO).is_err());
}

#[test]
fn a_step_that_misses_is_made_again_until_it_is_close() {
    let mut asked = Vec::new();
    let mut at = Span::ZERO;
    let moved = approach(Span::from_ms(3_000), |left| {
        asked.push(left);
        at = at + left - left.half();
        Ok(at)
    });
    assert_eq!(asked, [3_000, 1_500, 750].map(Span::from_ms));
    assert_eq!(moved, Ok(Span::from_ms(2_625)));
    let close = Span::from_us(2_999_400);
    let moved = approach(Span::from_ms(3_000), |left| {
        assert_eq!(left, Span::from_ms(3_000));
        Ok(close)
    });
    assert_eq!(moved, Ok(close));
}

#[test]
fn a_refusal_after_the_clock_has_moved_does_not_hide_that_it_has() {
    let refusal = ClockError::Os { action: "step the clock", reason: "no more".to_owned() };
    let mut answers = vec![Err(refusal.clone()), Ok(Span::from_ms(2_900))];
    assert_eq!(approach(Span::from_secs(3), |_| answers.pop().unwrap()), Ok(Span::from_ms(2_900)));
    assert_eq!(approach(Span::from_secs(3), |_| Err(refusal.clone())), Err(refusal.clone()));
}
