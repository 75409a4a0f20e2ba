/// A duration, from microseconds, as a person reads it: 0.4 ms, 87 ms, 22.9 s, 4m 05s, 2h 03m.
#[must_use]
pub fn duration(us: u64) -> String {
    // Rounded to the last place that is shown, so that no 60.0 s is shown instead of a minute.
    let ms_tenths = us.saturating_add(50) / 100;
    let second_tenths = us.saturating_add(50_000) / 100_000;
    let seconds = us.saturating_add(500_000) / 1_000_000;
    match (ms_tenths, second_tenths) {
        (0..100, _) => format!("{}.{} ms", ms_tenths / 10, ms_tenths % 10),
        (100..9_995, _) => format!("{} ms", us.saturating_add(500) / 1_000),
        (_, 0..600) => format!("{}.{} s", second_tenths / 10, second_tenths % 10),
        (_, _) if seconds < 3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        (_, _) => {
            let minutes = us.saturating_add(30_000_000) / 60_000_000;
            format!("{}h {:02}m", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_has_the_unit_and_the_places_that_a_person_reads() {
        for (us, shown) in [
            (0, "0.0 ms"),
            (49, "0.0 ms"),
            (50, "0.1 ms"),
            (9_949, "9.9 ms"),
            (9_950, "10 ms"),
            (87_400, "87 ms"),
            (999_449, "999 ms"),
            (999_500, "1.0 s"),
            (2_600_300, "2.6 s"),
            (22_949_999, "22.9 s"),
            (59_949_999, "59.9 s"),
            (59_950_000, "1m 00s"),
            (245_000_000, "4m 05s"),
            (3_599_499_999, "59m 59s"),
            (3_599_500_000, "1h 00m"),
            (7_380_000_000, "2h 03m"),
        ] {
            assert_eq!(duration(us), shown, "{us}");
        }
    }

    proptest! {
        #[test]
        fn no_part_of_a_duration_overflows(us in any::<u64>()) {
            let shown = duration(us);
            prop_assert!(!shown.contains("60s") && !shown.contains("60m") && !shown.contains("1000 ms"), "{shown}");
        }
    }
}
