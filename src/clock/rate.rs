//! Rates in the units that operating systems take: pure arithmetic, no clock is touched.
//!
//! Linux has two knobs, a fine one of limited range (`freq`) and a coarse one (`tick`). Windows has one
//! ([`IncrementScale`]), which is coarse: [`Dither`] makes rates in between.

mod dither;
mod drift;
mod increment;

use super::ClockError;
use crate::time::Rate;
pub use dither::{Dither, Neighbours};
pub use drift::BaseDrift;
pub use increment::{INCREMENT_LIMIT, IncrementScale};

/// `tick` of a clock that is not corrected, in µs: USER_HZ is 100 on every Linux that matters.
pub const TICK_NOMINAL: i32 = 10_000;
/// What one µs of `tick` is worth, in ppm.
const TICK_PPM: f64 = 100.0;
/// The kernel refuses a `tick` further than 10 % from nominal.
const TICK_RANGE: std::ops::RangeInclusive<i32> = 9_000..=11_000;
/// What one unit of `freq` is worth, in ppm: 2^-16.
const FREQ_PPM: f64 = 1.0 / 65_536.0;
/// The same: Linux takes rates in multiples of this.
pub const FREQ_QUANTUM: Rate = Rate::from_ppm(FREQ_PPM);
/// The kernel cuts `freq` at this size, in ppm (MAXFREQ).
const FREQ_LIMIT_PPM: f64 = 500.0;
/// `tick` goes back to nominal only below this, in ppm: a rate that hovers around 500 ppm must not flip it.
const TICK_RETURN_PPM: f64 = 400.0;
/// The largest correction in either direction: what `tick` alone can do.
pub const RATE_LIMIT: Rate = Rate::from_ppm(100_000.0);

/// A quantum below this needs no dithering: in 1000 s it is worth a µs.
pub const FINE: Rate = Rate::from_ppm(0.001);

/// A rate as Linux takes it. Both knobs belong together: they are set in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinuxRate {
    /// Fine correction in 2^-16 ppm; positive: the clock gains.
    pub freq: i32,
    /// µs that the clock advances in 1/100 s; above 10000: the clock gains.
    pub tick: i32,
}

impl LinuxRate {
    /// The setting nearest to `rate`; `current_tick` is left alone as long as the range of `freq` allows.
    ///
    /// # Errors
    /// When the rate is not a number, or beyond ±100 000 ppm.
    pub fn from_rate(rate: Rate, current_tick: i32) -> Result<Self, ClockError> {
        let ppm = rate.ppm();
        // The tolerance of 1e-6 ppm is for the last bit of the product with 1e6.
        if !ppm.is_finite() || ppm.abs() > RATE_LIMIT.ppm() + 1e-6 {
            let limit = RATE_LIMIT.ppm();
            return Err(ClockError::RateOutOfRange { ppm, min_ppm: -limit, max_ppm: limit });
        }
        let tick = tick_for(ppm, current_tick);
        let freq_ppm = (ppm - tick_ppm(tick)).clamp(-FREQ_LIMIT_PPM, FREQ_LIMIT_PPM);
        Ok(Self { freq: to_i32(freq_ppm / FREQ_PPM), tick })
    }

    /// The rate that this setting makes, exactly.
    pub fn rate(self) -> Rate {
        Rate::from_ppm(tick_ppm(self.tick) + f64::from(self.freq) * FREQ_PPM)
    }
}

fn tick_for(ppm: f64, current_tick: i32) -> i32 {
    let current_reaches = (ppm - tick_ppm(current_tick)).abs() <= FREQ_LIMIT_PPM;
    if ppm.abs() < TICK_RETURN_PPM {
        TICK_NOMINAL
    } else if current_reaches && TICK_RANGE.contains(&current_tick) {
        current_tick
    } else if ppm.abs() <= FREQ_LIMIT_PPM {
        TICK_NOMINAL
    } else {
        TICK_NOMINAL.saturating_add(to_i32(ppm / TICK_PPM)).clamp(*TICK_RANGE.start(), *TICK_RANGE.end())
    }
}

fn tick_ppm(tick: i32) -> f64 {
    f64::from(tick.saturating_sub(TICK_NOMINAL)) * TICK_PPM
}

/// The nearest integer.
#[allow(clippy::as_conversions, reason = "float to integer `as` saturates")]
fn to_i32(value: f64) -> i32 {
    value.round() as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_ppm(ppm: f64, tick: i32) -> LinuxRate {
        LinuxRate::from_rate(Rate::from_ppm(ppm), tick).unwrap()
    }

    proptest! {
        #[test]
        fn every_rate_in_range_comes_back_within_half_a_quantum(
            ppm in -100_000.0..100_000.0_f64,
            tick in 9_000..=11_000_i32,
        ) {
            let set = from_ppm(ppm, tick);
            prop_assert!((set.rate().ppm() - ppm).abs() <= FREQ_PPM / 2.0 + 1e-9, "{set:?}");
            prop_assert!(TICK_RANGE.contains(&set.tick));
            prop_assert!(set.freq.abs() <= 32_768_000);
        }

        #[test]
        fn what_was_set_is_set_again_unchanged(ppm in -100_000.0..100_000.0_f64, tick in 9_000..=11_000_i32) {
            let set = from_ppm(ppm, tick);
            prop_assert_eq!(LinuxRate::from_rate(set.rate(), set.tick).unwrap(), set);
        }

        #[test]
        fn a_nonsense_tick_is_left_at_once(ppm in -100_000.0..100_000.0_f64, tick in any::<i32>()) {
            prop_assert!(TICK_RANGE.contains(&from_ppm(ppm, tick).tick));
        }
    }

    #[test]
    fn one_ppm_is_65536_units_and_positive_gains() {
        assert_eq!(from_ppm(1.0, TICK_NOMINAL), LinuxRate { freq: 65_536, tick: TICK_NOMINAL });
        assert_eq!(from_ppm(-20.0, TICK_NOMINAL), LinuxRate { freq: -1_310_720, tick: TICK_NOMINAL });
        assert!((LinuxRate { freq: 0, tick: 10_001 }.rate().ppm() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn tick_moves_beyond_500_ppm_and_returns_below_400() {
        assert_eq!(from_ppm(499.9, TICK_NOMINAL).tick, TICK_NOMINAL);
        assert_eq!(from_ppm(501.0, TICK_NOMINAL).tick, 10_005);
        assert_eq!(from_ppm(450.0, 10_005).tick, 10_005);
        assert_eq!(from_ppm(399.0, 10_005).tick, TICK_NOMINAL);
        assert_eq!(from_ppm(-501.0, TICK_NOMINAL).tick, 9_995);
        assert_eq!(from_ppm(-450.0, 9_995).tick, 9_995);
        assert_eq!(from_ppm(-399.0, 9_995).tick, TICK_NOMINAL);
        // The other side of zero is no reason to stay.
        assert_eq!(from_ppm(450.0, 9_990).tick, TICK_NOMINAL);
    }

    #[test]
    fn the_ends_of_the_range_are_reached_and_what_lies_beyond_is_refused() {
        assert_eq!(from_ppm(100_000.0, TICK_NOMINAL), LinuxRate { freq: 0, tick: 11_000 });
        assert_eq!(from_ppm(-100_000.0, TICK_NOMINAL), LinuxRate { freq: 0, tick: 9_000 });
        for ppm in [100_001.0, -100_001.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refused = LinuxRate::from_rate(Rate::from_ppm(ppm), TICK_NOMINAL);
            assert!(matches!(refused, Err(ClockError::RateOutOfRange { .. })), "{ppm}: {refused:?}");
        }
    }
}
