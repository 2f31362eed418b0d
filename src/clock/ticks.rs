//! From the ticks of a hardware counter to ns: pure arithmetic, exact for as long as a computer runs.

const NS_PER_SEC: i64 = 1_000_000_000;

/// `ticks` of a counter that makes `per_second` of them, in ns, rounded down; saturates beyond 292 years. A counter
/// that claims less than one tick a second is none: 0.
pub const fn ticks_to_ns(ticks: i64, per_second: i64) -> i64 {
    if per_second < 1 {
        return 0;
    }
    // Whole seconds and the rest apart: the product of ticks and 10^9 alone would overflow after 15 minutes at 10 MHz.
    let whole = ticks.div_euclid(per_second).saturating_mul(NS_PER_SEC);
    let rest = ticks.rem_euclid(per_second);
    // Counters above 9.2 GHz do not exist; where one did, the finest parts of its fraction would be cut, not wrapped.
    let (rest, per_second) = if per_second > i64::MAX / NS_PER_SEC {
        (rest / 1024, per_second / 1024)
    } else {
        (rest, per_second)
    };
    whole.saturating_add(rest.saturating_mul(NS_PER_SEC).div_euclid(per_second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_of_usual_counters_become_ns() {
        assert_eq!(ticks_to_ns(1, 10_000_000), 100);
        assert_eq!(ticks_to_ns(-1, 10_000_000), -100);
        assert_eq!(ticks_to_ns(25, 24_000_000), 1_041);
        // 3,579,545 Hz, the ACPI timer.
        assert_eq!(ticks_to_ns(3_579_545, 3_579_545), NS_PER_SEC);
        assert_eq!(ticks_to_ns(3_579_546, 3_579_545), NS_PER_SEC + 279);
        // 200 years at 10 MHz.
        assert_eq!(ticks_to_ns(63_115_200_000_000_007, 10_000_000), 6_311_520_000_000_000_700);
    }

    #[test]
    fn what_no_counter_says_is_survived() {
        assert_eq!(ticks_to_ns(5, 0), 0);
        assert_eq!(ticks_to_ns(5, -3), 0);
        assert_eq!(ticks_to_ns(i64::MAX, 1), i64::MAX);
        assert_eq!(ticks_to_ns(i64::MIN, 1), i64::MIN);
    }

    proptest! {
        #[test]
        fn the_result_is_exact_where_it_fits(ticks: i64, per_second in 1_000_i64..9_000_000_000) {
            let exact = (i128::from(ticks) * 1_000_000_000).div_euclid(i128::from(per_second));
            let expected = i64::try_from(exact).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX });
            // Where the whole seconds saturate, the rest may be added or not.
            let error = i128::from(ticks_to_ns(ticks, per_second)) - i128::from(expected);
            let saturated = expected.saturating_abs() > i64::MAX - 2 * NS_PER_SEC;
            let tolerance = if saturated { 1_000_000_000 } else { 0 };
            prop_assert!(error.abs() <= tolerance, "off by {}", error);
        }

        #[test]
        fn any_numbers_are_survived(ticks: i64, per_second: i64) {
            let _ = ticks_to_ns(ticks, per_second);
        }
    }
}
