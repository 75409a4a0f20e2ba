use super::{Digest, Hasher};

/// When a failed attempt is followed by another one. The budget is one call's own: nothing that another call
/// does uses it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many attempts may fail before the failure is the call's outcome; at least 1.
    pub max_attempts: u32,
    /// About how long to wait after the first failure, in milliseconds; twice as long after each further one.
    pub initial_delay_ms: u64,
    /// The longest wait, in milliseconds.
    pub max_delay_ms: u64,
    /// The longest wait that a failure itself may ask for, in milliseconds.
    pub max_asked_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 3, initial_delay_ms: 200, max_delay_ms: 10_000, max_asked_ms: 0 }
    }
}

impl Retry {
    /// One attempt, whatever becomes of it.
    pub const NEVER: Self = Self { max_attempts: 1, initial_delay_ms: 0, max_delay_ms: 0, max_asked_ms: 0 };

    /// As many attempts, without waiting between them.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self { initial_delay_ms: 0, max_delay_ms: 0, max_asked_ms: 0, ..self }
    }

    /// How long to wait after this many failures, in milliseconds, if the last one asks for no more than that; none
    /// if it was the last attempt.
    ///
    /// Between half the delay and all of it, as the key has it: calls that failed together because a service
    /// was busy do not come back together, and the same call waits the same time again.
    #[must_use]
    pub fn delay_ms(&self, failures: u32, key: &Digest, asked_ms: Option<u64>) -> Option<u64> {
        if failures >= self.max_attempts {
            return None;
        }
        let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
        let whole = self.initial_delay_ms.saturating_mul(doubled).min(self.max_delay_ms);
        let spread = Hasher::default().part(key.as_bytes()).part(&failures.to_be_bytes()).finish();
        let spread = spread.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let own = whole - spread % (whole / 2 + 1);
        Some(asked_ms.map_or(own, |asked| own.max(asked.min(self.max_asked_ms))))
    }

    /// The longest wait there can be, in milliseconds.
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        self.max_delay_ms.max(self.max_asked_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_the_budget() {
        let retry = Retry { max_attempts: 5, initial_delay_ms: 100, max_delay_ms: 300, max_asked_ms: 900 };
        let key = Digest::of(b"a call");
        let other = Digest::of(b"another call");
        for (failures, longest) in [(1, 100), (2, 200), (3, 300), (4, 300)] {
            let delay = retry.delay_ms(failures, &key, None);
            assert!(delay.is_some_and(|ms| ms >= longest / 2 && ms <= longest), "{failures}: {delay:?}");
            assert_eq!(delay, retry.delay_ms(failures, &key, None));
        }
        assert_ne!(retry.delay_ms(3, &key, None), retry.delay_ms(3, &other, None));
        assert_eq!(retry.delay_ms(5, &key, None), None);
        assert_eq!(retry.delay_ms(1, &key, Some(700)), Some(700));
        assert_eq!(retry.delay_ms(1, &key, Some(7000)), Some(900), "no longer than it may ask for");
        assert_eq!(
            retry.delay_ms(1, &key, Some(1)),
            retry.delay_ms(1, &key, None),
            "and no shorter than its own"
        );
        assert_eq!(retry.longest_ms(), 900);
        assert_eq!(Retry::NEVER.delay_ms(1, &key, None), None);
        assert_eq!(retry.at_once().delay_ms(3, &key, Some(700)), Some(0));
        let endless = Retry { max_attempts: u32::MAX, ..retry };
        assert!(endless.delay_ms(1_000, &key, None).is_some_and(|ms| ms <= 300));
    }
}
