//! The rate of a clock that Windows steers by one whole number, the *adjustment*: its nominal value lets the clock run
//! as it is, and each unit more or less changes its rate by one part of that nominal value.
//!
//! Both calls of Windows fit this. The older one takes 100 ns per tick, nominally 156 250: a unit is 6.4 ppm. The
//! precise one takes a frequency, nominally 10 000 000: a unit is 0.1 ppm. Whether more units make *that* clock
//! faster or slower, accounts contradict each other, so the sign is measured ([`crate::clock::trial`]), and with it
//! how much a unit really does.

use super::Neighbours;
use crate::clock::ClockError;
use crate::time::Rate;

/// Beyond this no clock is commanded: crystals are within ±100 ppm, a slew towards UTC adds up to 500 ppm, and a fault
/// of sign or unit must not run away.
pub const INCREMENT_LIMIT: Rate = Rate::from_ppm(1_000.0);

/// A gain beyond these is no gain but a fault.
const GAIN_RANGE: std::ops::RangeInclusive<f64> = 0.1..=10.0;

/// Nominal values beyond these are none: below, a unit is 1000 ppm; above, f64 does not count in units any more.
const NOMINAL_RANGE: std::ops::RangeInclusive<u64> = 1_000..=(1 << 50);

/// How the adjustment and the rate of the clock against the raw timeline belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IncrementScale {
    nominal: u64,
    /// What the clock does of what a unit is said to do; negative: more units, slower clock.
    gain: f64,
    /// Its rate at the nominal adjustment.
    base: Rate,
}

impl IncrementScale {
    /// As documented: more units, faster clock, and none at the nominal adjustment. `None` if that is no such value.
    pub fn new(nominal: u64) -> Option<Self> {
        NOMINAL_RANGE.contains(&nominal).then_some(Self { nominal, gain: 1.0, base: Rate::ZERO })
    }

    /// As measured: a unit does `gain` times what is documented, and at the nominal adjustment the clock runs at
    /// `base`. `None` where that cannot be.
    pub fn measured(self, gain: f64, base: Rate) -> Option<Self> {
        let possible = GAIN_RANGE.contains(&gain.abs()) && base.abs() <= INCREMENT_LIMIT;
        possible.then_some(Self { gain, base, ..self })
    }

    /// The clock was seen to run faster by `more` than this says. A base that cannot be is not believed.
    #[must_use]
    pub fn rebased(self, more: Rate) -> Self {
        self.measured(self.gain, self.base + more).unwrap_or(self)
    }

    /// The adjustment at which the clock runs as it is.
    pub const fn nominal(self) -> u64 {
        self.nominal
    }

    /// What one unit does; always positive.
    pub fn quantum(self) -> Rate {
        Rate::from_ratio(self.gain.abs() / self.nominal_f64())
    }

    /// The rate that an adjustment makes.
    pub fn rate(self, adjustment: u64) -> Rate {
        let units = difference(adjustment, self.nominal);
        self.base + Rate::from_ratio(self.gain * units / self.nominal_f64())
    }

    /// The adjustment nearest to `rate`, which is cut at [`INCREMENT_LIMIT`].
    ///
    /// # Errors
    /// When the rate is not a number.
    pub fn adjustment(self, rate: Rate) -> Result<u64, ClockError> {
        if !rate.is_finite() {
            let limit = INCREMENT_LIMIT.ppm();
            return Err(ClockError::RateOutOfRange { ppm: rate.ppm(), min_ppm: -limit, max_ppm: limit });
        }
        Ok(self.nominal.saturating_add_signed(to_i64(self.units(rate).round())))
    }

    /// The two settable rates around `wanted`.
    pub fn around(self, wanted: Rate) -> Option<Neighbours> {
        if !wanted.is_finite() {
            return None;
        }
        let units = self.units(wanted);
        let at = |units: f64| self.rate(self.nominal.saturating_add_signed(to_i64(units)));
        let (a, b) = (at(units.floor()), at(units.ceil()));
        Some(if self.gain < 0.0 { Neighbours { low: b, high: a } } else { Neighbours { low: a, high: b } })
    }

    /// Units above nominal, with a fraction.
    fn units(self, rate: Rate) -> f64 {
        (rate.clamp(INCREMENT_LIMIT) - self.base).ratio() / self.gain * self.nominal_f64()
    }

    #[allow(clippy::as_conversions, reason = "exact: the range ends at 2^50")]
    fn nominal_f64(self) -> f64 {
        self.nominal as f64
    }
}

#[allow(clippy::as_conversions, reason = "what is beyond 2^53 units is no adjustment of any clock")]
fn difference(a: u64, b: u64) -> f64 {
    if a >= b { (a - b) as f64 } else { -((b - a) as f64) }
}

