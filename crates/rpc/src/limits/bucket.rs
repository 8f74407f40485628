//! One bucket. It is kept as the moment at which it will be full (the generic cell rate algorithm).

use std::time::Duration;

use tokio::time::Instant;

use super::{Grant, Rate};

/// What a process knows of one bucket. A new one is full.
#[derive(Debug)]
pub(super) struct Bucket {
    /// When it will be full.
    full_at: Instant,
    /// Taken out of the shared bucket, and not used yet.
    portion: u32,
    portion_until: Instant,
    /// Until then the shared bucket is empty.
    empty_until: Instant,
}

/// How long a portion may be used. What is left then is given up: it has filled again long since.
const PORTION_LIFE: Duration = Duration::from_secs(5);

impl Bucket {
    pub(super) fn full(now: Instant) -> Self {
        Self { full_at: now, portion: 0, portion_until: now, empty_until: now }
    }

    /// Takes one call out of this process's own bucket.
    ///
    /// # Errors
    /// After how long there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let holds = rate.interval() * rate.burst();
        let after = self.full_at.max(now) + rate.interval();
        let wait = after.saturating_duration_since(now).saturating_sub(holds);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = after;
        Ok(())
    }

    /// Takes one call out of the portion; `None` where another is to be fetched.
    ///
    /// # Errors
    /// After how long there is one, where the shared bucket is empty.
    pub(super) fn take_of_portion(&mut self, now: Instant) -> Result<Option<()>, Duration> {
        let wait = self.empty_until.saturating_duration_since(now);
        if !wait.is_zero() {
            return Err(wait);
        }
        if self.portion == 0 || self.portion_until <= now {
            return Ok(None);
        }
        self.portion -= 1;
        Ok(Some(()))
    }

    /// Keeps what the shared bucket said, and takes one call of it.
    ///
    /// # Errors
    /// After how long there is one.
    pub(super) fn fetched(&mut self, grant: Grant, now: Instant) -> Result<(), Duration> {
        match grant {
            Grant::Taken(calls) => {
                self.portion = calls.saturating_sub(1);
                self.portion_until = now + PORTION_LIFE;
                Ok(())
            }
            Grant::Empty(wait) => {
                self.empty_until = now + wait;
                Err(wait)
            }
        }
    }

    /// Puts back what a call took that was refused elsewhere; `shared`: it came out of a portion too.
    pub(super) fn put_back(&mut self, rate: Rate, shared: bool) {
        self.full_at = self.full_at.checked_sub(rate.interval()).unwrap_or(self.full_at);
        if shared {
            self.portion += 1;
        }
    }

    /// Whether a new one would say the same.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now && self.portion_until <= now && self.empty_until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect(text)
    }

    #[test]
    fn a_full_bucket_gives_its_burst_at_once_and_then_one_an_interval() {
        let (rate, start) = (rate("10/s:3"), Instant::now());
        let mut bucket = Bucket::full(start);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, start), Ok(()));
        }
        let tenth = Duration::from_millis(100);
        assert_eq!(bucket.take(rate, start), Err(tenth));
        assert_eq!(bucket.take(rate, start + tenth), Ok(()));
        assert_eq!(bucket.take(rate, start + tenth), Err(tenth));
        assert!(!bucket.is_full(start + tenth) && bucket.is_full(start + 4 * tenth));
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, start + 100 * tenth), Ok(()));
        }
        assert!(bucket.take(rate, start + 100 * tenth).is_err(), "it does not hold more after a long pause");
    }

    #[test]
    fn what_was_put_back_can_be_taken_again() {
        let (rate, now) = (rate("1/h"), Instant::now());
        let mut bucket = Bucket::full(now);
        assert_eq!(bucket.take(rate, now), Ok(()));
        bucket.put_back(rate, false);
        assert_eq!(bucket.take(rate, now), Ok(()));
        assert!(bucket.take(rate, now).is_err());
    }

    #[test]
    fn a_portion_is_used_up_or_given_up_and_emptiness_is_remembered() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        assert_eq!(bucket.take_of_portion(now), Ok(None));
        assert_eq!(bucket.fetched(Grant::Taken(2), now), Ok(()));
        assert_eq!(bucket.take_of_portion(now), Ok(Some(())));
        assert_eq!(bucket.take_of_portion(now), Ok(None));
        assert_eq!(bucket.fetched(Grant::Taken(9), now), Ok(()));
        assert_eq!(bucket.take_of_portion(now + PORTION_LIFE), Ok(None));
        let wait = Duration::from_millis(30);
        assert_eq!(bucket.fetched(Grant::Empty(wait), now), Err(wait));
        assert_eq!(bucket.take_of_portion(now), Err(wait));
        assert_eq!(bucket.take_of_portion(now + wait + PORTION_LIFE), Ok(None));
    }
}
