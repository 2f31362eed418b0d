#![allow(clippy::as_conversions, reason = "small numbers, in tests")]

use proptest::prelude::*;

use super::*;
use crate::time::{Line, Raw, System};

/// A clock made of numbers, and what is wrong with it.
struct Bent {
    now: i64,
    system: f64,
    commanded: Rate,
    found: Rate,
    gain: f64,
    base_ppm: f64,
    /// ppm that the base gains each second.
    wander: f64,
    noise_ns: f64,
    /// Every so many looks are held up by 300 µs.
    held_up: u64,
    jump_at: Option<(u64, f64)>,
    coarse_ppm: Option<f64>,
    coarse: f64,
    sign_known: bool,
    quantum_ppm: f64,
    looks: u64,
    random: u64,
    refuse_after: Option<u64>,
    put_back: u32,
}

impl Default for Bent {
    fn default() -> Self {
        Self {
            now: 7_000_000_000_000,
            system: 0.0,
            commanded: Rate::ZERO,
            found: Rate::from_ppm(12.3),
            gain: 1.0,
            base_ppm: 0.0,
            wander: 0.0,
            noise_ns: 100.0,
            held_up: 0,
            jump_at: None,
            coarse_ppm: None,
            coarse: 0.0,
            sign_known: false,
            quantum_ppm: 0.1,
            looks: 0,
            random: 88_172_645_463_325_252,
            refuse_after: None,
            put_back: 0,
        }
    }
}

impl Bent {
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        f64::from(u32::try_from(self.random >> 40).unwrap()) / f64::from(1_u32 << 24)
    }

    fn pass(&mut self, span: Span) {
        let since_ppm = self.wander * (self.now - 7_000_000_000_000) as f64 / 1e9;
        let ppm = self.base_ppm + since_ppm + self.gain * self.commanded.ppm();
        self.system += span.as_ns_f64() * (1.0 + ppm * 1e-6);
        self.coarse += span.as_ns_f64() * (1.0 + self.coarse_ppm.unwrap_or(ppm) * 1e-6);
        self.now += span.as_ns();
    }

    fn try_out(mut self) -> (Result<Finding, Fault>, Self) {
        let trace = {
            let clock = std::cell::RefCell::new(&mut self);
            run(&mut Shared(&clock), |span| {
                clock.borrow_mut().pass(span);
                true
            })
        };
        let trace = trace.unwrap().unwrap();
        // What is written reads the same.
        let text = serde_json::to_string(&trace).unwrap();
        assert_eq!(serde_json::from_str::<Trace>(&text).unwrap().judge(), trace.judge());
        (trace.judge(), self)
    }

    fn verdict(self) -> Result<Finding, Fault> {
        self.try_out().0
    }
}

struct Shared<'a>(&'a std::cell::RefCell<&'a mut Bent>);

impl Subject for Shared<'_> {
    fn facts(&mut self) -> Result<Facts, ClockError> {
        let clock = self.0.borrow();
        Ok(Facts {
            call: "a clock made of numbers",
            found: clock.found,
            quantum: Rate::from_ppm(clock.quantum_ppm),
            amplitude: Rate::from_ppm(50.0),
            sign_known: clock.sign_known,
        })
    }

    fn command(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        let mut clock = self.0.borrow_mut();
        let quantum = clock.quantum_ppm;
        clock.commanded = Rate::from_ppm((rate.ppm() / quantum).round() * quantum);
        Ok(clock.commanded)
    }

    fn look(&mut self) -> Result<(Reading, Option<i64>), ClockError> {
        let mut clock = self.0.borrow_mut();
        clock.looks += 1;
        if clock.refuse_after.is_some_and(|after| clock.looks > after) {
            return Err(ClockError::Os { action: "read the clock", reason: "no more".to_owned() });
        }
        if let Some((at, ns)) = clock.jump_at
            && at == clock.looks
        {
            clock.system += ns;
        }
        let held_up = clock.held_up > 0 && clock.looks.is_multiple_of(clock.held_up);
        let late = if held_up { 300_000.0 } else { 0.0 };
        let noise =
            (clock.uniform() + clock.uniform() - 1.0) * 2.45 * clock.noise_ns + late * clock.uniform();
        // 100 ns steps, as Windows has them.
        let system = ((clock.system + noise) / 100.0).round() as i64 * 100;
        let reading = Reading {
            raw: Timestamp::<Raw>::from_ns(clock.now),
            system: Timestamp::<System>::from_ns(1_790_000_000_000_000_000 + system),
            uncertainty: Span::from_ns(150) + Span::from_ns_f64(late),
        };
        let coarse = 1_790_000_000_000_000_000 + (clock.coarse / 15_625_000.0).floor() as i64 * 15_625_000;
        Ok((reading, clock.coarse_ppm.map(|_| coarse)))
    }

    fn put_back(&mut self) -> Result<(), ClockError> {
        let mut clock = self.0.borrow_mut();
        clock.commanded = clock.found;
        clock.put_back += 1;
        Ok(())
    }
}

