//! How long it has been going wrong, for commands that follow something and live through a cut connection.

use std::time::Duration;

use crate::exit::{Exit, Failure};

/// The longest wait before another try.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long it has been going wrong.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    tries: u32,
    denied: bool,
}

impl Trouble {
    /// How long to wait before another try.
    ///
    /// # Errors
    /// The failure, where another try would not help.
    pub(super) fn met(&mut self, failure: &Failure, interval: Duration) -> Result<Duration, Failure> {
        match failure.exit() {
            Exit::Unavailable => {}
            // One more try, with the token read anew.
            Exit::Denied if !self.denied => self.denied = true,
            _ => return Err(failure.clone()),
        }
        self.tries += 1;
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        Ok(interval.saturating_mul(factor).min(LONGEST_WAIT))
    }

    /// Whether it went wrong for the first time, just now.
    pub(super) fn began(&self) -> bool {
        self.tries == 1
    }

    /// All is well; `true`: it was not before.
    pub(super) fn ends(&mut self) -> bool {
        let was = self.tries > 0;
        *self = Self::default();
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_time_may_mend_is_tried_again() {
        let mut trouble = Trouble::default();
        let second = Duration::from_secs(1);
        let away = Failure::new(Exit::Unavailable, "away");
        let waits: Vec<_> = (0..5).map(|_| trouble.met(&away, second).expect("waits").as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 10, 10]);
        assert!(trouble.ends() && !trouble.ends());
        let denied = Failure::new(Exit::Denied, "no");
        assert!(trouble.met(&denied, second).is_ok());
        assert!(trouble.met(&denied, second).is_err());
        assert!(Trouble::default().met(&Failure::usage("bad"), second).is_err());
    }
}