#[allow(clippy::as_conversions, reason = "float to integer `as` saturates")]
fn to_i64(value: f64) -> i64 {
    value as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn precise() -> IncrementScale {
        IncrementScale::new(10_000_000).unwrap()
    }

    fn legacy() -> IncrementScale {
        IncrementScale::new(156_250).unwrap()
    }

    #[test]
    fn units_are_what_microsoft_documents() {
        assert!((precise().quantum().ppm() - 0.1).abs() < 1e-12);
        assert!((legacy().quantum().ppm() - 6.4).abs() < 1e-12);
        assert_eq!(precise().adjustment(Rate::from_ppm(50.0)), Ok(10_000_500));
        assert_eq!(precise().adjustment(Rate::from_ppm(-0.14)), Ok(9_999_999));
        assert_eq!(legacy().adjustment(Rate::from_ppm(64.0)), Ok(156_260));
        assert!((legacy().rate(156_249).ppm() + 6.4).abs() < 1e-9);
        assert_eq!(precise().rate(precise().nominal()), Rate::ZERO);
    }

    #[test]
    fn a_measured_sign_and_gain_are_used() {
        let scale = precise().measured(-1.5, Rate::from_ppm(2.0)).unwrap();
        assert!((scale.rate(10_000_100).ppm() + 13.0).abs() < 1e-9);
        assert_eq!(scale.adjustment(Rate::from_ppm(-13.0)), Ok(10_000_100));
        assert!((scale.quantum().ppm() - 0.15).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for nominal in [0, 1, 999, u64::MAX] {
            assert_eq!(IncrementScale::new(nominal), None, "{nominal}");
        }
        for gain in [0.0, 0.05, -0.05, 11.0, f64::NAN, f64::INFINITY] {
            assert_eq!(precise().measured(gain, Rate::ZERO), None, "{gain}");
        }
        assert_eq!(precise().measured(1.0, Rate::from_ppm(2_000.0)), None);
        assert_eq!(precise().measured(1.0, Rate::from_ppm(f64::NAN)), None);
        assert!(precise().adjustment(Rate::from_ppm(f64::NAN)).is_err());
        assert_eq!(precise().around(Rate::from_ppm(f64::INFINITY)), None);
    }

    #[test]
    fn a_command_beyond_the_limit_is_cut() {
        assert_eq!(precise().adjustment(Rate::from_ppm(5e5)), Ok(10_010_000));
        assert_eq!(precise().adjustment(Rate::from_ppm(-5e5)), Ok(9_990_000));
    }

    proptest! {
        #[test]
        fn every_rate_comes_back_within_half_a_quantum(
            ppm in -900.0..900.0_f64,
            nominal in 1_000_u64..100_000_000,
            gain in prop_oneof![-2.0..-0.5_f64, 0.5..2.0_f64],
            base_ppm in -100.0..100.0_f64,
        ) {
            let scale = IncrementScale::new(nominal).unwrap().measured(gain, Rate::from_ppm(base_ppm)).unwrap();
            let set = scale.rate(scale.adjustment(Rate::from_ppm(ppm)).unwrap());
            prop_assert!((set.ppm() - ppm).abs() <= scale.quantum().ppm() * 0.500_001 + 1e-6, "{set}");
            // What was set is set again unchanged.
            prop_assert_eq!(scale.rate(scale.adjustment(set).unwrap()), set);
        }

        #[test]
        fn the_neighbours_lie_on_both_sides_and_can_be_set_exactly(
            ppm in -900.0..900.0_f64,
            nominal in 100_000_u64..100_000_000,
            gain in prop_oneof![-2.0..-0.5_f64, 0.5..2.0_f64],
            base_ppm in -100.0..100.0_f64,
        ) {
            let scale = IncrementScale::new(nominal).unwrap().measured(gain, Rate::from_ppm(base_ppm)).unwrap();
            let wanted = Rate::from_ppm(ppm);
            let around = scale.around(wanted).unwrap();
            prop_assert!(around.low.ppm() <= ppm + 1e-6 && ppm - 1e-6 <= around.high.ppm(), "{around:?}");
            prop_assert!((around.high - around.low).ratio() <= scale.quantum().ratio() * 1.000_001);
            for side in [around.low, around.high] {
                prop_assert_eq!(scale.rate(scale.adjustment(side).unwrap()), side);
            }
        }

        #[test]
        fn no_adjustment_and_no_rate_makes_it_panic(adjustment: u64, rate: f64, nominal: u64) {
            if let Some(scale) = IncrementScale::new(nominal) {
                let _ = (scale.rate(adjustment), scale.adjustment(Rate::from_ratio(rate)));
                let _ = scale.around(Rate::from_ratio(rate));
            }
        }
    }
}