#[test]
fn a_clock_that_obeys_is_steered_as_documented() {
    let (verdict, clock) = Bent::default().try_out();
    let finding = verdict.unwrap();
    assert!((finding.gain - 1.0).abs() < 0.01 && finding.base_ppm.abs() < 0.5, "{finding:?}");
    assert_eq!(finding.law(), (1.0, Rate::ZERO));
    assert_eq!((clock.commanded, clock.put_back), (clock.found, 1));
    // Two seconds, and the phase is where it would have been.
    let lasted = clock.now - 7_000_000_000_000;
    assert!((1_900_000_000..2_200_000_000).contains(&lasted), "{lasted}");
    let unmoved = lasted as f64 * (1.0 + 12.3e-6);
    assert!((clock.system - unmoved).abs() < 3_000.0, "{}", clock.system - unmoved);
}

#[test]
fn an_inverted_clock_is_steered_the_other_way_unless_its_sign_is_known() {
    let finding = Bent { gain: -1.0, ..Bent::default() }.verdict().unwrap();
    assert_eq!(finding.law().0, -1.0);
    let fault = Bent { gain: -1.0, sign_known: true, ..Bent::default() }.verdict().unwrap_err();
    assert!(matches!(fault, Fault::Inverted { .. }));
    assert!(
        fault.to_string().contains("wrong way") && fault.to_string().contains("100.0 ppm faster"),
        "{fault}"
    );
}

#[test]
fn another_gain_and_another_base_are_measured() {
    let finding = Bent { gain: 1.5, base_ppm: -7.0, ..Bent::default() }.verdict().unwrap();
    let (gain, base) = finding.law();
    assert!((gain - 1.5).abs() < 0.01 && (base.ppm() + 7.0).abs() < 0.3, "{finding:?}");
    let fault = Bent { gain: 3.0, ..Bent::default() }.verdict().unwrap_err();
    assert!(matches!(fault, Fault::WrongGain { .. }) && fault.to_string().contains("3.00 times"), "{fault}");
    assert!(matches!(Bent { gain: 0.3, ..Bent::default() }.verdict(), Err(Fault::WrongGain { .. })));
}

#[test]
fn a_dead_clock_is_named_and_not_steered() {
    for (gain, quantum_ppm) in [(0.0, 0.1), (0.02, 0.1), (0.0, 6.4)] {
        let fault = Bent { gain, quantum_ppm, ..Bent::default() }.verdict().unwrap_err();
        assert!(matches!(fault, Fault::Dead { .. }), "{fault}");
        assert!(fault.to_string().starts_with("the clock does not move"), "{fault}");
    }
}

#[test]
fn a_clock_that_runs_away_is_named() {
    let fault = Bent { base_ppm: 4_000.0, ..Bent::default() }.verdict().unwrap_err();
    assert!(matches!(fault, Fault::RunsAway { .. }), "{fault}");
    // Faster with every second.
    let fault = Bent { wander: 60.0, ..Bent::default() }.verdict().unwrap_err();
    assert!(matches!(fault, Fault::Unsteady { .. }), "{fault}");
    // The precise clock leaves the coarse one, which Windows makes its time of.
    let coarse = |coarse_ppm| Bent { coarse_ppm: Some(coarse_ppm), ..Bent::default() };
    let fault = Bent { coarse: -60e6, ..coarse(0.0) }.verdict().unwrap_err();
    assert!(matches!(fault, Fault::TwoClocks { .. }), "{fault}");
    assert!(coarse(12.3).verdict().is_ok());
}

#[test]
fn a_foreign_step_is_named() {
    for ns in [3e6, -3e6, -0.5e6] {
        let fault = Bent { jump_at: Some((40, ns)), ..Bent::default() }.verdict().unwrap_err();
        let Fault::Jumped { by_us } = fault else { panic!("{fault}") };
        assert!((by_us - ns / 1e3).abs() < 5.0, "{by_us}");
    }
}

#[test]
fn a_noisy_virtual_machine_is_judged_and_one_that_is_too_noisy_is_not_guessed_at() {
    let finding = Bent { noise_ns: 1_500.0, held_up: 5, ..Bent::default() }.verdict().unwrap();
    assert_eq!(finding.law().0, 1.0, "{finding:?}");
    // Too noisy for two seconds, not for eight.
    let (verdict, clock) = Bent { noise_ns: 8_000.0, ..Bent::default() }.try_out();
    assert!((verdict.unwrap().gain - 1.0).abs() < 0.2);
    assert_eq!(clock.put_back, 2);
    let fault = Bent { noise_ns: 200_000.0, ..Bent::default() }.verdict().unwrap_err();
    assert!(matches!(fault, Fault::Noisy { .. } | Fault::Jumped { .. }), "{fault}");
}

#[test]
fn the_clock_is_put_back_when_it_cannot_be_read_or_the_user_ends_it() {
    let mut bent = Bent { refuse_after: Some(30), ..Bent::default() };
    {
        let clock = std::cell::RefCell::new(&mut bent);
        let failed = run(&mut Shared(&clock), |span| {
            clock.borrow_mut().pass(span);
            true
        });
        assert!(failed.is_err());
    }
    assert_eq!((bent.commanded, bent.put_back), (bent.found, 1));
    let mut bent = Bent::default();
    {
        let clock = std::cell::RefCell::new(&mut bent);
        let mut left = 20;
        let ended = run(&mut Shared(&clock), |span| {
            clock.borrow_mut().pass(span);
            left -= 1;
            left > 0
        });
        assert_eq!(ended, Ok(None));
    }
    assert_eq!((bent.commanded, bent.put_back), (bent.found, 1));
}

fn straight(commands: &[f64]) -> Trace {
    let mut samples = Vec::new();
    let mut line = Line::exact(Timestamp::<System>::EPOCH, Timestamp::<Raw>::EPOCH, Rate::ZERO);
    for (section, commanded_ppm) in (0..).zip(commands) {
        for _ in 0..25 {
            line = line.moved_to(line.b + Span::from_ms(20));
            line.rate = Rate::from_ppm(*commanded_ppm);
            samples.push(Sample {
                section,
                commanded_ppm: *commanded_ppm,
                raw_ns: line.b.as_ns(),
                system_ns: line.a.as_ns(),
                uncertainty_ns: 100,
                coarse_ns: None,
            });
        }
    }
    Trace {
        version: "1".into(),
        system: "windows".into(),
        call: "a call".into(),
        quantum_ppm: 0.1,
        found_ppm: 0.0,
        sign_known: false,
        samples,
    }
}

#[test]
fn traces_without_commands_or_looks_say_so() {
    assert!(straight(&[50.0, -50.0]).judge().is_ok());
    assert!(matches!(straight(&[50.0, 50.0]).judge(), Err(Fault::NoCommand { .. })));
    assert!(matches!(straight(&[]).judge(), Err(Fault::TooShort { looks: 0, .. })));
    let mut short = straight(&[50.0, -50.0]);
    short.samples.truncate(33);
    assert!(matches!(short.judge(), Err(Fault::TooShort { section: 1, .. })));
}

#[test]
fn a_look_that_was_held_up_between_two_clocks_is_no_clock_that_runs_away() {
    let mut trace = straight(&[50.0, -50.0]);
    for sample in &mut trace.samples {
        sample.coarse_ns = Some(sample.system_ns - 15_000_000);
    }
    assert!(trace.judge().is_ok());
    trace.samples[7].coarse_ns = Some(trace.samples[7].system_ns - 95_000_000);
    assert!(trace.judge().is_ok());
    trace.samples[30].coarse_ns = Some(trace.samples[30].system_ns - 55_000_000);
    assert_eq!(trace.judge(), Err(Fault::TwoClocks { by_ms: 55.0 }));
}

#[test]
fn a_trial_that_was_held_up_is_made_again_for_longer() {
    let mut bent = Bent::default();
    let trace = {
        let clock = std::cell::RefCell::new(&mut bent);
        run(&mut Shared(&clock), |span| {
            clock.borrow_mut().pass(span.times(5));
            true
        })
    };
    assert!(trace.unwrap().unwrap().judge().is_ok());
    assert_eq!(bent.put_back, 2);
}

proptest! {
    #[test]
    fn no_trace_makes_the_judge_panic(samples in prop::collection::vec(
        (0..3_u32, any::<f64>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<Option<i64>>()), 0..80,
    )) {
        let samples = samples.into_iter().map(|(section, commanded_ppm, raw_ns, system_ns, uncertainty_ns, coarse_ns)|
            Sample { section, commanded_ppm, raw_ns, system_ns, uncertainty_ns, coarse_ns });
        let _ = Trace { samples: samples.collect(), ..straight(&[]) }.judge();
    }

    #[test]
    fn any_gain_that_is_believed_is_found(
        gain in prop_oneof![-1.9..-0.6_f64, 0.6..1.9_f64],
        base_ppm in -300.0..300.0_f64,
        random in 1_u64..u64::MAX,
    ) {
        let finding = Bent { gain, base_ppm, random, ..Bent::default() }.verdict().unwrap();
        prop_assert!((finding.gain - gain).abs() < 0.02, "{finding:?}");
        prop_assert!((finding.base_ppm - base_ppm).abs() < 1.0, "{finding:?}");
    }
}
